import HTTPClient
import Synchronization
import TestSupport
import Testing

@Suite struct CurlClientTests {
    let client: CurlClient

    init() throws {
        client = try CurlClient(configuration: .init(version: "1.2.3"))
    }

    @Test func `a request arrives as it was written`() async throws {
        let server = try ScriptedHTTPServer { _ in
            [.answer(201, headers: [("X-A", "b")], text: "ok")]
        }
        let response = try await client.send(
            HTTPRequest(
                method: "POST",
                url: "\(server.origin)/projects/a%2Fb/../c?q=%20+",
                headers: [HTTPField("X-Empty", ""), HTTPField("Content-Type", "text/x")],
                body: Array("body".utf8)
            )
        )
        #expect(response.status == 201)
        #expect(response.body == Array("ok".utf8))
        #expect(response.headers["x-a"] == "b")
        let request = try #require(server.requests.first)
        #expect(request.method == "POST")
        #expect(request.target == "/projects/a%2Fb/../c?q=%20+")
        #expect(request.headers["x-empty"] == "")
        #expect(request.headers["content-type"] == "text/x")
        #expect(request.headers["user-agent"] == "preloop/1.2.3")
        #expect(request.headers["expect"] == nil)
        #expect(request.body == Array("body".utf8))
    }

    @Test(arguments: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    func `each method is sent without inventing headers`(method: String) async throws {
        let server = try ScriptedHTTPServer { request in
            [request.method == "HEAD" ? .raw("HTTP/1.1 204 No\r\n\r\n") : .answer(200)]
        }
        _ = try await client.send(HTTPRequest(method: method, url: "\(server.origin)/"))
        let request = try #require(server.requests.first)
        #expect(request.method == method)
        #expect(request.headers["content-type"] == nil)
        #expect(request.body.isEmpty)
    }

    @Test func `every status is an answer`() async throws {
        let server = try ScriptedHTTPServer { request in
            [.answer(Int(request.target.dropFirst()) ?? 0, text: "said")]
        }
        for status in [200, 301, 304, 404, 410, 429, 500, 503] {
            let response = try await client.send(HTTPRequest(url: "\(server.origin)/\(status)"))
            #expect(response.status == status)
        }
    }

    @Test func `headers of interim answers and trailers are not the answer's`() async throws {
        let server = try ScriptedHTTPServer { _ in
            [
                .raw("HTTP/1.1 103 Early\r\nX-Interim: 1\r\n\r\n"),
                .raw("HTTP/1.1 200 OK\r\nX-Final: a\r\nTransfer-Encoding: chunked\r\n"),
                .raw("X-Two: 1\r\nX-Two: 2\r\n\r\n"),
                .raw("3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"),
            ]
        }
        let response = try await client.send(HTTPRequest(url: server.origin))
        #expect(response.body == Array("abcde".utf8))
        #expect(response.headers["X-Interim"] == nil)
        #expect(response.headers["X-Trailer"] == nil)
        #expect(response.headers["X-Final"] == "a")
        #expect(response.headers.values(of: "x-two") == ["1", "2"])
    }

    @Test func `a connection serves many requests`() async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(text: "x")] }
        for _ in 0..<20 { _ = try await client.send(HTTPRequest(url: server.origin)) }
        #expect(server.requests.count == 20)
        #expect(server.connectionCount == 1)
    }

    @Test func `a kept connection that the server closed is not an error`() async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(text: "x"), .close] }
        for _ in 0..<5 {
            let response = try await client.send(HTTPRequest(url: server.origin))
            #expect(response.status == 200)
        }
        #expect(server.connectionCount == 5)
    }

    @Test func `compressed answers are decoded`() async throws {
        let server = try ScriptedHTTPServer { _ in
            [.answer(headers: [("Content-Encoding", "gzip")], body: Samples.gzip)]
        }
        let response = try await client.send(HTTPRequest(url: server.origin))
        #expect(response.body == Array("hello, hello, hello, hello".utf8))
        let accepted = try #require(server.requests.first?.headers["accept-encoding"])
        for encoding in ["gzip", "br", "zstd"] { #expect(accepted.contains(encoding)) }
    }

    @Test func `no more exchanges than allowed are under way with a host`() async throws {
        var configuration = CurlClient.Configuration(version: "1")
        configuration.maximumTransfersPerHost = 3
        let client = try CurlClient(configuration: configuration)
        let crowd = Crowd(3)
        let server = try ScriptedHTTPServer { _ in
            crowd.enter()
            defer { crowd.leave() }
            return [.answer(text: "x")]
        }
        try await withThrowingTaskGroup { group in
            for _ in 0..<30 {
                group.addTask {
                    _ = try await client.send(HTTPRequest(url: server.origin))
                }
            }
            try await group.waitForAll()
        }
        #expect(server.requests.count == 30)
        #expect(crowd.peak == 3)
        #expect(server.connectionCount <= 3)
    }

    @Test func `a slow answer that keeps coming is no error`() async throws {
        let gates = (0..<4).map { _ in ScriptedHTTPServer.Gate() }
        let server = try ScriptedHTTPServer { _ in
            [.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")]
                + gates.flatMap { [.wait($0), .raw("x")] }
        }
        async let response = client.send(HTTPRequest(url: server.origin))
        for gate in gates { gate.open() }
        #expect(try await response.body == Array("xxxx".utf8))
    }

    @Test func `large bodies pass both ways`() async throws {
        let server = try ScriptedHTTPServer { request in [.answer(body: request.body)] }
        let body = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 7) }
        let response = try await client.send(
            HTTPRequest(method: "POST", url: server.origin, body: body)
        )
        #expect(response.body == body)
    }
}

/// Counts who is inside at once; the first ones wait for each other.
final class Crowd: Sendable {
    private let state = Mutex((inside: 0, peak: 0))
    private let gate = ScriptedHTTPServer.Gate()
    private let size: Int

    init(_ size: Int) { self.size = size }

    var peak: Int { state.withLock { $0.peak } }

    func enter() {
        let inside = state.withLock { state in
            state.inside += 1
            state.peak = max(state.peak, state.inside)
            return state.inside
        }
        if inside == size { gate.open() }
        gate.pass()
    }

    func leave() {
        state.withLock { $0.inside -= 1 }
    }
}

enum Samples {
    /// `hello, hello, hello, hello`, compressed.
    static let gzip: [UInt8] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 72, 205, 201, 201, 215, 81, 200, 192, 164,
        0, 85, 163, 130, 119, 26, 0, 0, 0,
    ]
}
