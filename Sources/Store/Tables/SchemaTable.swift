/// Which migrations have been applied; the one table without an account.
package enum SchemaTable {
    /// Whether any migration has ever been applied.
    package static func exists(on connection: any SQLConnection) throws(StoreError) -> Bool {
        let statement: SQL =
            switch connection.dialect {
            case .sqlite:
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
            case .postgres:
                """
                SELECT TRUE AS is_there FROM pg_class
                WHERE relname = 'schema_migrations'
                    AND relnamespace = \(CurrentSchema.namespace)
                """
            }
        return try !connection.rows(statement).isEmpty
    }

    /// Lets one process at a time migrate; held until the transaction ends.
    ///
    /// SQLite's write lock does the same. The number is ours alone within the database, and each
    /// schema has its own.
    static func lock(on connection: any SQLConnection) throws(StoreError) {
        switch connection.dialect {
        case .sqlite: break
        case .postgres:
            _ = try connection.rows(
                "SELECT pg_advisory_xact_lock(1886351980, hashtext(current_schema())) AS locked"
            )
        }
    }

    static func create(on connection: any SQLConnection) throws(StoreError) {
        try connection.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                number BIGINT NOT NULL PRIMARY KEY,
                name TEXT NOT NULL
            )
            """
        )
    }

    /// The number of the newest applied migration, 0 when none is.
    package static func current(on connection: any SQLConnection) throws(StoreError) -> Int {
        let rows = try connection.rows(
            "SELECT COALESCE(MAX(number), 0) AS number FROM schema_migrations"
        )
        guard let row = rows.first else { return 0 }
        return Int(try row.integer("number"))
    }

    static func record(
        _ migration: Migration,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO schema_migrations (number, name)
            VALUES (\(migration.number), \(migration.name))
            """
        )
    }
}
