import Crypto
import Domain
import Glibc

/// Writes an archive: lines of JSON, each table with the digest of its rows, and at the end one of
/// all that stands before.
///
///     {"created_at":"…","engine":"sqlite","preloop":"archive","schema":4,"version":1}
///     {"columns":[["account_id","integer"],…],"table":"issues"}
///     [1,17,…]
///     {"end":"issues","rows":1,"sha256":"…"}
///     …
///     {"archive_end":true,"sha256":"…"}
///
/// The file is written beside its place, synced and renamed, mode 0600: it holds everything the
/// trackers told, and sealed credentials.
final class ArchiveWriter {
    static let version: Int64 = 1
    /// Bytes written at once.
    private static let bufferBytes = 1 << 20

    private let path: String
    private let partialPath: String
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private var hash = SHA256()

    /// Begins an archive; one that was begun before and is not being written is begun anew.
    init(path: String, schema: Int, engine: SQLDialect, now: Timestamp) throws(ArchiveError) {
        self.path = path
        partialPath = path + ".partial"
        descriptor = unsafe open(partialPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .file(path: partialPath, code: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            descriptor = -1
            throw code == EWOULDBLOCK
                ? .beingWritten(path: path) : .file(path: partialPath, code: code)
        }
        guard ftruncate(descriptor, 0) == 0, fchmod(descriptor, 0o600) == 0 else { throw failure }
        try write([
            "preloop": "archive", "version": .integer(Self.version),
            "schema": .integer(Int64(schema)), "created_at": .string(now.iso8601),
            "engine": engine == .sqlite ? "sqlite" : "postgresql",
        ])
    }

    deinit {
        guard descriptor >= 0 else { return }
        // Not finished, and ours: nobody else has the lock.
        _ = unsafe unlink(partialPath)
        close(descriptor)
    }

    /// Adds an item.
    func write(_ item: ArchiveItem) throws(ArchiveError) {
        switch item {
        case .table(let name, let columns):
            let columns = columns.map { column -> JSONValue in
                [.string(column.name), .string("\(column.kind)")]
            }
            try write(["table": .string(name), "columns": .array(columns)])
        case .rows(let rows):
            for row in rows { try append(CanonicalRow.line(row)) }
        case .end(let digest):
            try write([
                "end": .string(digest.name), "rows": .integer(Int64(digest.rows)),
                "sha256": .string(digest.sha256),
            ])
        }
    }

    /// Ends the archive and puts it into its place.
    func finish() throws(ArchiveError) {
        let sum = hexadecimal(hash.finalize())
        try write(["archive_end": true, "sha256": .string(sum)])
        try flush()
        guard fsync(descriptor) == 0, unsafe rename(partialPath, path) == 0 else { throw failure }
        let code = close(descriptor)
        descriptor = -1
        guard code == 0 else { throw failure }
        // The name too must outlive a power cut.
        let end = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path.index(after: $0) }
        let directory = end.map { String(path[..<$0]) } ?? "."
        let parent = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard parent >= 0 else { throw .file(path: directory, code: errno) }
        defer { close(parent) }
        guard fsync(parent) == 0 else { throw .file(path: directory, code: errno) }
    }

    private func write(_ object: JSONValue) throws(ArchiveError) {
        try append(object.serialized(sortedKeys: true) + [UInt8(ascii: "\n")])
    }

    private func append(_ line: [UInt8]) throws(ArchiveError) {
        hash.update(data: line)
        buffer += line
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private func flush() throws(ArchiveError) {
        var start = 0
        while start < buffer.count {
            let count = unsafe buffer.withUnsafeBytes { bytes in
                unsafe Glibc.write(
                    descriptor,
                    bytes.baseAddress.map { unsafe $0 + start },
                    bytes.count - start
                )
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure }
            start += count
        }
        buffer.removeAll(keepingCapacity: true)
    }

    private var failure: ArchiveError { .file(path: partialPath, code: errno) }
}
