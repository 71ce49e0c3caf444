import Crypto
import Domain
import Glibc

/// Reads an archive item by item, and checks on the way that it is whole and unchanged.
final class ArchiveReader {
    /// What an archive says of itself.
    struct Header: Sendable {
        var schema: Int
        var createdAt: String
        var engine: String
    }

    /// Bytes of rows handed over at once, and how many.
    private static let pageBytes = 4 << 20
    private static let pageRows = 2_000

    /// What the first line says.
    let header: Header

    private let lines: LineFile
    private var hash = SHA256()
    private var table: (name: String, columns: [SchemaCatalog.Column])?
    private var digester = TableDigester()
    private var isOver = false

    init(path: String) throws(ArchiveError) {
        lines = try LineFile(path: path)
        guard let line = try lines.next(), let object = Self.object(line),
            object["preloop"]?.string == "archive",
            object["version"]?.integer == ArchiveWriter.version,
            let schema = object["schema"]?.integer
        else { throw .damaged(reason: "it does not begin as an archive does") }
        hash.update(data: line)
        header = Header(
            schema: Int(clamping: schema),
            createdAt: object["created_at"]?.string ?? "",
            engine: object["engine"]?.string ?? ""
        )
    }

    /// The next item; nil at the end of a whole archive.
    func next() throws(ArchiveError) -> ArchiveItem? {
        guard !isOver else { return nil }
        var rows: [[SQLValue]] = []
        var bytes = 0
        while let line = try lines.peek() {
            guard line.first == UInt8(ascii: "[") else {
                if !rows.isEmpty { return .rows(rows) }
                lines.skip()
                return try item(line)
            }
            guard let table, let values = CanonicalRow.values(line, columns: table.columns)
            else { throw .damaged(reason: "a line is no row of its table") }
            lines.skip()
            hash.update(data: line)
            digester.add(line)
            rows.append(values)
            bytes += line.count
            if bytes >= Self.pageBytes || rows.count >= Self.pageRows { return .rows(rows) }
        }
        throw .damaged(reason: "it was cut short")
    }

    private func item(_ line: [UInt8]) throws(ArchiveError) -> ArchiveItem? {
        guard let object = Self.object(line) else { throw .damaged(reason: "a line is not JSON") }
        if object["archive_end"]?.bool == true {
            guard object["sha256"]?.string == hexadecimal(hash.finalize()) else {
                throw .damaged(reason: "its checksum is another one")
            }
            guard try lines.next() == nil else {
                throw .damaged(reason: "it goes on after its end")
            }
            isOver = true
            return nil
        }
        hash.update(data: line)
        if let name = object["table"]?.string {
            let columns = object["columns"]?.array?.compactMap(Self.column) ?? []
            guard table == nil, !columns.isEmpty, columns.count == object["columns"]?.array?.count
            else { throw .damaged(reason: "a table does not begin as one does") }
            table = (name, columns)
            digester = TableDigester()
            return .table(name: name, columns: columns)
        }
        guard let name = object["end"]?.string, name == table?.name,
            let count = object["rows"]?.integer, let sum = object["sha256"]?.string
        else { throw .damaged(reason: "a line is none of an archive") }
        let digest = digester.digest(of: name)
        guard digest == TableDigest(name: name, rows: Int(clamping: count), sha256: sum) else {
            throw .damaged(reason: "the rows of `\(name)` are not those that were written")
        }
        table = nil
        return .end(digest)
    }

    private static func object(_ line: [UInt8]) -> JSONValue? {
        // Whatever else it is, it is no line of an archive.
        guard let value = try? JSONParser.parse(line), value.object != nil else { return nil }
        return value
    }

    private static func column(_ value: JSONValue) -> SchemaCatalog.Column? {
        guard let parts = value.array, parts.count == 2, let name = parts[0].string,
            let kind = SQLKind.copied.first(where: { "\($0)" == parts[1].string })
        else { return nil }
        return SchemaCatalog.Column(name: name, kind: kind)
    }
}

extension SQLKind {
    /// The kinds that columns have.
    fileprivate static let copied: [SQLKind] = [
        .integer, .double, .text, .blob, .bool, .timestamp, .json,
    ]
}

/// A file line by line, newlines included, of which a bounded part is in memory.
private final class LineFile {
    /// A row of the largest kind has a few megabytes; a line beyond this is none of ours.
    private static let maximumLineBytes = 256 << 20
    private static let chunkBytes = 1 << 20

    private let path: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var position = 0
    private var isAtEnd = false
    private var waiting: [UInt8]?

    init(path: String) throws(ArchiveError) {
        self.path = path
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path: path, code: errno) }
    }

    deinit {
        close(descriptor)
    }

    /// The next line, which stays the next; nil at the end of the file.
    func peek() throws(ArchiveError) -> [UInt8]? {
        if waiting == nil { waiting = try read() }
        return waiting
    }

    /// Leaves the line behind that was peeked at.
    func skip() { waiting = nil }

    /// The next line; nil at the end of the file.
    func next() throws(ArchiveError) -> [UInt8]? {
        defer { waiting = nil }
        return try peek()
    }

    private func read() throws(ArchiveError) -> [UInt8]? {
        var searched = position
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                return Array(buffer[position...end])
            }
            guard !isAtEnd else {
                guard position == buffer.count else {
                    throw .damaged(reason: "it was cut short")
                }
                return nil
            }
            guard buffer.count - position <= Self.maximumLineBytes else {
                throw .damaged(reason: "a line has no end")
            }
            buffer.removeFirst(position)
            position = 0
            searched = buffer.count
            try fill()
        }
    }

    private func fill() throws(ArchiveError) {
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .file(path: path, code: errno) }
            buffer += chunk.prefix(count)
            isAtEnd = count == 0
            return
        }
    }
}
