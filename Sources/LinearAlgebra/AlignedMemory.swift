import Glibc

/// Zeroed memory that starts at a cache line; freed when the last owner goes.
///
/// The address is kept as an integer, so the type is Sendable by its parts. Whoever writes must be
/// the only user: packed weights are written before anyone else has them, and a worker takes its
/// arena out of the pool.
final class AlignedMemory: Sendable {
    let byteCount: Int
    private let address: UInt

    /// Allocates at least one byte.
    ///
    /// Untouched pages cost nothing. Without memory the program stops, as it does for arrays.
    init(byteCount: Int) {
        precondition(byteCount >= 0 && byteCount < Int.max - 128, "a size of this machine")
        self.byteCount = byteCount
        let size = max(64, (byteCount + 63) / 64 * 64)
        guard let memory = unsafe aligned_alloc(64, size) else {
            preconditionFailure("no memory for \(size) bytes")
        }
        unsafe memset(memory, 0, size)
        address = UInt(bitPattern: memory)
    }

    deinit {
        unsafe free(UnsafeMutableRawPointer(bitPattern: address))
    }

    /// The byte at `offset`; valid as long as this object is.
    func pointer(at offset: Int = 0) -> UnsafeMutableRawPointer {
        precondition(offset >= 0 && offset <= byteCount, "within the memory")
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: address) else {
            preconditionFailure("allocated memory has an address")
        }
        return unsafe start + offset
    }
}
