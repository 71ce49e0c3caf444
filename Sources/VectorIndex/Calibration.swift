import Glibc
import LinearAlgebra
import Synchronization

/// What recall each rung of a ladder of search settings has on one index, so that callers can ask
/// for a recall instead of for a list length.
struct Calibration: Equatable, Sendable {
    /// A setting of the walk.
    struct Rung: Equatable, Sendable {
        /// Length of the search list for ten hits.
        let effort: Int
        /// See `CodeStop`.
        let reach: Float

        /// Length of the search list for as much recall among `k` hits.
        ///
        /// The hits themselves, and as many more as are needed at the edge of what is found, which
        /// grows more slowly than that: with twenty times the list for twenty times the hits,
        /// 0.9998 of two hundred were found where 0.99 were asked for (docs/benchmarks.md,
        /// `recall`). At least as many as are scored again, for a list is ordered by estimates.
        func effort(for k: Int) -> Int {
            guard k > Calibration.hits else { return effort }
            let growth = cbrt(Double(k) / Double(Calibration.hits))
            return max(k + Int(Double(effort - Calibration.hits) * growth), 2 * k + 16)
        }
    }

    /// Settings by ascending cost: those that were fastest for their recall on 50,000 x 384.
    static let ladder: [Rung] = [
        Rung(effort: 16, reach: 1.1), Rung(effort: 24, reach: 1.1), Rung(effort: 32, reach: 1.1),
        Rung(effort: 48, reach: 1.12), Rung(effort: 64, reach: 1.12),
        Rung(effort: 64, reach: 1.16), Rung(effort: 96, reach: 1.16),
        Rung(effort: 128, reach: 1.16), Rung(effort: 192, reach: 1.16),
        Rung(effort: 256, reach: 1.2), Rung(effort: 256, reach: 1.25),
        Rung(effort: 384, reach: 1.3), Rung(effort: 512, reach: 1.3),
        Rung(effort: 512, reach: 1.4), Rung(effort: 1024, reach: 1.6),
        Rung(effort: 4096, reach: 0),
    ]

    /// Hits that recall was measured with.
    static let hits = 10
    /// Vectors that stand for queries: enough that one rung is told from the next.
    static let sampleCount = 200
    /// Fewer vectors are not worth it: the default settings find all.
    static let smallestCount = 1_000

    /// Stored vectors when it was measured; 0 when it was not.
    var vectorCount = 0
    /// Recall of each rung.
    var recalls: [Float] = []

    /// Whether an index needs another calibration: a quarter of its vectors came, went or were
    /// replaced, which is two changes.
    ///
    /// - Parameters:
    ///   - count: Its vectors.
    ///   - changes: Vectors that came or went since this one was measured.
    /// - Returns: Never for few vectors.
    func isStale(for count: Int, after changes: Int) -> Bool {
        guard count >= Self.smallestCount else { return false }
        return abs(count - vectorCount) * 4 > vectorCount || changes > vectorCount / 2
    }

    /// The cheapest rung that reaches a recall, or the last.
    func rung(for recall: Double) -> Rung? {
        guard let last = Self.ladder.last, recalls.count == Self.ladder.count else { return nil }
        return zip(Self.ladder, recalls).first { Double($1) >= recall }?.0 ?? last
    }
}

extension HNSWIndex {
    /// Measures how much the walk finds with each setting, by taking stored vectors as queries and
    /// comparing with exact search.
    ///
    /// Each stands for a query that is not stored: its own node is hidden from the walk. `save`
    /// does this when a quarter of the vectors has changed; O(200 vectors compared with
    /// all).
    package func calibrate() {
        let measured = withScratch { scratch in
            let sample = lock.read { graph.calibrationSample() }
            var found = [Int](repeating: 0, count: Calibration.ladder.count)
            var wanted = 0
            for key in sample {
                let result = lock.read { graph.recallOfEachRung(key: key, scratch) }
                guard let result else { continue }
                wanted += Calibration.hits
                for (index, count) in result.enumerated() { found[index] += count }
            }
            return (found, wanted)
        }
        guard measured.1 > 0 else { return }
        let count = writer.withLock { _ in
            graph.uncalibratedChanges = 0
            return graph.liveCount
        }
        calibration.withLock {
            $0.vectorCount = count
            $0.recalls = measured.0.map { Float($0) / Float(measured.1) }
        }
    }

    /// Calibrates when what is known no longer fits.
    func calibrateIfStale() {
        let (count, changes) = writer.withLock { _ in
            (graph.liveCount, graph.uncalibratedChanges)
        }
        if calibration.withLock({ $0.isStale(for: count, after: changes) }) { calibrate() }
    }

    /// The stored vectors nearest to a query, with so much effort that a share of the true nearest
    /// is found.
    ///
    /// - Parameters:
    ///   - query: As for the other `search`.
    ///   - k: Hits wanted, at most 10,000.
    ///   - recall: Share of the nearest to find on average, 0 to 1. Holds for queries that are to
    ///     the stored vectors as these are to each other, once the index has been calibrated;
    ///     before, the default effort is used.
    ///   - filter: As for the other `search`.
    /// - Returns: At most `k` hits, nearest first, equal scores by ascending key.
    package func search(
        _ query: [Float],
        count k: Int,
        recall: Double,
        filter: SearchFilter = .all
    ) -> [IndexHit] {
        precondition((0...1).contains(recall), "recall out of range")
        guard let rung = calibration.withLock({ $0.rung(for: recall) }) else {
            return search(query, count: k, effort: max(Self.defaultEffort, 2 * k), filter: filter)
        }
        return search(
            query,
            count: k,
            effort: rung.effort(for: k),
            reach: rung.reach,
            filter: filter
        )
    }
}

extension Graph {
    /// Keys of vectors spread over the slots, none of which a descent passes through.
    fileprivate func calibrationSample() -> [Int64] {
        var keys: [Int64] = []
        let step = max(1, slotCount / Calibration.sampleCount)
        var end = 0
        while end < slotCount {
            let start = end
            end = min(start + step, slotCount)
            let slot = (start..<end).first { isLive(UInt32($0)) && level(UInt32($0)) == 0 }
            if let slot { keys.append(key(UInt32(slot))) }
        }
        return keys
    }

    /// How many of the nearest to a stored vector each rung of the ladder finds; nil when it is
    /// gone or has too few others.
    ///
    /// A rung behind one that finds them all is taken to find them all as well: most of the work
    /// would be that of the dearest.
    fileprivate func recallOfEachRung(key: Int64, _ scratch: SearchScratch) -> [Int]? {
        guard let slot = table.slot(of: key), liveCount > Calibration.hits else { return nil }
        scratch.norm = 1
        scratch.query.load(slot, of: codes, level: level)
        let wanted = Calibration.hits
        scan(.all, count: wanted + 1, scratch)
        let nearest = rankResults(count: wanted + 1, scratch)
            .filter { $0.key != key }.prefix(wanted)
        guard let floor = nearest.last?.score else { return nil }
        var found = 0
        return Calibration.ladder.map { rung in
            guard found < wanted else { return wanted }
            let stop = CodeStop(wanted: wanted, reach: rung.reach)
            let effort = min(rung.effort, liveCount)
            search(effort: effort, stop: stop, hiding: slot, scratch)
            let hits = rank(count: wanted, scratch)
            found = min(wanted, hits.count { $0.score >= floor })
            return found
        }
    }
}
