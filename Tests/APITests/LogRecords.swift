import Logging
import Synchronization

/// Keeps what is logged.
final class LogRecords: Sendable {
    /// One line.
    struct Record: Sendable {
        var level: Logger.Level
        var message: String
        var metadata: [String: String]
    }

    private let state = Mutex<[Record]>([])

    /// The lines with this text, in order.
    func lines(_ message: String) -> [Record] {
        state.withLock { $0 }.filter { $0.message == message }
    }

    /// A logger that writes here.
    func logger() -> Logger {
        var logger = Logger(label: "test") { _ in Handler(records: self) }
        logger.logLevel = .info
        return logger
    }

    private func add(_ record: Record) {
        state.withLock { $0.append(record) }
    }

    private struct Handler: LogHandler {
        let records: LogRecords
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info
        var metadataProvider: Logger.MetadataProvider?

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            records.add(
                Record(
                    level: event.level,
                    message: "\(event.message)",
                    metadata: all.mapValues { "\($0)" }
                )
            )
        }
    }
}
