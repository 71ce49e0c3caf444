import LinearAlgebra

/// Two stored vectors that are near each other.
package struct NearPair: Equatable, Hashable, Sendable {
    /// The smaller key.
    package let first: Int64
    /// The larger key.
    package let second: Int64
    /// Their cosine, of both bytes of each number.
    package let score: Float
}

extension HNSWIndex {
    /// Rows compared with each other at a time: small enough to stay near the processor.
    private static let joinBlock: UInt32 = 256

    /// All pairs of stored vectors whose cosine reaches a threshold.
    ///
    /// High bytes are compared first; what a bound on their error cannot exclude is compared with
    /// both, so nothing is lost. O(n^2) comparisons. Writers get their turn between blocks; what
    /// they change meanwhile may be missed.
    ///
    /// - Parameters:
    ///   - threshold: Smallest cosine, above the error of high bytes.
    ///   - limit: Most pairs to return.
    /// - Returns: At most `limit` pairs, in no order, each once.
    package func pairs(atLeast threshold: Float, limit: Int) -> [NearPair] {
        precondition(limit > 0, "a limit of at least one pair")
        return withScratch { scratch in
            var found: [NearPair] = []
            let margin = lock.read { graph.largestHighByteError() }
            var start: UInt32 = 0
            while found.count < limit {
                let isLast = lock.read {
                    let end = min(start + Self.joinBlock, UInt32(graph.slotCount))
                    graph.joinBlock(
                        start..<end,
                        threshold: threshold,
                        margin: margin,
                        limit: limit,
                        scratch,
                        into: &found
                    )
                    start = end
                    return Int(end) == graph.slotCount
                }
                if isLast { break }
            }
            return found
        }
    }

    /// Nearly all pairs of stored vectors whose cosine reaches a threshold, found by a short walk
    /// of the graph around each.
    ///
    /// - Parameters:
    ///   - threshold: Smallest cosine.
    ///   - slack: How far below the threshold nodes are still followed; more finds more.
    ///   - limit: Most pairs to return.
    /// - Returns: At most `limit` pairs, by keys, each once.
    package func approximatePairs(
        atLeast threshold: Float,
        slack: Float = 0.1,
        limit: Int
    ) -> [NearPair] {
        precondition(limit > 0 && slack >= 0, "join parameters out of range")
        var found: Set<NearPair> = []
        withScratch { scratch in
            for key in keys where found.count < limit {
                lock.read {
                    graph.joinWalk(
                        key,
                        threshold: threshold,
                        slack: slack,
                        limit: limit,
                        scratch,
                        into: &found
                    )
                }
            }
        }
        return found.sorted { ($0.first, $0.second) < ($1.first, $1.second) }
    }
}

extension Graph {
    /// Most by which a score of high bytes can differ from one of both, by Cauchy and Schwarz: with
    /// r the largest length of low bytes, 2 r (1 + r) + r^2.
    fileprivate func largestHighByteError() -> Float {
        var largest: Float = 0
        for slot in 0..<slotCount where isLive(UInt32(slot)) {
            var squares = 0
            for index in (slot * stride)..<((slot + 1) * stride) {
                let low = unsafe Int(lowPlane[index]) - 128
                squares &+= low &* low
            }
            largest = unsafe max(largest, Float(squares).squareRoot() * scales[slot])
        }
        return 2 * largest * (1 + largest) + largest * largest + 1e-6
    }

    /// Compares the rows of a block with each other and with all before them.
    fileprivate func joinBlock(
        _ block: Range<UInt32>,
        threshold: Float,
        margin: Float,
        limit: Int,
        _ scratch: SearchScratch,
        into found: inout [NearPair]
    ) {
        let atOnce = CodeKernels.pairedRows
        let room = (block.count / atOnce + 1) * atOnce
        let pairs = atOnce * block.count + 1
        let codes = codes
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: room * stride) { rows in
            unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 2 * pairs) { slots in
                guard let rows = rows.baseAddress, let lefts = slots.baseAddress else { return }
                // What fills the last four is compared and not used.
                unsafe rows.initialize(repeating: 0, count: room * stride)
                unsafe CodeKernels.unpack(codes, range: block, into: rows, level: level)
                var buffer = [Int8](repeating: 0, count: atOnce * stride)
                var start: UInt32 = 0
                while start < block.upperBound, found.count < limit {
                    let end = min(start + UInt32(atOnce), block.upperBound)
                    let count = unsafe CodeKernels.nearPairs(
                        codes,
                        rows: start..<end,
                        range: block,
                        block: rows,
                        floor: threshold - margin,
                        buffer: &buffer,
                        lefts: lefts,
                        rights: lefts + pairs,
                        level: level
                    )
                    for index in 0..<count where found.count < limit {
                        let (left, right) = unsafe (lefts[index], lefts[pairs + index])
                        // Each pair comes once.
                        guard left < right else { continue }
                        let pair = confirm(left, right, threshold, scratch)
                        if let pair { found.append(pair) }
                    }
                    start = end
                }
            }
        }
    }

    /// Two live slots as a pair when their cosine reaches the threshold.
    private func confirm(
        _ left: UInt32,
        _ right: UInt32,
        _ threshold: Float,
        _ scratch: SearchScratch
    ) -> NearPair? {
        guard isLive(left), isLive(right) else { return nil }
        scratch.other.load(left, of: codes, level: level)
        var (id, score) = (right, Float(0))
        unsafe CodeKernels.scoreFully(
            codes,
            scratch.other,
            ids: &id,
            count: 1,
            into: &score,
            level: level
        )
        guard score >= threshold else { return nil }
        let (first, second) = (key(left), key(right))
        return NearPair(first: min(first, second), second: max(first, second), score: score)
    }

    /// Adds the pairs of one vector that a walk from its node finds.
    fileprivate func joinWalk(
        _ key: Int64,
        threshold: Float,
        slack: Float,
        limit: Int,
        _ scratch: SearchScratch,
        into found: inout Set<NearPair>
    ) {
        guard let slot = table.slot(of: key) else { return }
        scratch.query.load(slot, of: codes, level: level)
        scratch.norm = 1
        scratch.walk.reset(capacity: Self.joinEffort)
        scratch.visited.reset(slotCount: slotCount)
        scratch.visited.insert(slot)
        scratch.walk.offer(slot, score: 1)
        let stop = CodeStop(wanted: 1, reach: 0, floor: threshold - slack)
        searchBaseLayer(stop, scratch)
        for rank in 0..<scratch.walk.count where found.count < limit {
            let other = scratch.walk.slot(rank)
            guard other != slot, scratch.walk.score(rank) >= threshold - slack else { continue }
            var (id, score) = (other, Float(0))
            unsafe CodeKernels.scoreFully(
                codes,
                scratch.query,
                ids: &id,
                count: 1,
                into: &score,
                level: level
            )
            guard score >= threshold else { continue }
            let second = self.key(other)
            found.insert(
                NearPair(first: min(key, second), second: max(key, second), score: score)
            )
        }
    }

    /// Neighbours of one vector that a join keeps.
    private static let joinEffort = 1_000
}
