extension Graph {
    /// Checks the state bytes of a loaded snapshot: the level in each must be the one its slot
    /// number gives, and their sum the number of upper lists.
    ///
    /// Computes where each slot's upper lists begin.
    func adoptStates(_ header: SnapshotHeader) throws(VectorIndexError) {
        for slot in 0..<slotCount {
            let level = Self.level(ofSlot: slot, seed: configuration.seed, m: configuration.m)
            let state = unsafe states[slot]
            guard Int(state & ~Self.liveBit) == level else {
                throw .snapshotStructure(part: .states, detail: .levelMismatch)
            }
            if slot % 64 == 0 { unsafe blockStarts[slot / 64] = UInt32(upperListCount) }
            upperListCount += level
            guard upperListCount <= header.upperListCount else {
                throw .snapshotStructure(part: .states, detail: .levelMismatch)
            }
            if state & Self.liveBit == 0 { freeSlots.append(UInt32(slot)) }
        }
        guard upperListCount == header.upperListCount else {
            throw .snapshotStructure(part: .states, detail: .levelMismatch)
        }
        guard slotCount - freeSlots.count == header.liveCount else {
            throw .snapshotStructure(part: .states, detail: .countMismatch)
        }
    }

    /// Builds the key map of a loaded snapshot; a key may occur only once.
    func adoptKeys(_ header: SnapshotHeader) throws(VectorIndexError) {
        table.reserve(header.liveCount)
        for slot in 0..<UInt32(slotCount) where isLive(slot) {
            guard table.insert(slot) else {
                throw .snapshotStructure(part: .keys, detail: .duplicateKey)
            }
        }
    }

    /// Checks the inverse lengths of the rows: 1 / |v| of integers below 2^15.
    func validateScales() throws(VectorIndexError) {
        for slot in 0..<slotCount {
            let scale = unsafe scales[slot]
            guard scale >= 0, scale <= 1 else {
                throw .snapshotStructure(part: .scales, detail: .scaleOutOfRange)
            }
        }
    }

    /// Checks every link of a loaded snapshot: inside the graph, to a live node of that layer, not
    /// to itself, to none twice, no gaps, and two-way.
    ///
    /// Whether each layer is connected is left to `checkInvariants`, which takes as long as
    /// opening: a graph in parts finds less, and nothing worse.
    ///
    /// Two-way is checked in one pass by an accumulator, as hnsw.c does: each ordered pair adds a
    /// hash of the unordered pair with a sign that depends on the direction, so a link and its
    /// counterpart cancel. The hash is seeded anew each time, so no file can be made to cancel by
    /// other means.
    func validateLinks() throws(VectorIndexError) {
        let seed = UInt64.random(in: .min ... .max)
        var balance: UInt64 = 0
        // For each slot the number of the last list that led to it.
        let leading = UnsafeMutablePointer<UInt32>.allocate(capacity: slotCount)
        defer { unsafe leading.deallocate() }
        unsafe leading.initialize(repeating: 0, count: slotCount)
        let count = slotCount
        var list: UInt32 = 0
        for slot in 0..<UInt32(count) where isLive(slot) {
            list += 1
            if let sum = unsafe baseBalance(slot, count, seed: seed, number: list, leading) {
                balance &+= sum
            } else {
                // It is looked at again, with a number of its own, to say what is wrong.
                balance &+= try unsafe validateList(
                    slot,
                    layer: 0,
                    seed: seed,
                    number: .max,
                    leading
                )
            }
            for layer in 0..<level(slot) {
                list += 1
                balance &+= try unsafe validateList(
                    slot,
                    layer: layer + 1,
                    seed: seed,
                    number: list,
                    leading
                )
            }
        }
        guard balance == 0 else {
            throw .snapshotStructure(part: .baseLinks, detail: .linkOneWay)
        }
    }

    /// What `validateList` gives for a list of layer 0, in a fraction of the time; nil when
    /// something is wrong with it.
    ///
    /// Nearly all links are on layer 0.
    @inline(__always)
    private func baseBalance(
        _ slot: UInt32,
        _ slotCount: Int,
        seed: UInt64,
        number: UInt32,
        _ leading: UnsafeMutablePointer<UInt32>
    ) -> UInt64? {
        let degree = configuration.m * 2
        let start = Int(slot) * degree
        if hasWideLinks {
            let places = unsafe UnsafeBufferPointer(start: wideLinks + start, count: degree)
            return unsafe balance(places, slot, slotCount, seed: seed, number: number, leading)
        }
        let places = unsafe UnsafeBufferPointer(start: narrowLinks + start, count: degree)
        return unsafe balance(places, slot, slotCount, seed: seed, number: number, leading)
    }

    @inline(__always)
    private func balance<Link: FixedWidthInteger & UnsignedInteger>(
        _ places: UnsafeBufferPointer<Link>,
        _ slot: UInt32,
        _ slotCount: Int,
        seed: UInt64,
        number: UInt32,
        _ leading: UnsafeMutablePointer<UInt32>
    ) -> UInt64? {
        var balance: UInt64 = 0
        var index = 0
        while index < places.count {
            let place = unsafe places[index]
            if place == Link.max { break }
            let link = UInt32(truncatingIfNeeded: place)
            guard Int(link) < slotCount, isLive(link), link != slot,
                unsafe leading[Int(link)] != number
            else { return nil }
            unsafe leading[Int(link)] = number
            let pair = UInt64(min(link, slot)) << 32 | UInt64(max(link, slot))
            // Which of the two is less is a coin toss, so there is no branch.
            let sign: UInt64 = slot < link ? 0 : .max
            balance &+= (Self.mixed(pair, seed: seed) ^ sign) &- sign
            index += 1
        }
        while index < places.count {
            guard unsafe places[index] == Link.max else { return nil }
            index += 1
        }
        return balance
    }

    private func validateList(
        _ slot: UInt32,
        layer: Int,
        seed: UInt64,
        number: UInt32,
        _ leading: UnsafeMutablePointer<UInt32>
    ) throws(VectorIndexError) -> UInt64 {
        let part: SnapshotPart = layer == 0 ? .baseLinks : .upperLinks
        let list = links(slot, layer: layer)
        var balance: UInt64 = 0
        var isEnded = false
        for index in 0..<list.capacity {
            let link = list[index]
            if link == Self.noSlot {
                isEnded = true
                continue
            }
            guard !isEnded else { throw .snapshotStructure(part: part, detail: .linkGap) }
            guard Int(link) < slotCount, isLive(link) else {
                throw .snapshotStructure(part: part, detail: .linkOutOfBounds)
            }
            guard level(link) >= layer else {
                throw .snapshotStructure(part: part, detail: .linkBelowLevel)
            }
            guard link != slot else {
                throw .snapshotStructure(part: part, detail: .linkToItself)
            }
            guard unsafe leading[Int(link)] != number else {
                throw .snapshotStructure(part: part, detail: .linkTwice)
            }
            unsafe leading[Int(link)] = number
            let pair = UInt64(min(link, slot)) << 32 | UInt64(max(link, slot))
            let hash = Self.mixed(pair &+ UInt64(layer) &* 0x9E37_79B9_7F4A_7C15, seed: seed)
            balance = slot < link ? balance &+ hash : balance &- hash
        }
        return balance
    }

    /// A seeded hash of one number (the finaliser of splitmix64).
    @inline(__always)
    private static func mixed(_ value: UInt64, seed: UInt64) -> UInt64 {
        var hash = value ^ seed
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        return hash ^ (hash >> 31)
    }

    /// Takes over the entry point of a loaded snapshot after checking that it is live and of the
    /// highest level in use.
    func adoptEntryPoint(_ header: SnapshotHeader) throws(VectorIndexError) {
        let fault = VectorIndexError.snapshotStructure(part: .header, detail: .badEntryPoint)
        guard header.entryPoint != Self.noSlot else {
            guard header.liveCount == 0 else { throw fault }
            return
        }
        guard Int(header.entryPoint) < slotCount, isLive(header.entryPoint),
            level(header.entryPoint) == Int(header.topLevel)
        else { throw fault }
        var highest = 0
        for slot in 0..<UInt32(slotCount) where isLive(slot) { highest = max(highest, level(slot)) }
        guard highest == Int(header.topLevel) else { throw fault }
        entryPoint = header.entryPoint
        topLevel = highest
    }
}
