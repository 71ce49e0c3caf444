package import Domain
import Glibc
import Search
import Store

/// What the last indexing left: the store and its revision at which nothing was waiting, and the
/// files it was done with.
///
/// A scan in which nothing has changed finds the same files and the same revision, and needs
/// neither model nor indexes: reading the vocabulary alone costs more than asking a hundred
/// projects. It is kept beside the indexes as text: store and revision first, then a line a file
/// with size, times and number. Any difference only means that the indexes are opened as ever.
package struct SettledIndex: Equatable, Sendable {
    /// Where everything was indexed.
    private var position: FeedPosition
    /// The files' lines.
    private var files: [String]

    /// Models have a dozen files; a directory with more is none of ours.
    private static let maximumFileCount = 64
    private static let heading = "preloop settled index 2"
    /// A line a file of paths of ordinary length.
    private static let maximumByteCount = 1 << 16

    /// The mark for a state of the files as it is now; nil when some of them are missing, or
    /// vectors come from a provider.
    package init?(_ installation: Installation, position: FeedPosition) {
        guard let model = installation.modelDirectory, let files = Self.files(below: model)
        else { return nil }
        var lines: [String] = []
        // A new program may cut texts otherwise, or make other vectors.
        for path in ["/proc/self/exe", installation.lexicalIndexPath] + files {
            guard let line = Self.line(of: path) else { return nil }
            lines.append(line)
        }
        switch installation.settings.vectorBackend {
        // There is none before there is enough to put into it.
        case .memory: lines.append(Self.line(of: installation.snapshotPath) ?? "none")
        case .pgvector: lines.append("pgvector")
        }
        self.position = position
        self.files = lines
    }

    /// Whether store, revision and files are those of the last indexing.
    package static func holds(in installation: Installation) async throws -> Bool {
        guard let text = read(path(in: installation)) else { return false }
        let position = try await installation.feedPosition()
        return SettledIndex(installation, position: position)?.text == text
    }

    /// Remembers that nothing is waiting; the indexes are closed, `position` was read before.
    package static func save(_ position: FeedPosition, in installation: Installation) {
        let path = path(in: installation)
        guard let mark = SettledIndex(installation, position: position), mark.text != read(path)
        else { return }
        // Losing it costs the next scan the opening of its indexes.
        guard let file = unsafe fopen(path, "we") else { return }
        _ = unsafe fputs(mark.text, file)
        unsafe fclose(file)
    }

    private var text: String {
        let place = "\(position.store) \(position.revision)"
        return ([Self.heading, place] + files + [""]).joined(separator: "\n")
    }

    private static func path(in installation: Installation) -> String {
        installation.indexDirectory + "/settled"
    }

    private static func read(_ path: String) -> String? {
        guard let file = unsafe fopen(path, "re") else { return nil }
        defer { unsafe fclose(file) }
        var bytes = [UInt8](repeating: 0, count: maximumByteCount)
        let count = unsafe fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    /// Path, size, number and times of a file; links are followed.
    private static func line(of path: String) -> String? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        let (written, changed) = (status.st_mtim, status.st_ctim)
        return "\(status.st_size) \(status.st_dev):\(status.st_ino) "
            + "\(written.tv_sec).\(written.tv_nsec) \(changed.tv_sec).\(changed.tv_nsec) \(path)"
    }

    /// The files of a directory and of those in it, in the order of their names.
    private static func files(below directory: String, depth: Int = 2) -> [String]? {
        guard let names = names(in: directory) else { return nil }
        var files: [String] = []
        for name in names {
            let path = "\(directory)/\(name)"
            var status = stat()
            guard unsafe stat(path, &status) == 0 else { return nil }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                files.append(path)
                continue
            }
            guard depth > 1 else { continue }
            guard let inner = Self.files(below: path, depth: depth - 1) else { return nil }
            files += inner
        }
        return files.count <= maximumFileCount ? files : nil
    }

    private static func names(in directory: String) -> [String]? {
        guard let stream = unsafe opendir(directory) else { return nil }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
                unsafe name.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) {
                    unsafe String(cString: $0)
                }
            }
            if name.utf8.first != UInt8(ascii: ".") { names.append(name) }
            guard names.count <= maximumFileCount else { return nil }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

/// A revision of one store: another database at the same path or address is another.
package struct FeedPosition: Equatable, Sendable {
    /// See ``StoreIdentity``.
    package var store: String
    /// The newest revision.
    package var revision: Revision
}

extension Installation {
    /// The store's newest revision.
    package func feedPosition() async throws -> FeedPosition {
        try await store.read { connection, account in
            FeedPosition(
                store: try StoreIdentity.text(account: account, on: connection),
                revision: try AccountTable.currentRevision(account: account, on: connection)
            )
        }
    }
}
