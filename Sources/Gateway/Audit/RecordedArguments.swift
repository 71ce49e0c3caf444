package import Domain
import Firewall
import Store

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

    /// What was found in everything that a call told the tool's server, by all kinds.
    ///
    /// The findings are those that the marks were put for: what a caller wrote to look like a mark
    /// is none of them.
    static func traces(of entry: ToolCallTable.Entry) -> SensitiveTraces {
        guard !entry.isUnreadable, entry.call.arguments != nil else {
            return SensitiveTraces(areAll: false)
        }
        // What clients answer to servers' questions is looked through, and kept nowhere.
        let hasAnswers = entry.call.reason?.hasPrefix("with answers to what the server") ?? false
        var traces = SensitiveTraces(areAll: !hasAnswers)
        guard let text = entry.findings else { return traces }
        guard let list = (try? JSONParser.parse(text))?.array else {
            // There were too many to be kept.
            return SensitiveTraces(areAll: false)
        }
        for finding in list {
            if let kind = finding["kind"]?.string.flatMap(SensitiveKind.init(rawValue:)) {
                traces.kinds.insert(kind)
            } else {
                traces.areAll = false
            }
        }
        // No more than these are told of.
        if list.count >= Redactor.Limits().findings { traces.areAll = false }
        return traces
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
