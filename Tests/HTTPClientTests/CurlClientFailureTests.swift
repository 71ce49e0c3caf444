import Glibc
import HTTPClient
import TestSupport
import Testing

@Suite struct CurlClientFailureTests {
    let client: CurlClient
    let host = "127.0.0.1"

    init() throws {
        client = try CurlClient(configuration: .init(version: "1"))
    }

    /// The error of an exchange that must fail.
    private func failure(_ request: HTTPRequest) async throws -> HTTPError {
        do {
            let response = try await client.send(request)
            Issue.record("an answer with status \(response.status)")
            return .cancelled
        } catch {
            return error
        }
    }

    private func failure(
        limits: HTTPLimits = HTTPLimits(),
        _ steps: ScriptedHTTPServer.Step...
    ) async throws -> HTTPError {
        let server = try ScriptedHTTPServer { _ in steps }
        return try await failure(HTTPRequest(url: server.origin, limits: limits))
    }

    @Test(arguments: [
        "", "ftp://h/", "file:///etc/passwd", "http:///", "http://h:0/", "http://h:99999/",
        "//h/", "http://h/a b", "http://h/\r\nX: 1", "http://h/\u{e9}", "http://[::1/",
    ])
    func `what is no http URL is refused`(url: String) async throws {
        #expect(try await failure(HTTPRequest(url: url)) == .invalidURL(url: url))
    }

    @Test func `a password in a URL is refused and not shown`() async throws {
        let error = try await failure(HTTPRequest(url: "http://user:secret@h/"))
        #expect(!"\(error)".contains("secret"))
        #expect(error == .invalidURL(url: "…@h/"))
    }

    @Test(arguments: [("X-A", "a\r\nX-B: c"), ("X-A", "a\0"), ("X A", "b"), ("X:", "b"), ("", "b")])
    func `a header that would become two is not sent`(name: String, value: String) async throws {
        let server = try ScriptedHTTPServer { _ in [.answer()] }
        let request = HTTPRequest(url: server.origin, headers: [HTTPField(name, value)])
        guard case .invalidResponse(host, let reason) = try await failure(request) else {
            Issue.record("another error")
            return
        }
        #expect(reason.hasPrefix("nothing was sent"))
        #expect(server.requests.isEmpty)
    }

    @Test func `an unknown host is named`() async throws {
        // A label of more than 63 bytes fails in the resolver without any network.
        let name = String(repeating: "a", count: 70) + ".invalid"
        let error = try await failure(HTTPRequest(url: "http://\(name)/"))
        #expect(error == .nameNotResolved(host: name))
    }

    @Test func `a closed port is a failed connection`() async throws {
        let port = try LoopbackSocket.closedPort()
        guard
            case .connectionFailed(host, _) =
                try await failure(HTTPRequest(url: "http://127.0.0.1:\(port)/"))
        else {
            Issue.record("another error")
            return
        }
    }

    @Test func `a server without TLS fails the handshake`() async throws {
        let greeting = Array("220 mail.example ready\r\n".utf8)
        let server = try ScriptedHTTPServer(greeting: greeting) { _ in [] }
        let url = "https" + server.origin.dropFirst(4)
        guard case .tlsFailed(host, _) = try await failure(HTTPRequest(url: url)) else {
            Issue.record("another error")
            return
        }
    }

    @Test func `a handshake that hangs times out`() async throws {
        let server = try ScriptedHTTPServer { _ in [.answer()] }
        let url = "https" + server.origin.dropFirst(4)
        // The server waits for the end of the request's head, which never comes.
        var limits = HTTPLimits()
        limits.connectTimeout = .milliseconds(200)
        let error = try await failure(HTTPRequest(url: url, limits: limits))
        #expect(error == .timedOut(host: host, phase: .connect))
    }

    @Test func `a connection that hangs times out`() async throws {
        let (port, sockets) = try LoopbackSocket.listenWithoutAccepting()
        defer { for socket in sockets { close(socket) } }
        var limits = HTTPLimits()
        limits.connectTimeout = .milliseconds(100)
        let request = HTTPRequest(url: "http://127.0.0.1:\(port)/", limits: limits)
        #expect(try await failure(request) == .timedOut(host: host, phase: .connect))
    }

    @Test func `silence times out, before and inside an answer`() async throws {
        var limits = HTTPLimits()
        limits.idleTimeout = .milliseconds(100)
        let expected = HTTPError.timedOut(host: host, phase: .idle)
        #expect(try await failure(limits: limits, .stall) == expected)
        let start = ScriptedHTTPServer.Step.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        #expect(try await failure(limits: limits, start, .stall) == expected)
    }

    @Test func `an answer that never ends times out`() async throws {
        var limits = HTTPLimits()
        limits.totalTimeout = .milliseconds(150)
        let drip = (0..<20_000).map { _ in ScriptedHTTPServer.Step.raw("1\r\nx\r\n") }
        let server = try ScriptedHTTPServer { _ in
            [.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")] + drip + [.stall]
        }
        let error = try await failure(HTTPRequest(url: server.origin, limits: limits))
        #expect(error == .timedOut(host: host, phase: .total))
    }

    @Test func `a reset is a lost connection`() async throws {
        for steps in [
            [ScriptedHTTPServer.Step.reset],
            [.raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), .reset],
            [.close],
        ] {
            let server = try ScriptedHTTPServer { _ in steps }
            guard
                case .connectionLost(host, _) =
                    try await failure(HTTPRequest(url: server.origin))
            else {
                Issue.record("another error after \(steps)")
                continue
            }
        }
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ])
    func `an answer that is not whole is a lost connection`(text: String) async throws {
        guard case .connectionLost(host, _) = try await failure(.raw(text), .close) else {
            Issue.record("another error")
            return
        }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    ])
    func `what is no HTTP is an invalid answer`(text: String) async throws {
        guard case .invalidResponse(host, _) = try await failure(.raw(text), .close) else {
            Issue.record("another error")
            return
        }
    }

    @Test func `a body over the limit is cut off`() async throws {
        var limits = HTTPLimits()
        limits.maximumResponseByteCount = 10
        let expected = HTTPError.responseTooLarge(host: host, limit: 10)
        #expect(try await failure(limits: limits, .answer(text: "12345678901")) == expected)
        let endless = (0..<1000).map { _ in ScriptedHTTPServer.Step.raw("5\r\nabcde\r\n") }
        let server = try ScriptedHTTPServer { _ in
            [.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")] + endless + [.stall]
        }
        #expect(try await failure(HTTPRequest(url: server.origin, limits: limits)) == expected)
    }

    @Test func `the limit counts decoded bytes`() async throws {
        var limits = HTTPLimits()
        limits.maximumResponseByteCount = 25
        let headers = [("Content-Encoding", "gzip")]
        let expected = HTTPError.responseTooLarge(host: host, limit: 25)
        let answer = ScriptedHTTPServer.Step.answer(headers: headers, body: Samples.gzip)
        #expect(try await failure(limits: limits, answer) == expected)
    }

    @Test func `a body of just the limit is whole`() async throws {
        var limits = HTTPLimits()
        limits.maximumResponseByteCount = 10
        let server = try ScriptedHTTPServer { _ in [.answer(text: "1234567890")] }
        let response = try await client.send(HTTPRequest(url: server.origin, limits: limits))
        #expect(response.body.count == 10)
    }

    @Test func `a flood of headers is refused`() async throws {
        let many = (0..<600).map { "X-\($0): a\r\n" }.joined()
        let error = try await failure(.raw("HTTP/1.1 200 OK\r\n\(many)\r\n"), .stall)
        #expect(error == .invalidResponse(host: host, reason: "more than 512 header lines"))
    }

    @Test func `cancelling ends an exchange under way`() async throws {
        let arrived = AsyncStream<Void>.makeStream()
        let server = try ScriptedHTTPServer { _ in
            arrived.continuation.yield()
            return [.stall]
        }
        let client = client
        let task = Task { try await client.send(HTTPRequest(url: server.origin)) }
        for await _ in arrived.stream { break }
        task.cancel()
        await #expect(throws: HTTPError.cancelled) { try await task.value }
    }

    @Test func `cancelling ends an exchange that waits for its turn`() async throws {
        var configuration = CurlClient.Configuration(version: "1")
        configuration.maximumTransfersPerHost = 1
        let client = try CurlClient(configuration: configuration)
        let gate = ScriptedHTTPServer.Gate()
        let arrived = AsyncStream<Void>.makeStream()
        let server = try ScriptedHTTPServer { _ in
            arrived.continuation.yield()
            return [.wait(gate), .answer()]
        }
        async let first = client.send(HTTPRequest(url: server.origin))
        for await _ in arrived.stream { break }
        let second = Task { try await client.send(HTTPRequest(url: server.origin)) }
        second.cancel()
        await #expect(throws: HTTPError.cancelled) { try await second.value }
        gate.open()
        #expect(try await first.status == 200)
        #expect(server.requests.count == 1)
    }

    @Test func `a cancelled task sends nothing`() async throws {
        let server = try ScriptedHTTPServer { _ in [.answer()] }
        let client = client
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.send(HTTPRequest(url: server.origin))
        }
        await #expect(throws: HTTPError.cancelled) { try await task.value }
        #expect(server.requests.isEmpty)
    }

    @Test func `more callers than may wait are told so`() async throws {
        var configuration = CurlClient.Configuration(version: "1")
        configuration.maximumTransfersPerHost = 1
        configuration.maximumWaiting = 0
        let client = try CurlClient(configuration: configuration)
        await #expect(throws: HTTPError.self) {
            try await client.send(HTTPRequest(url: "http://127.0.0.1:1/"))
        }
    }
}
