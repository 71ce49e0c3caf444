/// Cuts a stream of bytes into messages, one a line, as the stdio transport has it.
package struct LineFraming: Sendable {
    /// What a line is.
    package enum Line: Sendable, Equatable {
        case message([UInt8])
        /// Longer than the limit; its bytes were not kept.
        case tooLong
    }

    private let limit: Int
    private var buffer: [UInt8] = []
    private var isSkipping = false

    /// - Parameter limit: Bytes of a line, its end not counted.
    package init(limit: Int) {
        self.limit = limit
    }

    /// Takes what came, and gives the lines that are whole now; empty ones are left out.
    ///
    /// - Complexity: O(n) in the bytes given.
    package mutating func add(_ bytes: ArraySlice<UInt8>) -> [Line] {
        var lines: [Line] = []
        var rest = bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            append(rest[..<end])
            rest = rest[(end + 1)...]
            if let line = takeLine() { lines.append(line) }
        }
        append(rest)
        return lines
    }

    /// What stood behind the last line end, when the stream is over.
    package mutating func finish() -> Line? { takeLine() }

    private mutating func append(_ bytes: ArraySlice<UInt8>) {
        guard !isSkipping else { return }
        guard buffer.count + bytes.count <= limit else {
            isSkipping = true
            buffer = []
            return
        }
        buffer.append(contentsOf: bytes)
    }

    private mutating func takeLine() -> Line? {
        defer {
            buffer = []
            isSkipping = false
        }
        guard !isSkipping else { return .tooLong }
        if buffer.last == UInt8(ascii: "\r") { buffer.removeLast() }
        let isBlank = buffer.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        return isBlank ? nil : .message(buffer)
    }
}
