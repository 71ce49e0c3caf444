import Glibc

/// Reads a file line by line in bounded memory.
struct LineReader: ~Copyable {
    /// An issue with a body of a megabyte, escaped, is far below.
    static let maximumLineBytes = 16 << 20
    private static let chunkBytes = 1 << 20

    private let descriptor: Int32
    private let path: String
    private var buffer: [UInt8] = []
    private var position = 0
    private var isAtEnd = false
    /// The number of the line read last, from 1.
    private(set) var line = 0

    init(path: String) throws(SearchError) {
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        self.path = path
        if descriptor < 0 { throw SearchError.file(path: path, code: errno) }
    }

    deinit {
        if descriptor >= 0 { _ = close(descriptor) }
    }

    /// The next line without its end; nil at the end of the file.
    mutating func next() throws(SearchError) -> [UInt8]? {
        var searched = position
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                line += 1
                return Array(buffer[position..<end])
            }
            if isAtEnd {
                guard position < buffer.count else { return nil }
                defer { position = buffer.count }
                line += 1
                return Array(buffer[position...])
            }
            guard buffer.count - position <= Self.maximumLineBytes else {
                throw .invalidImport(line: line + 1, reason: "longer than 16 MiB")
            }
            buffer.removeFirst(position)
            position = 0
            searched = buffer.count
            try fill()
        }
    }

    private mutating func fill() throws(SearchError) {
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .file(path: path, code: errno) }
            isAtEnd = count == 0
            buffer += chunk[..<count]
            return
        }
    }
}
