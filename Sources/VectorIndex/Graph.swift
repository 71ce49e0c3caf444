import LinearAlgebra

/// The memory of a hierarchical navigable small world graph: flat arrays indexed by slot number.
///
/// A slot holds one vector, its key, and its links on each of its layers. Layer 0 has `2 m` places
/// per slot (two cache lines for m = 16), layers above have `m`. A removed vector leaves a free
/// slot, which the next insertion takes.
///
/// The level of a slot is a pure function of the seed and the slot number. Levels must be random
/// but need not depend on the vector, so a reused slot keeps its level and its place among the
/// upper links, nothing has to be compacted, and a snapshot cannot claim impossible levels.
///
/// INVARIANT: links are two-way, never lead to free slots, to the node itself or below the
/// target's level, and each layer is one connected component (Graph+Connectivity.swift keeps it).
///
/// Not thread-safe; `HNSWIndex` owns the locking.
@safe
final class Graph {
    /// Marks an empty place in a link list and "no entry point".
    static let noSlot = UInt32.max
    /// Largest level; with m = 16 one vector in 16^15 would exceed it.
    static let highestLevel = 15
    /// State byte: this bit for a slot in use, the level in the low bits.
    static let liveBit: UInt8 = 0x80

    let configuration: HNSWIndex.Configuration
    /// Floats per row: the dimension rounded up to whole cache lines, padded with zeros.
    let rowStride: Int

    var vectorRegion: MemoryRegion
    var baseLinkRegion: MemoryRegion
    var upperLinkRegion: MemoryRegion
    var upperStartRegion: MemoryRegion
    var keyRegion: MemoryRegion
    var stateRegion: MemoryRegion

    // Typed starts of the regions. They are constants because regions never move.
    let vectors: UnsafeMutablePointer<Float>
    let baseLinks: UnsafeMutablePointer<UInt32>
    let upperLinks: UnsafeMutablePointer<UInt32>
    /// First list of a slot among the upper links, counted in lists of `m` places.
    let upperStarts: UnsafeMutablePointer<UInt32>
    let keys: UnsafeMutablePointer<Int64>
    let states: UnsafeMutablePointer<UInt8>

    /// Slots ever used; live ones and free ones.
    var slotCount = 0
    /// Lists in use among the upper links: the sum of the levels of all slots.
    var upperListCount = 0
    /// Node where each search begins, or `noSlot`.
    var entryPoint = Graph.noSlot
    /// Level of the entry point.
    var topLevel = 0
    var slotsByKey: [Int64: UInt32] = [:]
    var freeSlots: [UInt32] = []
    /// Marks for walks of the one writer.
    var writerWalk = LayerWalk()

    /// Reserves address space for `configuration.capacity` vectors.
    init(_ configuration: HNSWIndex.Configuration) throws(VectorIndexError) {
        self.configuration = configuration
        rowStride = MemoryRegion.roundUp(configuration.dimension, to: 16)
        let capacity = configuration.capacity
        vectorRegion = try MemoryRegion(reserving: capacity * rowStride * 4)
        baseLinkRegion = try MemoryRegion(reserving: capacity * configuration.m * 2 * 4)
        upperLinkRegion = try MemoryRegion(
            reserving: Self.upperListLimit(capacity) * configuration.m * 4
        )
        upperStartRegion = try MemoryRegion(reserving: capacity * 4)
        keyRegion = try MemoryRegion(reserving: capacity * 8)
        stateRegion = try MemoryRegion(reserving: capacity)
        unsafe vectors = vectorRegion.base.assumingMemoryBound(to: Float.self)
        unsafe baseLinks = baseLinkRegion.base.assumingMemoryBound(to: UInt32.self)
        unsafe upperLinks = upperLinkRegion.base.assumingMemoryBound(to: UInt32.self)
        unsafe upperStarts = upperStartRegion.base.assumingMemoryBound(to: UInt32.self)
        unsafe keys = keyRegion.base.assumingMemoryBound(to: Int64.self)
        unsafe states = stateRegion.base.assumingMemoryBound(to: UInt8.self)
    }

    /// Most upper lists for a capacity: the expected number is capacity / (m - 1), at most a
    /// third.
    static func upperListLimit(_ capacity: Int) -> Int { capacity + 4096 }

    /// Number of stored vectors.
    var liveCount: Int { slotsByKey.count }

    /// The links of a slot on a layer not above its level.
    @inline(__always)
    func links(_ slot: UInt32, layer: Int) -> LinkList {
        assert(Int(slot) < slotCount && layer <= level(slot))
        let m = configuration.m
        if layer == 0 {
            return unsafe LinkList(places: baseLinks + Int(slot) * 2 * m, capacity: 2 * m)
        }
        let list = unsafe Int(upperStarts[Int(slot)]) + layer - 1
        return unsafe LinkList(places: upperLinks + list * m, capacity: m)
    }

    /// Level of a slot, live or free.
    func level(_ slot: UInt32) -> Int {
        assert(Int(slot) < slotCount)
        return unsafe Int(states[Int(slot)] & ~Self.liveBit)
    }

    /// Whether a slot holds a vector.
    @inline(__always)
    func isLive(_ slot: UInt32) -> Bool {
        assert(Int(slot) < slotCount)
        return unsafe states[Int(slot)] & Self.liveBit != 0
    }

    /// The key stored in a slot.
    @inline(__always)
    func key(_ slot: UInt32) -> Int64 {
        assert(Int(slot) < slotCount)
        return unsafe keys[Int(slot)]
    }

    /// Start of a slot's `(rowStride)` floats.
    @inline(__always)
    @unsafe
    func row(_ slot: UInt32) -> UnsafeMutablePointer<Float> {
        assert(Int(slot) < slotCount)
        return unsafe vectors + Int(slot) * rowStride
    }

    /// Inner product of two stored vectors.
    @inline(__always)
    func similarity(_ first: UInt32, _ second: UInt32) -> Float {
        unsafe DistanceKernels.dot(row(first), row(second), count: rowStride)
    }

    /// Inner products of a row-shaped query with the rows of `slots`.
    func similarities(of slot: UInt32, to others: [UInt32], into scores: inout [Float]) {
        scores.removeAll(keepingCapacity: true)
        scores.append(contentsOf: repeatElement(0, count: others.count))
        guard !others.isEmpty else { return }
        unsafe others.withUnsafeBufferPointer { ids in
            unsafe scores.withUnsafeMutableBufferPointer { out in
                guard let ids = ids.baseAddress, let out = out.baseAddress else { return }
                unsafe DistanceKernels.dotGathered(
                    query: row(slot),
                    rows: vectors,
                    stride: rowStride,
                    ids: ids,
                    count: others.count,
                    into: out
                )
            }
        }
    }

    /// The stored vector of a slot, without padding.
    func vector(_ slot: UInt32) -> [Float] {
        unsafe Array(UnsafeBufferPointer(start: row(slot), count: configuration.dimension))
    }

    /// Level that every slot number has: geometric with P(level >= l) = m^-l, from a hash of seed
    /// and slot (splitmix64, Steele, Lea & Flood 2014).
    static func level(ofSlot slot: Int, seed: UInt64, m: Int) -> Int {
        var hash = seed &+ UInt64(slot &+ 1) &* 0x9E37_79B9_7F4A_7C15
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        hash ^= hash >> 31
        var threshold = UInt64.max / UInt64(m)
        var level = 0
        while hash < threshold, level < highestLevel {
            level += 1
            threshold /= UInt64(m)
        }
        return level
    }
}
