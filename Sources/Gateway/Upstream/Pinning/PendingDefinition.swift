package import Domain
import Store

/// What waits of a tool, and how two states of it are told apart.
extension UpstreamTool {
    /// What names exactly that which waits of it: by this people accept what they have looked at,
    /// and nothing that has come in its place.
    ///
    /// Of a definition that waits it is the SHA-256 that the audit has, too, once it is accepted;
    /// of a tool that is gone, one of its name and of what was accepted. Nil for what cannot be
    /// accepted: nothing waits, or it is listed more than once.
    package var pendingDigest: String? {
        switch state {
        case .accepted: return nil
        case .held: return proposed.map { hexadecimal(UpstreamToolTable.digest($0)) }
        case .gone:
            // No definition has these members and no name, so that none has this digest.
            let gone = JSONObject([
                ("gone", .string(name)), ("definition", accepted.map(JSONValue.object) ?? .null),
            ])
            return hexadecimal(UpstreamToolTable.digest(gone))
        }
    }

    /// Whether both are the same by their bytes: `==` calls texts equal that only look the same,
    /// and what was kept would stay another definition than the one that is listed.
    func isSame(as other: UpstreamTool) -> Bool {
        state == other.state && seenAt == other.seenAt && haveEqualBytes(name, other.name)
            && flags.elementsEqual(other.flags, by: haveEqualBytes)
            && Self.areSame(accepted, other.accepted) && Self.areSame(proposed, other.proposed)
    }

    /// Whether two definitions, or none, are the same by their bytes; the order of keys is none of
    /// that.
    static func areSame(_ left: JSONObject?, _ right: JSONObject?) -> Bool {
        left.map(UpstreamToolTable.digest) == right.map(UpstreamToolTable.digest)
    }
}
