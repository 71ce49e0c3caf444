import Glibc

/// A file mapped read-only into memory; unmapped when the last owner goes.
///
/// The address is kept as an integer, so the type is Sendable by its parts: nothing writes the
/// mapping, and nobody outside sees a pointer. A file that shrinks while it is mapped ends the
/// process at the next access (SIGBUS); model files are therefore replaced by renaming, never
/// rewritten.
final class MappedFile: Sendable {
    let path: String
    let byteCount: Int
    private let address: UInt

    /// Larger files are no sentence model that a tracker's server would hold.
    static let maximumByteCount = 8 << 30

    /// Maps the regular file at `path`.
    init(path: String) throws(EmbeddingError) {
        let (descriptor, byteCount) = try openRegularFile(path, limit: Self.maximumByteCount)
        defer { close(descriptor) }
        guard byteCount > 0 else { throw .invalidModel(path: path, reason: "it is empty") }
        let start = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let mapping = unsafe start, unsafe mapping != MAP_FAILED else {
            throw .invalidModel(path: path, reason: "it cannot be mapped: \(lastErrorText())")
        }
        self.path = path
        self.byteCount = byteCount
        address = UInt(bitPattern: mapping)
    }

    deinit {
        unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), byteCount)
    }

    /// Lends the bytes of `range`, which lies within the file.
    func withBytes<Result, Failure: Error>(
        in range: Range<Int>,
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "within the file")
        let start = unsafe UnsafeRawPointer(bitPattern: address + UInt(range.lowerBound))
        let buffer = unsafe UnsafeRawBufferPointer(start: start, count: range.count)
        return try body(unsafe buffer.bytes)
    }

    /// Lends `count` native floats from byte `offset` on, which is a multiple of four in memory.
    func withFloats<Result>(
        at offset: Int,
        count: Int,
        _ body: (Span<Float>) -> Result
    ) -> Result {
        precondition(offset >= 0 && count >= 0 && count <= byteCount / 4, "within the file")
        precondition(offset <= byteCount - 4 * count, "within the file")
        precondition(offset % MemoryLayout<Float>.alignment == 0, "aligned")
        let start = unsafe UnsafePointer<Float>(bitPattern: address + UInt(offset))
        return body(unsafe UnsafeBufferPointer(start: start, count: count).span)
    }

    /// Lets the system take back the memory of the whole file; what is read again comes from its
    /// cache.
    func releasePages() {
        let start = unsafe UnsafeMutableRawPointer(bitPattern: address)
        // Only advice: without it the pages stay until memory is short.
        _ = unsafe madvise(start, byteCount, MADV_DONTNEED)
    }
}
