import CKernels

extension CodeKernels {
    /// Rows that `nearPairs` compares with at a time.
    package static let pairedRows = 4

    /// Unpacks the high bytes of a range of rows into `block`, which has room for them.
    @unsafe
    package static func unpack(
        _ graph: CodeGraph,
        range: Range<UInt32>,
        into block: UnsafeMutablePointer<UInt8>,
        level: Level
    ) {
        var graph = unsafe graph.raw
        unsafe preloop_code_unpack(
            level.rawValue,
            &graph,
            range.lowerBound,
            range.upperBound,
            block
        )
    }

    /// The pairs of a few rows, at most ``pairedRows``, with those of a range that score at least
    /// `floor` by high bytes.
    ///
    /// - Parameters:
    ///   - graph: Where the rows lie.
    ///   - rows: Slots on the left.
    ///   - range: Slots on the right.
    ///   - block: Their rows unpacked, with room for a multiple of four.
    ///   - floor: Smallest score.
    ///   - buffer: `(4 * stride)` bytes.
    ///   - lefts: Takes four slots for each on the right, and one more.
    ///   - rights: Takes as many.
    ///   - level: The instructions to use.
    /// - Returns: How many pairs were written.
    @unsafe
    package static func nearPairs(
        _ graph: CodeGraph,
        rows: Range<UInt32>,
        range: Range<UInt32>,
        block: UnsafePointer<UInt8>,
        floor: Float,
        buffer: UnsafeMutablePointer<Int8>,
        lefts: UnsafeMutablePointer<UInt32>,
        rights: UnsafeMutablePointer<UInt32>,
        level: Level
    ) -> Int {
        precondition(rows.count <= pairedRows, "too many rows at once")
        var graph = unsafe graph.raw
        return unsafe preloop_code_near_pairs(
            level.rawValue,
            &graph,
            block,
            range.lowerBound,
            range.upperBound,
            rows.lowerBound,
            rows.count,
            floor,
            buffer,
            lefts,
            rights
        )
    }
}
