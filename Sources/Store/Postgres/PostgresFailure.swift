/// What a server or libpq reported: a five-character SQLSTATE and the primary message, which names
/// objects but, unlike the detail, no values.
struct PostgresFailure: Error, Equatable {
    /// Empty when it was libpq that failed, which means the connection.
    var state: String
    var message: String

    /// The connection is gone or was never made.
    static func lost(_ message: String) -> PostgresFailure {
        PostgresFailure(state: "", message: message)
    }

    /// The server takes no writes, now or in this session.
    static let readOnly = PostgresFailure(state: "25006", message: "the database is read-only")

    /// The state of a server that is there and lets nobody in yet: one that is starting up.
    static let notYet = "57P03"

    /// What libpq says in one or more lines, as one; with several hosts it has lines for each, and
    /// the same twice where it has tried with TLS and without.
    static func line(of text: String) -> String {
        var known: Set<Substring> = []
        let parts = text.split { $0 == "\n" || $0 == "\t" }.filter { known.insert($0).inserted }
        let line = parts.dropFirst().reduce(into: parts.first.map(String.init) ?? "") {
            $0 += (".?!:;".contains($0.last ?? " ") ? " " : "; ") + $1
        }
        return line.isEmpty ? "the connection to the database was lost" : line
    }

    /// What may be done about a failed transaction.
    enum Remedy: Equatable {
        /// Nothing: tell the caller.
        case none
        /// Run it again soon: another transaction was in the way.
        case repeatSoon
        /// Run it again on another connection, when the server answers again.
        case reconnect
        /// Run it again when the server can be reached, if it ever could.
        case connect
        /// Run it again without named statements: a pooler gave us another session's.
        case withoutNames
        /// Run it again on another connection: a plan outlived a change of its tables.
        case replan
        /// Run it again without a mark: the table for them is gone.
        case withoutMark
    }

    var remedy: Remedy {
        if TransactionMarkTable.isMissing(self) { return .withoutMark }
        return switch state {
        case "", "57P01", "57P02", Self.notYet, "57P05", "25P03", "25P04", "53300": .reconnect
        case "40001", "40P01": .repeatSoon
        // Does not exist, or exists already with another text.
        case "26000", "42P05": .withoutNames
        case "0A000" where message.utf8.starts(with: "cached plan".utf8): .replan
        default: state.utf8.starts(with: "08".utf8) ? .reconnect : .none
        }
    }

    /// The error for the caller; `isCancelled` says whether we asked the server to stop.
    func storeError(isCancelled: Bool = false) -> StoreError {
        switch state {
        case "57014": return isCancelled ? .cancelled : .timedOut
        case "55P03", "40001", "40P01": return .busy
        case "53100": return .diskFull
        case "25006": return .readOnly
        case "XX001", "XX002": return .corrupt(detail: message)
        default: break
        }
        switch state.prefix(2) {
        case "": return .disconnected(detail: message)
        case "08", "53", "57": return .disconnected(detail: message)
        case "23": return .constraint(detail: message)
        case "28", "3D", "58": return .unavailable(detail: message)
        // These messages quote what the statement's author wrote.
        case "25", "26", "2D", "42", "0A": return .statement(detail: message)
        // The others, above all 22, may quote values.
        default: return .statement(detail: "error \(state) of the database")
        }
    }
}
