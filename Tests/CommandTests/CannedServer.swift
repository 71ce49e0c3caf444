import Foundation
import Glibc

/// An HTTP service on loopback whose answers a test gives; one exchange a connection.
final class CannedServer: Sendable {
    struct Request: Sendable {
        /// Path and query as sent.
        var target: String
        /// The value of `Authorization`.
        var authorization: String?
    }

    struct Answer: Sendable {
        var status = 200
        /// Whole lines, without their ends.
        var headers: [String] = []
        var body: String
    }

    let port: UInt16
    var url: String { "http://127.0.0.1:\(port)" }
    private let listener: Int32

    /// Starts to listen; `respond` is called on threads of the server's own, and nil leaves the
    /// client waiting.
    init(_ respond: @escaping @Sendable (Request) -> Answer?) throws {
        let opened = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(opened, generic, length) == 0 && listen(opened, 64) == 0
                    && getsockname(opened, generic, &length) == 0
            }
        }
        guard opened >= 0, bound else { throw POSIXError(.EADDRNOTAVAIL) }
        listener = opened
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            while true {
                let connection = accept(opened, nil, nil)
                // The listener was shut down.
                guard connection >= 0 else { break }
                Thread.detachNewThread { Self.serve(connection, respond) }
            }
            close(opened)
        }
    }

    // Wakes the accepting thread, which closes the socket.
    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    private static func serve(
        _ connection: Int32,
        _ respond: @Sendable (Request) -> Answer?
    ) {
        defer { close(connection) }
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        // Requests here have no bodies.
        while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            guard bytes.count < 65_536, recv(connection, &byte, 1, 0) == 1 else { return }
            bytes.append(byte)
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        let name = "authorization: "
        let request = Request(
            target: words.count > 1 ? String(words[1]) : "",
            authorization: lines.first { $0.lowercased().hasPrefix(name) }
                .map { String($0.dropFirst(name.count)) }
        )
        guard let answer = respond(request) else {
            // Until the client goes away.
            while recv(connection, &byte, 1, 0) > 0 {}
            return
        }
        let head = ["HTTP/1.1 \(answer.status) Canned", "Content-Type: application/json"]
        let tail = ["Content-Length: \(answer.body.utf8.count)", "Connection: close", "", ""]
        let text = (head + answer.headers + tail).joined(separator: "\r\n") + answer.body
        let reply = Array(text.utf8)
        var sent = 0
        while sent < reply.count {
            let count = reply[sent...].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }
}
