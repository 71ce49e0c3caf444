import Foundation
import TestSupport

/// One connection, byte by byte, for what no client would send.
final class RawClient: Sendable {
    private let descriptor: Int32

    struct Failure: Error {}

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, size)
            }
        }
        guard status == 0 else { throw Failure() }
        // A test that waits for ever tells nothing.
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_RCVTIMEO,
            &patience,
            socklen_t(MemoryLayout<timeval>.size)
        )
    }

    deinit { Glibc.close(descriptor) }

    func send(_ text: String) -> Bool { LoopbackSocket.send(Array(text.utf8), to: descriptor) }

    /// Runs what blocks on a thread of its own: the server needs those of the tests.
    private func blocking<Value: Sendable>(
        _ body: @escaping @Sendable (Int32) -> Value
    ) async -> Value {
        let descriptor = descriptor
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: body(descriptor)) }
        }
    }

    /// Reads until the text has come, or the connection is closed.
    func read(until wanted: String? = nil) async -> String {
        await blocking { Self.read($0, until: wanted) }
    }

    private static func read(_ descriptor: Int32, until wanted: String?) -> String {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            received += buffer.prefix(count)
            let text = String(decoding: received, as: UTF8.self)
            if let wanted, text.contains(wanted) { return text }
        }
        return String(decoding: received, as: UTF8.self)
    }

    /// Whether the server closes the connection; waits for that, a minute after its last byte.
    func isClosed() async -> Bool {
        await blocking { descriptor in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count == 0 { return true }
                if count < 0 { return errno != EAGAIN }
            }
        }
    }

    /// Resets the connection, as a client does that goes away.
    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
