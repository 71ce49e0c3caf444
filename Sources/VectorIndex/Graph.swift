import LinearAlgebra
import Synchronization

/// The memory of a hierarchical navigable small world graph: flat arrays indexed by slot number.
///
/// A slot holds one vector, its key, and its links on each of its layers. Layer 0 has `2 m` places
/// per slot (one cache line for m = 16 while slot numbers fit 16 bits), layers above have `m`. A
/// removed vector leaves a free slot, which the next insertion takes.
///
/// Vectors are kept as 16-bit integers in three planes (`ckernels_code.h`): walks read the coarse
/// one alone, four bits a number; the best are scored again with eight bits, results with all.
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
    /// Most slots whose numbers fit links of 16 bits, with one number left for "none".
    static let narrowLimit = 65_535
    /// Rows are a multiple of so many numbers: a cache line of half bytes.
    static let rowUnit = 128

    let configuration: HNSWIndex.Configuration
    /// Instructions to use; all give the same results.
    let level: CodeKernels.Level
    /// Numbers per row: the dimension rounded up to whole cache lines of the coarse plane.
    let stride: Int

    var coarseRegion: MemoryRegion
    var middleRegion: MemoryRegion
    var lowRegion: MemoryRegion
    var scaleRegion: MemoryRegion
    var narrowRegion: MemoryRegion
    var wideRegion: MemoryRegion
    var upperLinkRegion: MemoryRegion
    var blockStartRegion: MemoryRegion
    var keyRegion: MemoryRegion
    var stateRegion: MemoryRegion

    // Typed starts of the regions. They are constants because regions never move.
    let coarsePlane: UnsafeMutablePointer<UInt8>
    let middlePlane: UnsafeMutablePointer<UInt8>
    let lowPlane: UnsafeMutablePointer<UInt8>
    /// Inverse length of each row's integers.
    let scales: UnsafeMutablePointer<Float>
    let narrowLinks: UnsafeMutablePointer<UInt16>
    let wideLinks: UnsafeMutablePointer<UInt32>
    let upperLinks: UnsafeMutablePointer<UInt32>
    /// For each 64 slots, the first list of theirs among the upper links.
    let blockStarts: UnsafeMutablePointer<UInt32>
    let keys: UnsafeMutablePointer<Int64>
    let states: UnsafeMutablePointer<UInt8>

    /// Tells this graph from every other of the process, those that are gone included.
    let number = Graph.graphCount.wrappingAdd(1, ordering: .relaxed).newValue
    private static let graphCount = Atomic<UInt64>(0)
    /// How often a vector has come or gone.
    var changeCount: UInt64 = 0
    /// The same since the last calibration, also in processes before this one.
    var uncalibratedChanges = 0

    /// Slots ever used; live ones and free ones.
    var slotCount = 0
    /// Lists in use among the upper links: the sum of the levels of all slots.
    var upperListCount = 0
    /// Whether layer 0 has moved to links of 32 bits.
    var hasWideLinks = false
    /// Node where each search begins, or `noSlot`.
    var entryPoint = Graph.noSlot
    /// Level of the entry point.
    var topLevel = 0
    var table: KeyTable
    var freeSlots: [UInt32] = []
    /// Marks for walks of the one writer.
    var writerWalk = LayerWalk()
    /// What the one writer has prepared and not put into place yet.
    var staged: [StagedChange] = []
    /// The shape with it; counts only while something is staged.
    var stagedShape = StagedShape(entryPoint: Graph.noSlot, topLevel: 0, slotCount: 0)
    /// The larger table of keys it needs.
    var stagedPlaces: KeyTable.Places?
    /// The lists of links that it changes.
    let draft: LinkDraft

    /// Reserves address space for `configuration.capacity` vectors.
    init(
        _ configuration: HNSWIndex.Configuration,
        level: CodeKernels.Level = CodeKernels.level
    ) throws(VectorIndexError) {
        self.configuration = configuration
        self.level = level
        stride = MemoryRegion.roundUp(configuration.dimension, to: Self.rowUnit)
        let capacity = configuration.capacity
        let degree = configuration.m * 2
        draft = LinkDraft(byteCount: degree * 4)
        coarseRegion = try MemoryRegion(reserving: capacity * stride / 2)
        middleRegion = try MemoryRegion(reserving: capacity * stride / 2)
        lowRegion = try MemoryRegion(reserving: capacity * stride)
        scaleRegion = try MemoryRegion(reserving: capacity * 4)
        narrowRegion = try MemoryRegion(reserving: min(capacity, Self.narrowLimit) * degree * 2)
        wideRegion = try MemoryRegion(reserving: capacity * degree * 4)
        upperLinkRegion = try MemoryRegion(
            reserving: Self.upperListLimit(capacity) * configuration.m * 4
        )
        blockStartRegion = try MemoryRegion(reserving: (capacity / 64 + 1) * 4)
        keyRegion = try MemoryRegion(reserving: capacity * 8)
        stateRegion = try MemoryRegion(reserving: capacity + 64)
        unsafe coarsePlane = coarseRegion.base.assumingMemoryBound(to: UInt8.self)
        unsafe middlePlane = middleRegion.base.assumingMemoryBound(to: UInt8.self)
        unsafe lowPlane = lowRegion.base.assumingMemoryBound(to: UInt8.self)
        unsafe scales = scaleRegion.base.assumingMemoryBound(to: Float.self)
        unsafe narrowLinks = narrowRegion.base.assumingMemoryBound(to: UInt16.self)
        unsafe wideLinks = wideRegion.base.assumingMemoryBound(to: UInt32.self)
        unsafe upperLinks = upperLinkRegion.base.assumingMemoryBound(to: UInt32.self)
        unsafe blockStarts = blockStartRegion.base.assumingMemoryBound(to: UInt32.self)
        unsafe keys = keyRegion.base.assumingMemoryBound(to: Int64.self)
        unsafe states = stateRegion.base.assumingMemoryBound(to: UInt8.self)
        table = unsafe KeyTable(keys: keyRegion.base.assumingMemoryBound(to: Int64.self))
    }

    /// Most upper lists for a capacity: the expected number is capacity / (m - 1), at most a
    /// third.
    static func upperListLimit(_ capacity: Int) -> Int { capacity + 4096 }

    /// Number of stored vectors.
    var liveCount: Int { table.count }

    /// Keys of all stored vectors, ascending.
    var sortedKeys: [Int64] {
        var found: [Int64] = []
        found.reserveCapacity(liveCount)
        table.forEach { found.append(key($0)) }
        found.sort()
        return found
    }

    /// Planes and links of layer 0 as the kernels see them.
    var codes: CodeGraph {
        unsafe CodeGraph(
            coarse: coarsePlane,
            middle: middlePlane,
            low: lowPlane,
            scales: scales,
            narrow: hasWideLinks ? nil : UnsafePointer(narrowLinks),
            wide: hasWideLinks ? UnsafePointer(wideLinks) : nil,
            stride: stride,
            degree: configuration.m * 2
        )
    }

    /// The links of a slot on a layer not above its level.
    @inline(__always)
    func links(_ slot: UInt32, layer: Int) -> LinkList {
        assert(Int(slot) < slotCount && layer <= level(slot))
        let m = configuration.m
        if layer == 0 {
            let start = Int(slot) * 2 * m
            if hasWideLinks {
                return unsafe LinkList(places: wideLinks + start, capacity: 2 * m)
            }
            return unsafe LinkList(
                narrow: narrowLinks + start,
                unused: upperLinks,
                capacity: 2 * m
            )
        }
        return unsafe LinkList(places: upperPlaces(slot, layer: layer), capacity: m)
    }

    /// The links of a slot on a layer above 0.
    @unsafe
    func upperPlaces(_ slot: UInt32, layer: Int) -> UnsafeMutablePointer<UInt32> {
        var list = unsafe Int(blockStarts[Int(slot) / 64]) + layer - 1
        for index in (Int(slot) & ~63)..<Int(slot) {
            list &+= unsafe Int(states[index] & ~Self.liveBit)
        }
        return unsafe upperLinks + list * configuration.m
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

    /// Stores a quantised vector in a slot.
    func storeRow(_ slot: UInt32, _ query: borrowing CodeQuery) {
        let start = Int(slot) * stride
        unsafe query.store(
            coarse: coarsePlane + start / 2,
            middle: middlePlane + start / 2,
            low: lowPlane + start,
            level: level
        )
        unsafe scales[Int(slot)] = query.scale
    }

    /// Whether a slot holds exactly the query of a scratch.
    func holdsQuery(of scratch: SearchScratch, in slot: UInt32) -> Bool {
        scratch.other.load(slot, of: codes, level: level)
        return scratch.query.isEqual(to: scratch.other)
    }

    /// Inner products, by high bytes, of a stored vector with those of `others`.
    func similarities(of slot: UInt32, to others: [UInt32], _ scratch: SearchScratch) -> [Float] {
        let codes = codes
        scratch.other.load(slot, of: codes, level: level)
        let size = others.count
        guard size > 0 else { return [] }
        return unsafe [Float](unsafeUninitializedCapacity: size) { scores, initializedCount in
            if let scores = scores.baseAddress {
                unsafe others.withUnsafeBufferPointer { ids in
                    guard let ids = ids.baseAddress else { return }
                    unsafe CodeKernels.score(
                        codes,
                        scratch.other,
                        ids: ids,
                        count: others.count,
                        into: scores,
                        level: level
                    )
                }
            }
            initializedCount = others.count
        }
    }

    /// The stored vector of a slot: within 1e-5 per number of what was stored, of length 1.
    func vector(_ slot: UInt32) -> [Float] {
        let start = Int(slot) * stride
        let scale = unsafe scales[Int(slot)]
        let line = Self.rowUnit / 2
        return (0..<configuration.dimension).map { index in
            let place = start / 2 + index / Self.rowUnit * line + index % line
            let shift = index / line % 2 * 4
            let upper = unsafe Int(coarsePlane[place] >> shift) & 15
            let lower = unsafe Int(middlePlane[place] >> shift) & 15
            let low = unsafe Int(lowPlane[start + index]) - 128
            return Float((16 * upper + lower - 128) * 256 + low) * scale
        }
    }

    /// Length of the stored vector of a slot, 1 but for rounding.
    func norm(_ slot: UInt32) -> Float {
        vector(slot).reduce(0) { $0 + $1 * $1 }.squareRoot()
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
