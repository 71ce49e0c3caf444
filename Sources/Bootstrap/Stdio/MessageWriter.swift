import Dispatch
package import Domain
import Glibc
import Synchronization

/// Writes messages to a descriptor, one a line, in the order they are given, on a thread of their
/// own: a reader that is slow holds up nobody but those who write.
package final class MessageWriter: Sendable {
    /// A pipe that says it has room takes so many bytes without blocking.
    private static let pieceBytes = Int(PIPE_BUF)
    /// How often a writer that waits for room looks whether it was stopped, in milliseconds.
    private static let lookMilliseconds: Int32 = 100

    private let descriptor: Int32
    private let queue = DispatchQueue(label: "preloop.output")
    private let isStopped = Atomic<Bool>(false)

    package init(_ descriptor: Int32 = STDOUT_FILENO) {
        self.descriptor = descriptor
    }

    /// Writes a message; returns when it is written, or when nobody reads any more.
    package func write(_ message: JSONValue) async {
        await withCheckedContinuation { written in
            queue.async {
                self.write(message.serialized() + [UInt8(ascii: "\n")])
                written.resume()
            }
        }
    }

    /// Gives up waiting for a reader that does not read.
    package func stop() {
        isStopped.store(true, ordering: .sequentiallyConsistent)
    }

    private func write(_ bytes: [UInt8]) {
        var start = 0
        while start < bytes.count {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            let ready = unsafe poll(&entry, 1, Self.lookMilliseconds)
            if ready == 0 {
                if isStopped.load(ordering: .sequentiallyConsistent) { return }
                continue
            }
            if ready < 0, errno == EINTR { continue }
            let piece = bytes[start..<min(start + Self.pieceBytes, bytes.count)]
            let count = unsafe piece.withUnsafeBytes { part in
                unsafe Glibc.write(descriptor, part.baseAddress, part.count)
            }
            if count >= 0 {
                start += count
            } else if errno != EINTR && errno != EAGAIN {
                // The reader has gone; the end of the input will tell the same.
                stop()
                return
            }
        }
    }
}
