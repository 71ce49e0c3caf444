import Domain
import Store
import TestSupport
import Testing

@testable import Search

/// The order of a tier's candidates, measured as far as it is asked for.
@Suite struct RankingTests {
    private struct Case {
        var near: [IssueSearch.Candidate] = []
        var wordy: [IssueSearch.Candidate] = []
        /// What the store knows of the issues that only words brought in.
        var windows: [IssueID: NearWindow] = [:]
        var ceiling: Float

        /// Some near issues, others with words; of these one in nine is nearer than the ceiling,
        /// as if the index had missed it, and one in seven has no window.
        init(using random: inout some RandomNumberGenerator) {
            ceiling = Float.random(in: 0.2...0.6, using: &random)
            for issue in 1...Int64.random(in: 1...120, using: &random) {
                // Few values: many scores are equal.
                let lexical = (Double.random(in: 0...1, using: &random) * 20).rounded() / 20
                if Bool.random(using: &random) {
                    let cosine = Float.random(in: (ceiling - 0.1)...1, using: &random)
                    near.append(Self.candidate(issue, Double(cosine), lexical))
                    continue
                }
                wordy.append(Self.candidate(issue, 0, lexical))
                guard issue % 7 > 0 else { continue }
                let highest = issue % 9 == 0 ? 1 : ceiling
                windows[IssueID(issue)] = NearWindow(
                    passage: PassageID(issue),
                    issue: IssueID(issue),
                    score: Float.random(in: -0.2...highest, using: &random)
                )
            }
        }

        static func candidate(
            _ issue: Int64,
            _ cosine: Double,
            _ lexical: Double
        ) -> IssueSearch.Candidate {
            let match = Scoring.TextMatch(cosine: cosine, lexical: lexical)
            let score = Scoring.relevance(match)
            return .init(issue: IssueID(issue), match: match, score: score, passage: nil)
        }

        /// The whole order, with everything measured.
        var order: [IssueID] {
            let measured = wordy.map { candidate in
                let cosine = min(windows[candidate.issue]?.score ?? 0, ceiling)
                return Self.candidate(
                    candidate.issue.rawValue,
                    Double(cosine),
                    candidate.match.lexical ?? 0
                )
            }
            return (near + measured).sorted { ($1.score, $0.issue) < ($0.score, $1.issue) }
                .map(\.issue)
        }

        var ranking: IssueSearch.Ranking {
            ranking(floor: -.infinity)
        }

        func ranking(floor: Double) -> IssueSearch.Ranking {
            .init(near, unmeasured: wordy, ceiling: ceiling, floor: floor) {
                Scoring.relevance($0)
            }
        }
    }

    @Test func `however long the pages, the order is that of everything measured`() {
        var random = SeededGenerator(seed: 5)
        var (measured, all) = (0, 0)
        for _ in 0..<400 {
            let example = Case(using: &random)
            var (ranking, found) = (example.ranking, [IssueID]())
            var isFirst = true
            while true {
                let count = Int.random(in: 1...30, using: &random)
                let doubtful = ranking.measureDoubtful(among: count, as: example.windows)
                if isFirst {
                    measured += doubtful
                    all += example.wordy.count
                    isFirst = false
                }
                // More than is settled is never given out.
                let next = ranking.next(count + Int.random(in: 0...9, using: &random))
                guard !next.isEmpty else { break }
                for candidate in next {
                    let window = example.windows[candidate.issue]
                    guard example.wordy.contains(where: { $0.issue == candidate.issue }) else {
                        continue
                    }
                    // What is shown is what was measured, also where less of it counts.
                    #expect(candidate.match.cosine == Double(window?.score ?? 0))
                    #expect(candidate.passage == window?.passage)
                }
                found += next.map(\.issue)
            }
            #expect(found == example.order)
        }
        #expect(measured < all * 3 / 4, "\(measured) of \(all) were measured for a first page")
    }

    @Test func `what scores less than others may is not given out, however long the pages`() {
        var random = SeededGenerator(seed: 6)
        var kept = 0
        for _ in 0..<400 {
            let example = Case(using: &random)
            let floor = Double.random(in: 0.1...0.7, using: &random)
            var (ranking, found) = (example.ranking(floor: floor), [IssueID]())
            while true {
                let count = Int.random(in: 1...30, using: &random)
                ranking.measureDoubtful(among: count, as: example.windows)
                let next = ranking.next(count)
                guard !next.isEmpty else { break }
                #expect(next.allSatisfy { $0.score >= floor })
                found += next.map(\.issue)
            }
            #expect(found.elementsEqual(example.order.prefix(found.count)))
            kept += example.order.count - found.count
            // Nothing that may be given out is left behind.
            var whole = example.ranking
            whole.measureDoubtful(among: .max, as: example.windows)
            #expect(whole.next(.max).count { $0.score >= floor } == found.count)
        }
        #expect(kept > 0)
    }

    @Test func `some are measured at a time, and those before which others may go are kept`() {
        let near = (1...2).map { Case.candidate($0, 0.5, 0) }
        let wordy = (3...200).map { Case.candidate($0, 0, 0.5 - Double($0) / 1_000) }
        var ranking = IssueSearch.Ranking(
            near,
            unmeasured: wordy,
            ceiling: 0.5,
            floor: -.infinity
        ) { Scoring.relevance($0) }
        let some = ranking.doubtful(among: 10, atMost: 64)
        #expect(some.count == 64 && ranking.doubtful(among: 10).count == 198)
        #expect(ranking.next(10).isEmpty)
        let far = some.map {
            ($0, NearWindow(passage: PassageID($0.rawValue), issue: $0, score: 0.5))
        }
        ranking.measure(some, as: Dictionary(uniqueKeysWithValues: far))
        #expect(ranking.doubtful(among: 10).isEmpty)
        // All 64 go before those whose words are fewer, and nothing is known of what comes after.
        #expect(ranking.next(100).map(\.issue) == some)
    }

    @Test func `everything is measured without a bound, and where candidates are few`() {
        let near = (1...5).map { Case.candidate($0, 0.9, 0) }
        let wordy = (6...9).map { Case.candidate($0, 0, 0.1) }
        let unknown = IssueSearch.Ranking(
            near,
            unmeasured: wordy,
            ceiling: nil,
            floor: -.infinity
        ) { Scoring.relevance($0) }
        #expect(Set(unknown.doubtful(among: 2)) == Set((6...9).map { IssueID($0) }))
        let known = IssueSearch.Ranking(
            near,
            unmeasured: wordy,
            ceiling: 0.3,
            floor: -.infinity
        ) { Scoring.relevance($0) }
        #expect(known.doubtful(among: 5).isEmpty)
        #expect(known.doubtful(among: 6).count == 4)
    }

    @Test func `the bound is the farthest of the nearest, and none where there are no others`() {
        let windows = (0..<10).map {
            NearWindow(passage: PassageID($0), issue: IssueID($0), score: 1 - Float($0) / 10)
        }
        let some = NearestWindows(windows: windows, isAll: false)
        #expect(IssueSearch.Ranking.ceiling(of: some) == windows[9].score)
        #expect(IssueSearch.Ranking.ceiling(of: .init(windows: windows, isAll: true)) == nil)
        #expect(IssueSearch.Ranking.ceiling(of: .init(windows: [], isAll: false)) == nil)
    }
}

/// What two connections have found each.
struct NearestWindowsTests {
    private func windows(_ scores: [Int64: Float], isAll: Bool) -> NearestWindows {
        let windows = scores.map { NearWindow(passage: .init($0), issue: .init($0), score: $1) }
        return NearestWindows(
            windows: windows.sorted { ($1.score, $0.passage) < ($0.score, $1.passage) },
            isAll: isAll
        )
    }

    @Test func `the nearest of both, equal scores by age`() {
        let low = windows([1: 0.9, 2: 0.5, 4: 0.1], isAll: true)
        let high = windows([3: 0.5, 5: 0.7], isAll: true)
        let all = NearestWindows(low, high, atMost: 5)
        #expect(all.windows.map(\.passage.rawValue) == [1, 5, 2, 3, 4])
        #expect(all.isAll)
        let some = NearestWindows(high, low, atMost: 3)
        #expect(some.windows.map(\.passage.rawValue) == [1, 5, 2])
        #expect(!some.isAll)
        // That one side has more says that there are others.
        #expect(!NearestWindows(windows([7: 1], isAll: false), high, atMost: 5).isAll)
    }
}

extension IssueSearch.Ranking {
    /// Measures until nothing is doubtful among the first ones.
    ///
    /// - Returns: How many were measured.
    @discardableResult
    fileprivate mutating func measureDoubtful(
        among count: Int,
        as windows: [IssueID: NearWindow]
    ) -> Int {
        var measured = 0
        while true {
            let doubtful = doubtful(among: count, atMost: 16)
            guard !doubtful.isEmpty else { return measured }
            measured += doubtful.count
            let known = windows.filter { doubtful.contains($0.key) }
            measure(doubtful, as: known)
        }
    }
}
