import Domain
import Embeddings
import Store
import Testing

@testable import Search

/// What `preloop index verify` finds of texts whose windows are not what they should be.
@Suite struct VerificationTests {
    /// Three issues with comments, indexed.
    private struct Indexed {
        let world: World
        let pipeline: IndexPipeline

        init(_ embedder: FakeEmbedder = FakeEmbedder(wordsPerWindow: 3)) async throws {
            world = try await World()
            for number in 1...3 {
                try await world.put(number, "title \(number)", "a b c d e", comments: ["one"])
            }
            pipeline = try await world.pipeline(embedder)
            _ = try await pipeline.drain()
        }

        /// Says that everything was looked at, as a fault of the indexer would.
        func skipBacklog() async throws {
            let follower = Indexer.follower(of: pipeline.model)
            try await world.store.write { connection, account in
                try FollowerTable.advance(
                    follower,
                    to: try AccountTable.currentRevision(account: account, on: connection),
                    account: account,
                    on: connection
                )
            }
        }
    }

    @Test func `what waits is no fault`() async throws {
        let indexed = try await Indexed()
        let issue = try await indexed.world.put(4, "new", "f g")
        try await indexed.world.put(1, "changed", "a b c d e", comments: ["one"])
        try await indexed.world.delete(issue)
        let found = try await indexed.pipeline.verify()
        #expect(found.isSound, "\(found)")
        #expect(found.backlog > 0)
    }

    @Test func `a comment whose issue is about to go is no fault`() async throws {
        let indexed = try await Indexed()
        let first = try await indexed.pipeline.search.resolve("acme/app#1").issue
        try await indexed.world.delete(first)
        let found = try await indexed.pipeline.verify()
        #expect(found.unembedded == 0 && found.outdated == 0, "\(found)")
    }

    @Test func `texts that were passed over are found and mended`() async throws {
        let indexed = try await Indexed()
        try await indexed.world.put(4, "new", "f g", comments: ["two"])
        try await indexed.world.put(1, "changed", "a b c d e", comments: ["one"])
        try await indexed.world.put(2, "title 2", "a b c", comments: ["one"])
        try await indexed.skipBacklog()
        let found = try await indexed.pipeline.verify()
        // A title, a window of the body and a comment; a title and two windows that follow it.
        #expect(found.unembedded == 6)
        // The second window of what was shortened.
        #expect(found.outdated == 1)
        #expect(found.backlog == 0)
        #expect(!found.isSound)
        _ = try await indexed.pipeline.drain()
        #expect(try await !indexed.pipeline.verify().isSound)
        let report = try await indexed.pipeline.rebuild()
        #expect(report.embedded == 6)
        #expect(report.removed == 1)
        let mended = try await indexed.pipeline.verify()
        #expect(mended.isSound, "\(mended)")
    }

    @Test func `windows that are gone from the store are found`() async throws {
        let indexed = try await Indexed()
        let model = indexed.pipeline.model
        _ = try await indexed.world.store.write { connection, account in
            try connection.execute(
                """
                DELETE FROM passages WHERE account_id = \(account) AND model_id = \(model)
                    AND part = 'body' AND position = 1
                """
            )
        }
        #expect(try await indexed.pipeline.verify().unembedded == 3)
    }
}
