import Glibc

/// Lines of standard input as they come: what is there is handed on before more is waited for, so
/// that another program can write a line and wait for its answer.
package struct InputLines {
    /// A line that is longer is not one of ours.
    private static let maximumLineBytes = 64 << 20

    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var isAtEnd = false

    /// Reads standard input, or another open descriptor.
    package init(_ descriptor: Int32 = STDIN_FILENO) {
        self.descriptor = descriptor
    }

    /// The next lines, without their ends: at least one, at most `limit`; none at the end.
    package mutating func next(_ limit: Int) throws(CommandFailure) -> [[UInt8]] {
        while !isAtEnd, !buffer.contains(10) { try fill() }
        var lines: [[UInt8]] = []
        var start = 0
        while lines.count < limit, let end = buffer[start...].firstIndex(of: 10) {
            lines.append(Array(buffer[start..<end]))
            start = end + 1
        }
        buffer.removeFirst(start)
        if lines.isEmpty, isAtEnd, !buffer.isEmpty {
            lines = [buffer]
            buffer = []
        }
        return lines
    }

    private mutating func fill() throws(CommandFailure) {
        guard buffer.count < Self.maximumLineBytes else {
            throw CommandFailure(
                .usage,
                "a line of standard input is longer than \(Self.maximumLineBytes) bytes"
            )
        }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe read(descriptor, &chunk, chunk.count)
        if count < 0, errno == EINTR { return }
        guard count >= 0 else {
            throw CommandFailure(
                .failure,
                "cannot read standard input",
                reason: unsafe String(cString: strerror(errno))
            )
        }
        if count == 0 { isAtEnd = true }
        buffer.append(contentsOf: chunk.prefix(count))
    }
}
