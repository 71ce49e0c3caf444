import Bootstrap
import Domain
import Store
import StoreTestSupport
import TestSupport
import Testing

/// The HNSW index over the mirror is made beside scans, and not again and again.
@Suite(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
struct VectorIndexingTests {
    private static let pgvector = ["PRELOOP_VECTOR_BACKEND": "pgvector"]
    /// The length of the tiny model's vectors.
    private static let dimension = 32

    private func indexedDimensions(_ store: Store) async throws -> Set<Int> {
        guard case .ready(_, let indexed, _) = try await VectorMirror.state(of: store)
        else { return [] }
        return indexed
    }

    /// Two texts that are indexed, and the installation they are in.
    private func filled() async throws -> (IndexedSandbox, Installation) {
        let indexed = try IndexedSandbox(Self.pgvector, isAlone: true)
        try indexed.add("crash when a file is opened", "login token is refused")
        let settings = try Settings(environment: indexed.sandbox.environment)
        return (indexed, try await Installation.open(settings))
    }

    private func waitUntilMaking(_ store: Store, _ program: RunningProgram) async throws {
        while try await !store.database.read({ connection in
            try PassageVectorTable.isBeingIndexed(on: connection)
        }) {
            let isRunning = program.isRunning
            try #require(isRunning)
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Rows of somebody else's, as many as make an index worthwhile.
    private func addRows(_ store: Store) async throws {
        _ = try await store.database.write { connection in
            try connection.execute(
                """
                INSERT INTO passage_vectors (account_id, passage_id, model_id, issue_id, revision,
                    dimension, vector)
                SELECT 99, n, 99, n, n, 3, '[1,2,3]'::halfvec FROM generate_series(1, 80000) AS n
                """
            )
        }
    }

    /// They waited, with what they had read, for as long as it took.
    @Test(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
    func `other scans go on while the index is made`() async throws {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let indexed = try IndexedSandbox.connected(
            to: fake,
            ["github", "gitlab"],
            isAlone: true
        )
        defer { indexed.remove() }
        let sandbox = indexed.sandbox
        let scan = ["scan", "tracker", "github", "--json"]
        // Who searches in memory fills the mirror, and makes no index whatever it holds.
        let before = try sandbox.start("preloop-sync", scan).wait()
        #expect(before.status == 0, "\(before.errors)")
        let store = try await sandbox.store()
        #expect(try await indexedDimensions(store).isEmpty)
        try await addRows(store)
        let first = try await store.withForgottenReader {
            let making = try sandbox.start("preloop-sync", scan, environment: Self.pgvector)
            try await waitUntilMaking(store, making)
            // Of another tracker, and of the same one.
            for tracker in ["gitlab", "github"] {
                let other = try sandbox.run(
                    "preloop-sync",
                    "scan",
                    "tracker",
                    tracker,
                    "--json",
                    environment: Self.pgvector
                )
                #expect(other.status == 0, "\(tracker): \(other.errors)")
                if tracker == "gitlab" {
                    #expect(try other.json["totals"]?["embedded"]?.integer ?? 0 > 0)
                }
                #expect(making.isRunning)
            }
            return making
        }
        let result = try first.wait()
        #expect(result.status == 0, "\(result.errors)")
        #expect(!result.errors.contains("warning"), "\(result.errors)")
        #expect(try await indexedDimensions(store) == [Self.dimension])
    }

    /// The rows are whole all the same, and who searches in memory needs no index.
    @Test func `an index that is missing is told of beside the rows, where searches need it`()
        async throws
    {
        let (indexed, installation) = try await filled()
        defer { indexed.remove() }
        try await addRows(installation.store)
        try await installation.close()
        for (backend, expected) in [("memory", JSONValue?.none), ("pgvector", "warning")] {
            let checks = try indexed.sandbox.run(
                "preloop",
                "doctor",
                "--vectors",
                "--json",
                environment: ["PRELOOP_VECTOR_BACKEND": backend]
            ).json["checks"]?.array
            func status(_ name: JSONValue) -> JSONValue? {
                checks?.first { $0["check"] == name }?["status"]
            }
            #expect(status("vectors in pgvector") == "ok", "\(backend)")
            #expect(status("index in pgvector") == expected, "\(backend)")
            #expect(status("pgvector index") == "warning", "\(backend)")
        }
    }

    @Test func `an index that was given up is not tried again within an hour`() async throws {
        let (indexed, installation) = try await filled()
        defer { indexed.remove() }
        let store = installation.store
        let start = WallClock.system.now()
        func indexing(
            after time: Duration,
            patience: Duration = .milliseconds(400)
        ) -> VectorIndexing {
            VectorIndexing(
                installation,
                from: 0,
                patience: patience,
                clock: WallClock { start.advanced(by: time) }
            )
        }
        let (first, later) = (indexing(after: .zero), indexing(after: .seconds(3_599)))
        let end = start.advanced(by: .seconds(3_600))
        let (failed, resting) = try await store.withForgottenReader {
            (await first.run(), await later.run())
        }
        guard case .failed(let reason, let until) = failed else {
            Issue.record("\(failed)")
            return
        }
        #expect(until == end)
        #expect(reason.contains("transactions"))
        #expect(failed.line?.contains("preloop doctor --vectors --repair") == true)
        #expect(failed.line?.contains(end.iso8601) == true)
        #expect(resting == .resting(until: end) && resting.line == nil)
        // Nothing is in the way any more, and the pause still counts, in other processes too.
        #expect(await later.run() == .resting(until: end))
        #expect(try await indexedDimensions(store).isEmpty)
        let next = indexing(after: .seconds(3_601), patience: VectorMirror.indexingPatience)
        #expect(await next.run() == .made)
        #expect(try await indexedDimensions(store) == [Self.dimension])
        #expect(await later.run() == .unneeded)
        try await installation.close()
    }

    @Test func `who finds the index in the making does not wait for it`() async throws {
        let (indexed, installation) = try await filled()
        defer { indexed.remove() }
        let store = installation.store
        let outcomes = try await store.withForgottenReader {
            async let _ = VectorIndexing(installation, from: 0).run()
            while try await !store.database.read({ connection in
                try PassageVectorTable.isBeingIndexed(on: connection)
            }) {
                try await Task.sleep(for: .milliseconds(20))
            }
            let second = await VectorIndexing(installation, from: 0).run()
            // The end of the scope cancels the first: that is no failure, and no pause follows.
            return [second]
        }
        #expect(outcomes == [.busy])
        #expect(await VectorIndexing(installation, from: 0).run() == .made)
        try await installation.close()
    }
}
