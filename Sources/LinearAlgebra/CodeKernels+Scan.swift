import CKernels

extension CodeWalk {
    /// Slots that a scan may put down beyond its capacity, and that much again, before it drops
    /// some: a step and a block of `code_scan.h`.
    private static let scanSpare = 128 + 64

    /// Empties the list for a scan.
    ///
    /// - Parameter capacity: Most entries a scan leaves, at least twice the wanted and 16.
    package mutating func resetForScan(capacity: Int) {
        reset(capacity: 2 * capacity + Self.scanSpare)
        unsafe raw.capacity = capacity
    }
}

extension CodeKernels {
    /// Estimates the scores of gathered rows and keeps the best, in no order; the list must have
    /// been emptied by `resetForScan`, and `settle` ends what may be several calls.
    @unsafe
    package static func scan(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        ids: UnsafePointer<UInt32>,
        count: Int,
        stop: CodeStop,
        best: inout CodeWalk,
        level: Level
    ) {
        var (graph, query, stop) = unsafe (graph.raw, query.raw, stop.raw)
        precondition(best.capacity >= 2 * stop.wanted + 16, "a scan needs room")
        unsafe preloop_code_scan(
            level.rawValue,
            &graph,
            &query,
            ids,
            count,
            &stop,
            &best.raw
        )
    }

    /// Ends a scan: leaves the wanted best, twice as many and 16 at least, and what comes within
    /// the margin of the last wanted, best first.
    package static func settle(_ stop: CodeStop, _ best: inout CodeWalk, level: Level) {
        var stop = stop.raw
        unsafe preloop_code_settle(level.rawValue, &stop, &best.raw)
    }
}
