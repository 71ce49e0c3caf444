/// The links of one node on one layer: a fixed number of places, filled from the front, the rest
/// holding `Graph.noSlot`.
///
/// The handle borrows the graph's memory and is valid until the graph is gone.
@safe
struct LinkList {
    private let places: UnsafeMutablePointer<UInt32>
    /// Largest number of links.
    let capacity: Int

    /// Wraps `capacity` places that the caller knows to be memory of the graph.
    init(places: UnsafeMutablePointer<UInt32>, capacity: Int) {
        unsafe self.places = places
        self.capacity = capacity
    }

    /// Number of links.
    ///
    /// O(capacity).
    var count: Int {
        var count = 0
        while count < capacity, unsafe places[count] != Graph.noSlot { count += 1 }
        return count
    }

    /// Whether no place is free.
    var isFull: Bool { unsafe places[capacity - 1] != Graph.noSlot }

    /// The link at a place; `noSlot` from the end of the list on.
    @inline(__always)
    subscript(index: Int) -> UInt32 {
        assert(index >= 0 && index < capacity)
        return unsafe places[index]
    }

    /// Start of the places, for kernels that gather rows.
    @unsafe var pointer: UnsafePointer<UInt32> { unsafe UnsafePointer(places) }

    /// Whether `slot` is among the links.
    func contains(_ slot: UInt32) -> Bool {
        for index in 0..<capacity {
            let link = unsafe places[index]
            if link == slot { return true }
            if link == Graph.noSlot { return false }
        }
        return false
    }

    /// Adds a link unless it is there or no place is free; says whether it is there now.
    @discardableResult
    func add(_ slot: UInt32) -> Bool {
        for index in 0..<capacity {
            let link = unsafe places[index]
            if link == slot { return true }
            if link == Graph.noSlot {
                unsafe places[index] = slot
                return true
            }
        }
        return false
    }

    /// Removes a link if it is there; the last link takes its place.
    func remove(_ slot: UInt32) {
        let count = count
        for index in 0..<count where unsafe places[index] == slot {
            unsafe places[index] = places[count - 1]
            unsafe places[count - 1] = Graph.noSlot
            return
        }
    }

    /// Removes all links.
    func clear() {
        unsafe places.update(repeating: Graph.noSlot, count: capacity)
    }

    /// A copy of the links.
    var links: [UInt32] {
        (0..<count).map { self[$0] }
    }
}
