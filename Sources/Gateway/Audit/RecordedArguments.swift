package import Domain

/// What the arguments on record still tell of those that a tool got.
package enum RecordedArguments {
    /// What rules about arguments have seen: without what the call said to the tool's server beside
    /// them.
    package static func decided(_ kept: JSONValue) -> JSONValue {
        guard var arguments = kept.object else { return kept }
        _ = arguments.removeLast(named: GuardedCall.HeldCall.metaKey)
        return .object(arguments)
    }

    /// Whether nothing was taken out of them, neither for being secret nor for its length.
    ///
    /// What a caller wrote to look like such a mark counts as one: then it is not known.
    package static func areWhole(_ kept: JSONValue) -> Bool {
        if kept.serializedText().contains("[redacted:") { return false }
        if let members = kept.object?.members, members.count == 1, members[0].key == "[cut]" {
            return false
        }
        return !hasCutText(kept)
    }

    private static func hasCutText(_ value: JSONValue) -> Bool {
        switch value {
        case .null, .bool, .integer, .double: false
        case .string(let text): text.hasSuffix(" bytes]") && text.contains("… [")
        case .array(let elements): elements.contains(where: hasCutText)
        case .object(let object): object.members.contains { hasCutText($0.value) }
        }
    }
}
