import Dispatch
package import Gateway
import Glibc
import MCP
import Synchronization

/// Messages from a descriptor, one a line, read on a thread of their own.
///
/// A few are read ahead; whoever does not take them leaves the rest in the pipe.
package struct MessageReader: AsyncSequence, Sendable {
    package typealias Element = SessionServer.Input
    package typealias Failure = Never

    /// Read ahead: enough to keep the server busy, and bounded where each has megabytes.
    private static let linesAhead = 8

    private let stream: AsyncStream<SessionServer.Input>
    private let continuation: AsyncStream<SessionServer.Input>.Continuation
    /// Begins at 0: Dispatch ends the process when a semaphore goes with less than it began with,
    /// and a reader may go with lines that nobody took.
    private let permits = DispatchSemaphore(value: 0)

    /// Begins to read; `limit` is the length of a line in bytes.
    package init(_ descriptor: Int32 = STDIN_FILENO, limit: Int) {
        (stream, continuation) = AsyncStream.makeStream()
        for _ in 0..<Self.linesAhead { permits.signal() }
        let (continuation, permits) = (continuation, permits)
        DispatchQueue(label: "preloop.input").async {
            Self.read(descriptor, limit, permits, continuation)
        }
    }

    /// Gives what is there to whoever iterates, once.
    package func makeAsyncIterator() -> Iterator {
        Iterator(base: stream.makeAsyncIterator(), permits: permits)
    }

    /// One pass over the messages.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncStream<SessionServer.Input>.Iterator
        fileprivate let permits: DispatchSemaphore
        private var isFirst = true

        fileprivate init(
            base: AsyncStream<SessionServer.Input>.Iterator,
            permits: DispatchSemaphore
        ) {
            self.base = base
            self.permits = permits
        }

        /// The next message; the one before has been dealt with.
        package mutating func next(
            isolation actor: isolated (any Actor)?
        ) async -> SessionServer.Input? {
            if !isFirst { permits.signal() }
            isFirst = false
            return await base.next(isolation: actor)
        }
    }

    /// Runs on the reading thread until the end of the input.
    private static func read(
        _ descriptor: Int32,
        _ limit: Int,
        _ permits: DispatchSemaphore,
        _ continuation: AsyncStream<SessionServer.Input>.Continuation
    ) {
        var framing = LineFraming(limit: limit)
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        func give(_ line: LineFraming.Line) {
            permits.wait()
            switch line {
            case .message(let bytes): continuation.yield(.bytes(bytes))
            case .tooLong: continuation.yield(.tooLong)
            }
        }
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            // An input that cannot be read is over.
            guard count > 0 else { break }
            for line in framing.add(chunk[..<count]) { give(line) }
        }
        if let line = framing.finish() { give(line) }
        continuation.finish()
    }
}
