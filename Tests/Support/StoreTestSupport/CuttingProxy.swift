import Foundation
import Synchronization
import TestSupport

/// A way to the test database that can be cut, as a network or a proxy cuts connections.
package final class CuttingProxy: Sendable {
    /// What ends a connection.
    package enum Cut: Sendable {
        /// Nothing: bytes pass.
        case never
        /// The answer to the next COMMIT, once, after the server has given it: the transaction has
        /// taken place and its client does not know.
        case answerToCommit
        /// The next COMMIT, once, before the server has it.
        case commit
        /// The answer to the next COMMIT, once, which the server is given so much later.
        case lateCommit(after: Duration)
    }

    private struct State {
        var cut = Cut.never
        var count = 0
        var sendings = 0
        var sockets: Set<Int32> = []
        var isClosed = false
        var isMuffled = false
        /// Connections still to be turned away, and with which words.
        var refusals = 0
        var refusal = ""
        var refused = 0
    }

    private let upstream: String
    private let directory: ScratchDirectory
    private let listener: Int32
    private let state = Mutex(State())

    /// No proxy could be made.
    package struct Failure: Error {}

    /// A proxy to the server of a scratch database, which must be reached by a Unix socket.
    package init(to database: ScratchDatabase) throws {
        let items = database.address.split(separator: "?").last?.split(separator: "&") ?? []
        guard let host = items.first(where: { $0.hasPrefix("host=/") })?.dropFirst(5)
        else { throw Failure() }
        upstream = "\(host)/.s.PGSQL.5432"
        directory = try ScratchDirectory()
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        address = database.address.replacing(host, with: directory.path)
        let path = directory.path(".s.PGSQL.5432")
        guard Self.withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0
        else { throw Failure() }
        LoopbackSocket.accept(on: listener) { [weak self] client in
            guard let self else { return false }
            self.serve(client)
            return true
        }
    }

    /// Wakes the thread, which closes what is its: the number may be reused at once.
    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    /// The address of the database by way of the proxy.
    package let address: String

    /// Connections that were cut so far.
    package var cutCount: Int { state.withLock { $0.count } }

    /// How often clients have sent something; what they wait for an answer to is sent at once.
    package var sendingCount: Int { state.withLock { $0.sendings } }

    /// Says what is to be cut from now on.
    package func cut(_ cut: Cut) {
        state.withLock { $0.cut = cut }
    }

    /// Keeps notifications from clients from now on, as a pooler does that has given the session
    /// which listens to somebody else.
    package func muffle() {
        state.withLock { $0.isMuffled = true }
    }

    /// Turns the next connections away from now on, as a server does that lets nobody in yet.
    ///
    /// - Parameters:
    ///   - count: How many of them.
    ///   - words: What it says; the SQLSTATE is 57P03.
    package func refuse(_ count: Int, saying words: String) {
        state.withLock { state in (state.refusals, state.refusal) = (count, words) }
    }

    /// Connections that were turned away so far.
    package var refusedCount: Int { state.withLock { $0.refused } }

    /// Cuts all connections there are.
    package func cutAll() {
        state.withLock { state in
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
            state.count += state.sockets.count
        }
    }

    private func serve(_ client: Int32) {
        let words = state.withLock { state -> String? in
            guard state.refusals > 0 else { return nil }
            (state.refusals, state.refused) = (state.refusals - 1, state.refused + 1)
            return state.refusal
        }
        if let words { return Self.refuse(client, words) }
        let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard Self.withAddress(upstream, { connect(server, $0, $1) }) == 0 else {
            close(client)
            close(server)
            return
        }
        state.withLock { _ = $0.sockets.insert(client) }
        Thread.detachNewThread { [self] in
            forward(client, server)
            state.withLock { _ = $0.sockets.remove(client) }
            close(client)
            close(server)
        }
    }

    private static func refuse(_ client: Int32, _ words: String) {
        // The client speaks first.
        var request = [UInt8](repeating: 0, count: 4_096)
        _ = recv(client, &request, request.count, 0)
        let fields = ["SFATAL", "VFATAL", "C57P03", "M\(words)"]
        let body: [UInt8] = fields.flatMap { Array($0.utf8) + [0] } + [0]
        let length = UInt32(body.count + 4)
        let head = stride(from: 24, through: 0, by: -8).map { UInt8(length >> $0 & 0xFF) }
        _ = LoopbackSocket.send([UInt8(ascii: "E")] + head + body, to: client)
        close(client)
    }

    private func forward(_ client: Int32, _ server: Int32) {
        var isAnswerCut = false
        var muffler = Muffler()
        LoopbackSocket.relay(client, server) { bytes in
            state.withLock { $0.sendings += 1 }
            switch decide(on: bytes) {
            case .commit: return nil
            case .answerToCommit: isAnswerCut = true
            case .lateCommit(let pause):
                // The client may have gone away meanwhile: a pooler would not mind.
                usleep(UInt32(pause / .microseconds(1)))
                isAnswerCut = true
            case .never: break
            }
            return bytes
        } answered: { bytes in
            guard !isAnswerCut else { return nil }
            return state.withLock(\.isMuffled) ? muffler.pass(bytes) : bytes
        }
    }

    /// What to do about what a client sends.
    private func decide(on bytes: [UInt8]) -> Cut {
        guard bytes.firstRange(of: Array("COMMIT\0".utf8)) != nil else { return .never }
        return state.withLock { state in
            guard case .never = state.cut else {
                defer {
                    state.cut = .never
                    state.count += 1
                }
                return state.cut
            }
            return .never
        }
    }

    private static func withAddress(
        _ path: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { place in
            place.copyBytes(from: path.utf8.prefix(place.count - 1))
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

/// Takes the notifications out of what a server says; it has to hear it from the beginning.
private struct Muffler {
    private var rest: [UInt8] = []

    /// The whole messages so far that are no notifications.
    mutating func pass(_ bytes: [UInt8]) -> [UInt8] {
        rest += bytes
        var passed: [UInt8] = []
        var start = 0
        // A letter, then the length of all but the letter.
        while rest.count - start >= 5 {
            let length = rest[start + 1..<start + 5].reduce(0) { $0 << 8 | Int($1) }
            let end = start + 1 + length
            guard end <= rest.count else { break }
            if rest[start] != UInt8(ascii: "A") { passed += rest[start..<end] }
            start = end
        }
        rest.removeFirst(start)
        return passed
    }
}

extension CuttingProxy {
    /// Waits until the COMMIT of a read and the first commit's look at the statistics have passed,
    /// behind which nothing is sent that a test has not asked for; gives what was sent up to then.
    package func silence() async throws -> Int {
        var count = -1
        while sendingCount != count {
            count = sendingCount
            try await Task.sleep(for: .milliseconds(500))
        }
        return count
    }
}
