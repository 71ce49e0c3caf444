import Domain
import Foundation
import Store
import Testing
import VectorIndex

@testable import Search

@Suite struct SnapshotTests {
    private func fill(_ world: World, _ numbers: ClosedRange<Int>) async throws {
        for number in numbers {
            var babble = Babble(seed: UInt64(number))
            try await world.put(
                number,
                babble.text(5),
                babble.text(30),
                comments: ["note \(number)"]
            )
        }
    }

    private func reader(_ world: World, _ embedder: FakeEmbedder) async throws -> SearchIndex {
        let model = try await Indexer.registerModel(of: embedder, in: world.store)
        return try await SearchIndex(
            store: world.store,
            identity: embedder.model,
            model: model,
            directory: world.indexDirectory,
            role: .reader
        )
    }

    /// What exact comparison with every stored vector gives.
    private func oracle(
        _ world: World,
        _ index: SearchIndex,
        _ query: [Float],
        _ count: Int
    ) async throws -> [Int64] {
        let model = index.model
        let rows = try await world.store.read { connection, account in
            try PassageTable.vectors(
                after: PassageID(0),
                model: model,
                dimension: query.count,
                limit: 100_000,
                account: account,
                on: connection
            )
        }
        return rows.map { ($0.id.rawValue, Float(cosine(query, $0.vector))) }
            .sorted { ($1.1, $0.0) < ($0.1, $1.0) }.prefix(count).map(\.0)
    }

    @Test func `a reader sees what happened since the snapshot`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...60)
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        let index = try #require(pipeline.index)
        #expect(FileManager.default.fileExists(atPath: index.path))
        let deleted = try await world.put(7, "soon gone")
        try await fill(world, 61...65)
        _ = try await pipeline.drain()
        try await world.delete(deleted)
        _ = try await pipeline.drain()

        let reader = try await reader(world, embedder)
        let view = try await reader.view()
        for seed in 1...20 {
            var babble = Babble(seed: UInt64(seed))
            let query = embedder.vector(babble.text(5))
            let expected = try await oracle(world, reader, query, 10)
            #expect(view.search(query, count: 10).map(\.key) == expected)
        }
        let live = try await index.view()
        #expect(view.count == live.count)
    }

    @Test func `a full index says how its limit is raised, and takes the rest when it was`()
        async throws
    {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...40)
        var options = SearchIndex.Options()
        options.capacity = 100
        let small = try await world.pipeline(embedder, options: options)
        let error = await #expect(throws: SearchError.self) { _ = try await small.drain() }
        #expect(error == .indexFull(capacity: 100))
        #expect(error?.hint?.contains("PRELOOP_INDEX_CAPACITY") == true)
        try await #require(small.index).save()
        // The snapshot says how much its index took; what is chosen now counts.
        options.capacity = 200
        let larger = try await world.pipeline(embedder, options: options)
        _ = try await larger.drain()
        #expect(try await larger.verify().isSound)
        let standard = try await world.pipeline(embedder)
        let index = try await #require(standard.index).view().index
        #expect(index.count == 40 * 4 && index.configuration.capacity == 1 << 24)
    }

    @Test func `links that were chosen are made by the next who writes, and readers take both`()
        async throws
    {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...40)
        let standard = try await world.pipeline(embedder)
        _ = try await standard.drain()
        try await #require(standard.index).save()
        var options = SearchIndex.Options()
        options.density = .dense
        let model = try #require(standard.index).model
        func links(_ role: SearchIndex.Role, _ options: SearchIndex.Options) async throws -> Int {
            let index = try await SearchIndex(
                store: world.store,
                identity: embedder.model,
                model: model,
                directory: world.indexDirectory,
                role: role,
                options: options
            )
            let view = try await index.view()
            #expect(view.count == 40 * 4)
            if role == .writer { try await index.save() }
            return view.index.configuration.m
        }
        #expect(try await links(.reader, options) == 16)
        #expect(try await links(.writer, options) == 24)
        #expect(try await links(.reader, SearchIndex.Options()) == 24)
        #expect(try await links(.writer, SearchIndex.Options()) == 16)
    }

    @Test func `the first build from a store puts many windows in side by side`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...100)
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        try FileManager.default.removeItem(atPath: world.snapshotPath)
        let again = try await world.pipeline(embedder)
        let index = try #require(again.index)
        let view = try await index.view()
        #expect(view.count >= SearchIndex.batchMinimum)
        #expect(try await again.verify().isSound)
        for seed in 1...20 {
            var babble = Babble(seed: UInt64(seed))
            let query = embedder.vector(babble.text(5))
            let expected = try await oracle(world, index, query, 10)
            let found = view.search(query, count: 10).map(\.key)
            #expect(Set(found).intersection(expected).count >= 9)
        }
    }

    @Test func `the recall that was chosen decides how a view searches`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 48), identity: "test")
        let embedder = FakeEmbedder()
        let vectors = (0..<2_000).map { number in
            var babble = Babble(seed: UInt64(number))
            return embedder.vector(babble.text(5))
        }
        try index.build(keys: vectors.indices.map(Int64.init), vectors: vectors)
        index.calibrate()
        var differing = 0
        for seed in 5_000..<5_100 {
            var babble = Babble(seed: UInt64(seed))
            let query = embedder.vector(babble.text(5))
            let views = [0.5, 1].map {
                IndexView(index: index, aside: [:], hidden: [], revision: .zero, recall: $0)
                    .search(query, count: 10)
            }
            #expect(views[0] == index.search(query, count: 10, recall: 0.5))
            #expect(views[1] == index.search(query, count: 10, recall: 1))
            if views[0] != views[1] { differing += 1 }
        }
        #expect(differing > 0)
    }

    @Test(arguments: ["garbage", "truncated", "empty", "missing", "flipped", "foreign"])
    func `a snapshot that cannot be used is made anew`(damage: String) async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...40)
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        let path = try #require(pipeline.index).path
        let file = URL(fileURLWithPath: path)
        var bytes = try Data(contentsOf: file)
        switch damage {
        case "garbage": try Data(repeating: 9, count: 5_000).write(to: file)
        case "truncated": try bytes.prefix(bytes.count / 2).write(to: file)
        case "empty": try Data().write(to: file)
        case "missing": try FileManager.default.removeItem(at: file)
        case "flipped":
            bytes[bytes.count - 100] ^= 0x40
            try bytes.write(to: file)
        default:
            let other = try await World()
            try await fill(other, 50...90)
            let foreign = try await other.pipeline(embedder)
            _ = try await foreign.drain()
            try FileManager.default.removeItem(at: file)
            try FileManager.default.copyItem(atPath: other.snapshotPath, toPath: path)
        }
        let again = try await world.pipeline(embedder)
        #expect(try await again.drain().embedded == 0)
        #expect(try await again.verify().isSound)
        let view = try await #require(again.index).view()
        #expect(view.count == 40 * 4)
    }

    @Test func `a snapshot of a future that a restored backup does not know is not used`()
        async throws
    {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...40)
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        let restored = try await world.store.write { connection, account in
            let rows = try connection.rows(
                """
                SELECT revision FROM passages WHERE account_id = \(account)
                ORDER BY revision LIMIT 1 OFFSET 10
                """
            )
            let revision = try rows[0].integer("revision")
            try connection.execute(
                "DELETE FROM passages WHERE account_id = \(account) AND revision > \(revision)"
            )
            try connection.execute(
                "UPDATE accounts SET revision = \(revision) WHERE id = \(account)"
            )
            return revision
        }
        #expect(restored > 0)
        let reader = try await reader(world, embedder)
        #expect(try await reader.view().count == 11)
        // A process that has been running all the while notices as well.
        let index = try #require(pipeline.index)
        #expect(try await index.view().count == 11)
    }

    @Test func `verification names what is wrong`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        try await fill(world, 1...20)
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        // Behind the feed's back: a vector lost, and a text that the lexical index does not know.
        try await world.store.write { connection, account in
            try connection.execute(
                """
                DELETE FROM passages WHERE account_id = \(account) AND id IN (
                    SELECT id FROM passages WHERE account_id = \(account) ORDER BY id LIMIT 1)
                """
            )
            try connection.execute(
                """
                UPDATE issues SET title = 'secretly changed'
                WHERE account_id = \(account) AND key = 'acme/app#3'
                """
            )
        }
        let found = try await pipeline.verify()
        #expect(!found.isSound)
        #expect(found.surplus == 1)
        #expect(found.lexicalFaults == 1)
        _ = try await pipeline.rebuild()
        #expect(try await pipeline.verify().isSound)
    }
}
