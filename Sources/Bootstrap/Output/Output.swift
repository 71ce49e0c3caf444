package import Domain
import Glibc

/// Why a result could not be written.
package enum OutputError: Error, Equatable, Sendable {
    /// The reader of the pipe has closed it: nobody wants the rest.
    case readerGone
    case failed(code: Int32)
}

extension OutputError: CustomStringConvertible {
    /// One line: the system's own words.
    package var description: String {
        switch self {
        case .readerGone: "the reader has gone"
        case .failed(let code): "cannot write: \(systemMessage(code))"
        }
    }
}

/// What the system says an `errno` means.
package func systemMessage(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

/// Buffered writing to a descriptor; a result is complete only when ``flush()`` has returned.
package struct Output: ~Copyable {
    /// Enough for few system calls, little enough to keep a pipe busy.
    private static let bufferBytes = 1 << 16

    private let descriptor: Int32
    private var buffer: [UInt8] = []

    /// Writes to standard output, or another open descriptor.
    package init(_ descriptor: Int32 = STDOUT_FILENO) {
        self.descriptor = descriptor
        buffer.reserveCapacity(Self.bufferBytes)
    }

    /// Writes a line.
    package mutating func line(_ text: String) throws(OutputError) {
        buffer.append(contentsOf: text.utf8)
        try endLine()
    }

    /// Writes a document as one line.
    package mutating func line(_ value: JSONValue) throws(OutputError) {
        buffer.append(contentsOf: value.serialized())
        try endLine()
    }

    /// Writes text without a line end, at once.
    mutating func raw(_ text: String) throws(OutputError) {
        buffer.append(contentsOf: text.utf8)
        try flush()
    }

    /// Writes out what is buffered.
    package mutating func flush() throws(OutputError) {
        try Self.write(buffer, to: descriptor)
        buffer.removeAll(keepingCapacity: true)
    }

    private mutating func endLine() throws(OutputError) {
        buffer.append(10)
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(OutputError) {
        var start = 0
        while start < bytes.count {
            let count = unsafe bytes[start...].withUnsafeBytes { part in
                unsafe Glibc.write(descriptor, part.baseAddress, part.count)
            }
            if count >= 0 {
                start += count
            } else if errno == EPIPE {
                throw .readerGone
            } else if errno != EINTR {
                throw .failed(code: errno)
            }
        }
    }

    /// Writes one result document: the members behind `"v": 1`, the form's version.
    package static func result(
        _ members: KeyValuePairs<String, JSONValue>
    ) throws(OutputError) {
        var document = JSONObject()
        document.append(key: "v", value: 1)
        for (key, value) in members { document.append(key: key, value: value) }
        var output = Output()
        try output.line(.object(document))
        try output.flush()
    }

    /// Writes a document that has its version already, or gets it here.
    package static func result(_ object: JSONObject) throws(OutputError) {
        var document = JSONObject()
        document.append(key: "v", value: 1)
        for member in object.members where !haveEqualBytes(member.key, "v") {
            document.append(key: member.key, value: member.value)
        }
        var output = Output()
        try output.line(.object(document))
        try output.flush()
    }

    /// Writes a text result.
    package static func text(_ lines: [String]) throws(OutputError) {
        var output = Output()
        for line in lines { try output.line(line) }
        try output.flush()
    }
}

/// Writes to standard output without buffering; for help texts.
func standardOutput(_ text: String) {
    var output = Output(STDOUT_FILENO)
    // Nobody is left to tell.
    try? output.line(text.hasSuffix("\n") ? String(text.dropLast()) : text)
    try? output.flush()
}

/// Writes to standard error.
package func standardError(_ text: String) {
    var output = Output(STDERR_FILENO)
    // Nobody is left to tell.
    try? output.line(text.hasSuffix("\n") ? String(text.dropLast()) : text)
    try? output.flush()
}

/// Writes to standard error without a line end; for drawing.
package func standardErrorRaw(_ text: String) {
    var output = Output(STDERR_FILENO)
    // Nobody is left to tell.
    try? output.raw(text)
}
