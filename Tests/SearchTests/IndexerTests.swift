import Domain
import Embeddings
import Store
import Testing

@testable import Search

@Suite struct IndexerTests {
    @Test func `every text gets its windows and a second run embeds nothing`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        for number in 1...30 {
            var babble = Babble(seed: UInt64(number))
            try await world.put(
                number,
                babble.text(5),
                babble.text(50),
                comments: [babble.text(30), "short"]
            )
        }
        let pipeline = try await world.pipeline(embedder)
        let first = try await pipeline.drain()
        // A title, three windows of the body, two of one comment and one of the other.
        #expect(first.embedded == 30 * 7)
        #expect(embedder.takeTexts().count == 30 * 7)
        #expect(try await pipeline.verify().isSound)

        let second = try await pipeline.drain()
        #expect(second == IndexReport())
        let third = try await world.pipeline(embedder).drain()
        #expect(third.embedded == 0)
        #expect(embedder.takeTexts().isEmpty)
    }

    @Test func `only the windows whose text changed are embedded again`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder(wordsPerWindow: 3)
        try await world.put(1, "title", "a b c d e f g h i", comments: ["one", "two"])
        try await world.put(2, "other", "x y z")
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        _ = embedder.takeTexts()

        try await world.put(1, "title", "a b c d Q f g h i", comments: ["one", "changed"])
        let report = try await pipeline.drain()
        #expect(report.embedded == 2)
        #expect(Set(embedder.takeTexts()) == ["title\nd Q f", "changed"])

        // State and labels are no text.
        try await world.put(2, "other", "x y z") {
            $0.state = .closed
            $0.labels = ["bug"]
        }
        #expect(try await pipeline.drain().embedded == 0)

        // Shorter: windows vanish, nothing is embedded.
        try await world.put(1, "title", "a b c", comments: ["one"])
        let shrunk = try await pipeline.drain()
        #expect(shrunk.embedded == 0)
        #expect(shrunk.removed == 3)
        #expect(try await pipeline.verify().isSound)
    }

    @Test func `windows that only moved keep their vectors`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder(wordsPerWindow: 3)
        try await world.put(1, "title", "a b c d e f")
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        _ = embedder.takeTexts()
        try await world.put(1, "title", "a b c      d e f")
        let report = try await pipeline.drain()
        #expect(report.embedded == 0)
        #expect(report.moved == 1)
        #expect(try await pipeline.verify().isSound)
    }

    @Test func `a deleted issue is not found even before its tombstones are written`() async throws
    {
        let world = try await World()
        let embedder = FakeEmbedder()
        let issue = try await world.put(1, "printer on fire", "smoke", comments: ["it burns"])
        try await world.put(2, "printer out of paper", "refill")
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        try await world.delete(issue)
        for mode in SearchRequest.Mode.allCases {
            var request = SearchRequest(text: "printer fire burns")
            request.mode = mode
            let hits = try await pipeline.search.search(request)
            #expect(hits.map(\.issue.key) == ["acme/app#2"], "\(mode)")
        }
        let report = try await pipeline.drain()
        #expect(report.removed == 3)
        #expect(try await pipeline.verify().isSound)
    }

    @Test func `an issue that comes back has its comments again`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        let issue = try await world.put(1, "printer on fire", "smoke", comments: ["it burns", "a"])
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        let before = try await world.passages(pipeline.model)
        try await world.delete(issue)
        _ = try await pipeline.drain()
        #expect(try await world.passages(pipeline.model).isEmpty)
        try await world.put(1, "printer on fire", "smoke", comments: ["it burns", "a"])
        _ = try await pipeline.drain()
        #expect(try await world.passages(pipeline.model) == before)
        #expect(try await pipeline.verify().isSound)
    }

    @Test(arguments: 0..<12)
    func `a run that breaks off anywhere loses nothing and doubles nothing`(
        calls: Int
    ) async throws {
        let world = try await World()
        for number in 1...20 {
            var babble = Babble(seed: UInt64(number))
            try await world.put(number, babble.text(4), babble.text(45), comments: ["c \(number)"])
        }
        let whole = try await World()
        for number in 1...20 {
            var babble = Babble(seed: UInt64(number))
            try await whole.put(number, babble.text(4), babble.text(45), comments: ["c \(number)"])
        }
        let breaking = FakeEmbedder()
        breaking.fail(afterCalls: calls)
        let first = try await world.pipeline(breaking, page: 4)
        await #expect(
            throws: (any Error).self,
            "the fault must strike for the test to mean anything"
        ) {
            for _ in 0..<2 { _ = try await first.drain() }
            if calls > 9 { throw CancellationError() }
        }
        let second = try await world.pipeline(FakeEmbedder(), page: 4)
        _ = try await second.drain()
        let reference = try await whole.pipeline(FakeEmbedder())
        _ = try await reference.drain()
        #expect(
            try await world.passages(second.model)
                == whole.passages(reference.model)
        )
        #expect(try await second.verify().isSound)
        #expect(try await world.pairsByKey().map(\.keys) == whole.pairsByKey().map(\.keys))
    }

    @Test func `another model embeds everything anew and drops the old vectors`() async throws {
        let world = try await World()
        for number in 1...10 { try await world.put(number, "title \(number)", "body \(number)") }
        let old = try await world.pipeline(FakeEmbedder())
        _ = try await old.drain()
        let embedder = FakeEmbedder(name: "larger", dimension: 96)
        let new = try await world.pipeline(embedder)
        let report = try await new.drain()
        #expect(report.embedded == 20)
        #expect(report.dropped == 20)
        #expect(try await world.passages(old.model).isEmpty)
        #expect(try await new.verify().isSound)
        let models = try await world.store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
        }
        #expect(models.map(\.name) == ["larger"])
        let hits = try await new.search.search(SearchRequest(text: "title 3"))
        #expect(hits.first?.issue.key == "acme/app#3")
    }

    /// The page behind the one being embedded is read meanwhile.
    ///
    /// Texts that change at that moment
    /// are in both, and the second page must know the windows the first one writes: without
    /// `depends(on:)` it would make them a second time, which the table refuses, or leave alive
    /// what belongs to an issue that is gone.
    @Test func `what changes while it is embedded is indexed as it is in the end`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder(wordsPerWindow: 3)
        for number in 1...12 {
            try await world.put(number, "title \(number)", "a b c d e f", comments: ["one", "two"])
        }
        let pipeline = try await world.pipeline(embedder, page: 4)
        embedder.interrupt {
            try await world.put(1, "title 1", "a b c x y z w", comments: ["one", "changed"])
            try await world.delete(try await world.put(2, "title 2", "gone", comments: ["three"]))
            try await world.put(3, "title 3", "a b c d e f", comments: ["one"])
        }
        _ = try await pipeline.drain()
        #expect(try await pipeline.verify().isSound)
        #expect(try await pipeline.backlog() == 0)

        let calm = try await World()
        for number in 1...12 {
            try await calm.put(number, "title \(number)", "a b c d e f", comments: ["one", "two"])
        }
        try await calm.put(1, "title 1", "a b c x y z w", comments: ["one", "changed"])
        try await calm.delete(try await calm.put(2, "title 2", "gone", comments: ["three"]))
        try await calm.put(3, "title 3", "a b c d e f", comments: ["one"])
        let reference = try await calm.pipeline(FakeEmbedder(wordsPerWindow: 3))
        _ = try await reference.drain()
        #expect(
            try await world.passages(pipeline.model).sorted()
                == calm.passages(reference.model).sorted()
        )
    }

    @Test func `a page that cannot be embedded does not cost the page before it`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        for number in 1...12 { try await world.put(number, "title \(number)") }
        let pipeline = try await world.pipeline(embedder, page: 4)
        // The third page fails while the second waits to be written.
        embedder.fail(afterCalls: 2)
        await #expect(throws: EmbeddingError.self) { _ = try await pipeline.drain() }
        #expect(try await pipeline.backlog() == 4)
        embedder.fail(afterCalls: nil)
        #expect(try await pipeline.drain().embedded == 4)
        #expect(try await pipeline.verify().isSound)
    }

    @Test func `it is counted how long changes waited for the embedder`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        for number in 1...8 { try await world.put(number, "title \(number)") }
        let pipeline = try await world.pipeline(embedder, page: 4)
        let started = ContinuousClock.now
        let report = try await pipeline.drain()
        #expect(report.idle > .zero)
        #expect(report.embedding > .zero)
        #expect(report.idle + report.embedding <= ContinuousClock.now - started)
    }

    @Test func `texts without a word have no windows`() async throws {
        let world = try await World()
        try await world.put(1, "   ", "\n\t", comments: [" "])
        let pipeline = try await world.pipeline(FakeEmbedder())
        let report = try await pipeline.drain()
        #expect(report.embedded == 0)
        #expect(report.texts == 2)
        #expect(try await pipeline.backlog() == 0)
    }

    @Test func `the follower works while the feed grows and drains at the end`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder()
        let pipeline = try await world.pipeline(embedder, page: 3)
        let (wakeUps, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        async let indexed = pipeline.run(following: wakeUps)
        for number in 1...25 {
            try await world.put(number, "title \(number)", "body of \(number)")
            wake.yield()
        }
        wake.finish()
        let report = try await indexed
        #expect(report.embedded == 50)
        #expect(try await pipeline.verify().isSound)
    }
}
