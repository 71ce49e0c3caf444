import Domain
import StoreTestSupport
import Testing

@testable import Store

/// Lists in memory against FTS5, asked for the same phrases.
///
/// Which phrases an index chooses depends on how often their terms stand in it, and that it knows
/// roughly: two index objects that choose for themselves find different documents.
@Suite struct LexicalCacheTests {
    private let weights = [
        LexicalWeights(title: 2.3, body: 1, comments: 0.7),
        LexicalWeights(title: 1, body: 1, comments: 0),
    ]
    /// Frequent ones first; with accents, vowel signs and scripts without spaces.
    private static let words = [
        "the", "printer", "crash", "crashes", "kernel", "panic", "café", "cafe", "naïve", "缺陷报告",
        "界面缺陷", "缺", "नमस्ते", "किताब", "ไทย", "x86", "é", "e\u{301}", "straße", "ﬁle",
        "0x7f", "timeout", "2024", "ÅNGSTRÖM", "half½",
    ]

    private struct Given {
        var id: Int64
        var title: String
        var body: String
        var comment: String?
        var isDeleted = false
    }

    /// Numbers that are the same in every run.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state ^ state >> 29) &* 0xBF58_476D_1CE4_E5B9
        }

        /// Small ones most often.
        mutating func word() -> String {
            let words = LexicalCacheTests.words
            let place = Double.random(in: 0..<1, using: &self)
            return words[Int(place * place * Double(words.count))]
        }

        mutating func text(_ counts: ClosedRange<Int>) -> String {
            (0..<Int.random(in: counts, using: &self)).map { _ in word() }.joined(separator: " ")
        }

        mutating func issue(_ id: Int64) -> Given {
            Given(
                id: id,
                title: text(1...4),
                body: text(0...30),
                comment: Bool.random(using: &self) ? text(1...6) : nil
            )
        }
    }

    /// Writes straight into the tables; the index looks at nothing else.
    private func put(_ issues: [Given], into store: Store) async throws {
        try await store.write { connection, account in
            let instant = Timestamp(milliseconds: 1)
            for given in issues {
                let revisions = try AccountTable.nextRevisions(2, account: account, on: connection)
                try connection.execute(
                    """
                    INSERT INTO issues (
                        account_id, id, project_id, external_id, kind, number, key, title, body,
                        state, labels, assignees, created_at, updated_at, url, content_hash,
                        deleted_at, revision
                    ) VALUES (
                        \(account), \(given.id), 1, \("\(given.id)"), 'issue', \(given.id),
                        \("K-\(given.id)"), \(given.title), \(given.body), 'open', '[]', '[]',
                        \(instant), \(instant), '', \([UInt8(1)]),
                        \(given.isDeleted ? instant : nil), \(revisions[0])
                    ) ON CONFLICT (account_id, id) DO UPDATE SET title = excluded.title,
                        body = excluded.body, deleted_at = excluded.deleted_at,
                        revision = excluded.revision
                    """
                )
                guard let comment = given.comment else { continue }
                try connection.execute(
                    """
                    INSERT INTO comments (
                        account_id, id, issue_id, project_id, external_id, body, created_at,
                        updated_at, content_hash, revision
                    ) VALUES (
                        \(account), \(given.id + 1_000_000), \(given.id), 1, \("\(given.id)"),
                        \(comment), \(instant), \(instant), \([UInt8(1)]), \(revisions[1])
                    ) ON CONFLICT (account_id, id) DO UPDATE SET body = excluded.body,
                        revision = excluded.revision
                    """
                )
            }
        }
    }

    /// Asks both; every document and every bit of its score must be the same.
    private func compare(
        _ warm: LexicalIndex,
        _ numbers: inout Numbers,
        _ place: String
    ) async throws {
        for _ in 0..<6 {
            let text = numbers.text(1...5)
            let query = try await warm.selected([LexicalQuery(text: text)])[0]
            guard !query.isEmpty else { continue }
            for weights in weights {
                let expected = try await warm.walkedScores(of: query, weights: weights)
                let answer = try await warm.cachedScores(of: query, weights: weights)
                guard case .scores(let found) = answer else {
                    Issue.record("\(place): `\(text)` does not fit")
                    continue
                }
                let (all, mine) = (expected.best(.max), found.best(.max))
                #expect(found.count == expected.count, "\(place): `\(text)`")
                #expect(mine.map(\.issue) == all.map(\.issue), "\(place): `\(text)`")
                #expect(
                    mine.map(\.score.bitPattern) == all.map(\.score.bitPattern),
                    "\(place): `\(text)`"
                )
                // Once more without the file: everything is known by now.
                let cache = try #require(await warm.cache)
                let remembered = await LexicalIndex.rememberedScores(
                    of: query,
                    weights: weights,
                    cache: cache,
                    counts: warm.termCounts
                )
                let again = try #require(remembered, "\(place): `\(text)`").best(.max)
                #expect(again.map(\.issue) == all.map(\.issue), "\(place): `\(text)`")
                #expect(
                    again.map(\.score.bitPattern) == all.map(\.score.bitPattern),
                    "\(place): `\(text)`"
                )
            }
        }
    }

    /// An index that has been asked, so that it answers from its lists from now on.
    private func warmIndex(_ path: String, of store: Store) async throws -> LexicalIndex {
        let index = try await LexicalIndex(path: path, of: store)
        try await index.follow(store)
        _ = try await index.scores(of: LexicalQuery(text: "printer"), weights: weights[0])
        _ = try await index.scores(of: LexicalQuery(text: "printer"), weights: weights[0])
        return index
    }

    @Test(arguments: [1, 2, 3])
    func `lists in memory give the scores of FTS5 bit for bit whatever is written`(
        seed: UInt64
    ) async throws {
        let scratch = try await Engine.sqlite.store()
        let store = scratch.store
        var numbers = Numbers(state: seed)
        // Even ones first, so that some come in between later.
        let first = (1...150).map { numbers.issue(Int64($0) * 2) }
        try await put(first, into: store)
        let warm = try await warmIndex(scratch.directory.path("lexical"), of: store)
        let isFilled = await warm.cache?.documents.count == 150
        #expect(isFilled, "the second question fills the lists")
        let writer = try await LexicalIndex(path: warm.path, of: store)
        try await compare(warm, &numbers, "seed \(seed), at first")
        for round in 0..<25 {
            let issues = (0..<Int.random(in: 1...6, using: &numbers)).map { _ in
                // Behind all others, mostly; sometimes one of those before, or between them.
                let isNew = Bool.random(using: &numbers)
                let id =
                    isNew
                    ? Int64(1_000 + round * 10) + .random(in: 0...9, using: &numbers)
                    : round % 8 == 7
                        ? .random(in: 1...300, using: &numbers)
                        : 2 * .random(in: 1...150, using: &numbers)
                var issue = numbers.issue(id)
                issue.isDeleted = Int.random(in: 0..<4, using: &numbers) == 0
                return issue
            }
            try await put(issues, into: store)
            // By itself, or by another process.
            try await (Bool.random(using: &numbers) ? warm : writer).follow(store)
            try await compare(warm, &numbers, "seed \(seed), round \(round)")
        }
    }

    @Test func `lists that missed too much are read anew, as when the file was`() async throws {
        let scratch = try await Engine.sqlite.store()
        let store = scratch.store
        var numbers = Numbers(state: 9)
        let count = LexicalCache.Limits.changes + 200
        try await put((1...count).map { numbers.issue(Int64($0)) }, into: store)
        let warm = try await warmIndex(scratch.directory.path("lexical"), of: store)
        try await compare(warm, &numbers, "at first")
        // In parts the changes are kept until there are too many, at once they are not read at all.
        for part in [400, 400, 400, count] {
            try await put((1...part).map { numbers.issue(Int64($0)) }, into: store)
            try await warm.follow(store)
            try await compare(warm, &numbers, "\(part) written")
        }
        let other = try await LexicalIndex(path: warm.path, of: store)
        try await other.rebuild(from: store)
        try await compare(warm, &numbers, "made anew")
    }
}

@Suite struct LexicalCacheLimitTests {
    private var nothing: LexicalCache.List {
        LexicalCache.List(postings: LexicalPostings(), revision: Revision(1))
    }

    /// They had no documents, so they counted nothing and were never dropped.
    @Test func `lists of phrases that nothing has are dropped too`() {
        var cache = LexicalCache(generation: 1, revision: Revision(1))
        let bound = LexicalCache.Limits.entries / LexicalCache.Limits.listEntries
        for start in stride(from: 0, to: bound + 20_000, by: 10_000) {
            let phrases = (start..<start + 10_000).map { ["é\($0)"] }
            cache.keep(Dictionary(uniqueKeysWithValues: phrases.map { ($0, nothing) }))
        }
        #expect(cache.lists.count <= bound)
        #expect(cache.list(of: ["é\(bound + 10_000)"], isPlain: false) != nil)
        #expect(cache.list(of: ["é0"], isPlain: false) == nil)
    }

    @Test func `terms of changed documents are kept up to a limit`() {
        var cache = LexicalCache(generation: 1, revision: Revision(1))
        cache.keep([["a"]: nothing])
        let each = LexicalCache.Limits.terms / 4
        let words = (0..<each).map { ("w\($0)", PhraseCounts(body: 1)) }
        let counts = Dictionary(uniqueKeysWithValues: words)
        for revision in Int64(2)...7 {
            let change = LexicalCache.Change(place: 0, revision: Revision(revision), counts: counts)
            cache.advance(to: Revision(revision), with: [change])
        }
        #expect(cache.changes.map(\.revision) == [4, 5, 6, 7].map { Revision($0) })
        // It has not taken in what is no longer known.
        #expect(cache.lists.isEmpty)
    }

    /// Two questions at once may have brought the same lists to different states.
    @Test func `what others added to the documents does not count as the same places`() {
        var first = LexicalDocuments()
        _ = first.append(1, length: 3)
        var second = first
        #expect(first.hasPlaces(of: second))
        _ = first.append(2, length: 3)
        first.countAsAnotherReading()
        _ = second.append(3, length: 3)
        second.countAsAnotherReading()
        #expect(!first.hasPlaces(of: second))
    }
}

@Suite struct LexicalPostingsTests {
    @Test func `what does not fit is refused`() {
        var postings = LexicalPostings()
        let taken = [
            postings.append(3, PhraseCounts(title: 511, body: 16_383, comments: 16_383)),
            postings.append(3, PhraseCounts(title: 1)),
            postings.append(4, PhraseCounts(title: 512)),
            postings.append(4, PhraseCounts(body: 16_384)),
            postings.append(LexicalPostings.maximumPlaces, PhraseCounts(body: 1)),
            postings.append(LexicalPostings.maximumPlaces - 1, PhraseCounts(comments: 1)),
        ]
        #expect(taken == [true, false, false, false, false, true])
        #expect(postings.entries.map(LexicalPostings.place) == [3, (1 << 27) - 1])
    }

    @Test func `a document's counts are put in the place of those before`() {
        var postings = LexicalPostings()
        for place in [2, 5, 9] { _ = postings.append(place, PhraseCounts(title: place)) }
        let taken = [
            postings.set(5, PhraseCounts(body: 7)), postings.set(2, PhraseCounts()),
            postings.set(3, PhraseCounts()), postings.set(7, PhraseCounts(comments: 1)),
            postings.set(7, PhraseCounts(title: 600)),
        ]
        #expect(taken == [true, true, true, true, false])
        let weights = LexicalWeights(title: 100, body: 10, comments: 1)
        let found = postings.entries.map {
            (LexicalPostings.place(of: $0), LexicalPostings.frequency(of: $0, weights: weights))
        }
        #expect(found.map(\.0) == [5, 7, 9])
        #expect(found.map(\.1) == [70, 1, 900])
    }
}
