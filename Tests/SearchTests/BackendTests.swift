import Domain
import Embeddings
import Foundation
import Store
import StoreTestSupport
import TestSupport
import Testing
import VectorIndex

@testable import Search

/// Vectors that are given: the text `v12 …` has the vector of row 12, `q7 …` that of query 7.
private struct GivenVectors: Embedder {
    let model: ModelIdentity
    let rows: [[Float]]
    let queries: [[Float]]

    func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        EmbeddingMatrix(dimension: model.dimension, values: texts.flatMap(vector))
    }

    func windows(of text: String, maximumCount: Int) -> [Range<Int>] {
        text.isEmpty ? [] : [0..<text.utf8.count]
    }

    private func vector(_ text: String) -> [Float] {
        let number = Int(text.dropFirst().prefix { $0.isNumber }) ?? 0
        return text.hasPrefix("v") ? rows[number] : queries[number]
    }

    /// Real texts' vectors where they are at hand, otherwise clusters of made-up ones.
    static func load(_ count: Int, queries: Int) throws -> GivenVectors {
        if let base = SharedData.file("vector/base-50000x384.f16"),
            let asked = SharedData.file("vector/queries-1000x384.f16")
        {
            return GivenVectors(
                model: ModelIdentity(name: "given", revision: "1", dimension: 384),
                rows: try halves(base, count),
                queries: try halves(asked, queries)
            )
        }
        let embedder = FakeEmbedder(dimension: 64)
        func texts(_ count: Int, _ seed: Int) -> [[Float]] {
            (0..<count).map { number in
                var babble = Babble(seed: UInt64(seed + number))
                return embedder.vector(babble.text(12))
            }
        }
        return GivenVectors(
            model: ModelIdentity(name: "given", revision: "1", dimension: 64),
            rows: texts(count, 1),
            queries: texts(queries, 1_000_000)
        )
    }

    private static func halves(_ file: URL, _ count: Int) throws -> [[Float]] {
        let handle = try FileHandle(forReadingFrom: file)
        let bytes = Array(try handle.read(upToCount: count * 768) ?? Data())
        return (0..<count).map { row in
            (0..<384).map { place in
                let start = (row * 384 + place) * 2
                let bits = UInt16(bytes[start]) | UInt16(bytes[start + 1]) << 8
                return Float(Float16(bitPattern: bits))
            }
        }
    }
}

/// The database must answer as the index in memory does.
@Suite(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
struct BackendTests {
    private static let count = 5_000
    private static let queries = 200

    /// A world of issues with the given vectors, and both ways to search it.
    private struct Both {
        let world: World
        let memory: IssueSearch
        let pgvector: IssueSearch
        let pipeline: IndexPipeline
        let vectors: GivenVectors

        init(_ embedder: GivenVectors) async throws {
            vectors = embedder
            world = try await World()
            try await BackendTests.fill(world, embedder)
            pipeline = try await IndexPipeline(
                store: world.store,
                embedder: embedder,
                directory: world.indexDirectory
            )
            _ = try await pipeline.drain()
            memory = pipeline.search
            let models = try await world.store.read { connection, account in
                try EmbeddingModelTable.all(account: account, on: connection)
            }
            let model = try #require(models.first { $0.isCurrent })
            let isIndexed = try await VectorMirror.makeIndex(
                world.store,
                dimension: model.dimension,
                from: 0
            )
            #expect(isIndexed)
            pgvector = IssueSearch(
                store: world.store,
                embedder: embedder,
                index: try await DatabaseIndex(store: world.store, model: model),
                lexical: pipeline.lexical
            )
        }
    }

    /// Issue n has the vector of row n; labels pass 1, 10 and 50 of a hundred, and all but those
    /// near the first query.
    private static func fill(_ world: World, _ embedder: GivenVectors) async throws {
        let project = try await world.project("acme/app")
        let scores = embedder.rows.map { row in
            zip(row, embedder.queries[0]).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let near = Set(scores.indices.sorted { scores[$0] > scores[$1] }.prefix(200))
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        for start in stride(from: 0, to: count, by: 500) {
            let items = (start..<start + 500).map { number in
                var babble = Babble(seed: UInt64(number))
                var issue = Issue(
                    externalID: "\(number)",
                    number: number,
                    key: "acme/app#\(number)",
                    title: "v\(number) \(babble.text(6))",
                    body: "",
                    createdAt: now,
                    updatedAt: now,
                    url: "https://hub/\(number)"
                )
                let place = number * 7 % 100
                issue.labels = [(1, "one"), (10, "ten"), (50, "fifty")].compactMap {
                    place < $0 ? $1 : nil
                }
                if !near.contains(number) { issue.labels.append("far") }
                return IncomingIssue(issue, comments: .complete([]))
            }
            let batch = IssueBatch(
                project: project,
                tracker: world.tracker,
                items: items,
                present: now,
                trust: .confirmed
            )
            _ = try await world.store.write { connection, account in
                try IssueTable.upsert(batch, account: account, on: connection)
            }
        }
    }

    private func request(
        _ query: Int,
        _ mode: SearchRequest.Mode,
        _ filter: IssueFilter
    ) -> SearchRequest {
        var babble = Babble(seed: UInt64(90_000 + query))
        var request = SearchRequest(text: "q\(query) \(babble.text(4))")
        request.mode = mode
        request.filter = filter
        return request
    }

    @Test func `real vectors are found alike, with and without filters`() async throws {
        let both = try await Both(GivenVectors.load(Self.count, queries: Self.queries))
        for label in [nil, "one", "ten", "fifty"] {
            var filter = IssueFilter()
            filter.labels = [label].compactMap { $0 }
            for mode in [SearchRequest.Mode.vector, .hybrid] {
                var (common, total) = (0, 0)
                for query in 0..<Self.queries {
                    let request = request(query, mode, filter)
                    let expected = try await both.memory.search(request).map(\.issue.key)
                    let found = try await both.pgvector.search(request).map(\.issue.key)
                    #expect(found.count == expected.count)
                    total += expected.count
                    common += Set(expected).intersection(found).count
                }
                let overlap = Double(common) / Double(total)
                #expect(overlap >= 0.98, "\(label ?? "no filter"), \(mode): \(overlap)")
            }
        }
        try await windows(both)
        try await pages(both)
        try await changes(both)
    }

    /// A few windows for which the index is asked, whether most pass or those that are near do not.
    private func windows(_ both: Both) async throws {
        // Each that passes stands for several that the index visits: fewer are asked for.
        for (label, first) in [(nil, 200), ("fifty", 80), ("ten", 64)] {
            var filter = IssueFilter()
            filter.labels = [label].compactMap { $0 }
            let view = try await both.pgvector.index.windows(passing: filter, at: nil)
            #expect(abs(view.firstCount - first) <= first / 4, "\(label ?? "no filter")")
        }
        try await halves(both)
        let vectors = Array(both.vectors.queries.prefix(50))
        for label in ["fifty", "far"] {
            var filter = IssueFilter()
            filter.labels = [label]
            var found: [[[IssueID]]] = []
            for search in [both.memory, both.pgvector] {
                let view = try await search.index.windows(passing: filter, at: nil)
                let near = try await view.nearest(to: vectors, count: 20)
                #expect(near.allSatisfy { $0.windows.count == 20 && !$0.isAll })
                found.append(near.map { $0.windows.map(\.issue) })
            }
            let common = zip(found[0], found[1]).map { Set($0).intersection($1).count }
            #expect(common.reduce(0, +) >= 980, "\(label): \(common)")
            #expect(common[0] >= 18, "\(label)")
        }
    }

    /// More than the index gives are compared one by one, by two connections where they are many.
    private func halves(_ both: Both) async throws {
        var filter = IssueFilter()
        filter.labels = ["fifty"]
        let passing = Self.count / 2
        #expect(passing > 2 * DatabaseWindows.splitFrom)
        for count in [1_001, passing, passing + 1] {
            var found: [NearestWindows] = []
            for search in [both.memory, both.pgvector] {
                let view = try await search.index.windows(passing: filter, at: nil)
                found += try await view.nearest(to: [both.vectors.queries[1]], count: count)
            }
            let (expected, other) = (found[0].windows, found[1].windows)
            #expect(other.count == min(count, passing))
            #expect(Set(other.map(\.passage)).count == other.count)
            #expect(zip(other, other.dropFirst()).allSatisfy { $0.score >= $1.score })
            let common = Set(expected.map(\.passage)).intersection(other.map(\.passage))
            #expect(common.count >= expected.count - expected.count / 50)
            #expect(found[1].isAll == (count >= passing))
        }
    }

    /// Pages through the database follow one another, far beyond what its index gives at once.
    private func pages(_ both: Both) async throws {
        var filter = IssueFilter()
        filter.labels = ["fifty"]
        var request = request(1, .vector, filter)
        request.limit = Self.count
        let all = try await both.pgvector.search(request).map(\.issue.key)
        #expect(all.count == Self.count / 2)
        #expect(Set(all).count == all.count)
        #expect(Set(try await both.memory.search(request).map(\.issue.key)) == Set(all))
        request.limit = 90
        var paged: [String] = []
        while paged.count < 450 {
            request.offset = paged.count
            paged += try await both.pgvector.search(request).map(\.issue.key)
        }
        #expect(Set(paged).count == paged.count)
        #expect(zip(paged, all).count { $0 == $1 } >= 440)
    }

    /// What is deleted is not found, at once; what is written is, and nothing in this process knew.
    private func changes(_ both: Both) async throws {
        let request = request(3, .vector, IssueFilter())
        let before = try await both.pgvector.search(request)
        try await both.world.delete(before[0].issue.issue)
        let after = try await both.pgvector.search(request)
        #expect(after.map(\.issue.key).prefix(9) == before.map(\.issue.key).dropFirst().prefix(9))
        _ = try await both.pipeline.drain()
        #expect(try await both.pgvector.search(request).map(\.issue.key) == after.map(\.issue.key))
        let changed = try await both.world.put(5_000, "q3 of all things")
        _ = try await both.pipeline.drain()
        #expect(try await both.pgvector.search(request).first?.issue.issue == changed)
        #expect(try await both.pipeline.verify().isSound)
        #expect(try await VectorMirror.compare(both.world.store).faultCount == 0)
    }

    @Test func `an issue's likes and pairs are the same whoever searches`() async throws {
        var rankings: [[String]] = []
        var pairs: [[String]] = []
        for backend in VectorBackend.allCases {
            let world = try await World()
            for number in 1...80 {
                var babble = Babble(seed: UInt64(number / 2))
                try await world.put(number, babble.text(6), babble.text(40 + number % 2))
            }
            let pipeline = try await world.pipeline(FakeEmbedder(), backend: backend)
            let report = try await pipeline.drain()
            #expect(report.compared == 80)
            #expect(try await pipeline.verify().isSound)
            let issue = try await pipeline.search.resolve("acme/app#7").issue
            rankings.append(
                try await pipeline.search.similar(to: issue, limit: 20).map(\.issue.key)
            )
            pairs.append(try await world.pairsByKey().map(\.keys))
            let hasSnapshot = FileManager.default.fileExists(atPath: world.snapshotPath)
            #expect(hasSnapshot == (backend == .memory))
            #expect((pipeline.index == nil) == (backend == .pgvector))
        }
        #expect(rankings[0] == rankings[1])
        #expect(rankings[0].count == 20)
        #expect(pairs[0] == pairs[1])
        #expect(!pairs[0].isEmpty)
    }

    @Test func `an index made anew from the store answers as before`() async throws {
        let world = try await World()
        for number in 1...30 {
            var babble = Babble(seed: UInt64(number))
            try await world.put(number, babble.text(6))
        }
        let pipeline = try await world.pipeline(FakeEmbedder(), backend: .pgvector)
        _ = try await pipeline.drain()
        var request = SearchRequest(text: "wort4x wort12x")
        request.mode = .vector
        let before = try await pipeline.search.search(request).map(\.issue.key)
        _ = try await world.store.database.write { connection in
            try connection.execute("DELETE FROM passage_vectors WHERE account_id = 1")
        }
        #expect(try await pipeline.search.search(request).isEmpty)
        #expect(try await !pipeline.verify().isSound)
        _ = try await pipeline.rebuild()
        #expect(try await pipeline.search.search(request).map(\.issue.key) == before)
        #expect(try await pipeline.verify().isSound)
    }

    /// It took minutes, for which other scans waited.
    @Test func `indexing makes no HNSW index, which would keep others from theirs`() async throws {
        let world = try await World()
        try await world.put(1, "one")
        let pipeline = try await world.pipeline(FakeEmbedder(), backend: .pgvector)
        _ = try await pipeline.drain()
        // As many rows of somebody else's as make an index worthwhile.
        _ = try await world.store.database.write { connection in
            try connection.execute(
                """
                INSERT INTO passage_vectors (account_id, passage_id, model_id, issue_id, revision,
                    dimension, vector)
                SELECT 99, n, 99, n, n, 3, '[1,2,3]'::halfvec FROM generate_series(1, 80000) AS n
                """
            )
        }
        try await world.put(2, "two")
        #expect(try await pipeline.drain().embedded == 1)
        guard
            case .ready(_, let indexed, let rows) = try await VectorMirror.state(of: world.store)
        else {
            Issue.record("there is no mirror")
            return
        }
        #expect(rows >= VectorMirror.indexedFrom && indexed.isEmpty)
        #expect(try await VectorMirror.makeIndex(world.store, dimension: 48))
    }

    /// The mirror alone was still written by a process that had been taken for dead.
    @Test func `an indexer that has lost its lease mirrors nothing`() async throws {
        let world = try await World()
        for number in 1...3 { try await world.put(number, "title \(number)") }
        let fence = Fence("index")
        let pipeline = try await IndexPipeline(
            store: world.store,
            embedder: FakeEmbedder(dimension: 8),
            directory: world.indexDirectory,
            backend: .pgvector,
            fence: fence
        )
        let lost = StoreError.leaseLost(name: "index")
        let start = Timestamp(milliseconds: 1_700_000_000_000)
        await #expect(throws: lost) { try await pipeline.windows.refresh() }
        fence.raise(try await take("index", of: world.store, at: start))
        _ = try await pipeline.drain()
        let whole = try await VectorMirror.compare(world.store)
        #expect(whole.rows >= 3 && whole.faultCount == 0)
        try await world.store.database.write { connection in
            try connection.execute("DELETE FROM passage_vectors WHERE account_id = 1")
            try connection.execute("DELETE FROM vector_mirrors WHERE account_id = 1")
        }
        let later = try await take("index", of: world.store, at: start.advanced(by: .seconds(61)))
        await #expect(throws: lost) { try await pipeline.windows.refresh() }
        await #expect(throws: lost) { try await pipeline.windows.rebuild() }
        #expect(try await VectorMirror.compare(world.store).rows == 0)
        fence.raise(later)
        try await pipeline.windows.refresh()
        #expect(try await VectorMirror.compare(world.store) == whole)
    }

    /// Takes a lease as a process of its own; one whose time is over is taken over.
    private func take(_ name: String, of store: Store, at now: Timestamp) async throws -> Lease {
        try await store.write { connection, account in
            try LeaseTable.acquire(
                name,
                holder: .task(),
                duration: .seconds(60),
                now: now,
                account: account,
                on: connection
            )
        }
    }

    @Test func `a mirror far behind is not searched`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder(dimension: 8)
        try await world.put(1, "one")
        let pipeline = try await world.pipeline(embedder, backend: .pgvector)
        _ = try await pipeline.drain()
        let model = pipeline.model
        // As an older program writes, which knows of no mirror.
        try await world.store.write { connection, account in
            let ids: [PassageID] = try AccountTable.nextIDs(
                5_000,
                account: account,
                on: connection
            )
            _ = try AccountTable.nextRevisions(5_000, account: account, on: connection)
            try connection.execute(
                """
                INSERT INTO passages (account_id, id, model_id, issue_id, comment_id, part,
                    position, text_start, text_end, text_hash, vector, revision)
                SELECT p.account_id, \(ids[0]) + n, p.model_id, p.issue_id, 0, 'body', n, 0, 1,
                    p.text_hash, p.vector, \(ids[0]) + n
                FROM passages AS p, generate_series(0, 4999) AS n
                WHERE p.account_id = \(account) AND p.model_id = \(model)
                """
            )
            try connection.execute(
                """
                UPDATE accounts SET revision = (SELECT MAX(revision) FROM passages)
                WHERE id = \(account)
                """
            )
        }
        await #expect(throws: SearchError.mirrorBehind) {
            try await pipeline.search.search(SearchRequest(text: "one"))
        }
        _ = try await pipeline.drain()
        #expect(try await pipeline.search.search(SearchRequest(text: "one")).count == 1)
    }
}

/// Whoever asks for pgvector and cannot have it is told so.
struct BackendRefusalTests {
    @Test func `a SQLite file cannot search vectors`() async throws {
        let scratch = try await Engine.sqlite.store()
        let row = EmbeddingModelTable.Row(
            id: EmbeddingModelID(1),
            name: "m",
            revision: "1",
            dimension: 8,
            isCurrent: true
        )
        let error = await #expect(throws: SearchError.self) {
            try await DatabaseIndex(store: scratch.store, model: row)
        }
        guard case .noMirror(let reason, let advice) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("SQLite"))
        #expect(advice?.contains("DATABASE_URL") == true)
    }
}
