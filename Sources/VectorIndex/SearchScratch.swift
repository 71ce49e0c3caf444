/// What one search needs besides the graph: the query in row layout, the set of visited nodes, the
/// search list, and room for one node's links and their scores.
///
/// One allocation per search and a few kilobytes to clear (one bit per stored vector) cost well
/// under a microsecond, so there is no pool to share between threads.
@safe
struct SearchScratch: ~Copyable {
    /// `(rowStride)` floats: the query, padded with zeros as rows are.
    let query: UnsafeMutablePointer<Float>
    /// Unvisited links of the node being followed.
    let slots: UnsafeMutablePointer<UInt32>
    /// Their scores.
    let scores: UnsafeMutablePointer<Float>
    var queue: CandidateQueue
    var visited: VisitedSet
    /// Rows scored so far, the cost of a search.
    var scoredCount = 0

    /// Makes scratch for a graph.
    ///
    /// - Parameters:
    ///   - rowStride: Floats per row.
    ///   - batch: Most rows scored at once.
    ///   - queueCapacity: Largest `ef` that will be asked for.
    ///   - slotCount: Slots the visited set can hold.
    init(rowStride: Int, batch: Int, queueCapacity: Int, slotCount: Int) {
        unsafe query = .allocate(capacity: rowStride)
        unsafe query.initialize(repeating: 0, count: rowStride)
        unsafe slots = .allocate(capacity: batch)
        unsafe scores = .allocate(capacity: batch)
        queue = CandidateQueue(capacity: queueCapacity)
        visited = VisitedSet(slotCount: slotCount)
    }

    deinit {
        unsafe query.deallocate()
        unsafe slots.deallocate()
        unsafe scores.deallocate()
    }

    /// Copies the query vector into row layout.
    func setQuery(_ vector: [Float]) {
        for index in vector.indices { unsafe query[index] = vector[index] }
    }
}

/// A bitmap with one bit per slot.
@safe
struct VisitedSet: ~Copyable {
    private let words: UnsafeMutablePointer<UInt64>
    private let wordCount: Int

    /// Makes an empty set for slots below `slotCount`.
    init(slotCount: Int) {
        wordCount = slotCount / 64 + 1
        unsafe words = .allocate(capacity: wordCount)
        unsafe words.initialize(repeating: 0, count: wordCount)
    }

    deinit {
        unsafe words.deallocate()
    }

    /// Removes all slots.
    func clear() {
        unsafe words.update(repeating: 0, count: wordCount)
    }

    /// Adds a slot; whether it was new.
    @inline(__always)
    func insert(_ slot: UInt32) -> Bool {
        let index = Int(slot >> 6)
        assert(index < wordCount)
        let bit: UInt64 = 1 << UInt64(slot & 63)
        let word = unsafe words[index]
        unsafe words[index] = word | bit
        return word & bit == 0
    }

    /// Whether the slot is in the set.
    func contains(_ slot: UInt32) -> Bool {
        assert(Int(slot >> 6) < wordCount)
        return unsafe words[Int(slot >> 6)] & (1 << UInt64(slot & 63)) != 0
    }
}
