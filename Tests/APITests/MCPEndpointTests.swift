import Domain
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// Requests of the modern era.
enum ModernRequest {
    static let version = "2026-07-28"

    static func headers(_ method: String, _ name: String? = nil) -> [(String, String)] {
        [
            ("Accept", "application/json, text/event-stream"),
            ("Content-Type", "application/json"), ("MCP-Protocol-Version", version),
            ("Mcp-Method", method),
        ] + (name.map { [("Mcp-Name", $0)] } ?? [])
    }

    static func message(
        _ method: String,
        _ parameters: KeyValuePairs<String, JSONValue> = [:],
        meta: KeyValuePairs<String, JSONValue> = [:]
    ) -> JSONValue {
        var object = JSONObject()
        for (key, value) in parameters { object[key] = value }
        var metadata = JSONObject()
        metadata["io.modelcontextprotocol/protocolVersion"] = .string(version)
        metadata["io.modelcontextprotocol/clientCapabilities"] = .object(JSONObject())
        for (key, value) in meta { metadata[key] = value }
        object["_meta"] = .object(metadata)
        return [
            "jsonrpc": "2.0", "id": 1, "method": .string(method), "params": .object(object),
        ]
    }

    static func call(
        _ tool: String,
        _ arguments: JSONValue,
        meta: KeyValuePairs<String, JSONValue> = [:]
    ) -> JSONValue {
        message("tools/call", ["name": .string(tool), "arguments": arguments], meta: meta)
    }
}

/// What needs no client of the protocol: heads, statuses, who may.
@Suite struct MCPEndpointTests {
    private let path = "/mcp/v1"
    private let accept = ("Accept", "application/json, text/event-stream")

    private func server(_ tools: [any Tool] = [EchoTool()]) async throws -> (RunningServer, String)
    {
        var setup = RunningServer.Setup()
        setup.tools = tools
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .editor)
        return (server, try await server.key("ann"))
    }

    /// The messages of a stream.
    private func events(_ text: String) throws -> [JSONValue] {
        try text.split(separator: "\n").filter { $0.hasPrefix("data: {") }.map {
            try JSONParser.parse(String($0.dropFirst(6)))
        }
    }

    @Test func `nobody calls without a credential, and pages of strangers never`() async throws {
        let (server, key) = try await server()
        let request = ModernRequest.message("tools/list")
        let headers = ModernRequest.headers("tools/list")
        let missing = try await server.send("POST", path, request, headers: headers)
        #expect(missing.status == 401)
        #expect(missing.headers["WWW-Authenticate"]?.hasPrefix("Bearer") == true)
        // What stands in an address stands in logs: it is no credential.
        let query = try await server.send(
            "POST",
            "\(path)?access_token=\(key)",
            request,
            headers: headers
        )
        #expect(query.status == 401)
        let wrong = "plk_1_" + String(repeating: "a", count: 40)
        let refused = try await server.send("POST", path, request, token: wrong, headers: headers)
        #expect(refused.status == 401)
        #expect(refused.headers["WWW-Authenticate"]?.contains("invalid_token") == true)
        let origin = headers + [("Origin", "https://evil.example")]
        let page = try await server.send("POST", path, request, token: key, headers: origin)
        #expect(page.status == 403)
        let access = try await server.signIn("ann")["access_token"]?.string
        let own = headers + [("Origin", server.origin)]
        let allowed = try await server.send("POST", path, request, token: access, headers: own)
        #expect(allowed.status == 200)
        let reader = try await server.key("ann", scopes: [.read])
        let scope = try await server.send("POST", path, request, token: reader, headers: headers)
        #expect(scope.status == 403)
        let asked = scope.headers["WWW-Authenticate"]
        #expect(asked == #"Bearer realm="preloop", error="insufficient_scope", scope="mcp:read""#)
        try await server.stop()
    }

    @Test func `a modern request is answered by itself, as JSON when there is nothing before it`()
        async throws
    {
        let (server, key) = try await server()
        let discovered = try await server.send(
            "POST",
            path,
            ModernRequest.message("server/discover"),
            token: key,
            headers: ModernRequest.headers("server/discover")
        )
        #expect(discovered.headers["Content-Type"] == "application/json")
        #expect(try discovered.json["result"]?["supportedVersions"]?[0] == "2026-07-28")
        let listed = try await server.send(
            "POST",
            path,
            ModernRequest.message("tools/list"),
            token: key,
            headers: ModernRequest.headers("tools/list")
        )
        #expect(try listed.json["result"]?["cacheScope"] == "private")
        #expect(try listed.json["result"]?["tools"]?[0]?["name"] == "echo")
        let called = try await server.send(
            "POST",
            path,
            ModernRequest.call("echo", ["text": "0123456789", "times": 50_000]),
            token: key,
            headers: ModernRequest.headers("tools/call", "echo")
        )
        #expect(called.body.count > 1_000_000)
        let said = try called.json["result"]?["structuredContent"]?["said"]?.string
        #expect(said?.utf8.count == 500_000)
        #expect(called.headers["Mcp-Session-Id"] == nil)
        try await server.stop()
    }

    @Test func `what is wrong with a modern request has the protocol's status and code`()
        async throws
    {
        let (server, key) = try await server()
        func send(
            _ message: JSONValue,
            _ headers: [(String, String)],
            _ method: String = "POST"
        ) async throws -> (Int, JSONValue?) {
            let answer = try await server.send(method, path, message, token: key, headers: headers)
            return (answer.status, try? answer.json["error"]?["code"])
        }
        let call = ModernRequest.call("echo", ["text": "a"])
        let good = ModernRequest.headers("tools/call", "echo")
        #expect(try await send(call, ModernRequest.headers("tools/call", "other")) == (400, -32020))
        #expect(try await send(call, ModernRequest.headers("tools/list", "echo")) == (400, -32020))
        #expect(try await send(call, ModernRequest.headers("tools/call")) == (400, -32020))
        var version = good
        version[2].1 = "2031-01-01"
        #expect(try await send(call, version) == (400, -32022))
        let gone = ModernRequest.headers("nothing/here")
        #expect(try await send(ModernRequest.message("nothing/here"), gone) == (404, -32601))
        #expect(try await send("nonsense", good) == (400, -32600))
        var media = good
        media[1].1 = "text/plain"
        #expect(try await send(call, media).0 == 415)
        media = good
        media[0].1 = "application/json"
        #expect(try await send(call, media).0 == 406)
        let modern = [accept, ("MCP-Protocol-Version", ModernRequest.version)]
        for method in ["GET", "DELETE"] {
            let answer = try await server.send(method, path, token: key, headers: modern)
            #expect(answer.status == 405 && answer.headers["Allow"] == "POST")
        }
        #expect(
            try await server.send("PUT", path, call, token: key, headers: [accept]).status == 405
        )
        let unknown = ModernRequest.call("nothing", [:])
        let answer = try await send(unknown, ModernRequest.headers("tools/call", "nothing"))
        #expect(answer == (400, -32602))
        try await server.stop()
    }

    @Test func `a modern client cancels by closing, and the work stops`() async throws {
        let tool = WaitingTool()
        let (server, key) = try await server([tool])
        let client = try RawClient(port: server.port)
        let body = ModernRequest.call("wait", [:], meta: ["progressToken": "p"]).serializedText()
        let lines = ModernRequest.headers("tools/call", "wait").map { "\($0.0): \($0.1)\r\n" }
        let head =
            "POST \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(key)\r\n"
            + lines.joined() + "Content-Length: \(body.utf8.count)\r\n\r\n"
        #expect(client.send(head + body))
        // Progress makes it a stream before the call has ended.
        let seen = await client.read(until: "notifications/progress")
        #expect(seen.contains("text/event-stream") && seen.contains(#""progressToken":"p""#))
        #expect(seen.lowercased().contains("x-accel-buffering: no"))
        client.close()
        while tool.wasCancelled.value == 0 { await Task.yield() }
        let store = server.scratch.store
        while true {
            let calls = try await store.read { connection, account in
                try ToolCallTable.list(limit: 1, account: account, on: connection)
            }
            if calls.first?.outcome == .cancelled { break }
            await Task.yield()
        }
        try await server.stop()
    }

    @Test func `headers that mirror arguments say what the body says`() async throws {
        let (server, key) = try await server([RoutedTool()])
        func call(_ arguments: JSONValue, _ headers: [(String, String)]) async throws -> Int {
            try await server.send(
                "POST",
                path,
                ModernRequest.call("routed", arguments),
                token: key,
                headers: ModernRequest.headers("tools/call", "routed") + headers
            ).status
        }
        let (tenant, level) = ("Mcp-Param-Tenant", "Mcp-Param-Level")
        let both: JSONValue = ["tenant": "é", "deep": ["level": 42]]
        #expect(try await call(both, [(tenant, "=?base64?w6k=?="), (level, "42")]) == 200)
        #expect(try await call([:], []) == 200)
        #expect(try await call(both, [(tenant, "=?base64?w6k=?=")]) == 400)
        #expect(try await call(both, [(tenant, "e"), (level, "42")]) == 400)
        #expect(try await call([:], [(tenant, "x")]) == 400)
        #expect(try await call(["tenant": "x"], [(tenant, "x"), (tenant, "y")]) == 400)
        try await server.stop()
    }

    /// Nobody got them: what stands before another server may route by what nothing here knows.
    @Test func `headers that mirror no argument go with the call`() async throws {
        let (server, key) = try await server([RoutedTool()])
        let mirrored = [("Mcp-Param-Tenant", "x"), ("Mcp-Param-Other", "z"), ("X-Other", "y")]
        let answer = try await server.send(
            "POST",
            path,
            ModernRequest.call("routed", ["tenant": "x"]),
            token: key,
            headers: ModernRequest.headers("tools/call", "routed") + mirrored
        )
        #expect(answer.status == 200, "\(answer.text)")
        let others = try answer.json["result"]?["structuredContent"]?["others"]
        #expect(others == ["mcp-param-other: z"])
        try await server.stop()
    }

    @Test func `tools that change something exist for those who may write`() async throws {
        let tool = WriteTool()
        let (server, key) = try await server([EchoTool(), tool])
        _ = try await server.add("vera", .viewer)
        let viewer = try await server.key("vera")
        let readOnly = try await server.key("ann", scopes: [.mcpRead])
        let writing = try await server.key("ann", scopes: [.mcpWrite])
        for (credential, names) in [
            (key, ["echo", "write"]), (writing, ["echo", "write"]), (viewer, ["echo"]),
            (readOnly, ["echo"]),
        ] {
            let listed = try await server.send(
                "POST",
                path,
                ModernRequest.message("tools/list"),
                token: credential,
                headers: ModernRequest.headers("tools/list")
            ).json
            let found = listed["result"]?["tools"]?.array?.compactMap { $0["name"]?.string }
            #expect(found == names)
            let called = try await server.send(
                "POST",
                path,
                ModernRequest.call("write", [:]),
                token: credential,
                headers: ModernRequest.headers("tools/call", "write")
            )
            #expect(called.status == (names.count == 2 ? 200 : 400))
        }
        #expect(tool.count.value == 2)
        try await server.stop()
    }

    // MARK: - Legacy

    @Test func `a session is begun, used, resumed and ended by its owner alone`() async throws {
        let tool = WaitingTool()
        tool.mayEnd.open()
        let (server, key) = try await server([tool])
        let begun = try await server.initialize(token: key)
        #expect(try begun.json["result"]?["protocolVersion"] == "2025-11-25")
        let id = try #require(begun.headers["Mcp-Session-Id"])
        #expect(id.utf8.count >= 22)
        let session = [accept, ("Mcp-Session-Id", id)]
        let initialized: JSONValue = ["jsonrpc": "2.0", "method": "notifications/initialized"]
        let noted = try await server.send(
            "POST",
            path,
            initialized,
            token: key,
            headers: session
        )
        #expect(noted.status == 202)
        let call: JSONValue = [
            "jsonrpc": "2.0", "id": 7, "method": "tools/call",
            // Who is told of progress is answered by a stream, however quick the tool is.
            "params": [
                "name": "wait", "arguments": .object(JSONObject()), "_meta": ["progressToken": "p"],
            ],
        ]
        let called = try await server.send("POST", path, call, token: key, headers: session)
        #expect(called.headers["Content-Type"] == "text/event-stream")
        #expect(try events(called.text).last?["result"]?["structuredContent"]?["waited"] == true)
        // The first event of the stream names a place to go on from: all that followed comes again.
        let event = try #require(called.text.firstMatch(of: /id: (\d+-\d+)/))
        let resumed = try await server.send(
            "GET",
            path,
            token: key,
            headers: session + [("Last-Event-ID", String(event.1))]
        )
        #expect(try events(resumed.text).last?["id"] == 7)
        let other = try await server.key("ann")
        for (credential, headers, status) in [
            (other, session, 404), (key, [accept, ("Mcp-Session-Id", "gone")], 404),
            (key, [accept], 400),
        ] {
            let answer = try await server.send(
                "POST",
                path,
                call,
                token: credential,
                headers: headers
            )
            #expect(answer.status == status)
        }
        #expect(try await server.send("DELETE", path, token: key, headers: session).status == 204)
        #expect(try await server.send("DELETE", path, token: key, headers: session).status == 404)
        #expect(
            try await server.send("POST", path, call, token: key, headers: session).status == 404
        )
        try await server.stop()
    }

    @Test func `an initialize that fails begins nothing`() async throws {
        let (server, key) = try await server()
        let answer = try await server.send(
            "POST",
            path,
            ["jsonrpc": "2.0", "id": 0, "method": "initialize", "params": .object(JSONObject())],
            token: key,
            headers: [accept]
        )
        #expect(answer.headers["Mcp-Session-Id"] == nil)
        #expect(try answer.json["error"]?["code"] == -32602)
        try await server.stop()
    }

    @Test func `a lost connection does not cancel an older client's call`() async throws {
        let tool = WaitingTool()
        let (server, key) = try await server([tool])
        let id = try #require(try await server.initialize(token: key).headers["Mcp-Session-Id"])
        let client = try RawClient(port: server.port)
        let body = """
            {"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"wait","arguments":{}}}
            """
        #expect(
            client.send(
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(key)\r\n"
                    + "Accept: \(accept.1)\r\nContent-Type: application/json\r\n"
                    + "Mcp-Session-Id: \(id)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
        )
        let seen = await client.read(until: "data: ")
        let event = try #require(seen.firstMatch(of: /id: (\d+-\d+)/))
        try await tool.started.pass()
        client.close()
        tool.mayEnd.open()
        let resumed = try await server.send(
            "GET",
            path,
            token: key,
            headers: [
                accept, ("Mcp-Session-Id", id), ("Last-Event-ID", String(event.1)),
            ]
        )
        #expect(try events(resumed.text).last?["result"]?["structuredContent"]?["waited"] == true)
        #expect(tool.wasCancelled.value == 0)
        try await server.stop()
    }

    @Test func `sixteen calls side by side are answered, each its own`() async throws {
        let (server, key) = try await server()
        let answers = try await withThrowingTaskGroup(of: String?.self) { group in
            for number in 0..<16 {
                group.addTask {
                    let answer = try await server.send(
                        "POST",
                        "/mcp/v1",
                        ModernRequest.call("echo", ["text": .string("n\(number)")]),
                        token: key,
                        headers: ModernRequest.headers("tools/call", "echo")
                    )
                    return try answer.json["result"]?["structuredContent"]?["said"]?.string
                }
            }
            return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
        }
        #expect(answers.count == 16)
        try await server.stop()
    }
}
