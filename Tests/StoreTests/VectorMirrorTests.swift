import Domain
import StoreTestSupport
import Testing

@testable import Store

/// The mirror where there is none: on SQLite.
struct VectorMirrorTests {
    @Test func `a SQLite file has no mirror and needs none`() async throws {
        let fixture = try await PassageFixture(.sqlite)
        let model = try await fixture.model()
        #expect(try await VectorMirror.prepare(fixture.store) == .otherEngine)
        try await fixture.write([(1, PassageFixture.vector(1))], model: model)
        #expect(try await fixture.passages([1], model: model).count == 1)
    }

    @Test(arguments: [0, 65_537, Int.max])
    func `a model without a possible dimension is none`(dimension: Int) async throws {
        let fixture = try await PassageFixture(.sqlite)
        let fault = StoreError.unexpectedValue(column: "embedding_models.dimension")
        await #expect(throws: fault) {
            _ = try await fixture.model(dimension: dimension)
        }
    }

    @Test func `halves cross in binary and back`() {
        let vector = PassageFixture.vector(3, dimension: 384)
        let bytes = HalfVectorBytes.encode(vector)
        let decoded = HalfVectorBytes.decode(bytes, dimension: 384)
        #expect(decoded == HalfVectorBytes.rounded(vector))
        #expect(HalfVectorBytes.decode(bytes, dimension: 383) == nil)
        #expect(HalfVectorBytes.decode(Array(bytes.dropLast()), dimension: 384) == nil)
        #expect(HalfVectorBytes.decode([0, 1, 0, 0, 0x7E, 0], dimension: 1) == nil)
    }
}

/// On PostgreSQL with pgvector, which `scripts/test` brings.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresMirrorTests {
    @Test(arguments: [[], [7], [Int64.min, -1, 0, 255, 256, 1 << 40, Int64.max]])
    func `identifiers arrive as an array of PostgreSQL's`(_ numbers: [Int64]) async throws {
        let fixture = try await PassageFixture(.postgres)
        let issues = numbers.map { IssueID($0) }
        let found = try await fixture.store.read { connection, _ in
            try connection.rows(
                """
                SELECT id FROM unnest(\(array: issues)::bigint[]) WITH ORDINALITY AS a (id, place)
                ORDER BY place
                """
            ).map { row throws(StoreError) -> Int64 in try row.integer("id") }
        }
        #expect(found == numbers)
    }

    private func search(
        _ fixture: PassageFixture,
        _ model: EmbeddingModelTable.Row,
        _ seed: Int,
        count: Int = 3,
        scope: PassageVectorTable.Scope = .index(IssueFilter())
    ) async throws -> PassageVectorTable.Answer {
        let vector = PassageFixture.vector(seed, dimension: model.dimension)
        return try await fixture.store.read { connection, account in
            try PassageVectorTable.search(
                .init(vectors: [vector], count: count, scope: scope, effort: 100),
                model: model,
                follower: "indexer-\(model.id)",
                known: nil,
                account: account,
                on: connection
            )
        }
    }

    private func census(
        _ fixture: PassageFixture,
        _ model: EmbeddingModelTable.Row
    ) async throws -> PassageVectorTable.Census {
        try await fixture.store.read { connection, account in
            try PassageVectorTable.census(of: model.id, account: account, on: connection)
        }
    }

    @Test func `windows are mirrored by the transaction that writes them`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored()
        let all = try await VectorMirror.compare(fixture.store)
        #expect(all.windows == 20 && all.rows == 20 && all.faultCount == 0)
        let answer = try await search(fixture, model, 7)
        #expect(answer.isComplete)
        #expect(answer.near[0].first?.issue == IssueID(7))
        #expect((answer.near[0].first?.score ?? 0) > 0.999)
        // A new vector, a move without one, and a tombstone.
        let windows = try await fixture.passages([1, 2, 3], model: model)
        func draft(_ place: Int, _ vector: [Float]?) -> PassageTable.Draft {
            PassageTable.Draft(
                id: windows[place].id,
                place: windows[place].place,
                range: 0..<5,
                textHash: [2],
                vector: vector
            )
        }
        try await fixture.change(
            [draft(0, PassageFixture.vector(101)), draft(1, nil)],
            deleting: [windows[2].id],
            model: model
        )
        let after = try await VectorMirror.compare(fixture.store)
        #expect(after.windows == 19 && after.rows == 19 && after.faultCount == 0)
        #expect(try await census(fixture, model) == .init(windows: 19, rows: 19, waiting: 0))
        let changed = try await search(fixture, model, 101)
        #expect(changed.isComplete)
        #expect(changed.near[0].first?.issue == IssueID(1))
        let gone = try await search(fixture, model, 3, count: 20)
        #expect(!gone.near[0].contains { $0.issue == IssueID(3) })
    }

    @Test func `a transaction that fails leaves no row of the mirror`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored()
        struct Stop: Error {}
        await #expect(throws: Stop.self) {
            try await fixture.store.write { connection, account in
                try PassageTable.write(
                    [
                        PassageTable.Draft(
                            id: nil,
                            place: .init(issue: IssueID(99), part: .title, position: 0),
                            range: 0..<1,
                            textHash: [1],
                            vector: PassageFixture.vector(99)
                        )
                    ],
                    deleting: [],
                    model: model.id,
                    at: Timestamp(milliseconds: 1),
                    account: account,
                    on: connection
                )
                throw Stop()
            }
        }
        let all = try await VectorMirror.compare(fixture.store)
        #expect(all.rows == 20 && all.faultCount == 0)
        #expect(try await search(fixture, model, 1).isComplete)
    }

    @Test func `what was written without the mirror is found and mirrored`() async throws {
        // An installation from before there was a mirror.
        let fixture = try await PassageFixture(.postgres)
        let model = try await fixture.model()
        let vectors = (1...1_200).map { (Int64($0), PassageFixture.vector($0)) }
        try await fixture.write(vectors, model: model)
        let state = try await VectorMirror.prepare(fixture.store)
        #expect(state.isReady)
        #expect(try await !search(fixture, model, 5).isComplete)
        // What is written meanwhile does not make it complete.
        try await fixture.write([(2_000, PassageFixture.vector(2_000))], model: model)
        #expect(try await !search(fixture, model, 5).isComplete)
        #expect(try await !VectorMirror.catchUp(fixture.store, with: model, limit: 500))
        #expect(try await VectorMirror.catchUp(fixture.store, with: model))
        #expect(try await search(fixture, model, 5).near[0].first?.issue == IssueID(5))
        #expect(try await search(fixture, model, 5).isComplete)
        // An older program goes on writing: it knows of no mirror.
        let window = try await fixture.passages([5], model: model)[0].id
        try await fixture.store.write { connection, account in
            let drawn = try AccountTable.nextRevisions(1, account: account, on: connection)
            try connection.execute(
                """
                UPDATE passages SET vector = \(VectorBytes.encode(PassageFixture.vector(5_000))),
                    revision = \(drawn[0])
                WHERE account_id = \(account) AND id = \(window)
                """
            )
        }
        #expect(try await !search(fixture, model, 5_000).isComplete)
        #expect(try await VectorMirror.compare(fixture.store).faults == [.stale: 1])
        #expect(try await VectorMirror.catchUp(fixture.store, with: model))
        #expect(try await search(fixture, model, 5_000).near[0].first?.issue == IssueID(5))
        #expect(try await VectorMirror.compare(fixture.store).faultCount == 0)
    }

    @Test func `a store put back from a backup does not believe its mirror`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored()
        // The backup had seen half of it.
        try await fixture.damage("DELETE FROM passages WHERE account_id = 1 AND revision > 10")
        try await fixture.damage("UPDATE accounts SET revision = 10 WHERE id = 1")
        #expect(try await !search(fixture, model, 15).isComplete)
        try await fixture.write([(50, PassageFixture.vector(50))], model: model)
        #expect(try await VectorMirror.catchUp(fixture.store, with: model))
        let all = try await VectorMirror.compare(fixture.store)
        #expect(all.windows == 11 && all.rows == 11 && all.faultCount == 0)
        let answer = try await search(fixture, model, 15, count: 20)
        #expect(answer.isComplete && answer.near[0].count == 11)
    }

    /// One statement removed a whole mirror within the transaction of whoever wrote next.
    @Test func `a mirror of a future that is gone is cleared a bounded number of rows at a time`()
        async throws
    {
        let (fixture, model) = try await PassageFixture.mirrored()
        try await fixture.damage("DELETE FROM passages WHERE account_id = 1 AND revision > 10")
        try await fixture.damage("UPDATE accounts SET revision = 10 WHERE id = 1")
        try await fixture.write([(50, PassageFixture.vector(50))], model: model)
        #expect(try await rowCount(fixture) >= 20)
        var counts: [Int64] = []
        for _ in 0..<2 {
            _ = try await fixture.store.write { connection, account in
                try PassageVectorTable.catchUp(
                    with: model,
                    limit: 5,
                    account: account,
                    on: connection
                )
            }
            counts.append(try await rowCount(fixture))
            #expect(try await !search(fixture, model, 15).isComplete)
        }
        #expect(counts[0] - counts[1] == 5)
        // Whoever writes meanwhile does not make it complete.
        try await fixture.write([(51, PassageFixture.vector(51))], model: model)
        #expect(try await !search(fixture, model, 15).isComplete)
        #expect(try await VectorMirror.catchUp(fixture.store, with: model))
        let all = try await VectorMirror.compare(fixture.store)
        #expect(all.windows == 12 && all.rows == 12 && all.faultCount == 0, "\(all)")
        #expect(try await search(fixture, model, 15).isComplete)
    }

    private func rowCount(_ fixture: PassageFixture) async throws -> Int64 {
        try await fixture.store.read { connection, account in
            try connection.rows(
                "SELECT count(*) AS n FROM passage_vectors WHERE account_id = \(account)"
            ).first?.integer("n") ?? 0
        }
    }

    /// All surplus rows behind the last window came with their vectors in one answer.
    @Test func `rows without windows are compared a page at a time`() async throws {
        let (fixture, _) = try await PassageFixture.mirrored(3)
        try await fixture.damage(
            """
            INSERT INTO passage_vectors (account_id, passage_id, model_id, issue_id, revision,
                dimension, vector)
            SELECT v.account_id, v.passage_id + 1000000 * place, v.model_id, v.issue_id,
                v.revision, v.dimension, v.vector
            FROM passage_vectors AS v, generate_series(1, 10) AS place WHERE v.account_id = 1
            """
        )
        var (after, rows, surplus): (PassageID?, Int, Int) = (PassageID(0), 0, 0)
        while let place = after {
            let page = try await fixture.store.read { connection, account in
                try PassageVectorTable.compare(
                    after: place,
                    limit: 4,
                    account: account,
                    on: connection
                )
            }
            #expect(page.rows <= 4)
            rows += page.rows
            surplus += page.faults.count { $0.kind == .surplus }
            after = page.end
        }
        #expect(rows == 33 && surplus == 30)
    }

    /// Of two processes that found no index the second dropped what the first had made.
    @Test func `an index that is whole is not dropped, and one process makes it`() async throws {
        let (fixture, _) = try await PassageFixture.mirrored(30)
        try await fixture.store.database.write { connection in
            try VectorExtensionTable.dropBroken(dimension: 8, on: connection)
        }
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: 8, from: 0))
        try await fixture.damage("DROP INDEX passage_vectors_hnsw_8")
        let scratch = try #require(fixture.scratch)
        let other = try PostgresConnection(
            PostgresConfiguration(address: Secret(scratch.database.address)),
            usesNames: false,
            interrupt: nil
        )
        let lock = VectorExtensionTable.indexingLock
        try other.command("SELECT pg_advisory_lock(\(lock)) AS locked")
        #expect(try await !VectorMirror.makeIndex(fixture.store, dimension: 8, from: 0))
        try other.command("SELECT pg_advisory_unlock(\(lock)) AS unlocked")
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: 8, from: 0))
    }

    @Test func `models of one length and of another are searched apart`() async throws {
        let (fixture, old) = try await PassageFixture.mirrored()
        let same = try await fixture.model("other")
        try await fixture.write([(1, PassageFixture.vector(500))], model: same)
        let long = try await fixture.model("long", dimension: 32)
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: 32, from: 0))
        guard case .ready(_, let indexed, _) = try await VectorMirror.state(of: fixture.store)
        else {
            Issue.record("the mirror is gone")
            return
        }
        #expect(indexed == [8, 32])
        try await fixture.write([(2, PassageFixture.vector(9, dimension: 32))], model: long)
        #expect(try await search(fixture, old, 500, count: 30).near[0].count == 20)
        let (one, other) = (
            try await search(fixture, same, 500, count: 30).near[0],
            try await search(fixture, long, 9, count: 30).near[0]
        )
        #expect(one.map(\.issue) == [IssueID(1)] && other.map(\.issue) == [IssueID(2)])
        #expect(try await VectorMirror.compare(fixture.store).faultCount == 0)
        // An old model is dropped with its mirror.
        try await fixture.store.write { connection, account in
            while try PassageTable.removeSome(
                of: old.id,
                limit: 7,
                account: account,
                on: connection
            ) > 0 {}
            try EmbeddingModelTable.remove(old.id, account: account, on: connection)
        }
        let all = try await VectorMirror.compare(fixture.store)
        #expect(all.rows == 2 && all.faultCount == 0)
    }

    @Test(arguments: PassageVectorTable.FaultKind.allCases)
    func `every way in which a row can be wrong is found and mended`(
        kind: PassageVectorTable.FaultKind
    ) async throws {
        let (fixture, model) = try await PassageFixture.mirrored(1_500)
        let some: SQL = "passage_id % 100 = 7"
        switch kind {
        case .missing:
            try await fixture.damage("DELETE FROM passage_vectors WHERE account_id = 1 AND \(some)")
        case .stale:
            try await fixture.damage(
                """
                UPDATE passage_vectors SET revision = revision - 1
                WHERE account_id = 1 AND \(some)
                """
            )
        case .different:
            let other = HalfVectorBytes.rounded(PassageFixture.vector(77_777))
            try await fixture.damage(
                """
                UPDATE passage_vectors SET vector = \(halfVector: other)::halfvec
                WHERE account_id = 1 AND \(some)
                """
            )
        case .surplus:
            try await fixture.damage(
                """
                INSERT INTO passage_vectors (account_id, passage_id, model_id, issue_id, revision,
                    dimension, vector)
                SELECT account_id, passage_id + 1000000, model_id, issue_id, revision, dimension,
                    vector
                FROM passage_vectors WHERE account_id = 1 AND \(some)
                """
            )
        }
        let found = try await VectorMirror.compare(fixture.store)
        #expect(found.faults == [kind: 15])
        #expect(found.examples.count == 10)
        let mended = try await VectorMirror.compare(fixture.store, repairing: true)
        #expect(mended.faults == [kind: 15] && mended.mended == 15)
        let after = try await VectorMirror.compare(fixture.store)
        #expect(after.windows == 1_500 && after.rows == 1_500 && after.faultCount == 0)
        #expect(try await search(fixture, model, 7).near[0].first?.issue == IssueID(7))
    }

    @Test func `a tombstone whose row stayed is surplus`() async throws {
        let (fixture, _) = try await PassageFixture.mirrored()
        try await fixture.damage(
            "UPDATE passages SET deleted_at = now() WHERE account_id = 1 AND issue_id = 4"
        )
        let found = try await VectorMirror.compare(fixture.store, repairing: true)
        #expect(found.faults == [.surplus: 1])
        #expect(try await VectorMirror.compare(fixture.store).rows == 19)
    }

    @Test func `an index whose making was broken off is made anew`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored(30)
        try await fixture.damage(
            """
            UPDATE pg_index SET indisvalid = FALSE
            WHERE indexrelid = to_regclass('passage_vectors_hnsw_8')
            """
        )
        #expect(try await !search(fixture, model, 3).isIndexed)
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: 8, from: 0))
        let answer = try await search(fixture, model, 3)
        #expect(answer.isIndexed && answer.near[0].first?.issue == IssueID(3))
        // Few rows are not worth one.
        try await fixture.damage("DROP INDEX passage_vectors_hnsw_8")
        #expect(try await !VectorMirror.makeIndex(fixture.store, dimension: 8))
        #expect(try await search(fixture, model, 3, scope: .everyRow).near[0].count == 3)
    }

    /// Vectors that lie beside the table were reckoned as if they lay in it: an index came with
    /// nine times the rows that are worth one.
    @Test(arguments: [384, 1_536])
    func `rows are reckoned by the length of their vectors`(dimension: Int) async throws {
        let fixture = try await PassageFixture(.postgres)
        let model = try await fixture.model(dimension: dimension)
        #expect(try await VectorMirror.prepare(fixture.store).isReady)
        let vectors = (1...300).map { number in
            (Int64(number), PassageFixture.vector(number, dimension: dimension))
        }
        try await fixture.write(vectors, model: model)
        let reckoned = try await fixture.store.read { connection, _ in
            try PassageVectorTable.roughCount(dimension: dimension, on: connection)
        }
        let told = rows(try await VectorMirror.state(of: fixture.store))
        #expect(told == reckoned && (200...450).contains(told), "\(told), \(reckoned)")
        #expect(
            try await !VectorMirror.makeIndex(fixture.store, dimension: dimension, from: 600)
        )
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: dimension, from: 200))
    }

    @Test func `the making of an index does not wait for ever, and is done the next time`()
        async throws
    {
        let (fixture, _) = try await PassageFixture.mirrored(30)
        try await fixture.damage("DROP INDEX passage_vectors_hnsw_8")
        let store = fixture.store
        let isMade = try await store.withForgottenReader {
            try await VectorMirror.makeIndex(
                store,
                dimension: 8,
                from: 0,
                patience: .milliseconds(400)
            )
        }
        #expect(!isMade)
        #expect(try await VectorMirror.makeIndex(store, dimension: 8, from: 0))
        let state = try await VectorMirror.state(of: store)
        #expect(state == .ready(version: version(state), indexed: [8], rows: rows(state)))
    }

    private func version(_ state: VectorMirror.State) -> String {
        guard case .ready(let version, _, _) = state else { return "" }
        return version
    }

    private func rows(_ state: VectorMirror.State) -> Int {
        guard case .ready(_, _, let rows) = state else { return 0 }
        return rows
    }

    @Test func `an archive replaces what is mirrored, and the mirror follows`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored(12)
        let archive = try #require(fixture.scratch).directory.path("archive")
        let database = fixture.store.database
        let now = Timestamp(milliseconds: 1)
        _ = try await DatabaseArchive.backUp(database, to: archive, now: now)
        // A future that the archive does not know.
        try await fixture.write(
            (13...40).map { (Int64($0), PassageFixture.vector($0 + 500)) },
            model: model
        )
        #expect(try await search(fixture, model, 520).near[0].first?.issue == IssueID(20))
        _ = try await DatabaseArchive.restore(archive, into: database, replacing: true)
        // The restoring cleared the mirror, and who only counts sees that.
        let cleared = try await census(fixture, model)
        #expect(cleared == .init(windows: 12, rows: 0, waiting: 12) && !cleared.isWhole)
        #expect(try await VectorMirror.catchUp(fixture.store, with: model))
        #expect(try await census(fixture, model) == .init(windows: 12, rows: 12, waiting: 0))
        let all = try await VectorMirror.compare(fixture.store)
        #expect(all.windows == 12 && all.rows == 12 && all.faultCount == 0, "\(all)")
        let answer = try await search(fixture, model, 7, count: 30)
        #expect(answer.isComplete && answer.near[0].count == 12)
        #expect(answer.near[0].first?.issue == IssueID(7))
    }

    @Test func `walking the index finds what comparing every row finds`() async throws {
        let (fixture, model) = try await PassageFixture.mirrored(3_000, dimension: 32)
        var common = 0
        for seed in 10_000..<10_050 {
            let walked = try await search(fixture, model, seed, count: 10)
            let compared = try await search(fixture, model, seed, count: 10, scope: .everyRow)
            #expect(compared.near[0].count == 10)
            let expected = Set(compared.near[0].map(\.passage))
            common += expected.intersection(walked.near[0].map(\.passage)).count
        }
        #expect(common >= 490, "\(common) of 500")
    }

    @Test func `without the right to make the extension the advice names the command`()
        async throws
    {
        // A database of its own, where the extension is not made yet, and a user who may not.
        let name = "preloop_refused_\(UInt32.random(in: 0..<UInt32.max))"
        let plain = try #require(ScratchDatabase.address)
        let admin = try PostgresConnection(
            PostgresConfiguration(address: Secret(plain)),
            usesNames: false,
            interrupt: nil
        )
        try admin.command(SQL(stringLiteral: "CREATE ROLE \(name) LOGIN"))
        try admin.command(SQL(stringLiteral: "CREATE DATABASE \(name)"))
        let separator = plain.contains("?") ? "&" : "?"
        let inside = "\(plain)\(separator)dbname=\(name)"
        let owner = try PostgresConnection(
            PostgresConfiguration(address: Secret(inside)),
            usesNames: false,
            interrupt: nil
        )
        try owner.command(SQL(stringLiteral: "REVOKE CREATE ON DATABASE \(name) FROM PUBLIC"))
        try owner.command(SQL(stringLiteral: "GRANT ALL ON SCHEMA public TO \(name)"))
        let guest = PostgresDatabase(
            PostgresConfiguration(address: Secret("\(inside)&user=\(name)"))
        )
        let store = try await Store.open(guest)
        #expect(try await VectorMirror.state(of: store) == .unmade(isExtended: false))
        #expect(try await DatabaseStatus.read(guest).vectorExtension == .available)
        let state = try await VectorMirror.prepare(store)
        guard case .refused(let database, _) = state else {
            Issue.record("\(state.description)")
            return
        }
        #expect(database == name)
        #expect(
            state.advice?.contains("psql -d \(name) -c 'CREATE EXTENSION vector'") == true,
            "\(state.advice ?? "")"
        )
        // Windows are written all the same, and once the extension is there it is used.
        let fixture = PassageFixture(store)
        let model = try await fixture.model()
        try await fixture.write([(1, PassageFixture.vector(1))], model: model)
        try owner.command("CREATE EXTENSION vector")
        #expect(try await VectorMirror.state(of: store) == .unmade(isExtended: true))
        guard case .made = try await DatabaseStatus.read(guest).vectorExtension else {
            Issue.record("the status does not see the extension")
            return
        }
        #expect(try await VectorMirror.prepare(store).isReady)
        #expect(try await VectorMirror.catchUp(store, with: model))
        #expect(try await search(fixture, model, 1).near[0].map(\.issue) == [IssueID(1)])
        try await guest.close()
    }
}
