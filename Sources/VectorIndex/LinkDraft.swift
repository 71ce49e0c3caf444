/// Copies of link lists, which a writer changes beside the readers.
///
/// They learn of the changes when the copies are put into place, all at once: that is all they
/// ever wait for. Copies do not move before `clear`. For the one writer.
@safe
final class LinkDraft {
    /// A list by layer and slot.
    struct Key: Equatable {
        let slot: UInt32
        let layer: UInt32

        /// Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
        @inline(__always)
        func home(_ shift: UInt64) -> Int {
            let number = UInt64(layer) << 32 | UInt64(slot)
            return Int(truncatingIfNeeded: (number &* 0x9E37_79B9_7F4A_7C15) &>> shift)
        }
    }

    /// A place of the table, in use when it is of the current round.
    private struct Place {
        var key = Key(slot: 0, layer: 0)
        var number: UInt32 = 0
        var round: UInt32 = 0
    }

    /// Plain memory: in properties of the class each access would be checked for another one at
    /// the same time, which made builds 3 to 8 % longer.
    @unsafe
    private struct Table {
        var places: UnsafeMutablePointer<Place>
        /// Places, a power of two; there is room for half as many keys.
        var size: Int
        var keys: UnsafeMutablePointer<Key>
        var count = 0
        var round: UInt32 = 1
        var blocks: [UnsafeMutableRawPointer] = unsafe []

        init(size: Int) {
            unsafe self.size = size
            unsafe places = .allocate(capacity: size)
            unsafe places.initialize(repeating: Place(), count: size)
            unsafe keys = .allocate(capacity: size / 2)
        }

        func deallocate() {
            unsafe places.deallocate()
            unsafe keys.deallocate()
        }

        var shift: UInt64 { unsafe 64 - UInt64(size.trailingZeroBitCount) }
    }

    /// Copies in one block of memory.
    private static let blockSize = 256
    /// Blocks that are kept for later drafts.
    private static let keptBlocks = 4
    /// Places to begin with: an account whose index is only read has no use for more.
    private static let firstSize = 128

    private let byteCount: Int
    private let table: UnsafeMutablePointer<Table>

    /// Copies take up to `byteCount` bytes each.
    init(byteCount: Int) {
        self.byteCount = byteCount
        unsafe table = .allocate(capacity: 1)
        unsafe table.initialize(to: Table(size: Self.firstSize))
    }

    deinit {
        while let block = unsafe table.pointee.blocks.popLast() { unsafe block.deallocate() }
        unsafe table.pointee.deallocate()
        unsafe table.deinitialize(count: 1)
        unsafe table.deallocate()
    }

    /// Number of copies.
    var count: Int { unsafe table.pointee.count }

    /// What the copy with a number is of; numbers are given in turn.
    func key(_ number: Int) -> Key {
        precondition(number >= 0 && number < count, "no such copy")
        return unsafe table.pointee.keys[number]
    }

    /// The memory of the copy with a number.
    @unsafe
    @inline(__always)
    func memory(_ number: Int) -> UnsafeMutableRawPointer {
        let offset = number % Self.blockSize * byteCount
        return unsafe table.pointee.blocks[number / Self.blockSize] + offset
    }

    /// The copy of a list; nil when there is none.
    @inline(__always)
    func number(of key: Key) -> Int? {
        guard unsafe table.pointee.count > 0 else { return nil }
        let (places, round) = unsafe (table.pointee.places, table.pointee.round)
        let mask = unsafe table.pointee.size - 1
        var place = unsafe key.home(table.pointee.shift)
        while unsafe places[place].round == round {
            if unsafe places[place].key == key { return unsafe Int(places[place].number) }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Makes a copy, whose memory the caller fills; there must be none yet.
    func add(_ key: Key) -> Int {
        let number = count
        if unsafe number == table.pointee.size / 2 { grow() }
        if unsafe number == table.pointee.blocks.count * Self.blockSize {
            let size = Self.blockSize * byteCount
            unsafe table.pointee.blocks.append(.allocate(byteCount: size, alignment: 64))
        }
        unsafe table.pointee.keys[number] = key
        unsafe table.pointee.count = number + 1
        unsafe Self.enter(key, number, &table.pointee)
        return number
    }

    /// Forgets all copies.
    func clear() {
        let isLarge = unsafe table.pointee.blocks.count > Self.keptBlocks
        unsafe table.pointee.count = 0
        unsafe table.pointee.round &+= 1
        guard unsafe isLarge || table.pointee.round == 0 else { return }
        while unsafe table.pointee.blocks.count > Self.keptBlocks {
            if let block = unsafe table.pointee.blocks.popLast() { unsafe block.deallocate() }
        }
        var next = unsafe Table(size: Self.firstSize)
        unsafe next.blocks = table.pointee.blocks
        unsafe table.pointee.deallocate()
        unsafe table.pointee = next
    }

    @unsafe
    @inline(__always)
    private static func enter(_ key: Key, _ number: Int, _ table: inout Table) {
        let mask = unsafe table.size - 1
        var place = unsafe key.home(table.shift)
        while unsafe table.places[place].round == table.round { place = (place + 1) & mask }
        unsafe table.places[place] = Place(key: key, number: UInt32(number), round: table.round)
    }

    private func grow() {
        var next = unsafe Table(size: table.pointee.size * 2)
        unsafe next.blocks = table.pointee.blocks
        unsafe next.count = table.pointee.count
        for number in 0..<count {
            let key = key(number)
            unsafe next.keys[number] = key
            unsafe Self.enter(key, number, &next)
        }
        unsafe table.pointee.deallocate()
        unsafe table.pointee = next
    }
}
