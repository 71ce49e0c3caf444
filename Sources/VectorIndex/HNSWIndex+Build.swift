import Dispatch
import Synchronization

extension HNSWIndex {
    /// Vectors planned side by side, which do not find each other by walking but are compared with
    /// each other one by one.
    private static let largestBatch = 256
    /// A batch is at most this share of what is stored, so that comparing stays a small part.
    private static let batchShare = 16
    /// Insertions that are put into place at a time.
    private static let insertionsPerLock = 8

    /// Stores many vectors, on several threads: faster than one by one, and the same graph
    /// whatever the number of threads.
    ///
    /// Places in the graph are looked for side by side, links are changed one by one. Searches go
    /// on meanwhile; other writers get their turn between batches.
    ///
    /// - Parameters:
    ///   - keys: One for each vector. Of equal keys the last counts, as with `insert`.
    ///   - vectors: `(dimension)` numbers each; their lengths are made 1.
    ///   - threads: Threads to use, 1 to 256.
    /// - Throws: `notUnitLength` before anything is stored; `full` or `outOfMemory`, then a part is
    ///   stored.
    package func build(
        keys: [Int64],
        vectors: [[Float]],
        threads: Int = 1
    ) throws(VectorIndexError) {
        precondition(keys.count == vectors.count, "a key for each vector")
        precondition((1...256).contains(threads), "number of threads out of range")
        let failure = withScratch { scratch -> VectorIndexError? in
            for (key, vector) in zip(keys, vectors) {
                precondition(
                    vector.count == configuration.dimension,
                    "vector has another dimension than the index"
                )
                guard scratch.measure(vector) else {
                    return .notUnitLength(key: key, norm: scratch.norm)
                }
            }
            return nil
        }
        if let failure { throw failure }
        let workers = (0..<threads).map { _ in graph.makeScratch() }
        // Tables that are outgrown on the way leave gaps in the allocator's memory. Where vectors
        // are stored already, the keys may be theirs.
        writer.withLock { _ in lock.write { graph.reserveKeys(keys.count) } }
        var next = 0
        while next < keys.count {
            next = try writer.withLock { (_) throws(VectorIndexError) in
                let end = newKeys(keys, from: next)
                guard end > next else {
                    // A stored key, or a graph too small for batches.
                    let result = insert(key: keys[next], vector: vectors[next], workers[0])
                    try result.get()
                    return next + 1
                }
                return try insertBatch(next..<end, keys, vectors, workers)
            }
        }
    }

    /// End of the batch of keys from `start` on that are not stored and differ from each other.
    private func newKeys(_ keys: [Int64], from start: Int) -> Int {
        let limit = min(Self.largestBatch, graph.liveCount / Self.batchShare)
        guard limit > 1 else { return start }
        var seen: Set<Int64> = []
        var end = start
        while end < keys.count, end - start < limit, graph.table.slot(of: keys[end]) == nil,
            seen.insert(keys[end]).inserted
        {
            end += 1
        }
        return end
    }

    /// Inserts a batch of new keys, up to one that will be higher than the graph is; the caller
    /// holds `writer`.
    ///
    /// Plans know the layers that are there: two of one batch above them would not be linked.
    ///
    /// - Returns: The end of those that were inserted.
    private func insertBatch(
        _ range: Range<Int>,
        _ keys: [Int64],
        _ vectors: [[Float]],
        _ workers: [SearchScratch]
    ) throws(VectorIndexError) -> Int {
        var slots: [UInt32] = []
        for offset in 0..<range.count {
            let slot = try graph.prepareSlot(offset: offset)
            slots.append(slot)
            let (seed, m) = (graph.configuration.seed, graph.configuration.m)
            if Graph.level(ofSlot: Int(slot), seed: seed, m: m) > graph.topLevel { break }
        }
        let range = range.prefix(slots.count)
        let plans = plans(for: slots, range, vectors, workers)
        var start = 0
        while start < plans.count {
            let end = min(start + Self.insertionsPerLock, plans.count)
            for index in start..<end { widen(for: plans[index].slot) }
            for index in start..<end {
                if index + 1 < plans.count { graph.expect(plans[index + 1]) }
                graph.stage(plans[index], key: keys[range.lowerBound + index], workers[0])
            }
            putIntoPlace()
            start = end
        }
        return range.endIndex
    }

    /// Stores the rows of a batch, then plans their insertion, side by side.
    private func plans(
        for slots: [UInt32],
        _ range: Range<Int>,
        _ vectors: [[Float]],
        _ workers: [SearchScratch]
    ) -> [InsertionPlan] {
        let batch = BuildBatch(slots: slots, vectors: vectors, start: range.lowerBound, workers)
        batchInWork = batch
        defer { batchInWork = nil }
        inParallel(workers.count) { $0.storeRows(worker: $1) }
        inParallel(workers.count) { $0.planInsertions(worker: $1) }
        return batch.plans.compactMap { $0 }
    }

    /// Calls `body` on so many threads.
    private func inParallel(
        _ threads: Int,
        _ body: @Sendable (HNSWIndex, Int) -> Void
    ) {
        guard threads > 1 else { return body(self, 0) }
        DispatchQueue.concurrentPerform(iterations: threads) { worker in body(self, worker) }
    }

    private func storeRows(worker: Int) {
        guard let batch = batchInWork else { return }
        let scratch = batch.workers[worker]
        while let index = batch.takeRow() {
            _ = scratch.setQuery(batch.vectors[batch.start + index], level: graph.level)
            graph.storeRow(batch.slots[index], scratch.query)
        }
    }

    private func planInsertions(worker: Int) {
        guard let batch = batchInWork else { return }
        let scratch = batch.workers[worker]
        while let index = batch.takePlan() {
            _ = scratch.setQuery(batch.vectors[batch.start + index], level: graph.level)
            let plan = graph.planInsertion(
                into: batch.slots[index],
                after: batch.slots[..<index],
                scratch
            )
            batch.setPlan(plan, at: index)
        }
    }
}

/// The vectors that several threads plan the insertion of; each element is one thread's alone.
@safe
final class BuildBatch {
    let slots: [UInt32]
    let vectors: [[Float]]
    /// Position of the first of them among `vectors`.
    let start: Int
    /// One for each thread.
    let workers: [SearchScratch]
    private let places: UnsafeMutableBufferPointer<InsertionPlan?>
    private let rowsTaken = Atomic<Int>(0)
    private let plansTaken = Atomic<Int>(0)

    init(slots: [UInt32], vectors: [[Float]], start: Int, _ workers: [SearchScratch]) {
        self.slots = slots
        self.vectors = vectors
        self.start = start
        self.workers = workers
        unsafe places = .allocate(capacity: slots.count)
        unsafe places.initialize(repeating: nil)
    }

    deinit {
        unsafe places.deinitialize()
        unsafe places.deallocate()
    }

    /// The next row nobody stores yet.
    func takeRow() -> Int? { Self.take(rowsTaken, below: slots.count) }

    /// The next insertion nobody plans yet.
    func takePlan() -> Int? { Self.take(plansTaken, below: slots.count) }

    /// Keeps a plan.
    func setPlan(_ plan: InsertionPlan, at index: Int) {
        precondition(slots.indices.contains(index), "plan outside the batch")
        unsafe places[index] = plan
    }

    /// The plans, nil where there is none yet.
    var plans: [InsertionPlan?] { unsafe Array(places) }

    private static func take(_ counter: borrowing Atomic<Int>, below limit: Int) -> Int? {
        let index = counter.wrappingAdd(1, ordering: .relaxed).oldValue
        return index < limit ? index : nil
    }
}
