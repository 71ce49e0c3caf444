import Domain

/// What a copy of an installation consists of, table by table.
enum ArchiveItem: Sendable {
    /// A table begins; the columns are those of its rows.
    case table(name: String, columns: [SchemaCatalog.Column])
    /// Some of its rows, in the order of the primary key.
    case rows([[SQLValue]])
    /// The table is complete.
    case end(TableDigest)
}

/// Reads all tables inside one transaction, a bounded number of bytes at a time.
struct TableReader {
    /// Rows read at once are about so many bytes.
    private static let pageBytes = 4 << 20
    /// Before anything is known of a table's rows; a row of the largest kind has 2 MB.
    private static let firstRows = 16
    private static let mostRows = 200

    let tables: [SchemaCatalog.Table]

    /// Gives every table to `sink`, and its digest when it is complete.
    ///
    /// - Returns: The digests, in the order of the tables.
    @discardableResult
    func read(
        on connection: any SQLConnection,
        _ sink: (ArchiveItem) throws -> Void = { _ in }
    ) throws -> [TableDigest] {
        // Whoever clears a table keeps readers waiting for as long.
        try connection.liftLimits()
        return try tables.map { table in
            try sink(.table(name: table.name, columns: table.columns))
            var digester = TableDigester()
            try pages(of: table, on: connection) { rows in
                for row in rows { digester.add(CanonicalRow.line(row)) }
                try sink(.rows(rows))
            }
            let digest = digester.digest(of: table.name)
            try sink(.end(digest))
            return digest
        }
    }

    private func pages(
        of table: SchemaCatalog.Table,
        on connection: any SQLConnection,
        _ body: ([[SQLValue]]) throws -> Void
    ) throws {
        let places = table.key.compactMap { name in
            table.columns.firstIndex { $0.name == name }
        }
        var limit = Self.firstRows
        var last: [SQLValue]?
        while true {
            try Task.checkCancellation()
            var rows: [[SQLValue]] = []
            var bytes = 0
            for row in try connection.rows(table.select(after: last, limit: limit)) {
                let values = try table.values(row)
                bytes += values.reduce(0) { $0 + $1.roughByteCount }
                rows.append(values)
            }
            guard let end = rows.last else { return }
            try body(rows)
            guard rows.count == limit else { return }
            last = places.map { end[$0] }
            let perRow = max(1, bytes / rows.count)
            // Grows fourfold at most: the next rows may be of another kind.
            limit = min(max(1, Self.pageBytes / perRow), limit * 4, Self.mostRows)
        }
    }
}

/// Writes all tables inside one transaction and compares what is there then with what was given.
struct TableLoader {
    let catalog: SchemaCatalog

    /// Fills the tables.
    ///
    /// - Parameters:
    ///   - connection: Of a database whose schema is the catalog's.
    ///   - replacing: Whether what is there is removed; otherwise the tables must be empty, but for
    ///     an account that nothing has been written to.
    ///   - next: Gives the items one after the other.
    /// - Returns: The digests of what is there now, table by table.
    /// - Throws: ``ArchiveError``, and what the store refuses; then nothing remains.
    func load(
        on connection: any SQLConnection,
        replacing: Bool,
        _ next: () throws -> ArchiveItem?
    ) throws -> [TableDigest] {
        // A table is cleared by one statement.
        try connection.liftLimits()
        if connection.dialect == .postgres {
            // What others write meanwhile would outlive the clearing.
            let names = catalog.tables.map(\.name).joined(separator: ", ")
            try connection.execute(
                "LOCK TABLE \(SQL(stringLiteral: names)) IN SHARE ROW EXCLUSIVE MODE"
            )
        }
        try clear(on: connection, replacing: replacing)
        var current: (table: SchemaCatalog.Table, columns: [SchemaCatalog.Column])?
        var given: [(table: SchemaCatalog.Table, digest: TableDigest)] = []
        while let item = try next() {
            try Task.checkCancellation()
            switch item {
            case .table(let name, let columns):
                current = (try table(name, columns), columns)
            case .rows(let rows):
                guard let current else { throw ArchiveError.damaged(reason: "rows of no table") }
                var table = SQLTable(current.columns.map(\.kind))
                for row in rows { table.append(row) }
                try connection.execute(current.table.insert(table, columns: current.columns))
            case .end(let digest):
                guard var table = current?.table, let columns = current?.columns,
                    table.name == digest.name
                else { throw ArchiveError.damaged(reason: "a table ends that did not begin") }
                // An older archive lacks columns that were added since.
                table.columns = columns
                given.append((table, digest))
                current = nil
            }
        }
        let digests = try verify(given, on: connection)
        try settle(on: connection)
        return digests
    }

    /// Makes of what was written an installation of its own: who held a lease or did a job where it
    /// comes from does so no more, and index files that follow another store are not believed.
    private func settle(on connection: any SQLConnection) throws {
        let now = WallClock.system.now()
        for account in try AccountTable.list(on: connection) {
            try AccountTable.renewIdentity(of: account, at: now, on: connection)
            try LeaseTable.forgetHolders(account: account, on: connection)
            if catalog.tables.contains(where: { $0.name == "jobs" }) {
                try JobTable.forgetHolders(account: account, on: connection)
            }
        }
    }

    private func table(
        _ name: String,
        _ columns: [SchemaCatalog.Column]
    ) throws(ArchiveError) -> SchemaCatalog.Table {
        guard let table = catalog.tables.first(where: { $0.name == name }) else {
            throw .damaged(reason: "there is no table `\(name)`")
        }
        for column in columns where !table.columns.contains(column) {
            throw .damaged(reason: "the table `\(name)` has no column `\(column.name)`")
        }
        return table
    }

    private func clear(on connection: any SQLConnection, replacing: Bool) throws {
        if !replacing {
            for table in catalog.tables where table.name != "accounts" {
                let row = try connection.rows(
                    "SELECT 1 AS one FROM \(SQL(stringLiteral: table.name)) LIMIT 1"
                )
                guard row.isEmpty else { throw ArchiveError.notEmpty(table: table.name) }
            }
            let used = try connection.rows(
                "SELECT id FROM accounts WHERE revision > 0 OR last_id > 0 LIMIT 1"
            )
            guard used.isEmpty else { throw ArchiveError.notEmpty(table: "accounts") }
        }
        for table in catalog.tables { try connection.execute(table.clear) }
        guard try PassageVectorTable.exists(on: connection) else { return }
        // The mirror of other vectors; it is filled anew from those that come.
        for name in Self.mirrorTables {
            try connection.execute("DELETE FROM \(SQL(stringLiteral: name))")
        }
    }

    /// Tables that are made from others and not by migrations; see ``VectorMirror``.
    private static let mirrorTables = ["passage_vectors", "vector_mirrors"]

    /// Tables that were not given are empty, for all were cleared.
    private func verify(
        _ given: [(table: SchemaCatalog.Table, digest: TableDigest)],
        on connection: any SQLConnection
    ) throws -> [TableDigest] {
        let found = try TableReader(tables: given.map(\.table)).read(on: connection)
        for (expected, digest) in zip(given, found) where expected.digest != digest {
            throw ArchiveError.differs(table: digest.name)
        }
        return found
    }
}

/// Why a copy of an installation is not made or not taken.
package enum ArchiveError: Error, Equatable, Sendable {
    /// The file is no archive, or was cut short or changed.
    case damaged(reason: String)
    /// The archive has a schema that this program does not know.
    case newer(found: Int, supported: Int)
    /// The target holds something already.
    case notEmpty(table: String)
    /// What was written is not what was read.
    case differs(table: String)
    /// Another process is writing an archive to that place.
    case beingWritten(path: String)
    /// The file cannot be read or written.
    case file(path: String, code: Int32)
    /// The connection to one of the databases was lost on the way.
    case interrupted
}

extension ArchiveError: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .damaged(let reason): "the archive is damaged: \(reason)"
        case .newer(let found, let supported):
            "the archive has schema \(found), this Preloop knows schemas up to \(supported)"
        case .notEmpty(let table): "the target is not empty: there are rows in `\(table)`"
        case .differs(let table): "the table `\(table)` does not hold what was written into it"
        case .beingWritten(let path): "another backup is writing `\(path)`"
        case .file(let path, let code): "cannot use the file `\(path)`: error \(code)"
        case .interrupted: "the connection to a database was lost on the way"
        }
    }

    /// What an operator can do about it.
    package var hint: String? {
        switch self {
        case .damaged: "take another backup; nothing was changed"
        case .newer: "install the newer Preloop"
        case .notEmpty: "give an empty database, or say --force to replace all that it holds"
        case .differs: "nothing was changed; run `preloop doctor` on both databases"
        case .beingWritten: "wait until it has finished, or give another file"
        case .file: nil
        case .interrupted: "nothing was changed; run the command again"
        }
    }
}
