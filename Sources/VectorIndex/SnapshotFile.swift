import Glibc

/// An open file, closed when it goes out of scope.
struct SnapshotFile: ~Copyable {
    let descriptor: Int32

    deinit {
        close(descriptor)
    }

    /// Opens a snapshot for reading.
    init(reading path: String) throws(VectorIndexError) {
        let opened = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else {
            throw errno == ENOENT ? .snapshotMissing(path: path) : Self.failure("open")
        }
        descriptor = opened
    }

    /// Opens and locks the temporary file beside `path`, empty, readable by its owner only.
    ///
    /// The name is fixed, so that a killed process leaves at most one such file, and the next save
    /// uses it up. Whoever waited for the lock may hold a file that has meanwhile been renamed to
    /// `path`: then it begins again.
    init(replacing path: String) throws(VectorIndexError) {
        let temporary = Self.temporaryPath(path)
        var opened = try Self.openLocked(temporary)
        while !Self.isNamed(temporary, opened) {
            close(opened)
            opened = try Self.openLocked(temporary)
        }
        guard ftruncate(opened, 0) == 0 else {
            let failure = Self.failure("truncate")
            close(opened)
            throw failure
        }
        descriptor = opened
    }

    private static func openLocked(_ path: String) throws(VectorIndexError) -> Int32 {
        let opened = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard opened >= 0 else { throw failure("create") }
        while flock(opened, LOCK_EX) != 0 {
            guard errno == EINTR else {
                let failure = failure("lock")
                close(opened)
                throw failure
            }
        }
        return opened
    }

    /// Whether `path` is still a name of the open file.
    private static func isNamed(_ path: String, _ opened: Int32) -> Bool {
        var held = stat()
        var named = stat()
        return unsafe fstat(opened, &held) == 0 && stat(path, &named) == 0
            && held.st_ino == named.st_ino && held.st_dev == named.st_dev
    }

    /// Name of the file that is written before it takes the place of `path`.
    static func temporaryPath(_ path: String) -> String { path + ".tmp" }

    /// Length of the file in bytes.
    func byteCount() throws(VectorIndexError) -> Int {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw Self.failure("stat") }
        return Int(status.st_size)
    }

    /// Reads exactly `buffer.count` bytes from `offset`; fewer only at the end of the file.
    ///
    /// - Returns: Number of bytes read.
    func read(
        into buffer: UnsafeMutableRawBufferPointer,
        offset: Int
    ) throws(VectorIndexError) -> Int {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let count = unsafe pread(descriptor, base + done, buffer.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Self.failure("read") }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Writes all bytes at `offset`.
    func write(_ buffer: UnsafeRawBufferPointer, offset: Int) throws(VectorIndexError) {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let count = unsafe pwrite(descriptor, base + done, buffer.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("write") }
            done += count
        }
    }

    /// Makes the written bytes durable and gives them the name `path`, atomically.
    func publish(at path: String) throws(VectorIndexError) {
        guard fsync(descriptor) == 0 else { throw Self.failure("fsync") }
        guard unsafe rename(Self.temporaryPath(path), path) == 0 else {
            throw Self.failure("rename")
        }
        // The new name itself is only durable once the directory is.
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let opened = unsafe Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { throw Self.failure("open directory") }
        defer { close(opened) }
        guard fsync(opened) == 0 else { throw Self.failure("fsync directory") }
    }

    private static func failure(_ operation: String) -> VectorIndexError {
        .snapshotInputOutput(operation: operation, code: errno)
    }
}
