import Domain

/// A state as people and agents name it, reduced to what trackers without workflows have.
struct StateWish: Equatable {
    var state: IssueState
    /// GitHub's `state_reason`; nil when none was named.
    var reason: String?

    /// The words that are understood, for refusals.
    static let words = ["open", "closed", "completed", "not_planned", "duplicate"]

    private static let meanings: [String: StateWish] = {
        var meanings: [String: StateWish] = [:]
        for word in ["open", "opened", "reopen", "reopened", "to do", "todo"] {
            meanings[word] = StateWish(state: .open)
        }
        for word in ["closed", "close"] { meanings[word] = StateWish(state: .closed) }
        for word in ["completed", "done", "fixed", "resolved"] {
            meanings[word] = StateWish(state: .closed, reason: "completed")
        }
        for word in [
            "not planned", "wont fix", "won't fix", "wontfix", "invalid", "cannot reproduce",
        ] {
            meanings[word] = StateWish(state: .closed, reason: "not_planned")
        }
        meanings["duplicate"] = StateWish(state: .closed, reason: "duplicate")
        return meanings
    }()

    init(state: IssueState, reason: String? = nil) {
        self.state = state
        self.reason = reason
    }

    /// What a change asks for; nil when it leaves the state alone.
    init?(_ change: IssueChange) throws(TrackerError) {
        var wish = change.state.map { StateWish(state: $0) }
        if let status = change.status { wish = try Self.meaning(of: status, field: "status") }
        if let resolution = change.resolution {
            let meant = try Self.meaning(of: resolution, field: "resolution")
            guard meant.state == .closed, wish?.state ?? .closed == .closed else {
                throw .invalid("resolution", "goes only with a closed state")
            }
            wish = StateWish(state: .closed, reason: meant.reason ?? wish?.reason)
        }
        guard let wish else { return nil }
        self = wish
    }

    private static func meaning(
        of word: String,
        field: String
    ) throws(TrackerError) -> StateWish {
        let key = word.lowercased().replacing("_", with: " ").replacing("-", with: " ")
        guard let wish = meanings[key] else {
            throw .invalid(
                field,
                "`\(word)` is not one of this tracker's",
                cure: "use one of: \(words.joined(separator: ", "))"
            )
        }
        return wish
    }
}

extension StatusOption {
    /// What trackers without workflows offer.
    static func simple(_ reasons: [String]) -> [StatusOption] {
        [StatusOption(status: "open", state: .open)]
            + (["closed"] + reasons).map { StatusOption(status: $0, state: .closed) }
    }
}
