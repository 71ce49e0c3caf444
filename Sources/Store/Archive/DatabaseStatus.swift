import Domain

/// What `preloop db status` tells of a database.
package struct DatabaseStatus: Sendable, Equatable {
    /// SQLite or PostgreSQL.
    package var engine: String
    package var version: String
    /// The number of the newest migration that was applied; 0 for a database without tables.
    package var schema: Int
    /// The names of the migrations that are missing, oldest first.
    package var pending: [String]
    /// Bytes on disk, indexes included.
    package var bytes: Int
    /// Whether the database has pgvector.
    package var vectorExtension: VectorExtension
    /// Rows of each table of all accounts, by name.
    package var rows: [TableCount]

    /// Whether a database has pgvector.
    package enum VectorExtension: Sendable, Equatable {
        /// SQLite has nothing of the kind.
        case otherEngine
        /// The server does not have the extension's files.
        case absent
        /// The server has them, and nobody has made the extension in this database.
        case available
        case made(version: String)
    }

    /// How many rows a table has.
    package struct TableCount: Sendable, Equatable {
        package var table: String
        package var count: Int
    }

    /// Looks at a database, on one snapshot; counting the rows reads every table.
    ///
    /// A database from a newer version is looked at as far as this one knows it.
    package static func read(_ database: any Database) async throws -> DatabaseStatus {
        try await database.read { connection in
            let schema =
                try SchemaTable.exists(on: connection) ? try SchemaTable.current(on: connection) : 0
            let known = Array(Migration.all.prefix(schema))
            let catalog = known.isEmpty ? nil : try SchemaCatalog(known)
            var rows: [TableCount] = []
            for table in catalog?.tables ?? [] {
                let count = try connection.rows(table.count).first?.integer("total") ?? 0
                rows.append(TableCount(table: table.name, count: Int(count)))
            }
            return DatabaseStatus(
                engine: connection.dialect == .sqlite ? "SQLite" : "PostgreSQL",
                version: try version(on: connection),
                schema: schema,
                pending: Migration.all.dropFirst(schema).map(\.name),
                bytes: try bytes(of: catalog, on: connection),
                vectorExtension: try vectorExtension(on: connection),
                rows: rows
            )
        }
    }

    private static func version(on connection: any SQLConnection) throws(StoreError) -> String {
        let statement: SQL =
            switch connection.dialect {
            case .sqlite: "SELECT sqlite_version() AS version"
            case .postgres: "SELECT current_setting('server_version') AS version"
            }
        return try connection.rows(statement).first?.text("version") ?? ""
    }

    private static func bytes(
        of catalog: SchemaCatalog?,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        switch connection.dialect {
        case .sqlite:
            let row = try connection.rows(
                """
                SELECT page_count * page_size AS total
                FROM pragma_page_count() AS pages, pragma_page_size() AS size
                """
            ).first
            return Int(try row?.integer("total") ?? 0)
        case .postgres:
            let names = (catalog?.tables ?? []).map { "\($0.name)" as SQL }
            guard !names.isEmpty else { return 0 }
            let row = try connection.rows(
                """
                SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::bigint AS total
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = current_schema() AND c.relkind = 'r'
                    AND c.relname IN (\(names, separator: ", "))
                """
            ).first
            return Int(try row?.integer("total") ?? 0)
        }
    }

    private static func vectorExtension(
        on connection: any SQLConnection
    ) throws(StoreError) -> VectorExtension {
        switch connection.dialect {
        case .sqlite: return .otherEngine
        case .postgres:
            let look = try VectorExtensionTable.look(on: connection)
            if let version = look.version { return .made(version: version) }
            return look.isAvailable ? .available : .absent
        }
    }
}

extension Migrator {
    /// What a database lacks, oldest first.
    ///
    /// - Throws: ``StoreError/newerSchema(found:supported:)``.
    package static func pending(in database: any Database) async throws -> [Migration] {
        let found = try await database.read { connection in
            try SchemaTable.exists(on: connection) ? try SchemaTable.current(on: connection) : 0
        }
        guard found <= Migration.all.count else {
            throw StoreError.newerSchema(found: found, supported: Migration.all.count)
        }
        return Array(Migration.all.dropFirst(found))
    }
}
