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

    let database: GRDB.Database

    var dialect: SQLDialect { .sqlite }

    func rows(_ statement: SQL) throws(StoreError) -> [SQLRow] {
        precondition(statement.table == nil, "one outcome a statement")
        let prepared = try prepare(statement)
        let handle = SQLiteHandle(prepared)
        defer { handle.finish() }
        try handle.bind(statement.binds)
        var values: [[SQLValue]] = []
        while let row = try handle.next() { values.append(row) }
        guard !values.isEmpty else { return [] }
        let columns = SQLColumns(prepared.columnNames)
        return values.map { SQLRow(columns: columns, values: $0) }
    }

    func rows(batch statements: [SQL]) throws(StoreError) -> [[SQLRow]] {
        var results: [[SQLRow]] = []
        for statement in statements { results.append(try rows(statement)) }
        return results
    }

    func execute(_ statement: SQL) throws(StoreError) -> Int {
        let rowCount = statement.table.map(\.count) ?? 1
        guard rowCount > 0 else { return 0 }
        let handle = SQLiteHandle(try prepare(statement))
        defer { handle.finish() }
        try handle.bind(statement.binds)
        guard let table = statement.table else { return try handle.run() }
        var changed = 0
        for row in 0..<rowCount {
            // What stands for the row comes behind all others; those stay bound.
            try handle.bind(table.row(row), from: statement.binds.count + 1)
            changed += try handle.run()
        }
        return changed
    }

    func execute(batch statements: [SQL]) throws(StoreError) {
        for statement in statements { _ = try execute(statement) }
    }

    /// There are none.
    func liftLimits() {}

    private func prepare(_ statement: SQL) throws(StoreError) -> Statement {
        // An access is a task's; what runs is interrupted, and what comes next does not begin.
        guard !Task.isCancelled else { throw .cancelled }
        let binds = statement.binds
        guard binds.count <= Self.maximumBinds else {
            throw .statement(detail: "\(binds.count) binds in one statement")
        }
        let text = statement.text(.sqlite)
        do {
            return binds.count <= Self.maximumCachedBinds
                ? try database.cachedStatement(sql: text) : try database.makeStatement(sql: text)
        } catch {
            throw StoreError(error)
        }
    }
}
