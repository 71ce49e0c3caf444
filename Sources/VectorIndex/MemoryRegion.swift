private import Glibc

/// A range of addresses reserved once and filled with memory as the index grows.
///
/// Arrays of the graph never move: growing makes more of the reserved range usable, so readers may
/// hold pointers while a writer appends, and row `i` is always at `base + i * stride` whether its
/// page comes from a snapshot file or from anonymous memory. Untouched reserved pages cost
/// nothing.
@safe
struct MemoryRegion: ~Copyable {
    /// Start of the range, page aligned; only the first `committedByteCount` bytes may be touched.
    let base: UnsafeMutableRawPointer
    private let reservedByteCount: Int
    private(set) var committedByteCount = 0
    /// Bytes at the start that are known to lie in huge pages, or for which that was refused.
    private var collapsedByteCount = 0

    /// Step in which memory is made usable: large enough to be rare, small enough for tiny
    /// indexes.
    private static let step = 1 << 20
    /// Size of a huge page, where there are any.
    private static let hugePageByteCount = 1 << 21
    /// `MADV_COLLAPSE` of Linux 6.1 and later.
    private static let adviceToCollapse: Int32 = 25
    /// Page size for which file offsets are laid out; every Linux target has pages of 4 KiB or a
    /// kernel that maps such offsets only when they are multiples of its own (checked by mmap).
    static let pageByteCount = 4096

    /// Reserves addresses without memory behind them.
    init(reserving byteCount: Int) throws(VectorIndexError) {
        let rounded = Self.roundUp(byteCount, to: Self.step) + Self.step
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let address = unsafe mmap(nil, rounded, PROT_NONE, flags, -1, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else {
            throw .outOfMemory(byteCount: byteCount)
        }
        unsafe base = address
        reservedByteCount = rounded
    }

    deinit {
        unsafe munmap(base, reservedByteCount)
    }

    /// Makes at least the first `byteCount` bytes usable; new ones are zero.
    mutating func commit(_ byteCount: Int) throws(VectorIndexError) {
        guard byteCount > committedByteCount else { return }
        let target = min(Self.roundUp(byteCount, to: Self.step), reservedByteCount)
        precondition(target >= byteCount, "memory region is smaller than the index's capacity")
        let start = unsafe base + committedByteCount
        let length = target - committedByteCount
        guard unsafe mprotect(start, length, PROT_READ | PROT_WRITE) == 0 else {
            throw .outOfMemory(byteCount: length)
        }
        committedByteCount = target
    }

    /// Puts `byteCount` bytes of a file at the start of the range, copy on write: the file never
    /// changes.
    ///
    /// - Parameters:
    ///   - descriptor: Open file; may be closed afterwards.
    ///   - offset: Where the bytes begin, a multiple of the page size.
    ///   - byteCount: Length; the file must reach to the end of its last page or end inside it.
    /// - Throws: `snapshotInputOutput` when the file cannot be mapped.
    mutating func map(
        descriptor: Int32,
        offset: Int,
        byteCount: Int
    ) throws(VectorIndexError) {
        precondition(committedByteCount == 0 && byteCount <= reservedByteCount - Self.step)
        guard byteCount > 0 else { return }
        let flags = MAP_PRIVATE | MAP_FIXED
        let address = unsafe mmap(
            base,
            byteCount,
            PROT_READ | PROT_WRITE,
            flags,
            descriptor,
            offset
        )
        guard unsafe address != MAP_FAILED else {
            throw .snapshotInputOutput(operation: "mmap", code: errno)
        }
        committedByteCount = Self.roundUp(byteCount, to: Self.pageByteCount)
    }

    /// Puts what is full of the first `byteCount` bytes into huge pages, where the system has them.
    ///
    /// Rows read in no order out of 20 MB miss the translation cache at every second one: scans
    /// become a fifth faster. Only whole huge pages are made, so no memory is used up for it. May
    /// be refused, which changes nothing but the speed.
    mutating func collapse(below byteCount: Int) {
        let size = Self.hugePageByteCount
        let limit = min(byteCount, committedByteCount)
        while true {
            let start = unsafe UInt(bitPattern: base) + UInt(collapsedByteCount)
            let aligned = (start + UInt(size) - 1) / UInt(size) * UInt(size)
            let offset = collapsedByteCount + Int(aligned - start)
            guard offset + size <= limit else { return }
            unsafe madvise(base + offset, size, Self.adviceToCollapse)
            collapsedByteCount = offset + size
        }
    }

    /// Asks for huge pages for what is about to be filled: the whole ones among the first
    /// `byteCount` bytes, which must be committed and untouched.
    mutating func adviseHugePages(below byteCount: Int) {
        let size = Self.hugePageByteCount
        let start = unsafe (size - Int(UInt(bitPattern: base) % UInt(size))) % size
        let length = (min(byteCount, committedByteCount) - start) / size * size
        guard length > 0 else { return }
        unsafe madvise(base + start, length, MADV_HUGEPAGE)
        collapsedByteCount = start + length
    }

    /// Gives the memory back; the range stays reserved and reads as zero.
    func release() {
        unsafe madvise(base, committedByteCount, MADV_DONTNEED)
    }

    /// The smallest multiple of `unit` that is not less than `value`.
    static func roundUp(_ value: Int, to unit: Int) -> Int {
        (value + unit - 1) / unit * unit
    }
}
