import Domain
import Embeddings
import Foundation
import Store
import Testing
import VectorIndex

@testable import Search

/// A snapshot compared with the store before anything makes it anew.
struct SnapshotExaminationTests {
    private static let count = 40

    private struct Made {
        let world: World
        let pipeline: IndexPipeline
        let model: EmbeddingModelTable.Row

        func examine() async throws -> SnapshotExamination? {
            try await SnapshotExamination(
                store: world.store,
                model: model,
                directory: world.indexDirectory
            )
        }

        /// Changes the file behind everybody's back.
        func damage(
            revision change: Int64 = 0,
            _ body: (HNSWIndex) throws -> Void = { _ in }
        ) async throws {
            let owner = try await world.store.read { connection, account in
                try StoreIdentity.text(account: account, on: connection)
            }
            let identity = FakeEmbedder().model
            let index = try HNSWIndex.open(
                path: world.snapshotPath,
                expecting: SearchIndex.name(owner, model.id, identity),
                dimension: identity.dimension
            )
            try body(index)
            try index.save(to: world.snapshotPath, revision: index.revision + change)
        }
    }

    private func made() async throws -> Made {
        let world = try await World()
        for number in 1...Self.count {
            var babble = Babble(seed: UInt64(number))
            try await world.put(number, babble.text(6))
        }
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        let models = try await world.store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
        }
        return Made(world: world, pipeline: pipeline, model: models[0])
    }

    @Test func `a whole snapshot has no fault, and what came later only waits`() async throws {
        let made = try await made()
        let whole = try #require(try await made.examine())
        #expect(whole.windows == Self.count && whole.vectors == Self.count)
        #expect(whole.faultCount == 0 && whole.waiting == 0)
        try await made.world.put(99, "one more of them")
        _ = try await made.pipeline.drain()
        let later = try #require(try await made.examine())
        #expect(later.faultCount == 0 && later.waiting == 1)
        try FileManager.default.removeItem(atPath: made.world.snapshotPath)
        #expect(try await made.examine() == nil)
    }

    @Test(arguments: PassageVectorTable.FaultKind.allCases)
    func `every way in which it can differ is found and mended`(
        kind: PassageVectorTable.FaultKind
    ) async throws {
        let made = try await made()
        var expected = 1
        switch kind {
        case .missing: try await made.damage { _ = $0.remove(key: $0.keys[3]) }
        case .different:
            try await made.damage { index in
                try index.insert(
                    key: index.keys[3],
                    vector: FakeEmbedder().vector("something else altogether")
                )
            }
        case .surplus:
            try await made.damage { index in
                try index.insert(key: 1_000_000, vector: FakeEmbedder().vector("nobody's"))
            }
        case .stale:
            // Of a future that a store put back from a backup does not know.
            try await made.damage(revision: 1_000)
            expected = Self.count
        }
        let found = try #require(try await made.examine())
        #expect(found.faults == [kind: expected])
        try await SnapshotExamination.rebuild(
            store: made.world.store,
            model: made.model,
            directory: made.world.indexDirectory
        )
        let after = try #require(try await made.examine())
        #expect(after.faultCount == 0 && after.windows == Self.count)
    }

    @Test func `a file that cannot be read is an error of the index`() async throws {
        let made = try await made()
        try Data(repeating: 9, count: 5_000)
            .write(to: URL(fileURLWithPath: made.world.snapshotPath))
        await #expect(throws: VectorIndexError.self) { try await made.examine() }
    }
}
