import Bootstrap
import Foundation
import Glibc

/// Reads the address that an authorization server has sent a browser to, which somebody copies out
/// of it, for machines without one.
///
/// Nobody listens there: the browser's own machine says that it cannot show it, and the code goes
/// nowhere else.
struct PastedRedirect {
    /// Where browsers are sent (RFC 8252, section 7.3), to a port that is nobody's (RFC 6335).
    static let address = "http://127.0.0.1:49151/callback"
    /// An address of a redirect is shorter.
    private static let maximumBytes = 16 << 10
    /// How long one waits before one looks again.
    private static let pause: Duration = .milliseconds(100)

    private let descriptor: Int32

    /// Reads standard input, or another open descriptor.
    init(_ descriptor: Int32 = STDIN_FILENO) {
        self.descriptor = descriptor
    }

    /// Waits for a line with the address; empty ones do not count.
    ///
    /// - Parameter seconds: How long.
    /// - Returns: The query's parts.
    /// - Throws: ``CommandFailure`` when none comes, or another address, and `CancellationError`.
    func query(within seconds: Int) async throws -> [(name: String, value: String)] {
        let end = ContinuousClock.now.advanced(by: .seconds(seconds))
        var received: [UInt8] = []
        while ContinuousClock.now < end, received.count <= Self.maximumBytes {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&waiting, 1, 0) > 0 else {
                // Ended by an interrupt of the command, too.
                try await Task.sleep(for: Self.pause)
                continue
            }
            var buffer = [UInt8](repeating: 0, count: 4_096)
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            received += buffer.prefix(max(0, count))
            if let line = Self.line(in: received, isWhole: count <= 0) {
                return try Self.query(of: line)
            }
            guard count > 0 else { throw Self.refusal("standard input ended without an address") }
        }
        guard received.count <= Self.maximumBytes else {
            throw Self.refusal("it is longer than any address of a redirect")
        }
        throw CommandFailure(
            .tryLater,
            "nobody has pasted an address within \(seconds) seconds",
            hint: "run the command again"
        )
    }

    /// The first line that holds something; a last one may lack its end.
    private static func line(in bytes: [UInt8], isWhole: Bool) -> String? {
        let newline = UInt8(ascii: "\n")
        var lines = bytes.split(separator: newline)
        if !isWhole, bytes.last != newline { lines = Array(lines.dropLast()) }
        return lines.lazy
            .map { String(decoding: $0, as: UTF8.self) }
            .map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
            .first { !$0.isEmpty }
    }

    /// The query of an address that is the one where browsers are sent.
    static func query(of text: String) throws(CommandFailure) -> [(name: String, value: String)] {
        guard text.hasPrefix("\(address)?") else {
            throw refusal("what was pasted does not begin with \(address)?")
        }
        let query = text.dropFirst(address.utf8.count + 1)
        return RedirectQuery.parts(of: query.prefix { $0 != "#" })
    }

    private static func refusal(_ reason: String) -> CommandFailure {
        CommandFailure(
            .usage,
            "nobody was signed in",
            reason: reason,
            hint: "paste the whole address that the browser shows after you have signed in"
        )
    }
}

/// What stands in the address that an authorization server sends a browser to.
enum RedirectQuery {
    /// The parts of a query, decoded, in order.
    static func parts(of query: Substring) -> [(name: String, value: String)] {
        query.split(separator: "&").map { part -> (name: String, value: String) in
            let pieces = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (decoded(pieces[0]), pieces.count > 1 ? decoded(pieces[1]) : "")
        }
    }

    private static func decoded(_ text: Substring) -> String {
        text.replacing("+", with: " ").removingPercentEncoding ?? ""
    }
}
