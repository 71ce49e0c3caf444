import LinearAlgebra

extension Graph {
    /// Scratch for searches with lists of up to `queueCapacity`.
    func makeScratch(queueCapacity: Int) -> SearchScratch {
        SearchScratch(
            rowStride: rowStride,
            batch: max(Self.scanBlock, configuration.m * 2),
            queueCapacity: queueCapacity,
            slotCount: slotCount
        )
    }

    /// Rows scored at once by an exact scan.
    static let scanBlock = 256

    /// Walks greedily from the entry point down to the layer above `layer` and returns the nearest
    /// node found (Algorithm 5 with ef = 1, which needs no search list).
    func descend(toAbove layer: Int, _ scratch: inout SearchScratch) -> Candidate? {
        guard entryPoint != Self.noSlot else { return nil }
        let score = unsafe DistanceKernels.dot(scratch.query, row(entryPoint), count: rowStride)
        var best = Candidate(score: score, slot: entryPoint)
        var current = topLevel
        while current > layer {
            var improved = true
            while improved {
                improved = false
                let list = links(best.slot, layer: current)
                let count = list.count
                unsafe DistanceKernels.dotGathered(
                    query: scratch.query,
                    rows: vectors,
                    stride: rowStride,
                    ids: list.pointer,
                    count: count,
                    into: scratch.scores
                )
                scratch.scoredCount += count
                for index in 0..<count where unsafe scratch.scores[index] > best.score {
                    best = unsafe Candidate(score: scratch.scores[index], slot: list[index])
                    improved = true
                }
            }
            current -= 1
        }
        return best
    }

    /// Algorithm 2, SEARCH-LAYER: fills `scratch.queue` with the nodes of a layer nearest to the
    /// query.
    ///
    /// The entry points must already be in the queue and in the visited set.
    func searchLayer(_ layer: Int, _ scratch: inout SearchScratch) {
        while let slot = scratch.queue.next() {
            let count = scoreUnvisitedLinks(of: slot, layer: layer, &scratch)
            for index in 0..<count {
                unsafe scratch.queue.offer(
                    Candidate(score: scratch.scores[index], slot: scratch.slots[index])
                )
            }
        }
    }

    /// Gathers the links of a node that were not visited before into `scratch.slots` and scores
    /// them all in one call, which lets the kernel prefetch rows; returns how many there are.
    @inline(__always)
    func scoreUnvisitedLinks(
        of slot: UInt32,
        layer: Int,
        _ scratch: inout SearchScratch
    ) -> Int {
        let list = links(slot, layer: layer)
        var count = 0
        for index in 0..<list.capacity {
            let link = list[index]
            if link == Self.noSlot { break }
            // Branchless: whether a link was visited is close to a coin toss.
            unsafe scratch.slots[count] = link
            count += scratch.visited.insert(link) ? 1 : 0
        }
        unsafe DistanceKernels.dotGathered(
            query: scratch.query,
            rows: vectors,
            stride: rowStride,
            ids: UnsafePointer(scratch.slots),
            count: count,
            into: scratch.scores
        )
        scratch.scoredCount += count
        return count
    }

    /// The approximate nearest nodes of layer 0, left in `scratch.queue`, best first.
    func search(effort: Int, _ scratch: inout SearchScratch) {
        scratch.queue.reset(capacity: effort)
        guard let start = descend(toAbove: 0, &scratch) else { return }
        _ = scratch.visited.insert(start.slot)
        scratch.queue.offer(start)
        searchLayer(0, &scratch)
    }

    /// Filtered search: walks all nodes, collects only those that pass into `scratch.queue`.
    ///
    /// The frontier is kept apart from the results and goes on until `effort` passing nodes are
    /// known and nothing nearer is left, so the walk widens by itself as the filter narrows (the
    /// rule of hnswlib's filtered search). Where the filter excludes the query's whole
    /// surroundings the walk would visit most of the graph; it gives up when it has scored more
    /// rows than `budget`.
    ///
    /// - Returns: Whether the search came to its end within the budget.
    func searchFiltered(
        effort: Int,
        budget: Int,
        _ scratch: inout SearchScratch,
        passes: (UInt32) -> Bool
    ) -> Bool {
        scratch.queue.reset(capacity: effort)
        guard let start = descend(toAbove: 0, &scratch) else { return true }
        _ = scratch.visited.insert(start.slot)
        var frontier = CandidateHeap()
        frontier.push(start)
        if passes(start.slot) { scratch.queue.offer(start) }
        while let nearest = frontier.pop() {
            if scratch.queue.isFull, nearest.score < scratch.queue.worstScore { return true }
            let count = scoreUnvisitedLinks(of: nearest.slot, layer: 0, &scratch)
            for index in 0..<count {
                let candidate = unsafe Candidate(
                    score: scratch.scores[index],
                    slot: scratch.slots[index]
                )
                guard candidate.score > scratch.queue.worstScore else { continue }
                frontier.push(candidate)
                if passes(candidate.slot) { scratch.queue.offer(candidate) }
            }
            if scratch.scoredCount > budget { return false }
        }
        return true
    }

    /// Scores every live vector against the query, block by block, and offers them to `best`.
    func scanAll(_ scratch: inout SearchScratch, passes: (Int64) -> Bool, best: inout TopHits) {
        var start = 0
        while start < slotCount {
            let count = min(Self.scanBlock, slotCount - start)
            unsafe DistanceKernels.dotRows(
                query: scratch.query,
                rows: vectors + start * rowStride,
                stride: rowStride,
                count: count,
                into: scratch.scores
            )
            for index in 0..<count {
                let slot = UInt32(start + index)
                let score = unsafe scratch.scores[index]
                guard score >= best.worstScore, isLive(slot), passes(key(slot)) else { continue }
                best.offer(IndexHit(key: key(slot), score: score))
            }
            start += count
        }
    }

    /// Scores exactly the vectors whose keys are in `keys` and offers them to `best`.
    func scan(_ keys: KeySet, _ scratch: inout SearchScratch, best: inout TopHits) {
        guard keys.count < liveCount / 2 else {
            return scanAll(&scratch, passes: keys.contains, best: &best)
        }
        var slots: [UInt32] = []
        slots.reserveCapacity(keys.count)
        keys.forEach { key in
            if let slot = slotsByKey[key] { slots.append(slot) }
        }
        // In slot order the scan walks forward through memory.
        slots.sort()
        unsafe slots.withUnsafeBufferPointer { ids in
            var start = 0
            while start < ids.count {
                guard let base = ids.baseAddress else { break }
                let count = min(Self.scanBlock, ids.count - start)
                unsafe DistanceKernels.dotGathered(
                    query: scratch.query,
                    rows: vectors,
                    stride: rowStride,
                    ids: base + start,
                    count: count,
                    into: scratch.scores
                )
                for index in 0..<count where unsafe scratch.scores[index] >= best.worstScore {
                    let key = unsafe key(ids[start + index])
                    unsafe best.offer(IndexHit(key: key, score: scratch.scores[index]))
                }
                start += count
            }
        }
    }
}

/// The best hits seen so far, in result order; ties at the end of the list are decided by key too.
struct TopHits {
    private(set) var hits: [IndexHit] = []
    let capacity: Int
    /// Score a hit must reach to matter; minus infinity while there is room.
    private(set) var worstScore: Float = -.infinity

    /// Makes an empty list of at most `capacity` hits.
    init(capacity: Int) {
        self.capacity = capacity
        hits.reserveCapacity(min(capacity, 1024) + 1)
    }

    /// Puts a hit in its place, or leaves it when `capacity` better ones are known.
    ///
    /// NaN is never a hit.
    mutating func offer(_ hit: IndexHit) {
        guard !hit.score.isNaN else { return }
        if hits.count == capacity {
            guard let last = hits.last, IndexHit.precedes(hit, last) else { return }
            hits.removeLast()
        }
        var low = 0
        var high = hits.count
        while low < high {
            let middle = (low + high) / 2
            if IndexHit.precedes(hits[middle], hit) { low = middle + 1 } else { high = middle }
        }
        hits.insert(hit, at: low)
        if hits.count == capacity, let last = hits.last { worstScore = last.score }
    }
}
