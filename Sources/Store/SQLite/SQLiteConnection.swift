import Domain
import Foundation
import GRDB

/// Runs ``SQL`` on one SQLite connection inside a transaction.
struct SQLiteConnection: SQLConnection {
    /// SQLite's own limit since 3.32 (SQLITE_MAX_VARIABLE_NUMBER).
    static let maximumBinds = 32_766
    /// Statements with more binds are prepared anew, because the connection keeps prepared ones for
    /// ever.
    ///
    /// More binds than the widest table has columns mean an IN list or bulk insert of changing
    /// length.
    static let maximumCachedBinds = 64
    /// Below SQLite's limit of 10^9 bytes, where the binding would trap instead of throwing.
    static let maximumValueBytes = 500_000_000

    let database: GRDB.Database

    var dialect: SQLDialect { .sqlite }

    func rows(_ statement: SQL) throws(StoreError) -> [SQLRow] {
        precondition(statement.table == nil, "one outcome a statement")
        do {
            let prepared = try prepare(statement)
            try prepared.setArguments(arguments(statement.binds))
            let columns = SQLColumns(prepared.columnNames)
            let cursor = try Row.fetchCursor(prepared)
            var rows: [SQLRow] = []
            while let row = try cursor.next() {
                rows.append(SQLRow(columns: columns, values: row.databaseValues.map(\.value)))
            }
            return rows
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError(error)
        }
    }

    func rows(batch statements: [SQL]) throws(StoreError) -> [[SQLRow]] {
        var results: [[SQLRow]] = []
        for statement in statements { results.append(try rows(statement)) }
        return results
    }

    func execute(_ statement: SQL) throws(StoreError) -> Int {
        do {
            let prepared = try prepare(statement)
            guard let table = statement.table else {
                try prepared.execute(arguments: arguments(statement.binds))
                return database.changesCount
            }
            var changed = 0
            for row in 0..<table.count {
                // Their number is that of the placeholders by construction.
                prepared.setUncheckedArguments(try arguments(statement.binds + table.row(row)))
                try prepared.execute()
                changed += database.changesCount
            }
            return changed
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError(error)
        }
    }

    func execute(batch statements: [SQL]) throws(StoreError) {
        for statement in statements { _ = try execute(statement) }
    }

    /// There are none.
    func liftLimits() {}

    private func prepare(_ statement: SQL) throws -> Statement {
        let binds = statement.binds
        guard binds.count <= Self.maximumBinds else {
            throw StoreError.statement(detail: "\(binds.count) binds in one statement")
        }
        let text = statement.text(.sqlite)
        return binds.count <= Self.maximumCachedBinds
            ? try database.cachedStatement(sql: text) : try database.makeStatement(sql: text)
    }

    private func arguments(_ binds: some Sequence<SQLValue>) throws -> StatementArguments {
        StatementArguments(try binds.map(databaseValue))
    }

    private func databaseValue(_ value: SQLValue) throws -> DatabaseValue {
        switch value {
        case .null: return .null
        case .integer(let number): return number.databaseValue
        case .double(let number): return number.databaseValue
        case .bool(let flag): return (flag ? 1 as Int64 : 0).databaseValue
        case .timestamp(let instant): return instant.milliseconds.databaseValue
        case .text(let text):
            try limit(text.utf8.count)
            // SQLite's C interface ends a text at NUL; the adapters replace it, this is the last
            // guard.
            return sanitized(text).databaseValue
        case .json(let json):
            let bytes = json.serialized()
            try limit(bytes.count)
            return String(decoding: bytes, as: UTF8.self).databaseValue
        case .blob(let bytes):
            try limit(bytes.count)
            return Data(bytes).databaseValue
        }
    }

    private func limit(_ byteCount: Int) throws {
        guard byteCount <= Self.maximumValueBytes else {
            throw StoreError.statement(detail: "a value of \(byteCount) bytes")
        }
    }
}

extension DatabaseValue {
    /// What SQLite stores, untyped: ``SQLRow`` knows which columns are truth values or instants.
    fileprivate var value: SQLValue {
        switch storage {
        case .null: .null
        case .int64(let number): .integer(number)
        case .double(let number): .double(number)
        case .string(let text): .text(text)
        case .blob(let data): .blob([UInt8](data))
        }
    }
}
