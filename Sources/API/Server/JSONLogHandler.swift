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
