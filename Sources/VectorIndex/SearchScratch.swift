import LinearAlgebra

/// What one search needs besides the graph.
///
/// That is the quantised query, the set of visited nodes, and search lists. Used again by the next
/// search, so that only its marks have to be cleared.
final class SearchScratch {
    var query: CodeQuery
    /// A second vector, where stored ones are compared with each other.
    var other: CodeQuery
    var walk: CodeWalk
    /// What passes a filter.
    var results: CodeWalk
    var visited: VisitedSet
    var room: CodeKernels.SelectionRoom
    /// Length of the query vector, by which its scores are multiplied.
    var norm: Float = 1

    /// Makes scratch for a graph of a configuration.
    init(stride: Int, m: Int) {
        query = CodeQuery(stride: stride)
        other = CodeQuery(stride: stride)
        walk = CodeWalk(capacity: 64)
        results = CodeWalk(capacity: 64)
        visited = VisitedSet(slotCount: 0)
        room = CodeKernels.SelectionRoom(stride: stride, wanted: 2 * m)
    }

    /// Measures a vector's length; false when it has no direction or is not finite.
    func measure(_ vector: [Float]) -> Bool {
        let width = SIMD8<Float>.scalarCount
        var sums = SIMD8<Float>()
        var sum: Float = 0
        unsafe vector.withUnsafeBytes { bytes in
            var index = 0
            while index + width <= vector.count {
                let part = unsafe bytes.loadUnaligned(
                    fromByteOffset: index * 4,
                    as: SIMD8<Float>.self
                )
                sums += part * part
                index += width
            }
            sum = sums.sum()
            while index < vector.count {
                sum += vector[index] * vector[index]
                index += 1
            }
        }
        norm = sum.squareRoot()
        return norm.isFinite && norm > Self.smallestNorm
    }

    /// Shorter vectors have squares that lose their bits.
    private static let smallestNorm: Float = 1e-18

    /// Takes a query vector; false when it has no direction or is not finite.
    func setQuery(_ vector: [Float], level: CodeKernels.Level) -> Bool {
        guard measure(vector) else { return false }
        query.set(vector.span, level: level)
        return true
    }
}

/// A bitmap with one bit per slot.
@safe
struct VisitedSet: ~Copyable {
    private var words: UnsafeMutablePointer<UInt64>
    private var wordCount: Int

    /// Makes an empty set for slots below `slotCount`.
    init(slotCount: Int) {
        wordCount = slotCount / 64 + 1
        unsafe words = .allocate(capacity: wordCount)
        unsafe words.initialize(repeating: 0, count: wordCount)
    }

    deinit {
        unsafe words.deallocate()
    }

    /// Empties the set and makes room for slots below `slotCount`.
    mutating func reset(slotCount: Int) {
        let needed = slotCount / 64 + 1
        if needed > wordCount {
            unsafe words.deallocate()
            wordCount = needed + needed / 4
            unsafe words = .allocate(capacity: wordCount)
            unsafe words.initialize(repeating: 0, count: wordCount)
        } else {
            unsafe words.update(repeating: 0, count: needed)
        }
    }

    /// The bitmap, for kernels.
    @unsafe var pointer: UnsafeMutablePointer<UInt64> { unsafe words }

    /// Adds a slot; whether it was new.
    @inline(__always)
    @discardableResult
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
