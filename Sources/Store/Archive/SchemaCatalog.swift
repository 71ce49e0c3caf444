import Domain
import GRDB

/// The tables that migrations make, as data: what a copy of a whole installation walks.
///
/// It is read from an empty database in memory, so that no list of columns has to be kept beside
/// the migrations. Tables an engine keeps for itself are not in it: they are made anew.
package struct SchemaCatalog: Sendable {
    /// A table.
    package struct Table: Sendable, Equatable {
        /// Its name.
        package var name: String
        /// In the order in which they were made.
        package var columns: [Column]
        /// The columns of the primary key, in its order.
        package var key: [String]
    }

    /// A column.
    package struct Column: Sendable, Equatable {
        /// Its name.
        package var name: String
        /// What it holds.
        package var kind: SQLKind
    }

    /// The number of the newest migration.
    package let number: Int
    /// By name.
    package let tables: [Table]

    /// The tables that these migrations make.
    package init(_ migrations: [Migration] = Migration.all) throws(StoreError) {
        number = migrations.last?.number ?? 0
        do {
            let queue = try DatabaseQueue()
            tables = try queue.write { database in
                for statement in migrations.flatMap({ $0.statements(for: .sqlite) }) {
                    try database.execute(sql: statement.text(.sqlite))
                }
                return try Self.tables(of: database)
            }
            try queue.close()
        } catch {
            throw StoreError(error)
        }
    }

    private static func tables(of database: GRDB.Database) throws -> [Table] {
        let names = try String.fetchAll(
            database,
            sql: "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        )
        return try names.map { name in
            let columns = try Row.fetchAll(
                database,
                sql: "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid",
                arguments: [name]
            )
            let places = columns.map { row -> (place: Int, name: String) in (row["pk"], row["name"])
            }
            let key = places.filter { $0.place > 0 }.sorted { $0.place < $1.place }
            precondition(!key.isEmpty, "a table has a primary key: \(name)")
            return Table(
                name: name,
                columns: columns.map { row in
                    Column(name: row["name"], kind: kind(declared: row["type"]))
                },
                key: key.map(\.name)
            )
        }
    }

    private static func kind(declared type: String) -> SQLKind {
        switch type {
        case "BIGINT": return .integer
        case "DOUBLE PRECISION": return .double
        case "TEXT": return .text
        case "BYTEA": return .blob
        case "BOOLEAN": return .bool
        case "TIMESTAMPTZ": return .timestamp
        case "JSONB": return .json
        default: preconditionFailure("a column of a type that is not copied: \(type)")
        }
    }
}

extension SchemaCatalog.Table {
    /// The columns separated by commas.
    func list(_ names: [String]) -> SQL {
        SQL(stringLiteral: names.joined(separator: ", "))
    }

    /// The rows behind `last`, in the order of the primary key.
    func select(after last: [SQLValue]?, limit: Int) -> SQL {
        let columns = list(columns.map(\.name))
        let key = list(key)
        let table = SQL(stringLiteral: name)
        let condition: SQL =
            if let last {
                "WHERE (\(key)) > (\(last.map { "\($0)" as SQL }, separator: ", "))"
            } else {
                ""
            }
        return "SELECT \(columns) FROM \(table) \(condition) ORDER BY \(key) LIMIT \(limit)"
    }

    /// Adds rows of these columns.
    func insert(_ rows: SQLTable, columns: [SchemaCatalog.Column]) -> SQL {
        let names = list(columns.map(\.name))
        return "INSERT INTO \(SQL(stringLiteral: name)) (\(names)) \(rows: rows)"
    }

    /// The number of rows, as `total`.
    var count: SQL { "SELECT COUNT(*) AS total FROM \(SQL(stringLiteral: name))" }

    /// Removes all rows.
    var clear: SQL { "DELETE FROM \(SQL(stringLiteral: name))" }

    /// A row's values, typed by their columns.
    func values(_ row: SQLRow) throws(StoreError) -> [SQLValue] {
        var values: [SQLValue] = []
        values.reserveCapacity(columns.count)
        for column in columns { values.append(try value(row, column)) }
        return values
    }

    private func value(
        _ row: SQLRow,
        _ column: SchemaCatalog.Column
    ) throws(StoreError) -> SQLValue {
        guard try row.value(column.name) != .null else { return .null }
        return switch column.kind {
        case .integer: .integer(try row.integer(column.name))
        case .double: .double(try row.double(column.name))
        case .text: .text(try row.text(column.name))
        case .blob: .blob(try row.blob(column.name))
        case .bool: .bool(try row.bool(column.name))
        case .timestamp: .timestamp(try row.timestamp(column.name))
        case .json: .json(CanonicalRow.canonical(try row.json(column.name)))
        case .unknown: throw .unexpectedValue(column: column.name)
        }
    }
}
