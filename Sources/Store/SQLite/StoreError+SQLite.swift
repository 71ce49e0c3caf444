import GRDB

extension StoreError {
    /// What an error of the SQLite library means to us; the text never holds bound values.
    init(_ error: any Error) {
        switch error {
        case let error as StoreError: self = error
        case let error as DatabaseError: self.init(error)
        case is CancellationError: self = .cancelled
        default: self = .unavailable(detail: "the database library failed")
        }
    }

    init(_ error: DatabaseError) {
        let detail = Self.detail(of: error)
        switch error.resultCode {
        case .SQLITE_FULL: self = .diskFull
        case .SQLITE_READONLY, .SQLITE_PERM: self = .readOnly
        case .SQLITE_BUSY, .SQLITE_LOCKED: self = .busy
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .corrupt(detail: detail)
        case .SQLITE_CONSTRAINT: self = .constraint(detail: detail)
        // Statements are interrupted, and their transactions aborted, by cancelled tasks alone.
        case .SQLITE_INTERRUPT: self = .cancelled
        case .SQLITE_ABORT: self = Task.isCancelled ? .cancelled : .unavailable(detail: detail)
        case .SQLITE_CANTOPEN, .SQLITE_IOERR, .SQLITE_NOMEM: self = .unavailable(detail: detail)
        default: self = .statement(detail: detail)
        }
    }

    /// SQLite's message, without what it may quote from a bound full-text query.
    private static func detail(of error: DatabaseError) -> String {
        guard let message = error.message else {
            return "SQLite error \(error.resultCode.rawValue)"
        }
        for prefix in ["fts5: syntax error", "no such column", "unknown special query"]
        where message.utf8.starts(with: prefix.utf8) {
            return prefix
        }
        return message
    }
}
