/// Brings a database to the schema this program knows.
package struct Migrator: Sendable {
    private let migrations: [Migration]

    /// - Parameter migrations: Every step, numbered 1, 2, 3… without gaps.
    package init(migrations: [Migration] = Migration.all) {
        precondition(
            migrations.map(\.number) == Array(1...max(1, migrations.count)),
            "migrations are numbered from 1 without gaps"
        )
        self.migrations = migrations
    }

    /// The schema's number after ``migrate(_:)``.
    package var supported: Int { migrations.count }

    /// Applies the missing steps, each with its record in one transaction.
    ///
    /// A kill leaves a whole step or none. Two processes that start together take turns.
    ///
    /// - Throws: ``StoreError/newerSchema(found:supported:)`` when a newer Preloop was here.
    package func migrate(_ database: any Database) async throws {
        // The common start needs no write lock, so that a search does not wait for a scan.
        let (found, hasMarks, hasOldMarks) = try await database.read { connection in
            (
                try SchemaTable.exists(on: connection)
                    ? try SchemaTable.current(on: connection) : 0,
                try TransactionMarkTable.exists(on: connection),
                try TransactionMarkTable.hasOld(on: connection)
            )
        }
        try check(found)
        if !hasMarks { try await makeMarks(in: database) }
        if hasOldMarks {
            try await database.write { connection in
                try TransactionMarkTable.removeOld(on: connection)
            }
        }
        guard found < supported else { return }
        for _ in found..<supported {
            try await database.write { connection in
                // An index of a large table takes minutes.
                try connection.liftLimits()
                try SchemaTable.lock(on: connection)
                try SchemaTable.create(on: connection)
                let current = try SchemaTable.current(on: connection)
                try check(current)
                guard current < supported else { return }
                try apply(migrations[current], on: connection)
            }
        }
    }

    /// Who may not make tables does without: then a transaction is known by its number alone.
    private func makeMarks(in database: any Database) async throws {
        do {
            try await database.write { connection in
                try SchemaTable.lock(on: connection)
                try TransactionMarkTable.create(on: connection)
            }
        } catch StoreError.statement, StoreError.readOnly {}
    }

    private func check(_ found: Int) throws(StoreError) {
        guard found <= supported else {
            throw .newerSchema(found: found, supported: supported)
        }
    }

    private func apply(
        _ migration: Migration,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(batch: migration.statements(for: connection.dialect))
        try SchemaTable.record(migration, on: connection)
    }
}
