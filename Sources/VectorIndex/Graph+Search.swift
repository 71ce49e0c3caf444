import LinearAlgebra

extension Graph {
    /// Scratch for searches of this graph.
    func makeScratch() -> SearchScratch { SearchScratch(stride: stride, m: configuration.m) }

    /// Walks greedily from the entry point down to the layer above `layer` and returns the nearest
    /// node found (Algorithm 5 with ef = 1, which needs no search list), with its estimate.
    func descend(toAbove layer: Int, _ scratch: SearchScratch) -> Candidate? {
        guard entryPoint != Self.noSlot else { return nil }
        let codes = codes
        let scores = unsafe scratch.walk.scoreBuffer
        var best = Candidate(score: 0, slot: entryPoint)
        unsafe CodeKernels.estimate(
            codes,
            scratch.query,
            ids: &best.slot,
            count: 1,
            into: &best.score,
            level: level
        )
        var current = topLevel
        while current > layer {
            var improved = true
            while improved {
                improved = false
                let places = unsafe upperPlaces(best.slot, layer: current)
                var count = 0
                while count < configuration.m, unsafe places[count] != Self.noSlot { count += 1 }
                unsafe CodeKernels.estimate(
                    codes,
                    scratch.query,
                    ids: places,
                    count: count,
                    into: scores,
                    level: level
                )
                scratch.walk.scoredCount += count
                for index in 0..<count where unsafe scores[index] > best.score {
                    best = unsafe Candidate(score: scores[index], slot: places[index])
                    improved = true
                }
            }
            current -= 1
        }
        return best
    }

    /// Algorithm 2, SEARCH-LAYER, above layer 0: fills `scratch.walk` with the nodes of a layer
    /// nearest to the query.
    ///
    /// The entry points must already be in the list and in the visited set.
    func searchUpperLayer(_ layer: Int, _ scratch: SearchScratch) {
        let codes = codes
        let (slots, scores) = unsafe (scratch.walk.slotBuffer, scratch.walk.scoreBuffer)
        while let slot = scratch.walk.next() {
            let list = links(slot, layer: layer)
            var count = 0
            for index in 0..<list.capacity {
                let link = list[index]
                if link == Self.noSlot { break }
                unsafe slots[count] = link
                count += scratch.visited.insert(link) ? 1 : 0
            }
            unsafe CodeKernels.score(
                codes,
                scratch.query,
                ids: slots,
                count: count,
                into: scores,
                level: level
            )
            scratch.walk.scoredCount += count
            for index in 0..<count {
                unsafe scratch.walk.offer(slots[index], score: scores[index])
            }
        }
    }

    /// Algorithm 2, SEARCH-LAYER, on layer 0, from what is in the list; scores are estimates.
    func searchBaseLayer(_ stop: CodeStop, _ scratch: SearchScratch) {
        unsafe CodeKernels.walk(
            codes,
            scratch.query,
            stop: stop,
            visited: scratch.visited.pointer,
            &scratch.walk,
            level: level
        )
    }

    /// Begins a walk of layer 0 with a list of `effort` places; false for an empty graph.
    private func beginWalk(effort: Int, _ scratch: SearchScratch) -> Bool {
        scratch.walk.reset(capacity: effort)
        scratch.walk.scoredCount = 0
        guard let start = descend(toAbove: 0, scratch) else { return false }
        scratch.visited.reset(slotCount: slotCount)
        scratch.visited.insert(start.slot)
        scratch.walk.offer(start.slot, score: start.score)
        return true
    }

    /// The approximate nearest nodes of layer 0, left in `scratch.walk`, best first; without
    /// `hidden`, which must not be above layer 0.
    ///
    /// Scores are estimates.
    func search(
        effort: Int,
        stop: CodeStop,
        hiding hidden: UInt32? = nil,
        _ scratch: SearchScratch
    ) {
        guard beginWalk(effort: effort, scratch) else { return }
        if let hidden { scratch.visited.insert(hidden) }
        searchBaseLayer(stop, scratch)
    }

    /// Filtered search: walks all nodes, collects only those that pass into `scratch.results`.
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
        frontier: Int,
        stop: CodeStop,
        budget: Int,
        _ scratch: SearchScratch,
        keys set: KeySet
    ) -> Bool {
        scratch.results.reset(capacity: effort)
        guard beginWalk(effort: frontier, scratch) else { return true }
        return unsafe set.withFilter(keys: UnsafePointer(keys)) { filter in
            unsafe CodeKernels.walk(
                codes,
                scratch.query,
                filter: filter,
                stop: stop,
                budget: budget,
                visited: scratch.visited.pointer,
                &scratch.walk,
                results: &scratch.results,
                level: level
            )
        }
    }

    /// Calls `body` with blocks of the live slots whose keys pass, by ascending slot or key.
    func forEachBlock(of filter: SearchFilter, _ body: (UnsafeBufferPointer<UInt32>) -> Void) {
        guard case .only(let set) = filter else { return unsafe scanStates(nil, body) }
        guard set.count < liveCount / Self.lookupShare else {
            return unsafe set.withFilter(keys: UnsafePointer(keys)) {
                unsafe scanStates($0, body)
            }
        }
        unsafe slots(of: set).withUnsafeBufferPointer { unsafe body($0) }
    }

    /// The slots of the vectors whose keys are in a set, by ascending key.
    private func slots(of set: KeySet) -> [UInt32] {
        if let known = set.found.slots(in: self) { return known }
        let slotCount = slotCount
        var slots: [UInt32] = []
        slots.reserveCapacity(set.count)
        // Keys that were inserted in order have slots in order: where the next one would be then is
        // looked at before the table.
        var last: (key: Int64, slot: Int) = (0, 0)
        set.forEach { key in
            let guess = last.slot &+ Int(truncatingIfNeeded: key &- last.key)
            if guess >= 0, guess < slotCount, unsafe keys[guess] == key, isLive(UInt32(guess)) {
                slots.append(UInt32(guess))
                last = (key, guess)
            } else if let slot = table.slot(of: key) {
                slots.append(slot)
                last = (key, Int(slot))
            }
        }
        set.found.keep(slots, in: self)
        return slots
    }

    /// Looking up the keys of a set one by one is cheaper than testing every slot when fewer than
    /// one in so many passes.
    private static let lookupShare = 2
    /// Slots tested at once.
    private static let stateBlock = 1024

    private func scanStates(
        _ filter: CodeFilter?,
        _ body: (UnsafeBufferPointer<UInt32>) -> Void
    ) {
        let room = Self.stateBlock + 1
        unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: room) { ids in
            guard let base = ids.baseAddress else { return }
            var start = 0
            while start < slotCount {
                let end = min(start + Self.stateBlock, slotCount)
                let count = unsafe CodeKernels.passing(
                    filter,
                    states: states,
                    range: UInt32(start)..<UInt32(end),
                    into: base,
                    level: level
                )
                unsafe body(UnsafeBufferPointer(start: base, count: count))
                start = end
            }
        }
    }

    /// Leaves the best of all passing vectors in `scratch.results`, by estimates.
    ///
    /// Besides the `count` best it leaves what `rank` has to score to be sure of them.
    func scan(_ filter: SearchFilter, count: Int, _ scratch: SearchScratch) {
        let capacity = max(count + Self.scanRoom, Self.fewestScored(count))
        scratch.results.resetForScan(capacity: capacity)
        let margin = Self.estimateMargin * scratch.query.scale
        let stop = CodeStop(wanted: count, reach: 0, margin: margin)
        let codes = codes
        unsafe forEachBlock(of: filter) { ids in
            guard let start = ids.baseAddress else { return }
            unsafe CodeKernels.scan(
                codes,
                scratch.query,
                ids: start,
                count: ids.count,
                stop: stop,
                best: &scratch.results,
                level: level
            )
        }
        CodeKernels.settle(stop, &scratch.results, level: level)
    }

    /// Places for rows whose estimates leave open whether they are hits: many where a filter
    /// excludes the query's surroundings, because the middle of all scores is dense.
    private static let scanRoom = 1_024

    /// Scores slots with both planes and offers them to `best`.
    @unsafe
    func scoreFully(
        _ ids: UnsafeBufferPointer<UInt32>,
        _ scratch: SearchScratch,
        into best: inout TopHits
    ) {
        let codes = codes
        let scores = unsafe scratch.walk.scoreBuffer
        var start = 0
        while start < ids.count, let base = ids.baseAddress {
            let count = min(CodeWalk.block, ids.count - start)
            unsafe CodeKernels.scoreFully(
                codes,
                scratch.query,
                ids: base + start,
                count: count,
                into: scores,
                level: level
            )
            for index in 0..<count {
                let score = unsafe scores[index] * scratch.norm
                guard score >= best.worstScore else { continue }
                unsafe best.offer(IndexHit(key: key(ids[start + index]), score: score))
            }
            start += count
        }
    }

    /// Scores of slots with both planes, in their order.
    func scores(of ids: [UInt32], _ scratch: SearchScratch) -> [Float] {
        var found: [Float] = []
        found.reserveCapacity(ids.count)
        let buffer = unsafe scratch.walk.scoreBuffer
        unsafe ids.withUnsafeBufferPointer { ids in
            while found.count < ids.count, let base = ids.baseAddress {
                let start = found.count
                let count = min(CodeWalk.block, ids.count - start)
                unsafe CodeKernels.scoreFully(
                    codes,
                    scratch.query,
                    ids: base + start,
                    count: count,
                    into: buffer,
                    level: level
                )
                for index in 0..<count { unsafe found.append(buffer[index] * scratch.norm) }
            }
        }
        return found
    }

    /// Scores every passing vector with both planes.
    func scanFully(_ filter: SearchFilter, _ scratch: SearchScratch, best: inout TopHits) {
        unsafe forEachBlock(of: filter) { ids in
            unsafe scoreFully(ids, scratch, into: &best)
        }
    }

    /// The best hits of what passed a filter, `scratch.results`, scored again.
    func rankResults(count k: Int, _ scratch: SearchScratch) -> [IndexHit] {
        swap(&scratch.walk, &scratch.results)
        return rank(count: k, scratch)
    }

    /// The best hits of `scratch.walk`, a list of estimates, scored again.
    ///
    /// With high bytes is scored what comes within `estimateMargin` of the last wanted rank, then
    /// with all bytes what comes within `roundingMargin` of it.
    func rank(count k: Int, _ scratch: SearchScratch) -> [IndexHit] {
        var best = TopHits(capacity: k)
        let margin = Self.estimateMargin * scratch.query.scale
        let fewest = Self.fewestScored(k)
        let count = Self.near(scratch.walk, k, margin: margin, atLeast: fewest)
        guard count > 0 else { return [] }
        CodeKernels.refine(codes, scratch.query, count: count, &scratch.walk, level: level)
        let rest = Self.near(
            scratch.walk,
            k,
            margin: Self.roundingMargin * scratch.query.scale,
            atLeast: k + 4
        )
        unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: rest) { ids in
            for index in 0..<rest { unsafe ids[index] = scratch.walk.slot(index) }
            unsafe scoreFully(UnsafeBufferPointer(ids), scratch, into: &best)
        }
        return best.hits
    }

    /// Estimates that are scored again at least for `k` hits; what a scan leaves (`code_scan.h`).
    private static func fewestScored(_ k: Int) -> Int { 2 * k + 16 }

    /// How many of a list come within a margin of rank `k`, or `fewest`, whose reason is that small
    /// dimensions have errors which no normal distribution describes.
    private static func near(
        _ list: borrowing CodeWalk,
        _ k: Int,
        margin: Float,
        atLeast fewest: Int
    ) -> Int {
        var count = min(list.count, k)
        guard count > 0 else { return 0 }
        let floor = list.score(count - 1) - margin
        while count < list.count, list.score(count) >= floor { count += 1 }
        return max(count, min(list.count, fewest))
    }

    /// Four standard deviations of a score by high bytes, in units of `1 / |v|`: each byte is
    /// rounded by 256 / sqrt(12) = 74, of both vectors.
    static let roundingMargin: Float = 4 * 74 * 1.414
    /// Three standard deviations of the difference of two estimates, in the same units: half a byte
    /// is rounded by 4096 / sqrt(12) = 1182, of the stored vectors alone.
    static let estimateMargin: Float = 3 * 1182 * 1.414
}
