import Bootstrap
import Domain
import Foundation
import Glibc

/// Waits on this machine for the browser that an authorization server sends back (RFC 8252,
/// section 7.3).
struct LoopbackListener {
    /// A query of a redirect is shorter.
    private static let maximumBytes = 16 << 10
    private static let path = "/callback"
    /// How long one waits before one looks again.
    private static let pause: Duration = .milliseconds(100)
    /// How long a browser may take to send its line.
    private static let lineSeconds = 10

    /// The port the system gave.
    let port: UInt16
    private let listener: Int32

    /// Listens on 127.0.0.1.
    init() throws(CommandFailure) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                let bound = unsafe bind(listener, generic, size)
                return bound == 0 ? unsafe getsockname(listener, generic, &size) : bound
            }
        }
        guard listener >= 0, status == 0, listen(listener, 8) == 0 else {
            throw CommandFailure(
                .failure,
                "cannot listen on 127.0.0.1",
                reason: systemMessage(errno)
            )
        }
        self.listener = listener
        port = UInt16(bigEndian: address.sin_port)
    }

    /// The address that the browser is sent to.
    var address: String { "http://127.0.0.1:\(port)\(Self.path)" }

    /// Waits for the browser, and tells its reader that all is done here.
    ///
    /// Requests for other paths, such as icons, are answered and waited on; so are those that are
    /// no answer, which any page on this machine can make.
    ///
    /// - Parameters:
    ///   - seconds: How long.
    ///   - isAnswer: Whether a query belongs to the request that was made.
    /// - Returns: The query's parts.
    /// - Throws: ``CommandFailure`` when nobody comes, and `CancellationError`.
    func query(
        within seconds: Int,
        where isAnswer: ([(name: String, value: String)]) -> Bool
    ) async throws -> [(name: String, value: String)] {
        defer { close(listener) }
        let end = ContinuousClock.now.advanced(by: .seconds(seconds))
        while ContinuousClock.now < end {
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&waiting, 1, 0) > 0 else {
                // Ended by an interrupt of the command, too.
                try await Task.sleep(for: Self.pause)
                continue
            }
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { continue }
            defer { close(connection) }
            if let query = Self.serve(connection, isAnswer) { return query }
        }
        throw CommandFailure(
            .tryLater,
            "nobody has signed in within \(seconds) seconds",
            hint: "run the command again"
        )
    }

    /// Answers one request; gives its query when it is the one that is waited for.
    private static func serve(
        _ connection: Int32,
        _ isAnswer: ([(name: String, value: String)]) -> Bool
    ) -> [(name: String, value: String)]? {
        var patience = timeval(tv_sec: lineSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        _ = unsafe setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while !received.contains(UInt8(ascii: "\n")), received.count < maximumBytes {
            let count = unsafe recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            received += buffer.prefix(count)
        }
        let line = received.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
        let words = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard words.count == 3, words[0] == "GET", words[1].hasPrefix("\(path)?") else {
            answer(connection, "404 Not Found", "There is nothing here.")
            return nil
        }
        let query = RedirectQuery.parts(of: words[1].dropFirst(path.utf8.count + 1))
        guard isAnswer(query) else {
            answer(connection, "400 Bad Request", "This is no answer to what was asked.")
            return nil
        }
        answer(connection, "200 OK", "You can close this page and go back to the terminal.")
        return query
    }

    private static func answer(_ connection: Int32, _ status: String, _ words: String) {
        let page = "<!doctype html><meta charset=utf-8><title>Preloop</title><p>\(words)</p>"
        let text =
            "HTTP/1.1 \(status)\r\nContent-Type: text/html; charset=utf-8\r\n"
            + "Content-Length: \(page.utf8.count)\r\nConnection: close\r\n\r\n\(page)"
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let sent = unsafe bytes.withUnsafeBytes { buffer in
                unsafe send(connection, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return }
            bytes = bytes.dropFirst(sent)
        }
    }
}
