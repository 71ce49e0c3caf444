import Domain
import StoreTestSupport
import Testing

@testable import Store

/// Installations in schemas of one PostgreSQL database.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresSchemaTests {
    /// The database of one schema, whose search path has another one's schema behind it.
    private func database(
        in schema: ScratchDatabase,
        seeing other: ScratchDatabase
    ) throws -> PostgresDatabase {
        func name(_ address: String) throws -> Substring {
            try #require(address.split(separator: "search_path%3D").last?.prefix(33))
        }
        let (own, behind) = (try name(schema.address), try name(other.address))
        let path = "\(own)%2C\(behind)"
        let address = schema.address.replacing(own, with: path, maxReplacements: 1)
        return PostgresDatabase(PostgresConfiguration(address: Secret(address)))
    }

    private func isIndexed(_ store: Store, _ model: EmbeddingModelTable.Row) async throws -> Bool {
        let vector = PassageFixture.vector(1, dimension: model.dimension)
        return try await store.read { connection, account in
            try PassageVectorTable.search(
                .init(vectors: [vector], count: 1, scope: .index(IssueFilter()), effort: 100),
                model: model,
                follower: "indexer-\(model.id)",
                known: nil,
                account: account,
                on: connection
            ).isIndexed
        }
    }

    /// The second wrote its windows into the first one's mirror, and restoring it emptied that.
    @Test func `a mirror in another schema is not ours`() async throws {
        let first = try await PassageFixture(.postgres)
        let vectors = (1...20).map { (Int64($0), PassageFixture.vector($0)) }
        let firstModel = try await first.model()
        #expect(try await VectorMirror.prepare(first.store).isReady)
        try await first.write(vectors, model: firstModel)
        #expect(try await VectorMirror.makeIndex(first.store, dimension: 8, from: 0))
        let scratch = try Engine.postgres.database()
        let database = try database(in: scratch, seeing: #require(first.scratch).database)
        let second = PassageFixture(try await Store.open(database))
        let model = try await second.model()
        #expect(try await VectorMirror.state(of: second.store) == .unmade(isExtended: true))
        let count = try await second.store.read { connection, _ in
            try PassageVectorTable.roughCount(dimension: 8, on: connection)
        }
        #expect(count == 0)
        // Accounts, models and windows have the same numbers in both.
        try await second.write([(1, PassageFixture.vector(501))], model: model)
        try await second.write([(2, PassageFixture.vector(502))], model: model)
        let archive = scratch.directory.path("archive")
        let now = Timestamp(milliseconds: 1)
        _ = try await DatabaseArchive.backUp(database, to: archive, now: now)
        _ = try await DatabaseArchive.restore(archive, into: database, replacing: true)
        #expect(try await whole(first.store) == 20)
        // Its own is made beside, with an index of its own.
        guard case .ready(_, let indexed, _) = try await VectorMirror.prepare(second.store) else {
            Issue.record("no mirror was made")
            return
        }
        #expect(indexed.isEmpty)
        #expect(try await VectorMirror.catchUp(second.store, with: model))
        #expect(try await !isIndexed(second.store, model))
        // What is removed before is its own, and there is none.
        #expect(try await VectorMirror.remakeIndex(second.store, dimension: 8, from: 0))
        #expect(try await isIndexed(second.store, model))
        #expect(try await isIndexed(first.store, firstModel))
        #expect(try await whole(second.store) == 2)
        #expect(try await whole(first.store) == 20)
        try await database.close()
    }

    /// The rows of a mirror with which nothing is wrong; nil where something is.
    private func whole(_ store: Store) async throws -> Int? {
        let found = try await VectorMirror.compare(store)
        return found.faultCount == 0 && found.windows == found.rows ? found.rows : nil
    }

    /// Its name was read without its capitals, and no program started.
    @Test func `a schema may have capitals and spaces in its name`() async throws {
        let base = try #require(ScratchDatabase.address)
        let name = "Mixed Case \(UInt32.random(in: 0..<UInt32.max))"
        let admin = try PostgresConnection(
            PostgresConfiguration(address: Secret(base)),
            usesNames: false,
            interrupt: nil
        )
        try admin.command(SQL(stringLiteral: "CREATE SCHEMA \"\(name)\""))
        // In what is told to the server a backslash stands before a space.
        let path = "%22\(name.replacing(" ", with: "%5C%20"))%22%2Cpublic"
        let separator = base.contains("?") ? "&" : "?"
        let address = "\(base)\(separator)options=-csearch_path%3D\(path)"
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(address)))
        let fixture = PassageFixture(try await Store.open(database))
        let model = try await fixture.model()
        #expect(try await VectorMirror.prepare(fixture.store).isReady)
        let vectors = (1...400).map { (Int64($0), PassageFixture.vector($0, dimension: 96)) }
        let long = try await fixture.model("long", dimension: 96)
        try await fixture.write(vectors, model: long)
        try await fixture.write([(1, PassageFixture.vector(1))], model: model)
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: 8, from: 0))
        #expect(try await isIndexed(fixture.store, model))
        #expect(try await whole(fixture.store) == 401)
        try await database.close()
        // Who comes next finds the tables there, and their sizes.
        let next = PostgresDatabase(PostgresConfiguration(address: Secret(address)))
        _ = try await Store.open(next)
        let (schema, isThere, hasMarks) = try await next.read { connection in
            (
                try connection.rows("SELECT current_schema()::text AS name").first?.text("name"),
                try SchemaTable.exists(on: connection),
                try TransactionMarkTable.exists(on: connection)
            )
        }
        #expect(schema == name && isThere && hasMarks)
        let (unknown, known) = try await next.read { connection in
            (
                try PlannerStatisticsTable.unknown(on: connection).map { "\($0)" },
                try connection.rows(
                    """
                    SELECT DISTINCT tablename::text AS name FROM pg_stats
                    WHERE schemaname = current_schema()
                    """
                ).map { row throws(StoreError) -> String in try row.text("name") }
            )
        }
        // Whoever wrote may have had it analysed already.
        #expect((unknown + known).contains("passages"), "\(unknown), \(known)")
        try await next.close()
    }
}
