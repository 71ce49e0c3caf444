import Domain
import Glibc
package import Logging
import Store

/// Writes log records to standard error, one JSON object a line, without secrets.
package struct JSONLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    package var logLevel: Logger.Level
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String

    package init(label: String, level: Logger.Level = .info) {
        self.label = label
        logLevel = level
    }

    /// A value that is on every record.
    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes a record.
    package func log(event: LogEvent) {
        var object = JSONObject()
        object.append(key: "time", value: .string(WallClock.system.now().iso8601))
        object.append(key: "level", value: .string(event.level.rawValue))
        object.append(key: "logger", value: .string(label))
        object.append(key: "message", value: .string(Redaction.cleaned("\(event.message)")))
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let given = event.metadata { all.merge(given) { $1 } }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            object.append(key: key, value: Self.json(value, under: key))
        }
        if let error = event.error {
            object.append(key: "error", value: .string(Redaction.cleaned("\(error)")))
        }
        var line = JSONValue.object(object).serialized()
        line.append(10)
        // One write a line, so that lines of several threads do not mix; a log that cannot be
        // written stops nobody.
        _ = unsafe write(STDERR_FILENO, line, line.count)
    }

    private static func json(_ value: Logger.Metadata.Value, under key: String) -> JSONValue {
        guard !Redaction.isSecret(key: key) else { return .string(Redaction.mark) }
        return switch value {
        case .string(let text): .string(Redaction.cleaned(text))
        case .stringConvertible(let number as Int): .integer(Int64(number))
        case .stringConvertible(let number as Double): .double(number)
        case .stringConvertible(let other): .string(Redaction.cleaned("\(other)"))
        case .array(let values): .array(values.map { json($0, under: key) })
        case .dictionary(let members):
            .object(
                members.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { object, member in
                    object.append(key: member.key, value: json(member.value, under: member.key))
                }
            )
        }
    }
}

/// Takes secrets out of texts that are kept.
enum Redaction {
    static let mark = "<redacted>"

    /// Names under which nothing is shown.
    private static let keys = [
        "authorization", "token", "password", "secret", "api_key", "apikey", "cookie",
        "credential", "signature",
    ].map { Array($0.utf8) }
    /// How our own secrets begin, and any JSON web token.
    private static let prefixes = (OpaqueToken.Kind.allCases.map { "\($0.rawValue)_" } + ["eyJ"])
        .map { (text: $0, bytes: Array($0.utf8)) }

    /// Whether a value under this name is not to be shown.
    static func isSecret(key: String) -> Bool {
        let key = key.utf8.map { (65...90).contains($0) ? $0 | 0x20 : $0 }
        return keys.contains { isFound($0, in: key) }
    }

    /// Whether bytes stand somewhere in others; a search that is made for each line of the log, in
    /// texts of some dozen bytes.
    private static func isFound(_ wanted: [UInt8], in bytes: [UInt8]) -> Bool {
        guard let first = wanted.first, bytes.count >= wanted.count else { return false }
        for start in 0...(bytes.count - wanted.count) where bytes[start] == first {
            if bytes[start..<(start + wanted.count)].elementsEqual(wanted) { return true }
        }
        return false
    }

    /// The text without what looks like a secret.
    static func cleaned(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var result = text
        for prefix in prefixes where isFound(prefix.bytes, in: bytes) {
            result = replaced(result[...], prefix.text)
        }
        return result
    }

    private static func replaced(_ text: Substring, _ prefix: String) -> String {
        var (rest, result) = (text, "")
        while let range = rest.firstRange(of: prefix) {
            let tail = rest[range.upperBound...]
            let token = tail.prefix { character in
                character.isASCII
                    && (character.isLetter || character.isNumber || "._-".contains(character))
            }
            result += rest[..<range.lowerBound]
            // Shorter ones are words.
            result += token.utf8.count >= 16 ? mark : String(prefix + token)
            rest = tail[token.endIndex...]
        }
        return result + rest
    }
}
