/// Which slot holds a key: open addressing over slot numbers, 4.6 to 9.2 bytes per key.
///
/// The keys themselves are not repeated; they are compared in the array of the graph. The hash is
/// seeded anew in each process, so that no file can be made to collide.
@safe
struct KeyTable: ~Copyable {
    private var places: [UInt32]
    private var shift: UInt64
    private let factor = UInt64.random(in: .min ... .max) | 1
    private let keys: UnsafeMutablePointer<Int64>
    /// Number of keys.
    private(set) var count = 0

    /// Makes an empty table over the keys of a graph's slots.
    init(keys: UnsafeMutablePointer<Int64>) {
        unsafe self.keys = keys
        places = [UInt32](repeating: Graph.noSlot, count: 16)
        shift = 60
    }

    /// Bytes the places take.
    var byteCount: Int { places.count * 4 }

    /// Makes room for so many keys.
    mutating func reserve(_ capacity: Int) {
        if let places = places(for: capacity) { _ = exchange(places) }
    }

    /// The table with room for so many keys more, to be exchanged for the one in use; nil when
    /// they fit in that.
    func grown(by count: Int) -> Places? { places(for: self.count + count) }

    /// Puts another table of the same keys into place.
    ///
    /// - Returns: The one that was there.
    mutating func exchange(_ other: Places) -> Places {
        let old = Places(slots: places, shift: shift)
        (places, shift) = (other.slots, other.shift)
        return old
    }

    /// Where slots are entered.
    struct Places {
        fileprivate var slots: [UInt32]
        fileprivate let shift: UInt64
    }

    private func places(for capacity: Int) -> Places? {
        var size = places.count
        while !Self.holds(capacity, in: size) { size *= 2 }
        return size > places.count ? rebuilt(size) : nil
    }

    /// Whether so many keys may share so many places: seven eighths of them.
    ///
    /// Keys that follow one another are spread evenly by a multiplication, so that runs stay short;
    /// three quarters took twice the memory at the 50,000 keys of the benchmark.
    private static func holds(_ count: Int, in size: Int) -> Bool { count <= size / 8 * 7 }

    /// The slot of a key; nil when it is not stored.
    @inline(__always)
    func slot(of key: Int64) -> UInt32? {
        let mask = places.count - 1
        var place = home(key)
        while true {
            let slot = places[place]
            if slot == Graph.noSlot { return nil }
            if unsafe keys[Int(slot)] == key { return slot }
            place = (place + 1) & mask
        }
    }

    /// Enters a slot whose key is already in the array; false when the key is in the table.
    mutating func insert(_ slot: UInt32) -> Bool {
        reserve(count + 1)
        let key = unsafe keys[Int(slot)]
        let mask = places.count - 1
        var place = home(key)
        while places[place] != Graph.noSlot {
            if unsafe keys[Int(places[place])] == key { return false }
            place = (place + 1) & mask
        }
        places[place] = slot
        count += 1
        return true
    }

    /// Takes out the key of a slot, whose key must still be in the array.
    mutating func remove(_ slot: UInt32) {
        let mask = places.count - 1
        var place = unsafe home(keys[Int(slot)])
        while places[place] != slot {
            guard places[place] != Graph.noSlot else { return }
            place = (place + 1) & mask
        }
        count -= 1
        // Entries behind the gap move up unless they would come before their home.
        var next = (place + 1) & mask
        while places[next] != Graph.noSlot {
            let distance = unsafe (next - home(keys[Int(places[next])])) & mask
            if distance >= (next - place) & mask {
                places[place] = places[next]
                place = next
            }
            next = (next + 1) & mask
        }
        places[place] = Graph.noSlot
    }

    /// Calls `body` with every slot in the table, in no order.
    func forEach(_ body: (UInt32) -> Void) {
        for slot in places where slot != Graph.noSlot { body(slot) }
    }

    @inline(__always)
    private func home(_ key: Int64) -> Int { home(key, shift) }

    @inline(__always)
    private func home(_ key: Int64, _ shift: UInt64) -> Int {
        Int(truncatingIfNeeded: (UInt64(bitPattern: key) &* factor) &>> shift)
    }

    private func rebuilt(_ size: Int) -> Places {
        let shift = 64 - UInt64(size.trailingZeroBitCount)
        var slots = [UInt32](repeating: Graph.noSlot, count: size)
        for slot in places where slot != Graph.noSlot {
            var place = unsafe home(keys[Int(slot)], shift)
            while slots[place] != Graph.noSlot { place = (place + 1) & (size - 1) }
            slots[place] = slot
        }
        return Places(slots: slots, shift: shift)
    }
}
