/// Where the bytes of an index are.
package struct IndexMemory: Equatable, Sendable {
    /// Upper halves of high bytes, links of all layers, lengths: what a walk reads.
    package let walk: Int
    /// The rest of each number and keys: what ranking the results reads.
    package let ranking: Int
    /// States and the table of keys: what filters and changes read.
    package let bookkeeping: Int

    /// All of it.
    package var total: Int { walk + ranking + bookkeeping }
}

extension HNSWIndex {
    /// Bytes that the stored vectors and freed slots take, by use; without scratch of searches
    /// (about 40 KB and one bit per vector each).
    package var memory: IndexMemory { lock.read { graph.memory } }
}

extension Graph {
    fileprivate var memory: IndexMemory {
        let linkByteCount = hasWideLinks ? 4 : 2
        let links = slotCount * configuration.m * 2 * linkByteCount
        let upper = upperListCount * configuration.m * 4 + slotCount / 64 * 4
        return IndexMemory(
            walk: slotCount * (stride / 2 + 4) + links + upper,
            ranking: slotCount * (stride / 2 + stride + 8),
            bookkeeping: slotCount + table.byteCount
        )
    }
}
