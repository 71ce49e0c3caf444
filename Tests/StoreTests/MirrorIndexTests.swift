import Domain
import StoreTestSupport
import Testing

@testable import Store

/// What finds the mirror's rows, on PostgreSQL with pgvector.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct MirrorIndexTests {
    @Test func `the index is used, and what it is used for says so`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored(600)
        let plan = try await plan(fixture, model, .index(IssueFilter()))
        #expect(plan.contains { $0.contains("passage_vectors_hnsw_8") }, "\(plan)")
    }

    /// How the database searches, without sorting and without reading the whole table.
    private func plan(
        _ fixture: PassageFixture,
        _ model: EmbeddingModelTable.Row,
        _ scope: PassageVectorTable.Scope
    ) async throws -> [String] {
        try await fixture.store.read { connection, account in
            _ = try connection.rows(
                """
                SELECT set_config('enable_sort', 'off', true) AS sorts,
                    set_config('enable_seqscan', 'off', true) AS walks
                """
            )
            let statement = PassageVectorTable.statement(
                PassageFixture.vector(1),
                .init(vectors: [], count: 5, scope: scope, effort: 100),
                model,
                account
            )
            return try connection.rows("EXPLAIN \(statement)").map { try $0.text("QUERY PLAN") }
        }
    }

    @Test func `a mirror that an earlier program made is given the indexes of today`()
        async throws
    {
        let (fixture, model) = try await PassageFixture.mirrored(600)
        let before = try await indexes(fixture)
        try await fixture.damage("DROP INDEX passage_vectors_of_issue, passage_vectors_of_model")
        try await fixture.damage(
            """
            CREATE INDEX passage_vectors_by_issue
            ON passage_vectors (account_id, model_id, issue_id)
            """
        )
        #expect(try await indexes(fixture) != before)
        // Somebody who reads is in the way: what is there goes on being used.
        let store = fixture.store
        let left = try await store.withForgottenReader {
            let state = try await VectorMirror.prepare(store)
            #expect(state.isReady)
            return try await indexes(fixture)
        }
        #expect(left.contains("passage_vectors_by_issue"))
        // Nor is searching refused to who may not change it.
        let address = try #require(fixture.scratch).database.address
        let setting = "public%20-cdefault_transaction_read_only%3Don"
        let configuration = PostgresConfiguration(
            address: Secret(address.replacing("public", with: setting))
        )
        let readOnly = try await Store.open(PostgresDatabase(configuration))
        #expect(try await VectorMirror.prepare(readOnly).isReady)
        #expect(try await indexes(fixture) == left)
        #expect(try await VectorMirror.prepare(store).isReady)
        #expect(try await indexes(fixture) == before)
        // Of a table that it knows nothing about the planner takes either for as good.
        try await fixture.damage("ANALYZE passage_vectors")
        let plan = try await plan(fixture, model, .rows(of: [1, 2, 3].map { IssueID($0) }))
        #expect(plan.contains { $0.contains("passage_vectors_of_issue") }, "\(plan)")
    }

    private func indexes(_ fixture: PassageFixture) async throws -> [String] {
        try await fixture.store.database.read { connection in
            try connection.rows(
                """
                SELECT indexname::text AS name FROM pg_indexes
                WHERE schemaname = current_schema() AND tablename = 'passage_vectors'
                ORDER BY name
                """
            ).map { try $0.text("name") }
        }
    }
}
