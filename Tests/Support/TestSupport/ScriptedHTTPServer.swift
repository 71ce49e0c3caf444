import Foundation
import Synchronization

/// A server on loopback that answers byte for byte what a test scripted, however wrong that is.
///
/// One thread a connection. It reads requests with `Content-Length` bodies, asks the script, and
/// plays the steps; connections stay open unless a step ends them.
package final class ScriptedHTTPServer: Sendable {
    /// What a client asked for.
    package struct Request: Sendable {
        package var method: String
        /// Path and query as sent.
        package var target: String
        /// Names in lower case; of repeated names the last counts.
        package var headers: [String: String]
        package var body: [UInt8]
        /// Which connection this came on, from 0.
        package var connection: Int
        /// Which request of the server's life this is, from 0.
        package var index: Int
    }

    /// One thing to do with the connection.
    package enum Step: Sendable {
        case send([UInt8])
        /// An orderly end.
        case close
        /// An end with RST.
        case reset
        /// Silence until the client goes away, then the end.
        case stall
        /// Goes on when the gate opens.
        case wait(Gate)
    }

    /// Something connections can wait for.
    package final class Gate: Sendable {
        private let semaphore = DispatchSemaphore(value: 0)
        package init() {}

        /// Lets everybody through, now and later.
        package func open() { semaphore.signal() }

        /// Waits until the gate is open.
        package func pass() {
            semaphore.wait()
            semaphore.signal()
        }
    }

    private struct State {
        var requests: [Request] = []
        var connectionCount = 0
        var open: Set<Int32> = []
        var isStopped = false
    }

    /// `http://127.0.0.1:PORT`, without a path.
    package let origin: String
    private let listener: Int32
    private let state = Mutex(State())
    private let greeting: [UInt8]
    private let respond: @Sendable (Request) -> [Step]

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - greeting: Sent on each new connection before anything is read.
    ///   - respond: Called on the connection's thread; may block.
    /// - Throws: When there is no socket to be had.
    package init(
        greeting: [UInt8] = [],
        _ respond: @escaping @Sendable (Request) -> [Step]
    ) throws {
        let (listener, port) = try LoopbackSocket.listen(backlog: 128)
        self.listener = listener
        self.greeting = greeting
        self.respond = respond
        origin = "http://127.0.0.1:\(port)"
        LoopbackSocket.accept(on: listener) { [weak self] connection in
            guard let self else { return false }
            self.welcome(connection)
            return true
        }
    }

    deinit { stop() }

    /// Ends the server and every connection.
    package func stop() {
        let connections: Set<Int32>? = state.withLock { state in
            guard !state.isStopped else { return nil }
            state.isStopped = true
            return state.open
        }
        // Only once: the listener's number may by now be somebody else's.
        guard let connections else { return }
        // Wakes the threads, which close what is theirs.
        shutdown(listener, Int32(SHUT_RDWR))
        for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
    }

    /// What came so far, in the order of its arrival.
    package var requests: [Request] { state.withLock { $0.requests } }

    /// How many connections were made so far.
    package var connectionCount: Int { state.withLock { $0.connectionCount } }

    private func welcome(_ connection: Int32) {
        let number: Int? = state.withLock { state in
            guard !state.isStopped else { return nil }
            state.open.insert(connection)
            state.connectionCount += 1
            return state.connectionCount - 1
        }
        guard let number else {
            close(connection)
            return
        }
        Thread.detachNewThread { [weak self] in
            if let greeting = self?.greeting { _ = LoopbackSocket.send(greeting, to: connection) }
            var reader = RequestReader(connection)
            while let message = reader.next() {
                guard let server = self else { break }
                guard server.answer(message, connection, number) else { break }
            }
            // Closed only when nobody can shut it down any more: the number may be reused at once.
            _ = self?.state.withLock { $0.open.remove(connection) }
            close(connection)
        }
    }

    /// Plays the script for one request; false when the connection is over.
    private func answer(
        _ message: RequestReader.Message,
        _ connection: Int32,
        _ number: Int
    ) -> Bool {
        let request = state.withLock { state in
            let request = Request(
                method: message.method,
                target: message.target,
                headers: message.headers,
                body: message.body,
                connection: number,
                index: state.requests.count
            )
            state.requests.append(request)
            return request
        }
        for step in respond(request) {
            switch step {
            case .send(let bytes):
                guard LoopbackSocket.send(bytes, to: connection) else { return false }
            case .close: return false
            case .reset:
                var linger = linger(l_onoff: 1, l_linger: 0)
                let size = socklen_t(MemoryLayout<linger>.size)
                setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, size)
                return false
            case .stall:
                var byte: UInt8 = 0
                while recv(connection, &byte, 1, 0) > 0 {}
                return false
            case .wait(let gate): gate.pass()
            }
        }
        return true
    }
}

extension ScriptedHTTPServer.Step {
    /// A whole answer with `Content-Length`.
    package static func answer(
        _ status: Int = 200,
        headers: [(String, String)] = [],
        body: [UInt8] = []
    ) -> Self {
        var head = "HTTP/1.1 \(status) Scripted\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        head += "Content-Length: \(body.count)\r\n\r\n"
        return .send(Array(head.utf8) + body)
    }

    /// A whole answer with a text as its body.
    package static func answer(
        _ status: Int = 200,
        headers: [(String, String)] = [],
        text: String
    ) -> Self {
        answer(status, headers: headers, body: Array(text.utf8))
    }

    /// Raw text; lines end as they are written, so use `\r\n`.
    package static func raw(_ text: String) -> Self { .send(Array(text.utf8)) }
}

/// Reads requests from a socket, one after the other.
private struct RequestReader {
    struct Message {
        var method: String
        var target: String
        var headers: [String: String]
        var body: [UInt8]
    }

    private let connection: Int32
    private var buffer: [UInt8] = []

    init(_ connection: Int32) {
        self.connection = connection
    }

    mutating func next() -> Message? {
        var end = headEnd()
        while end == nil {
            guard fill() else { return nil }
            end = headEnd()
        }
        guard let end else { return nil }
        let lines = String(decoding: buffer[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        buffer.removeFirst(end + 4)
        let words = lines[0].split(separator: " ")
        guard words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...]
            headers[line[..<colon].lowercased()] = value.trimmingCharacters(in: .whitespaces)
        }
        let count = headers["content-length"].flatMap { Int($0) } ?? 0
        while buffer.count < count {
            guard fill() else { return nil }
        }
        defer { buffer.removeFirst(count) }
        return Message(
            method: String(words[0]),
            target: String(words[1]),
            headers: headers,
            body: Array(buffer[..<count])
        )
    }

    private func headEnd() -> Int? {
        let mark = Array("\r\n\r\n".utf8)
        guard buffer.count >= 4 else { return nil }
        return (0...(buffer.count - 4)).first { buffer[$0..<$0 + 4].elementsEqual(mark) }
    }

    private mutating func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(connection, &chunk, chunk.count, 0)
        guard count > 0 else { return false }
        buffer += chunk[..<count]
        return true
    }
}
