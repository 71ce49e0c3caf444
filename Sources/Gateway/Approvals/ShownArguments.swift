import Domain
import Firewall

/// What approvers and models see of a call's arguments.
enum ShownArguments {
    /// Texts are cut there: nobody reads more before deciding, and the digest covers all of it.
    private static let maximumTextCharacters = 2_000
    /// Members and elements that are shown.
    private static let maximumElements = 100
    private static let maximumDepth = 16
    private static let redacted: JSONValue = "***REDACTED***"
    /// What a name holds when its value is a secret.
    private static let secretNames = [
        "password", "passwd", "passphrase", "secret", "token", "apikey", "credential",
        "authorization", "privatekey", "accesskey", "cookie", "bearer",
    ]

    /// What is taken out: everything but addresses of mail, for whoever decides has to see whom a
    /// call reaches.
    private static let kinds = Set(SensitiveKind.allCases)
        .subtracting([.email, .phone, .iban])

    /// All of the arguments without their secrets: what looks like one, and the values of names
    /// that mean one.
    static func redacted(_ arguments: JSONObject, _ redactor: Redactor) -> JSONValue {
        named(redactor.redact(.object(arguments), kinds: kinds).value)
    }

    /// As much of redacted arguments as is read before deciding; what is left out is said.
    static func cut(_ redacted: JSONValue) -> JSONValue { shown(redacted, depth: 0) }

    /// Whether something was replaced for being too deep or too much to be looked through: what is
    /// left does not tell what the call would do.
    static func isIncomplete(_ redacted: String) -> Bool { redacted.contains(unread) }

    /// Whether something of shown arguments was left out, or could not be looked through; so does
    /// what a caller wrote to look like the words for that.
    static func isCut(_ shown: JSONValue) -> Bool {
        switch shown {
        case .null, .bool, .integer, .double: false
        case .string(let text):
            text == "…" || text.hasSuffix(" in all)") && text.contains("… (")
                || isIncomplete(text)
        case .array(let elements): elements.contains(where: isCut)
        case .object(let object):
            object.members.contains { $0.key == "…" || isCut($0.value) }
        }
    }

    /// The beginning of the redactor's marks for such values.
    private static let unread = "[redacted:\(SensitiveKind.unread.rawValue):"

    /// Values are no deeper than the redactor has looked.
    private static func named(_ value: JSONValue) -> JSONValue {
        switch value {
        case .array(let elements): return .array(elements.map(named))
        case .object(let object):
            var result = JSONObject()
            for member in object.members {
                let value = isSecret(member.key) ? redacted : named(member.value)
                result.append(key: member.key, value: value)
            }
            return .object(result)
        case .string, .null, .bool, .integer, .double: return value
        }
    }

    /// The names alone, for channels that others read too: `branch, force`.
    static func names(_ shown: JSONValue) -> String {
        let names = (shown.object?.members ?? []).map { visible($0.key) }
        guard !names.isEmpty else { return "none" }
        let rest = names.count - 20
        return names.prefix(20).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }

    private static func shown(_ value: JSONValue, depth: Int) -> JSONValue {
        switch value {
        case .string(let text):
            guard text.count > maximumTextCharacters else { return value }
            return .string(
                text.prefix(maximumTextCharacters) + "… (\(text.count) characters in all)"
            )
        case .array(let elements):
            guard depth < maximumDepth else { return "…" }
            var list = elements.prefix(maximumElements).map { shown($0, depth: depth + 1) }
            if elements.count > list.count { list.append(.string("… (\(elements.count) in all)")) }
            return .array(list)
        case .object(let object):
            guard depth < maximumDepth else { return "…" }
            var result = JSONObject()
            for member in object.members.prefix(maximumElements) {
                result.append(key: member.key, value: shown(member.value, depth: depth + 1))
            }
            if object.members.count > maximumElements {
                result.append(key: "…", value: .string("(\(object.members.count) in all)"))
            }
            return .object(result)
        case .null, .bool, .integer, .double: return value
        }
    }

    private static func isSecret(_ name: String) -> Bool {
        let plain = String(
            String.UnicodeScalarView(
                name.lowercased().unicodeScalars.filter { $0.properties.isAlphabetic }
            )
        )
        return secretNames.contains { plain.contains($0) }
    }
}

/// A text whose hidden characters can be seen: what steers its direction or takes no place is
/// written as its number, so that nothing looks like what it is not.
package func visible(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar.properties.generalCategory {
        case .format, .control, .privateUse, .unassigned, .surrogate, .lineSeparator,
            .paragraphSeparator:
            let isOrdinary = scalar == "\n" || scalar == "\t"
            if isOrdinary {
                result.append(scalar)
            } else {
                result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            }
        default: result.append(scalar)
        }
    }
    return String(result)
}
