import CKernels

/// Where the quantised vectors and the links of a graph lie (`ckernels_code.h` has the format).
///
/// A view of memory that its owner keeps alive; all slots named to the kernels must lie in it.
@safe
package struct CodeGraph {
    var raw: preloop_code_graph

    /// Describes the planes and links of a graph.
    ///
    /// - Parameters:
    ///   - coarse: `(slots, stride / 2)` upper halves of high bytes.
    ///   - middle: `(slots, stride / 2)` lower halves of high bytes.
    ///   - low: `(slots, stride)` low bytes.
    ///   - scales: `(slots)` inverse lengths.
    ///   - narrow: `(slots, degree)` links in 16 bits, or nil.
    ///   - wide: The same in 32 bits where `narrow` is nil.
    ///   - stride: Numbers per row, a multiple of 128.
    ///   - degree: Places per list, at most 128.
    package init(
        coarse: UnsafePointer<UInt8>,
        middle: UnsafePointer<UInt8>,
        low: UnsafePointer<UInt8>,
        scales: UnsafePointer<Float>,
        narrow: UnsafePointer<UInt16>?,
        wide: UnsafePointer<UInt32>?,
        stride: Int,
        degree: Int
    ) {
        unsafe raw = preloop_code_graph(
            coarse: coarse,
            middle: middle,
            low: low,
            scales: scales,
            narrow: narrow,
            wide: wide,
            stride: stride,
            degree: degree
        )
    }
}

/// A vector in the form in which stored ones are compared with it; owns its bytes.
@safe
package struct CodeQuery: ~Copyable {
    private let planes: UnsafeMutablePointer<Int8>
    private let stride: Int
    private(set) var raw: preloop_code_query

    /// Inverse length of the integers, which is also the measure of their rounding.
    package var scale: Float { unsafe raw.scale }

    /// Makes a query of zeros.
    ///
    /// - Parameter stride: Numbers per row.
    package init(stride: Int) {
        unsafe planes = .allocate(capacity: 2 * stride)
        unsafe planes.initialize(repeating: 0, count: 2 * stride)
        self.stride = stride
        unsafe raw = preloop_code_query(
            high: planes,
            low: planes + stride,
            high_sum: 0,
            low_sum: 0,
            scale: 0
        )
    }

    deinit {
        unsafe planes.deallocate()
    }

    /// Takes a vector of finite numbers, not all 0; its length does not matter.
    package mutating func set(_ vector: Span<Float>, level: CodeKernels.Level) {
        precondition(vector.count <= stride, "vector longer than a row")
        var (highSum, lowSum): (Int32, Int32) = (0, 0)
        let scale = unsafe vector.withUnsafeBufferPointer { numbers in
            guard let start = numbers.baseAddress else { return Float(0) }
            return unsafe preloop_code_quantise(
                level.rawValue,
                start,
                numbers.count,
                stride,
                planes,
                planes + stride,
                &highSum,
                &lowSum
            )
        }
        unsafe raw.high_sum = highSum
        unsafe raw.low_sum = lowSum
        unsafe raw.scale = scale
    }

    /// Takes a stored vector.
    package mutating func load(_ slot: UInt32, of graph: CodeGraph, level: CodeKernels.Level) {
        var graph = unsafe graph.raw
        unsafe preloop_code_load(
            level.rawValue,
            &graph,
            slot,
            planes,
            planes + stride,
            &raw
        )
    }

    /// Writes the vector as a stored row: two planes of `(stride / 2)` bytes, one of `(stride)`.
    @unsafe
    package func store(
        coarse: UnsafeMutablePointer<UInt8>,
        middle: UnsafeMutablePointer<UInt8>,
        low: UnsafeMutablePointer<UInt8>,
        level: CodeKernels.Level
    ) {
        unsafe preloop_code_store(
            level.rawValue,
            planes,
            planes + stride,
            stride,
            coarse,
            middle,
            low
        )
    }

    /// Whether two hold the same vector.
    package func isEqual(to other: borrowing CodeQuery) -> Bool {
        guard stride == other.stride else { return false }
        for index in 0..<(2 * stride) {
            guard unsafe planes[index] == other.planes[index] else { return false }
        }
        return true
    }
}

/// The search list of one walk, and room for the links of a node and their scores.
@safe
package struct CodeWalk: ~Copyable {
    private var entries: UnsafeMutablePointer<UInt64>
    private let ids: UnsafeMutablePointer<UInt32>
    private let scores: UnsafeMutablePointer<Float>
    private var allocated: Int
    var raw: preloop_code_walk

    /// Slots that one call may score: the links of the two nodes that a walk follows at a time.
    package static let block = 256

    /// Makes an empty list.
    ///
    /// - Parameter capacity: Most entries it will keep, above 0.
    package init(capacity: Int) {
        precondition(capacity > 0, "a search list needs room")
        unsafe entries = .allocate(capacity: capacity + 1)
        unsafe ids = .allocate(capacity: Self.block + 16)
        unsafe scores = .allocate(capacity: Self.block + 16)
        allocated = capacity
        unsafe raw = preloop_code_walk(
            visited: nil,
            entries: entries,
            capacity: capacity,
            count: 0,
            cursor: 0,
            ids: ids,
            scores: scores,
            scored: 0,
            floor: -3
        )
    }

    deinit {
        unsafe entries.deallocate()
        unsafe ids.deallocate()
        unsafe scores.deallocate()
    }

    /// Empties the list and sets how many entries it keeps.
    package mutating func reset(capacity: Int) {
        precondition(capacity > 0, "a search list needs room")
        if capacity > allocated {
            unsafe entries.deallocate()
            unsafe entries = .allocate(capacity: capacity + 1)
            allocated = capacity
            unsafe raw.entries = unsafe entries
        }
        unsafe raw.capacity = capacity
        unsafe raw.count = 0
        unsafe raw.cursor = 0
        unsafe raw.floor = -3
    }

    /// Entries in the list.
    package var count: Int { unsafe raw.count }
    /// Most entries kept.
    package var capacity: Int { unsafe raw.capacity }
    /// Rows scored since the walk was made or the number was set.
    package var scoredCount: Int {
        get { unsafe raw.scored }
        set { unsafe raw.scored = newValue }
    }

    /// Room for `block` slots, followed by room that kernels may overwrite.
    @unsafe package var slotBuffer: UnsafeMutablePointer<UInt32> { unsafe ids }
    /// Room for `block` scores, followed by room that kernels may overwrite.
    @unsafe package var scoreBuffer: UnsafeMutablePointer<Float> { unsafe scores }

    /// The slot at a rank, best first.
    @inline(__always)
    package func slot(_ rank: Int) -> UInt32 {
        precondition(rank >= 0 && rank < count, "rank out of range")
        return unsafe preloop_code_entry_slot(entries[rank])
    }

    /// The score at a rank, best first: an estimate before `refine`, of high bytes after it.
    @inline(__always)
    package func score(_ rank: Int) -> Float {
        precondition(rank >= 0 && rank < count, "rank out of range")
        return unsafe preloop_code_entry_score(entries[rank])
    }

    /// Puts a slot in its place; drops the worst when the list is full.
    package mutating func offer(_ slot: UInt32, score: Float) {
        unsafe _ = preloop_code_offer(&raw, preloop_code_entry(score, slot))
    }

    /// The best slot that was not handed out yet; nil when there is none.
    package mutating func next() -> UInt32? {
        while unsafe raw.cursor < raw.count {
            let entry = unsafe entries[raw.cursor]
            if entry & 1 != 0 {
                unsafe entries[raw.cursor] = entry & ~1
                unsafe raw.cursor += 1
                return preloop_code_entry_slot(entry)
            }
            unsafe raw.cursor += 1
        }
        return nil
    }

    @unsafe fileprivate var entryStart: UnsafePointer<UInt64> { unsafe UnsafePointer(entries) }

    @unsafe
    fileprivate mutating func withRaw<Result>(
        visited: UnsafeMutablePointer<UInt64>?,
        _ body: (UnsafeMutablePointer<preloop_code_walk>) -> Result
    ) -> Result {
        unsafe raw.visited = unsafe visited
        return unsafe body(&raw)
    }
}

/// When a walk ends before all of its list has been followed.
package struct CodeStop: Sendable, Equatable {
    /// Hits the caller wants.
    package var wanted: Int
    /// Factor on the squared distance of the `wanted`-th best beyond which nothing is followed; 0
    /// follows everything.
    package var reach: Float
    /// Nothing below this score is followed.
    package var floor: Float
    /// How near to the `wanted`-th best estimate a scan keeps others.
    package var margin: Float

    /// Describes an end; no score is below -3.
    package init(wanted: Int, reach: Float, floor: Float = -3, margin: Float = 0) {
        self.margin = margin
        self.floor = floor
        self.wanted = wanted
        self.reach = reach
    }

    /// Follows every entry of the list.
    package static let never = CodeStop(wanted: 1, reach: 0)

    var raw: preloop_code_stop {
        preloop_code_stop(wanted: wanted, reach: reach, floor: floor, margin: margin)
    }
}

/// Which keys pass, as memory that the caller keeps alive for one call.
@safe
package struct CodeFilter {
    fileprivate var raw: preloop_code_filter

    /// Keys in a bitmap from `first` on.
    package init(keys: UnsafePointer<Int64>, first: Int64, words: UnsafeBufferPointer<UInt64>) {
        unsafe raw = preloop_code_filter(
            keys: keys,
            words: words.baseAddress,
            word_count: words.count,
            first: first,
            sorted: nil,
            sorted_count: 0
        )
    }

    /// Keys in an ascending array.
    package init(keys: UnsafePointer<Int64>, sorted: UnsafeBufferPointer<Int64>) {
        unsafe raw = preloop_code_filter(
            keys: keys,
            words: nil,
            word_count: 0,
            first: 0,
            sorted: sorted.baseAddress,
            sorted_count: sorted.count
        )
    }
}

/// Inner products of quantised vectors and walks of a graph of them; integer sums, so every set of
/// instructions gives the same bits.
///
/// Memory is the caller's: he vouches that every slot lies inside the graph, and that visited
/// bitmaps have a bit for each.
package enum CodeKernels {
    /// Instruction sets there are kernels for; one the machine lacks means its best.
    package enum Level: Int32, CaseIterable, Sendable {
        case portable = 0
        case avx2 = 1
        case avx512 = 2
        case vnni = 3
    }

    /// The set in use, lowered by the environment variable PRELOOP_KERNELS.
    package static var level: Level { Level(rawValue: preloop_kernels_level()) ?? .portable }

    /// Scores of the high bytes of `count` gathered rows.
    @unsafe
    @inline(__always)
    package static func score(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        ids: UnsafePointer<UInt32>,
        count: Int,
        into scores: UnsafeMutablePointer<Float>,
        level: Level
    ) {
        var (graph, query) = unsafe (graph.raw, query.raw)
        unsafe preloop_code_score(level.rawValue, &graph, &query, ids, count, scores)
    }

    /// Estimates of the scores of `count` gathered rows, by upper halves of high bytes.
    @unsafe
    @inline(__always)
    package static func estimate(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        ids: UnsafePointer<UInt32>,
        count: Int,
        into scores: UnsafeMutablePointer<Float>,
        level: Level
    ) {
        var (graph, query) = unsafe (graph.raw, query.raw)
        unsafe preloop_code_estimate(level.rawValue, &graph, &query, ids, count, scores)
    }

    /// Scores the first `count` entries of a list of estimates by high bytes, and drops the others.
    package static func refine(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        count: Int,
        _ walk: inout CodeWalk,
        level: Level
    ) {
        var (graph, query) = unsafe (graph.raw, query.raw)
        unsafe walk.withRaw(visited: nil) { walk in
            unsafe preloop_code_refine(level.rawValue, &graph, &query, count, walk)
        }
    }

    /// Scores of both bytes of `count` gathered rows: within 1e-5 of the vectors' inner products.
    @unsafe
    package static func scoreFully(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        ids: UnsafePointer<UInt32>,
        count: Int,
        into scores: UnsafeMutablePointer<Float>,
        level: Level
    ) {
        var (graph, query) = unsafe (graph.raw, query.raw)
        unsafe preloop_code_score_fully(level.rawValue, &graph, &query, ids, count, scores)
    }

    /// Follows entries along layer 0 until nothing better is left; scores are estimates.
    @unsafe
    package static func walk(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        stop: CodeStop,
        visited: UnsafeMutablePointer<UInt64>,
        _ walk: inout CodeWalk,
        level: Level
    ) {
        var (graph, query, stop) = unsafe (graph.raw, query.raw, stop.raw)
        unsafe walk.withRaw(visited: visited) { walk in
            unsafe preloop_code_walk_base(level.rawValue, &graph, &query, &stop, walk)
        }
    }

    /// The same, collecting in `results` what passes a filter; whether it came to its end within
    /// the budget of scored rows.
    @unsafe
    package static func walk(
        _ graph: CodeGraph,
        _ query: borrowing CodeQuery,
        filter: CodeFilter,
        stop: CodeStop,
        budget: Int,
        visited: UnsafeMutablePointer<UInt64>,
        _ walk: inout CodeWalk,
        results: inout CodeWalk,
        level: Level
    ) -> Bool {
        var (graph, query, stop) = unsafe (graph.raw, query.raw, stop.raw)
        var filter = unsafe filter.raw
        return unsafe walk.withRaw(visited: visited) { walk in
            unsafe results.withRaw(visited: nil) { results in
                unsafe preloop_code_walk_filtered(
                    level.rawValue,
                    &graph,
                    &query,
                    &filter,
                    &stop,
                    budget,
                    walk,
                    results
                ) != 0
            }
        }
    }

    /// The live slots of a range that pass; returns how many were written to `ids`, which has room
    /// for the whole range.
    @unsafe
    package static func passing(
        _ filter: CodeFilter?,
        states: UnsafePointer<UInt8>,
        range: Range<UInt32>,
        into ids: UnsafeMutablePointer<UInt32>,
        level: Level
    ) -> Int {
        unsafe withUnsafePointer(to: filter?.raw ?? preloop_code_filter()) { raw in
            unsafe preloop_code_passing(
                level.rawValue,
                filter == nil ? nil : raw,
                states,
                range.lowerBound,
                range.upperBound,
                ids
            )
        }
    }

    /// Marks in `kept` those of the first `limit` entries of a list that Algorithm 4 selects, until
    /// `wanted` are; returns how many entries were decided.
    package static func diversify(
        _ graph: CodeGraph,
        _ list: borrowing CodeWalk,
        limit: Int,
        wanted: Int,
        factor: Float,
        kept: inout [UInt8],
        room: inout SelectionRoom,
        level: Level
    ) -> Int {
        let count = min(limit, list.count)
        precondition(kept.count >= count && room.slots.count >= wanted + 4, "too little room")
        var raw = unsafe graph.raw
        return unsafe preloop_code_diversify(
            level.rawValue,
            &raw,
            list.entryStart,
            count,
            wanted,
            factor,
            &kept,
            &room.bytes,
            &room.slots
        )
    }

    /// The links of a node in the order in which it can spare them for a newcomer.
    ///
    /// The `newcomer`'s row is stored, and `score` is its to the node; `isComplete` means to go on
    /// behind the newcomer itself.
    ///
    /// - Returns: Dispensable links, farthest first, then the others, farthest first.
    package static func victims(
        _ graph: CodeGraph,
        of node: UInt32,
        links: [UInt32],
        newcomer: UInt32,
        score: Float,
        factor: Float,
        isComplete: Bool,
        room: inout SelectionRoom,
        level: Level
    ) -> ArraySlice<UInt32> {
        precondition(links.count <= 128 && room.order.count > links.count, "too little room")
        var raw = unsafe graph.raw
        let count = unsafe preloop_code_victims(
            level.rawValue,
            &raw,
            node,
            links,
            links.count,
            newcomer,
            score,
            factor,
            isComplete ? 1 : 0,
            &room.bytes,
            &room.order
        )
        return room.order[..<count]
    }

    /// Whether two lists of `degree` places each share a slot, or the first holds `other`.
    ///
    /// Places are of 16 bits where `isNarrow`, else of 32, and those without a link are all ones.
    @unsafe
    package static func haveCommon(
        _ first: UnsafeRawPointer,
        _ second: UnsafeRawPointer,
        degree: Int,
        isNarrow: Bool,
        or other: UInt32,
        level: Level
    ) -> Bool {
        precondition(degree <= 128, "too many places")
        return unsafe preloop_code_have_common(
            level.rawValue,
            first,
            second,
            degree,
            isNarrow ? 1 : 0,
            other
        ) != 0
    }

    /// Asks for the links of a node on layer 0, which will be read soon.
    package static func expectLinks(_ graph: CodeGraph, of slot: UInt32) {
        var raw = unsafe graph.raw
        unsafe preloop_code_prefetch_links(&raw, slot)
    }

    /// Scratch of the selection of neighbours.
    package struct SelectionRoom: Sendable {
        fileprivate var bytes: [Int8]
        fileprivate var slots: [UInt32]
        fileprivate var order: [UInt32]

        /// Makes room for rows of `stride` bytes and up to `wanted` neighbours.
        package init(stride: Int, wanted: Int) {
            bytes = [Int8](repeating: 0, count: stride)
            slots = [UInt32](repeating: 0, count: wanted + 4)
            order = [UInt32](repeating: 0, count: 129)
        }
    }
}
