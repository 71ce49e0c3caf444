/// Who decides, or asks.
package struct Approver: Sendable, Hashable {
    /// How somebody is known.
    package enum Kind: String, Sendable {
        /// A user of the server.
        case user
        /// The operator of the machine that has the store.
        case local
        /// Whoever follows the link that was sent to a channel.
        case link
        /// A language model.
        case model
    }

    package let kind: Kind
    package let name: String

    package init(_ kind: Kind, _ name: String) {
        self.kind = kind
        self.name = name
    }

    /// Reads ``text``; nil for what is of no kind.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let kind = Kind(rawValue: String(parts[0])), !parts[1].isEmpty
        else { return nil }
        self.init(kind, String(parts[1]))
    }

    /// As it is stored and shown: `user:ann`.
    package var text: String { "\(kind.rawValue):\(name)" }

    /// The name of the person, however they came; nil where no person is known.
    package var person: String? {
        switch kind {
        case .user, .local: name
        case .link, .model: nil
        }
    }

    /// By bytes: two names that only look the same are two.
    package static func == (left: Approver, right: Approver) -> Bool {
        left.kind == right.kind && left.name.utf8.elementsEqual(right.name.utf8)
    }

    /// By bytes, as they are compared.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
        hasher.combine(Array(name.utf8))
    }

    /// Whether both are the same person: a user and the operator of the same name are.
    package func isSamePerson(as other: Approver) -> Bool {
        guard let person, let other = other.person else { return self == other }
        // By bytes: two names that only look the same are two.
        return person.utf8.elementsEqual(other.utf8)
    }
}
