import Foundation
import Synchronization

/// A way to the reference services that can be held at a request: what asks them then waits, for as
/// long as a test needs, and the test knows where it is.
package final class HoldingRelay: Sendable {
    private struct State {
        var port: UInt16?
        var word: [UInt8]?
        var held = 0
        var isStopped = false
    }

    /// `http://127.0.0.1:PORT`, without a path.
    package let origin: String
    private let listener: Int32
    private let state = Mutex(State())
    private let gate = ScriptedHTTPServer.Gate()

    /// Starts to listen; connections are refused until there is something to relay to.
    ///
    /// - Throws: When there is no socket to be had.
    package init() throws {
        let (listener, port) = try LoopbackSocket.listen(backlog: 128)
        self.listener = listener
        origin = "http://127.0.0.1:\(port)"
        LoopbackSocket.accept(on: listener) { [weak self] client in
            guard let self else { return false }
            self.welcome(client)
            return true
        }
    }

    deinit { stop() }

    /// Lets go what is held, and wakes the thread, which closes what is its; safe to call twice.
    package func stop() {
        gate.open()
        let isStopped = state.withLock { state in
            defer { state.isStopped = true }
            return state.isStopped
        }
        if !isStopped { shutdown(listener, Int32(SHUT_RDWR)) }
    }

    /// The services, whose links lead back to the relay.
    package func start(corpora: [FakeTrackers.Corpus]) async throws -> FakeTrackers {
        let fake = try await FakeTrackers.start(
            corpora: corpora,
            arguments: ["--public-url", origin]
        )
        state.withLock { $0.port = fake.origin.split(separator: ":").last.flatMap { UInt16($0) } }
        return fake
    }

    /// Holds every request in whose first line the word is, from now on.
    package func hold(at word: String) {
        state.withLock { $0.word = Array(word.utf8) }
    }

    /// Requests that were held so far.
    package var heldCount: Int { state.withLock { $0.held } }

    /// Lets pass what is held and all that comes.
    package func release() {
        state.withLock { $0.word = nil }
        gate.open()
    }

    private func welcome(_ client: Int32) {
        guard let port = state.withLock(\.port), let server = try? LoopbackSocket.connect(to: port)
        else {
            close(client)
            return
        }
        Thread.detachNewThread { [weak self] in
            LoopbackSocket.relay(client, server) { bytes in
                self?.waitIfHeld(bytes)
                return bytes
            }
            close(client)
            close(server)
        }
    }

    private func waitIfHeld(_ bytes: [UInt8]) {
        let line = bytes.prefix { $0 != UInt8(ascii: "\r") }
        let isHeld = state.withLock { state in
            guard let word = state.word, line.firstRange(of: word) != nil else { return false }
            state.held += 1
            return true
        }
        if isHeld { gate.pass() }
    }
}
