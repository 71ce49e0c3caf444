import Domain

/// A reaction to a pull request as a whole, by the names that the services have for it.
struct Reaction: Equatable {
    /// GitHub's word; nil for what it has none for.
    var gitHub: String?
    /// GitLab's name of the emoji.
    var gitLab: String

    /// The eight that GitHub has, and what GitLab calls them.
    private static let shared = [
        ("+1", "thumbsup"), ("-1", "thumbsdown"), ("laugh", "laughing"), ("confused", "confused"),
        ("heart", "heart"), ("hooray", "tada"), ("rocket", "rocket"), ("eyes", "eyes"),
    ]

    /// Emoji of GitLab, its users' own ones included, have no longer names.
    private static let maximumNameLength = 255

    /// Reads either service's name, with or without colons.
    init(_ name: String, field: String) throws(TrackerError) {
        var plain = name.lowercased()
        if plain.hasPrefix(":"), plain.hasSuffix(":") {
            plain = String(plain.dropFirst().dropLast())
        }
        if let (gitHub, gitLab) = Self.shared.first(where: { $0.0 == plain || $0.1 == plain }) {
            self.gitHub = gitHub
            self.gitLab = gitLab
            return
        }
        let isName = plain.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isName, !plain.isEmpty, plain.utf8.count <= Self.maximumNameLength else {
            throw .invalid(field, "`\(name)` is no name of an emoji", cure: Self.listing)
        }
        gitLab = plain
    }

    /// GitHub's word for it.
    func gitHubWord(field: String) throws(TrackerError) -> String {
        guard let gitHub else {
            throw .invalid(field, "`\(gitLab)` is no reaction of GitHub's", cure: Self.listing)
        }
        return gitHub
    }

    private static var listing: String {
        "use one of: \(shared.map(\.0).joined(separator: ", "))"
    }
}

/// Reactions of the token's user to give and to take back.
struct ReactionChange: Equatable {
    static let adding = "add_reaction"
    static let removing = "remove_reaction"

    var added: Reaction?
    var removed: Reaction?

    init(_ change: PullRequestChange) throws(TrackerError) {
        if let name = change.addedReaction { added = try Reaction(name, field: Self.adding) }
        if let name = change.removedReaction { removed = try Reaction(name, field: Self.removing) }
        if added != nil, added == removed {
            throw .invalid(Self.removing, "is the reaction to add, too")
        }
    }
}

extension PullRequestChange {
    /// Whether something else than reactions is to be changed.
    var hasFields: Bool {
        var fields = self
        fields.addedReaction = nil
        fields.removedReaction = nil
        return fields != PullRequestChange()
    }
}
