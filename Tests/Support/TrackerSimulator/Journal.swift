import Domain
import Glibc

/// The writes that were done, one JSON object a line, so that the next process has them too.
struct Journal {
    /// A write as it came, and when.
    struct Entry {
        var request: HTTPServer.Request
        var doneAt: Timestamp
    }

    /// More than that, and writes are refused: samples are no store.
    static let maximumByteCount = 64 << 20

    private let path: String
    private var byteCount: Int

    /// What is in the file, oldest first; a line that was cut off when a process ended is left out.
    let entries: [Entry]

    /// Opens the file, which need not be there.
    init(path: String) throws {
        self.path = path
        let bytes = access(path, F_OK) == 0 ? try readFile(path) : []
        byteCount = bytes.count
        entries = bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            (try? JSONParser.parse(Array(line))).flatMap(Entry.init)
        }
        // What follows must not become a part of such a line.
        if let last = bytes.last, last != UInt8(ascii: "\n") { try append([]) }
    }

    var isFull: Bool { byteCount >= Self.maximumByteCount }

    /// Adds a write that was done.
    mutating func add(_ entry: Entry) throws {
        try append(entry.json.serialized())
    }

    private mutating func append(_ line: [UInt8]) throws {
        let bytes = line + [UInt8(ascii: "\n")]
        guard let file = fopen(path, "ab") else {
            throw SimulatorError(message: "cannot write \(path)")
        }
        let written = fwrite(bytes, 1, bytes.count, file)
        guard fclose(file) == 0, written == bytes.count else {
            throw SimulatorError(message: "cannot write \(path)")
        }
        byteCount += bytes.count
    }
}

extension Journal.Entry {
    /// Its line.
    fileprivate var json: JSONValue {
        [
            "at": .integer(doneAt.milliseconds), "method": .string(request.method),
            "path": JSONValue(request.path),
            "body": .string(String(decoding: request.body, as: UTF8.self)),
        ]
    }

    /// Reads a line; nil when it is none.
    fileprivate init?(_ line: JSONValue) {
        guard let milliseconds = line["at"]?.integer, let method = line["method"]?.string,
            let path = line["path"]?.array?.compactMap(\.string), let body = line["body"]?.string
        else { return nil }
        request = HTTPServer.Request(
            method: method,
            path: path,
            query: [:],
            headers: ["authorization": "the journal's"],
            body: Array(body.utf8)
        )
        doneAt = Timestamp(milliseconds: milliseconds)
    }
}
