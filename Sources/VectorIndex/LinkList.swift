import LinearAlgebra

/// The links of one node on one layer: a fixed number of places, filled from the front, the rest
/// holding "no slot".
///
/// Layer 0 of a graph of fewer than 65,536 slots has places of 16 bits, all others of 32. The
/// handle borrows the graph's memory and is valid until the graph changes its width or is gone.
@safe
struct LinkList {
    private let narrow: UnsafeMutablePointer<UInt16>?
    private let wide: UnsafeMutablePointer<UInt32>
    /// Largest number of links.
    let capacity: Int

    /// Wraps `capacity` places that the caller knows to be memory of the graph.
    init(places: UnsafeMutablePointer<UInt32>, capacity: Int) {
        unsafe narrow = nil
        unsafe wide = places
        self.capacity = capacity
    }

    /// The same for places of 16 bits; `unused` is any pointer, which is not followed.
    init(
        narrow: UnsafeMutablePointer<UInt16>,
        unused: UnsafeMutablePointer<UInt32>,
        capacity: Int
    ) {
        unsafe self.narrow = unsafe narrow
        unsafe wide = unused
        self.capacity = capacity
    }

    /// Takes over all places of a list of the same shape.
    func copy(_ other: LinkList) {
        precondition(capacity == other.capacity, "lists of two lengths")
        switch unsafe (narrow, other.narrow) {
        case (let narrow?, let places?): unsafe narrow.update(from: places, count: capacity)
        case (nil, nil): unsafe wide.update(from: other.wide, count: capacity)
        default: preconditionFailure("lists of two widths")
        }
    }

    /// Whether it shares a link with a list of the same shape, or holds `slot`.
    func hasCommon(_ other: LinkList, or slot: UInt32, level: CodeKernels.Level) -> Bool {
        precondition(capacity == other.capacity, "lists of two lengths")
        if let narrow = unsafe narrow, let places = unsafe other.narrow {
            return unsafe CodeKernels.haveCommon(
                narrow,
                places,
                degree: capacity,
                isNarrow: true,
                or: slot,
                level: level
            )
        }
        return unsafe CodeKernels.haveCommon(
            wide,
            other.wide,
            degree: capacity,
            isNarrow: false,
            or: slot,
            level: level
        )
    }

    /// Number of links.
    ///
    /// O(capacity).
    var count: Int {
        var count = 0
        while count < capacity, self[count] != Graph.noSlot { count += 1 }
        return count
    }

    /// Whether no place is free.
    var isFull: Bool { self[capacity - 1] != Graph.noSlot }

    /// The link at a place; `noSlot` from the end of the list on.
    @inline(__always)
    subscript(index: Int) -> UInt32 {
        get {
            assert(index >= 0 && index < capacity)
            guard let narrow = unsafe narrow else { return unsafe wide[index] }
            let link = unsafe narrow[index]
            return link == .max ? Graph.noSlot : UInt32(link)
        }
        nonmutating set {
            assert(index >= 0 && index < capacity)
            if let narrow = unsafe narrow {
                unsafe narrow[index] = UInt16(truncatingIfNeeded: newValue)
            } else {
                unsafe wide[index] = newValue
            }
        }
    }

    /// Whether `slot` is among the links.
    func contains(_ slot: UInt32) -> Bool {
        for index in 0..<capacity {
            let link = self[index]
            if link == slot { return true }
            if link == Graph.noSlot { return false }
        }
        return false
    }

    /// Adds a link unless it is there or no place is free; says whether it is there now.
    @discardableResult
    func add(_ slot: UInt32) -> Bool {
        for index in 0..<capacity {
            let link = self[index]
            if link == slot { return true }
            if link == Graph.noSlot {
                self[index] = slot
                return true
            }
        }
        return false
    }

    /// Removes a link if it is there; the last link takes its place.
    func remove(_ slot: UInt32) {
        let count = count
        for index in 0..<count where self[index] == slot {
            self[index] = self[count - 1]
            self[count - 1] = Graph.noSlot
            return
        }
    }

    /// Removes all links.
    func clear() {
        for index in 0..<capacity { self[index] = Graph.noSlot }
    }

    /// A copy of the links.
    var links: [UInt32] {
        let count = count
        // An array of no capacity is shared by the process: its length must not even be written.
        guard count > 0 else { return [] }
        return unsafe [UInt32](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            for index in 0..<count { unsafe buffer[index] = self[index] }
            initializedCount = count
        }
    }
}
