import LinearAlgebra
import Synchronization

extension HNSWIndex {
    /// Most hits one search returns.
    package static let maximumHitCount = 10_000
    /// Largest search list.
    package static let maximumEffort = 20_000
    /// Search list length when the caller names none and the index is not calibrated: recall@10 of
    /// 0.99 on 50,000 issue texts (DESIGN.md, Measured).
    package static let defaultEffort = 96
    /// Recall that is aimed at when the caller names nothing and the index is calibrated.
    package static let defaultRecall = 0.99

    /// The stored vectors nearest to a query, by walking the graph.
    ///
    /// - Parameters:
    ///   - query: `(dimension)` numbers; scores are cosines if it has unit length. Another length
    ///     is a
    ///     programmer's error and traps.
    ///   - k: Hits wanted, at most 10,000; 0 gives none.
    ///   - effort: Length of the search list (`ef` in the paper), at least `k` whatever is given;
    ///     nil takes what the calibration says for a recall of 0.99, or `max(96, 2 k)`.
    ///   - reach: Ends a walk early: nodes whose squared distance exceeds that of the `k`-th best
    ///     by this factor are not followed. 0 follows all of the list.
    ///   - filter: Which vectors may be returned. Narrow filters are scanned exactly.
    /// - Returns: At most `k` hits, nearest first, equal scores by ascending key.
    package func search(
        _ query: [Float],
        count k: Int,
        effort: Int? = nil,
        reach: Float = 0,
        filter: SearchFilter = .all
    ) -> [IndexHit] {
        requireQuery(query, count: k)
        if effort == nil, reach == 0 {
            return search(query, count: k, recall: Self.defaultRecall, filter: filter)
        }
        let effort = min(max(effort ?? max(Self.defaultEffort, 2 * k), k), Self.maximumEffort)
        let stop = CodeStop(wanted: k, reach: reach)
        return search(query, count: k, effort: effort, stop: stop, filter: filter)
    }

    /// The stored vectors nearest to a query, by scoring all that pass the filter: the truth that
    /// `search` approximates.
    ///
    /// Exact of what is stored, 16 bits per number: a score is within 1e-5 of the inner product
    /// with the inserted vector's direction, so that ranks may differ where scores are that near.
    /// O(passing rows).
    ///
    /// - Parameters:
    ///   - query: `(dimension)` numbers, as for `search`.
    ///   - k: Hits wanted, at most 10,000.
    ///   - filter: Which vectors may be returned.
    /// - Returns: The `k` nearest, nearest first, equal scores by ascending key.
    package func exactSearch(
        _ query: [Float],
        count k: Int,
        filter: SearchFilter = .all
    ) -> [IndexHit] {
        requireQuery(query, count: k)
        guard k > 0 else { return [] }
        return withScratch { scratch in
            guard scratch.setQuery(query, level: graph.level) else { return [] }
            return lock.read {
                var best = TopHits(capacity: k)
                graph.scanFully(filter, scratch, best: &best)
                return best.hits
            }
        }
    }

    /// The stored vectors nearest to the one stored under `key`, without itself.
    ///
    /// - Parameters:
    ///   - key: A stored key.
    ///   - k: Hits wanted, less than 10,000.
    ///   - effort: As for `search`.
    ///   - filter: As for `search`.
    /// - Returns: Hits as `search` returns them; nil when nothing is stored under `key`.
    package func neighbours(
        ofKey key: Int64,
        count k: Int,
        effort: Int? = nil,
        filter: SearchFilter = .all
    ) -> [IndexHit]? {
        guard let vector = vector(forKey: key) else { return nil }
        guard k > 0 else { return [] }
        let hits = search(vector, count: k + 1, effort: effort, filter: filter)
        return Array(hits.lazy.filter { $0.key != key }.prefix(k))
    }

    /// Scores of stored vectors, as exact as those of ``exactSearch(_:count:filter:)``.
    ///
    /// - Parameters:
    ///   - keys: Of any vectors.
    ///   - query: `(dimension)` numbers, as for `search`.
    /// - Returns: In the order of `keys`; nil where nothing is stored under a key.
    package func scores(of keys: [Int64], to query: [Float]) -> [Float?] {
        requireQuery(query, count: 0)
        return withScratch { scratch in
            let isNull = !scratch.setQuery(query, level: graph.level)
            return lock.read {
                let slots = keys.map { graph.table.slot(of: $0) }
                var scores = isNull ? [] : graph.scores(of: slots.compactMap { $0 }, scratch)[...]
                return slots.map { slot in slot == nil ? nil : isNull ? 0 : scores.removeFirst() }
            }
        }
    }

    private func requireQuery(_ query: [Float], count k: Int) {
        precondition(
            query.count == configuration.dimension,
            "query has another dimension than the index"
        )
        precondition((0...Self.maximumHitCount).contains(k), "hit count out of range")
    }

    /// A search whose parameters have been checked.
    func search(
        _ query: [Float],
        count k: Int,
        effort: Int,
        stop: CodeStop,
        filter: SearchFilter
    ) -> [IndexHit] {
        guard k > 0 else { return [] }
        return withScratch { scratch in
            guard scratch.setQuery(query, level: graph.level) else { return [] }
            return lock.read {
                let effort = min(effort, max(graph.liveCount, 1))
                return searchLocked(scratch, count: k, effort: effort, stop: stop, filter: filter)
            }
        }
    }

    /// A search under the read lock.
    private func searchLocked(
        _ scratch: SearchScratch,
        count k: Int,
        effort: Int,
        stop: CodeStop,
        filter: SearchFilter
    ) -> [IndexHit] {
        switch filter {
        case .all:
            graph.search(effort: effort, stop: stop, scratch)
            return graph.rank(count: k, scratch)
        case .only(let keys):
            let passing = min(keys.count, graph.liveCount)
            guard passing > 0 else { return [] }
            // Room for what estimates put behind the hits.
            let effort = max(effort, 2 * k + Self.filteredRoom)
            if scanIsCheaper(passing: passing, effort: effort)
                || !graph.searchFiltered(
                    effort: effort,
                    frontier: Self.frontierShare * effort * graph.liveCount / passing,
                    stop: stop,
                    // Twice the scan's cost is the most a filtered search may come to.
                    budget: passing,
                    scratch,
                    keys: keys
                )
            {
                graph.scan(filter, count: k, scratch)
            }
            return graph.rankResults(count: k, scratch)
        }
    }

    /// Entries a filtered walk keeps beyond twice the hits: with as many as hits, on 48 numbers,
    /// where estimates are coarse, it found 0.6 of them.
    private static let filteredRoom = 16

    /// Entries of a filtered walk's frontier, per place of the list and inverse share that passes.
    private static let frontierShare = 4

    /// Whether scanning the passing rows costs less than walking the graph.
    ///
    /// A walk scores about `walkCost * effort` rows when everything passes and the inverse share
    /// more under a filter; a scan scores each passing row once, in memory order.
    private func scanIsCheaper(passing: Int, effort: Int) -> Bool {
        let share = Double(passing) / Double(max(graph.liveCount, 1))
        return Double(passing) * share <= Self.walkCost * Double(effort)
    }

    /// Rows scored per search list entry, times their cost against rows of a scan: on 50,000 x 384
    /// a scan of 20 % takes 33 us and a walk 46 at the least effort there is for ten hits, and of
    /// half of all a scan takes what a walk takes at effort 160.
    private static let walkCost = 60.0
}
