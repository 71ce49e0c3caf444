import Domain
import Store
import Testing

@testable import Search

@Suite struct DuplicateTests {
    /// Thirty issues of which every third repeats another in other words.
    private func fill(_ world: World, _ numbers: [Int]) async throws {
        for number in numbers {
            var babble = Babble(seed: UInt64(number / 3))
            var title = babble.text(6)
            var body = babble.text(40)
            if number % 3 != 0 {
                var own = Babble(seed: UInt64(1_000 + number))
                title += " " + own.text(2)
                body += " " + own.text(12)
            }
            let path = number % 2 == 0 ? "acme/app" : "acme/lib"
            try await world.put(number, title, body, in: path)
        }
    }

    @Test func `issues however far apart in time are measured`() {
        let meter = PairMeter(
            statistics: TermStatistics(
                frequencies: [],
                documentCount: 2,
                averageLength: 1,
                averageTitleLength: 1
            )
        )
        func profile(_ issue: Int64, createdAt milliseconds: Int64) -> IssueProfile {
            IssueProfile(
                issue: IssueID(issue),
                project: ProjectID(1),
                kind: .issue,
                createdAt: Timestamp(milliseconds: milliseconds),
                title: nil,
                body: [],
                titleTerms: TermVector([]),
                terms: TermVector([])
            )
        }
        let (first, last) = (profile(1, createdAt: .min), profile(2, createdAt: .max))
        #expect(meter.features(first, last).days > 1e11)
        #expect(meter.features(last, first).days == meter.features(first, last).days)
    }

    @Test func `pairs found step by step are those found at once`() async throws {
        let numbers = Array(1...25)
        let whole = try await World()
        try await fill(whole, numbers)
        let atOnce = try await whole.pipeline(FakeEmbedder(), floor: 0.3)
        _ = try await atOnce.drain()

        let world = try await World()
        let pipeline = try await world.pipeline(FakeEmbedder(), page: 5, floor: 0.3)
        for start in stride(from: 0, to: numbers.count, by: 5) {
            try await fill(world, Array(numbers[start..<start + 5]))
            _ = try await pipeline.drain()
        }
        // The rarity of words has moved since the first pairs were measured; looking again settles
        // it.
        let before = Set(try await world.pairsByKey().map(\.keys))
        let afresh = try await pipeline.rebuild()
        #expect(afresh.embedded == 0)
        let after = try await world.pairsByKey()
        let expected = try await whole.pairsByKey()
        #expect(after.map(\.keys) == expected.map(\.keys))
        for (one, other) in zip(after, expected) { #expect(abs(one.score - other.score) < 1e-6) }
        #expect(!expected.isEmpty)
        let sure = after.filter { $0.score > 0.6 }.map(\.keys)
        #expect(!sure.isEmpty)
        #expect(sure.allSatisfy(before.contains), "sure pairs were found when they arrived")
    }

    @Test func `a pair changes with its issues and vanishes with them`() async throws {
        let world = try await World()
        let text = "the editor crashes when a large file is saved on a network drive"
        let one = try await world.put(1, "crash on save", text)
        let two = try await world.put(2, "crash on save", text, in: "acme/lib")
        let pipeline = try await world.pipeline(FakeEmbedder(), floor: 0.05)
        _ = try await pipeline.drain()
        let pair = try #require(DuplicateTable.Pair(two, one))
        #expect(pair.first == min(one, two))
        let found = try await world.pairs()
        #expect(found.map(\.pair) == [pair])
        #expect(found.first?.features["bodies"]?.double.map { $0 > 0.99 } == true)

        try await world.put(2, "translate the manual", "german and french", in: "acme/lib")
        _ = try await pipeline.drain()
        #expect(try await world.pairs().isEmpty)

        try await world.put(2, "crash on save", text, in: "acme/lib")
        _ = try await pipeline.drain()
        #expect(try await world.pairs().map(\.pair) == [pair])
        try await world.delete(two)
        var listing = DuplicateTable.Listing()
        listing.minimumScore = 0
        #expect(try await Duplicates.list(listing, in: world.store).isEmpty)
        _ = try await pipeline.drain()
        #expect(try await world.pairs().isEmpty)
    }

    @Test(arguments: 0..<5)
    func `the pairs kept are the best of either issue in any order`(seed: Int) async throws {
        var babble = Babble(seed: UInt64(seed))
        let issues = (1...14).map { IssueID(Int64($0)) }
        var all: [DuplicateTable.Scored] = []
        for one in issues {
            for other in issues where one < other && babble.number(below: 4) > 0 {
                let pair = try #require(DuplicateTable.Pair(one, other))
                // Few different scores, so that many are equal.
                let score = 0.5 + Double(babble.number(below: 6)) / 20
                all.append(DuplicateTable.Scored(pair: pair, score: score, features: [:]))
            }
        }
        func pairs(of issue: IssueID, among known: Set<IssueID>) -> [DuplicateTable.Scored] {
            all.filter { scored in
                let both: Set = [scored.pair.first, scored.pair.second]
                return both.contains(issue) && both.isSubset(of: known.union([issue]))
            }.sorted(by: DuplicateTable.isBetter)
        }
        let best = issues.flatMap { pairs(of: $0, among: Set(issues)).prefix(3) }
        let expected = Set(best.map(\.pair)).sorted()
        let mixed = issues.sorted { $0.rawValue % 5 < $1.rawValue % 5 }
        for order in [issues, issues.reversed(), mixed] {
            let world = try await World()
            var known: Set<IssueID> = []
            for issue in order {
                let found = pairs(of: issue, among: known)
                known.insert(issue)
                try await world.store.write { connection, account in
                    try DuplicateTable.replace(
                        of: issue,
                        with: found,
                        keeping: 3,
                        at: Timestamp(milliseconds: 0),
                        account: account,
                        on: connection
                    )
                }
            }
            #expect(try await world.pairs().map(\.pair) == expected)
        }
    }

    @Test func `decided pairs are not listed and stay decided`() async throws {
        let world = try await World()
        let text = "the editor crashes when a large file is saved on a network drive"
        for number in 1...3 { try await world.put(number, "crash on save", text) }
        let pipeline = try await world.pipeline(FakeEmbedder(), floor: 0.05)
        _ = try await pipeline.drain()
        var listing = DuplicateTable.Listing()
        listing.minimumScore = 0.05
        let all = try await Duplicates.list(listing, in: world.store)
        #expect(all.count == 3)
        try await Duplicates.decide(
            all[0].second,
            all[0].first,
            .related,
            by: "ann",
            in: world.store
        )
        let rest = try await Duplicates.list(listing, in: world.store)
        #expect(rest == Array(all.dropFirst()))
        try await world.put(1, "crash on save", text + " again")
        _ = try await pipeline.drain()
        #expect(try await Duplicates.list(listing, in: world.store).count == 2)
        let pair = try #require(DuplicateTable.Pair(all[0].first.issue, all[0].second.issue))
        let verdict = try await world.store.read { connection, account in
            try DuplicateTable.verdict(on: pair, account: account, on: connection)
        }
        #expect(verdict == .related)
    }

    @Test func `listing follows project and state`() async throws {
        let world = try await World()
        let text = "the editor crashes when a large file is saved on a network drive"
        try await world.put(1, "crash on save", text)
        try await world.put(2, "crash on save", text) { $0.state = .closed }
        try await world.put(3, "crash on save", text, in: "acme/lib") { $0.state = .closed }
        try await world.put(4, "crash on save", text) { $0.kind = .pullRequest }
        let pipeline = try await world.pipeline(FakeEmbedder(), floor: 0.05)
        _ = try await pipeline.drain()
        var listing = DuplicateTable.Listing()
        listing.minimumScore = 0.05
        func keys() async throws -> [Set<String>] {
            try await Duplicates.list(listing, in: world.store).map {
                [$0.first.key, $0.second.key]
            }
        }
        #expect(try await keys().count == 3, "a pull request repeats its issue by nature")
        listing.state = .closed
        #expect(try await keys() == [["acme/app#2", "acme/lib#3"]])
        listing.state = .open
        #expect(try await keys().count == 2)
        listing.state = nil
        listing.projects = [try await world.project("acme/lib")]
        #expect(try await keys().count == 2)
        listing.limit = 1
        listing.offset = 2
        #expect(try await keys().isEmpty)
    }
}
