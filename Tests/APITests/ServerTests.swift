import Domain
import Gateway
import HTTPClient
import StoreTestSupport
import Testing

@testable import API

/// What the server does before any route: limits, names, forms of refusal.
@Suite struct ServerTests {
    @Test func `a supervisor, a balancer and a collector are answered`() async throws {
        let server = try await RunningServer()
        let health = try await server.send("GET", "/healthz")
        #expect(health.status == 200)
        #expect(try health.json["version"] == "1.2.3")
        #expect(try await server.send("GET", "/readyz").json["status"] == "ready")
        _ = try await server.send("GET", "/nothing")
        let metrics = try await server.send("GET", "/metrics").text
        #expect(
            metrics.contains(
                #"preloop_http_requests_total{method="GET",route="/healthz",status="200"} 1"#
            )
        )
        #expect(metrics.contains(#"route="none",status="404"} 1"#))
        #expect(metrics.contains("# TYPE preloop_http_request_duration_seconds histogram"))
        #expect(metrics.contains(#"le="+Inf"} 1"#))
        #expect(metrics.contains("preloop_http_requests_in_flight 1\n"))
        // Every line is a comment or `name{labels} number`.
        let line = /^(# (HELP|TYPE) .*|[a-z_]+(\{[^}]*\})? -?[0-9.e+-]+)$/
        for text in metrics.split(separator: "\n") { #expect(text.wholeMatch(of: line) != nil) }
        let forwarded = try await server.send(
            "GET",
            "/metrics",
            headers: [("X-Forwarded-For", "9.9.9.9")]
        )
        #expect(forwarded.status == 401)
        try await server.stop()
    }

    /// Whoever registered owns an account, and read how much all the others do.
    @Test func `the process's metrics are for the installation's own account`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .editor)
        _ = try await server.addAccount(owner: "bob")
        for scopes in [[], [.metrics]] as [Set<KeyScope>] {
            let own = try await server.key("ann", scopes: scopes)
            #expect(try await server.send("GET", "/metrics", token: own).status == 200)
            let other = try await server.key("bob", scopes: scopes)
            let refused = try await server.send("GET", "/metrics", token: other)
            #expect(refused.status == 403 && !refused.text.contains("preloop_http"))
            #expect(try refused.json["code"] == "permission_denied")
        }
        try await server.stop()
    }

    @Test func `refusals are problem documents that name the request`() async throws {
        let server = try await RunningServer()
        let missing = try await server.send(
            "GET",
            "/api/v1/nothing",
            headers: [("X-Request-ID", "abc-1")]
        )
        #expect(missing.status == 404)
        #expect(missing.headers["Content-Type"] == "application/problem+json")
        #expect(missing.headers["X-Request-ID"] == "abc-1")
        #expect(try missing.json["request_id"] == "abc-1")
        #expect(try missing.json["status"] == 404)
        #expect(try missing.json["detail"]?.string?.isEmpty == false)
        let strange = try await server.send(
            "GET",
            "/healthz",
            headers: [("X-Request-ID", "<script>")]
        )
        #expect(strange.headers["X-Request-ID"]?.utf8.count == 16)
        let method = try await server.send("DELETE", "/api/v1/auth/token")
        #expect(method.status == 405 && method.headers["Allow"] == "POST")
        let head = try await server.send("HEAD", "/healthz")
        #expect(head.status == 200 && head.body.isEmpty)
        let type = try await server.send(
            "POST",
            "/api/v1/auth/token",
            [:],
            headers: [("Content-Type", "text/plain")]
        )
        #expect(type.status == 415)
        let fields = try await server.send("POST", "/api/v1/auth/token", ["username": 5])
        #expect(fields.status == 422)
        #expect(try fields.json["errors"]?.array?.count == 2)
        try await server.stop()
    }

    @Test func `only the server's own names, and pages that may, are answered`() async throws {
        var setup = RunningServer.Setup()
        setup.origins = ["https://console.example.com"]
        let server = try await RunningServer(setup)
        let rebound = try RawClient(port: server.port)
        #expect(rebound.send("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"))
        #expect(await rebound.read(until: "\r\n").contains("421"))
        let nameless = try RawClient(port: server.port)
        #expect(nameless.send("GET /healthz HTTP/1.1\r\n\r\n"))
        #expect(await nameless.read(until: "\r\n").contains("400"))
        func status(_ origin: String) async throws -> Int {
            try await server.send("GET", "/healthz", headers: [("Origin", origin)]).status
        }
        #expect(try await status("https://evil.example") == 403)
        #expect(try await status("null") == 403)
        #expect(try await status(server.origin) == 200)
        let allowed = try await server.send(
            "GET",
            "/healthz",
            headers: [("Origin", "https://console.example.com")]
        )
        #expect(allowed.headers["Access-Control-Allow-Origin"] == "https://console.example.com")
        let question = try await server.send(
            "OPTIONS",
            "/api/v1/auth/token",
            headers: [
                ("Origin", "https://console.example.com"),
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "authorization,mcp-param-tenant, x-else"),
            ]
        )
        #expect(question.status == 204)
        let headers = question.headers["Access-Control-Allow-Headers"] ?? ""
        #expect(headers.contains("mcp-param-tenant") && headers.contains("traceparent"))
        #expect(!headers.contains("x-else"))
        let exposed = allowed.headers["Access-Control-Expose-Headers"] ?? ""
        for name in ["Link", "X-Next-Cursor", "Idempotent-Replayed", "WWW-Authenticate"] {
            #expect(exposed.contains(name))
        }
        #expect(question.headers["Access-Control-Allow-Methods"]?.contains("POST") == true)
        try await server.stop()
    }

    @Test func `a body beyond the limit is refused, announced or not`() async throws {
        let server = try await RunningServer()
        let long = String(repeating: "x", count: 20_000)
        let announced = try await server.send(
            "POST",
            "/api/v1/auth/token",
            ["username": .string(long)]
        )
        #expect(announced.status == 413)
        let chunked = try RawClient(port: server.port)
        let head = "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\n"
        #expect(
            chunked.send(head + "Transfer-Encoding: chunked\r\n\r\n4e20\r\n\(long)\r\n0\r\n\r\n")
        )
        #expect(await chunked.read(until: "\r\n").contains("413"))
        #expect(await chunked.isClosed())
        let heads = try RawClient(port: server.port)
        let field = "X-Long: \(String(repeating: "y", count: 40_000))\r\n"
        #expect(heads.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\(field)\r\n"))
        #expect(await !heads.read(until: "\r\n").contains("200"))
        try await server.stop()
    }

    /// It was told to send its body before anything of the head had been looked at.
    @Test func `who asks before sending a body is told to when its head is in order`()
        async throws
    {
        let server = try await RunningServer()
        _ = try await server.add("ann", .editor)
        let key = try await server.key("ann")
        func ask(_ path: String, _ headers: String, _ length: Int) async throws -> RawClient {
            let client = try RawClient(port: server.port)
            let head =
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\n\(headers)"
                + "Expect: 100-continue\r\nContent-Length: \(length)\r\n\r\n"
            #expect(client.send(head))
            return client
        }
        let echo = "/api/v1/mcp/echo"
        let credential = "Authorization: Bearer \(key)\r\n"
        for (path, headers, length, status) in [
            (echo, "", 9, 401), (echo, credential, 5 << 20, 413), ("/no", credential, 9, 404),
            ("/api/v1/users", credential, 9, 403), ("\(echo)?no=1", credential, 9, 422),
        ] {
            let client = try await ask(path, headers, length)
            let answer = await client.read(until: "\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(path): \(answer)")
            #expect(answer.lowercased().contains("connection: close"), "\(path)")
            // Else what comes next could be taken for the body.
            #expect(await client.isClosed())
        }
        let body = #"{"text": "a"}"#
        let client = try await ask(echo, credential, body.utf8.count)
        let told = await client.read(until: "\r\n\r\n")
        #expect(told.hasPrefix("HTTP/1.1 100 "), "\(told)")
        #expect(client.send(body))
        let answer = await client.read(until: #""said":"a""#)
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        try await server.stop()
    }

    /// The head of the next request made a connection one that has a body to send, and in the way.
    @Test(.timeLimit(.minutes(5)))
    func `a connection that is served makes no room, whatever else it has begun to send`()
        async throws
    {
        let tool = WaitingTool()
        var setup = RunningServer.Setup()
        setup.tools = [tool]
        setup.limits.connections = 1
        setup.limits.bodyTime = .seconds(2)
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .editor)
        let key = try await server.key("ann")
        let head =
            "POST /api/v1/mcp/wait HTTP/1.1\r\nHost: localhost\r\n"
            + "Authorization: Bearer \(key)\r\nContent-Length: 2\r\n\r\n"
        let client = try RawClient(port: server.port)
        #expect(client.send("\(head){}\(head){"))
        try await tool.started.pass()
        let other = try RawClient(port: server.port)
        #expect(await other.isClosed())
        let connections = server.application.connections
        #expect(connections.counts.evicted == 0 && connections.counts.refused == 1)
        tool.mayEnd.open()
        let answer = await client.read(until: #""waited":true"#)
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        // From now on the rest of the second one is waited for, and not for ever.
        #expect(await client.isClosed())
        #expect(connections.counts.overdue >= 1 && tool.wasCancelled.value == 0)
        try await server.stop()
    }

    @Test func `a client that is slow with its head or body is closed`() async throws {
        var setup = RunningServer.Setup()
        setup.limits.headTime = .seconds(1)
        setup.limits.bodyTime = .seconds(1)
        let server = try await RunningServer(setup)
        let silent = try RawClient(port: server.port)
        let head = try RawClient(port: server.port)
        #expect(head.send("GET /healthz HTTP/1.1\r\nHost: local"))
        let body = try RawClient(port: server.port)
        #expect(
            body.send(
                "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n{"
            )
        )
        #expect(await silent.isClosed())
        #expect(await head.isClosed())
        #expect(await !body.read().contains("200"))
        #expect(server.application.connections.counts.overdue >= 3)
        #expect(try await server.send("GET", "/healthz").status == 200)
        try await server.stop()
    }

    @Test func `a connection that is answered before its body ends is not kept for ever`()
        async throws
    {
        var setup = RunningServer.Setup()
        setup.limits.idleTime = .seconds(1)
        let server = try await RunningServer(setup)
        let client = try RawClient(port: server.port)
        #expect(
            client.send("POST /no HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n")
        )
        #expect(await client.read(until: "404").contains("404"))
        #expect(client.send("x"))
        #expect(await client.isClosed())
        try await server.stop()
    }

    /// Half of it was too large where each character was written by its number.
    @Test func `a text as long as the document promises may be written in escapes`() async throws {
        var setup = RunningServer.Setup()
        setup.tools = RouteExamples.tools
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let issue = try await World(in: server.scratch.store).issues[0]
        let comments = "/api/v1/issues/\(issue)/comments"
        func text(_ count: Int) -> String { String(repeating: #"\ud83d\ude00"#, count: count) }
        let longest = BuiltInTools.maximumTextCharacters
        for (path, name, status) in [(comments, "body", 201), ("/api/v1/mcp/echo", "text", 200)] {
            let body = #"{"\#(name)": "\#(text(longest))"}"#
            let answer = try await server.post(path, written: body, token: key)
            #expect(answer.status == status, "\(path): \(answer.text.prefix(300))")
            // What is announced as longer than a message of MCP is not waited for.
            let client = try RawClient(port: server.port)
            let head =
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\n"
                + "Authorization: Bearer \(key)\r\nContent-Length: \((4 << 20) + 1)\r\n\r\n"
            #expect(client.send(head))
            #expect(await client.read(until: "\r\n").contains("413"), "\(path)")
        }
        let longer = #"{"body": "\#(text(longest + 1))"}"#
        #expect(try await server.post(comments, written: longer, token: key).status == 422)
        try await server.stop()
    }

    @Test func `strangers' bodies are small`() async throws {
        let server = try await RunningServer()
        let long = JSONValue.string(String(repeating: "a", count: 20_000))
        for path in ["/api/v1/auth/token", "/api/v1/auth/refresh", "/api/v1/auth/register"] {
            let answer = try await server.send("POST", path, ["username": long])
            #expect(answer.status == 413, "\(path)")
        }
        try await server.stop()
    }

    /// Each may have 16 KiB and there are thousands of connections: only the sum is a bound.
    @Test func `strangers' bodies take a bounded room together`() async throws {
        var setup = RunningServer.Setup()
        setup.limits.openBodyBytes = 20_000
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .viewer)
        let key = try await server.key("ann")
        let bodies = server.application.responder.bodies
        let head =
            "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\n"
            + "Content-Length: 12000\r\n\r\n"
        let slow = try RawClient(port: server.port)
        #expect(slow.send(head + String(repeating: " ", count: 11_999)))
        while bodies.held(by: .strangers) < 11_999 { await Task.yield() }
        let refused = try RawClient(port: server.port)
        #expect(refused.send(head + String(repeating: " ", count: 12_000)))
        let answer = await refused.read(until: "\r\n\r\n").lowercased()
        #expect(answer.contains(" 503 ") && answer.contains("retry-after"), "\(answer)")
        #expect(await refused.isClosed())
        // Who has a key is not concerned.
        let text = JSONValue.string(String(repeating: "x", count: 12_000))
        let echo = try await server.send("POST", "/api/v1/mcp/echo", ["text": text], token: key)
        #expect(echo.status == 200)
        #expect(slow.send(" "))
        #expect(await slow.read(until: "\r\n").contains(" 400 "))
        while bodies.held(by: .strangers) > 0 { await Task.yield() }
        let next = try RawClient(port: server.port)
        #expect(next.send(head + String(repeating: " ", count: 12_000)))
        #expect(await next.read(until: "\r\n").contains(" 400 "))
        try await server.stop()
    }

    /// One key may have 2,048 requests under way; what they hold is bounded, for one user and for
    /// all.
    @Test func `users' bodies take a bounded room, each user's and together`() async throws {
        for isShared in [false, true] {
            var setup = RunningServer.Setup()
            setup.limits.bodyBytesOfUser = isShared ? 100_000 : 20_000
            setup.limits.bodyBytesInAll = isShared ? 20_000 : 100_000
            let server = try await RunningServer(setup)
            for name in ["ann", "bob"] { _ = try await server.add(name, .viewer) }
            let (ann, bob) = (try await server.key("ann"), try await server.key("bob"))
            let bodies = server.application.responder.bodies
            func head(_ key: String) -> String {
                "POST /api/v1/mcp/echo HTTP/1.1\r\nHost: localhost\r\n"
                    + "Authorization: Bearer \(key)\r\nContent-Length: 12000\r\n\r\n"
            }
            let slow = try RawClient(port: server.port)
            #expect(slow.send(head(ann) + String(repeating: " ", count: 11_999)))
            while bodies.heldByUsers < 11_999 { await Task.yield() }
            let second = try RawClient(port: server.port)
            #expect(second.send(head(ann) + String(repeating: " ", count: 12_000)))
            let answer = await second.read(until: "\r\n\r\n").lowercased()
            #expect(answer.contains(" 503 ") && answer.contains("retry-after"), "\(answer)")
            let other = try RawClient(port: server.port)
            #expect(other.send(head(bob) + String(repeating: " ", count: 12_000)))
            let others = await other.read(until: "\r\n")
            #expect(others.contains(isShared ? " 503 " : " 400 "), "\(others)")
            #expect(slow.send(" "))
            #expect(await slow.read(until: "\r\n").contains(" 400 "))
            while bodies.heldByUsers > 0 { await Task.yield() }
            try await server.stop()
        }
    }

    @Test func `the log says where a request comes from, as trusted proxies tell`() async throws {
        let records = LogRecords()
        var setup = RunningServer.Setup()
        setup.records = records
        setup.proxies = try #require(TrustedProxies(["127.0.0.1"]))
        let server = try await RunningServer(setup)
        let forwarded = [("X-Forwarded-For", "9.9.9.9")]
        _ = try await server.send("GET", "/nothing", headers: forwarded)
        _ = try await server.send("GET", "/nothing")
        try await server.stop()
        let peers = records.lines("request").compactMap { $0.metadata["peer"] }
        #expect(peers.sorted() == ["127.0.0.1", "9.9.9.9"])
    }

    @Test func `slow connections make room for others, and served ones do not`() async throws {
        var setup = RunningServer.Setup()
        setup.limits.connectionsPerAddress = 3
        // Whichever of the three was taken up first makes room; time closes the others.
        setup.limits.headTime = .seconds(15)
        let server = try await RunningServer(setup)
        let slow = try (0..<3).map { _ in try RawClient(port: server.port) }
        for client in slow { #expect(client.send("GET /hea")) }
        while server.application.connections.counts.open < 3 { await Task.yield() }
        #expect(try await server.send("GET", "/healthz").status == 200)
        #expect(await slow[0].isClosed())
        #expect(server.application.connections.counts.evicted == 1)
        try await server.stop()
    }

    @Test func `requests under way are answered before the server ends`() async throws {
        let tool = WaitingTool()
        var setup = RunningServer.Setup()
        setup.tools = [tool]
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .viewer)
        let key = try await server.key("ann")
        async let answer = server.send(
            "POST",
            "/mcp/v1",
            ModernRequest.call("wait", [:]),
            token: key,
            headers: ModernRequest.headers("tools/call", "wait")
        )
        try await tool.started.pass()
        async let stopped: Void = server.stop()
        while !server.application.readiness.isDraining {
            try await Task.sleep(for: .milliseconds(5))
        }
        tool.mayEnd.open()
        #expect(try await answer.text.contains(#""waited":true"#))
        try await stopped
        await #expect(throws: (any Error).self) { try await server.send("GET", "/healthz") }
    }

    @Test func `secrets do not reach the log`() {
        let key = "plk_1_0123456789abcdefghijABCDEFGHIJ0123456789"
        #expect(Redaction.cleaned("a \(key) b") == "a <redacted> b")
        #expect(
            Redaction.cleaned("Bearer eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.abc!") == "Bearer <redacted>!"
        )
        // Links to approvals were forgotten once.
        for kind in OpaqueToken.Kind.allCases {
            let token = OpaqueToken(kind, account: AccountID(1)).text
            #expect(Redaction.cleaned("a \(token) b") == "a <redacted> b", "\(kind)")
        }
        #expect(Redaction.cleaned("plk_ is how keys begin") == "plk_ is how keys begin")
        // What trackers and providers give us stands in their errors, and ours.
        let token = "0123456789abcdefghijABCDEFGHIJ"
        for prefix in ["ghp_", "github_pat_", "glpat-", "ATATT3x", "ghs_"] {
            #expect(Redaction.cleaned("of \(prefix)\(token)!") == "of <redacted>!", "\(prefix)")
        }
        #expect(Redaction.cleaned("a: bearer a1b2c3d4 b") == "a: bearer <redacted> b")
        #expect(Redaction.cleaned("Basic YW5uOmh1bnRlcjI=") == "Basic <redacted>")
        #expect(Redaction.cleaned("the bearer of this") == "the bearer of this")
        #expect(Redaction.cleaned("Bearer authentication fails") == "Bearer authentication fails")
        #expect(
            Redaction.cleaned("`postgresql://ann:hunt@er2@db/preloop` and http://a.b:80/c@d")
                == "`postgresql://<redacted>@db/preloop` and http://a.b:80/c@d"
        )
        #expect(Redaction.cleaned("ünï: https://h:8443 ✓") == "ünï: https://h:8443 ✓")
        #expect(Redaction.isSecret(key: "Authorization"))
        #expect(Redaction.isSecret(key: "refresh_token"))
        #expect(!Redaction.isSecret(key: "route"))
    }
}
