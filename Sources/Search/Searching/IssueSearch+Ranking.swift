import Domain
import Store

extension IssueSearch {
    /// The candidates of a tier in their order, of which no more are measured than it takes.
    ///
    /// The windows of an issue that only its words brought in are not among the nearest, so its
    /// cosine is bounded, and with it its score: where that is less than what the page needs, its
    /// windows are not looked up. What neither side brought in is bounded alike, and what scores
    /// less than that is left to the next tier (the threshold of R. Fagin, A. Lotem, M. Naor,
    /// "Optimal aggregation algorithms for middleware", 2003). An index that approximates misses
    /// some of the nearest; their cosine counts as the bound, so the order is the same however
    /// long a page is.
    struct Ranking: Sendable {
        /// Best first.
        private var measured: ArraySlice<Candidate>
        /// With the greatest score each can have, greatest first.
        private var unmeasured: ArraySlice<Candidate> = []
        private let ceiling: Double
        private let floor: Double
        private let score: @Sendable (Scoring.TextMatch) -> Double

        /// Candidates that are all measured, in any order, and all given out.
        init(_ measured: [Candidate]) {
            self.init(measured, unmeasured: [], ceiling: nil, floor: -.infinity) { _ in 0 }
        }

        /// Candidates in any order.
        ///
        /// - Parameters:
        ///   - measured: With their windows.
        ///   - unmeasured: Issues of which no window is among the nearest.
        ///   - ceiling: More than that no cosine of theirs counts; nil when nothing is known.
        ///   - floor: What scores less is not given out, for others might go before it.
        ///   - score: The formula; greater for a greater cosine.
        init(
            _ measured: [Candidate],
            unmeasured: [Candidate],
            ceiling: Float?,
            floor: Double,
            score: @escaping @Sendable (Scoring.TextMatch) -> Double
        ) {
            self.measured = Self.sorted(measured)
            self.ceiling = ceiling.map(Double.init) ?? .infinity
            self.floor = floor
            self.score = score
            let bound = self.ceiling
            self.unmeasured = Self.sorted(
                unmeasured.map { $0.scored(by: score, counting: bound) }
            )
        }

        /// The cosine of the farthest of the nearest windows; nil when there are no others, for
        /// then there is nothing to save.
        static func ceiling(of nearest: NearestWindows) -> Float? {
            nearest.isAll ? nil : nearest.windows.last?.score
        }

        /// Those that have to be measured before the first `count` are known, the most doubtful
        /// first and no more than `limit`; when there are none, they are known.
        func doubtful(among count: Int, atMost limit: Int = .max) -> [IssueID] {
            var least = floor
            if count > 0, measured.count >= count {
                least = max(least, measured[measured.startIndex + count - 1].score)
            }
            return unmeasured.prefix(limit).prefix { $0.score >= least }.map(\.issue)
        }

        /// Takes what ``doubtful(among:)`` asked for; an issue without a window has a cosine of 0.
        mutating func measure(_ issues: [IssueID], as windows: [IssueID: NearWindow]) {
            let candidates = unmeasured.prefix(issues.count).map { candidate in
                let window = windows[candidate.issue]
                let cosine = Double(window?.score ?? 0)
                var found = candidate.scored(by: score, counting: min(cosine, ceiling))
                found.match.cosine = cosine
                found.passage = window?.passage
                return found
            }
            unmeasured = unmeasured.dropFirst(issues.count)
            measured = Self.sorted(measured + candidates)
        }

        /// Takes the first ones away, at most `count` and none before which others might go: when
        /// nothing is doubtful among so many, they are all there are.
        mutating func next(_ count: Int) -> [Candidate] {
            let bound = unmeasured.first?.score ?? -.infinity
            let settled = measured.prefix(max(count, 0)).prefix {
                $0.score >= floor && $0.score > bound
            }
            measured = measured.dropFirst(settled.count)
            return Array(settled)
        }

        private static func sorted(
            _ candidates: some Sequence<Candidate>
        ) -> ArraySlice<Candidate> {
            candidates.sorted { ($1.score, $0.issue) < ($0.score, $1.issue) }[...]
        }
    }
}

extension IssueSearch.Candidate {
    /// With the score that a cosine gives.
    fileprivate func scored(
        by score: (Scoring.TextMatch) -> Double,
        counting cosine: Double
    ) -> Self {
        var (candidate, counted) = (self, match)
        counted.cosine = cosine
        candidate.score = score(counted)
        return candidate
    }
}
