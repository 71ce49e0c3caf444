import Domain
import Firewall
import HTTPClient
import HTTPTypes
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API

/// What the OpenAPI document says of heads and refusals is what the server does.
@Suite struct OpenAPITests {
    private func server() async throws -> (RunningServer, RouteExamples, String) {
        var setup = RunningServer.Setup()
        setup.tools = RouteExamples.tools
        setup.workflow.isAsynchronous = true
        let server = try await RunningServer(setup)
        _ = try await server.add("owner", .owner)
        let store = server.scratch.store
        let examples = try await RouteExamples(named: "mine", of: "owner", in: store, on: server)
        return (server, examples, try await server.key("owner"))
    }

    private func documented(_ server: RunningServer) -> [Route] {
        server.application.responder.table.routes.filter(\.isDocumented)
    }

    @Test func `If-Match counts wherever the document has it`() async throws {
        let (server, examples, key) = try await server()
        let document = try await InterfaceDocument(of: server)
        var walked = 0
        for route in documented(server) where document.takes("If-Match", route) {
            let place = "\(route.method.rawValue) \(route.path)"
            let request = try #require(try await examples.request(route), "\(place)")
            let answer = try await server.send(
                route.method.rawValue,
                request.path,
                request.body,
                token: key,
                headers: [("If-Match", "\"policy-999999\"")]
            )
            walked += 1
            #expect(answer.status == 412, "\(place): \(answer.text)")
            #expect(document.gaps(answer, to: route) == [], "\(place)")
        }
        #expect(walked > 15)
        try await server.stop()
    }

    /// A client that insists on what it has seen believed that it was listened to.
    @Test func `If-Match is refused by every write that would not look at it`() async throws {
        let (server, examples, key) = try await server()
        let document = try await InterfaceDocument(of: server)
        var walked = 0
        for route in documented(server) where route.isStrict && route.isWrite {
            guard !document.takes("If-Match", route) else { continue }
            let place = "\(route.method.rawValue) \(route.path)"
            let request = try #require(try await examples.request(route), "\(place)")
            let answer = try await server.send(
                route.method.rawValue,
                request.path,
                request.body,
                token: key,
                headers: [("If-Match", "*")]
            )
            walked += 1
            #expect(answer.status == 400, "\(place): \(answer.text)")
            #expect(try answer.json["code"] == "if_match_not_compared", "\(place)")
            #expect(document.gaps(answer, to: route) == [], "\(place)")
        }
        #expect(walked > 20)
        // What nothing is written by is not asked for it.
        let read = try await server.send(
            "GET",
            "/api/v1/stats",
            token: key,
            headers: [("If-Match", "*")]
        )
        #expect(read.status == 200)
        try await server.stop()
    }

    @Test func `what the client has is not sent again where the document says so`() async throws {
        let (server, examples, key) = try await server()
        let document = try await InterfaceDocument(of: server)
        var walked: [String] = []
        for route in documented(server) where document.takes("If-None-Match", route) {
            let request = try #require(try await examples.request(route))
            let first = try await server.send("GET", request.path, token: key)
            let again = try await server.send(
                "GET",
                request.path,
                token: key,
                headers: [("If-None-Match", try #require(first.headers["ETag"]))]
            )
            walked.append(route.path)
            #expect(again.status == 304, "\(route.path)")
            #expect(document.gaps(again, to: route) == [], "\(route.path)")
        }
        #expect(walked == ["/api/v1/issues/{id}", "/api/v1/mcp-servers/{id}"])
        try await server.stop()
    }

    @Test func `a repeated write and a page have the headers of the document`() async throws {
        let (server, examples, key) = try await server()
        let document = try await InterfaceDocument(of: server)
        let routes = documented(server)
        let write = try #require(
            routes.first { $0.method == .put && $0.path == "/api/v1/trackers/{id}" }
        )
        #expect(document.takes("Idempotency-Key", write))
        for _ in 0..<2 {
            let answer = try await server.send(
                "PUT",
                "/api/v1/trackers/\(examples.world.tracker)",
                ["include": ["acme/*"]],
                token: key,
                headers: [("Idempotency-Key", "once")]
            )
            #expect(document.gaps(answer, to: write) == [], "\(answer.text)")
        }
        let list = try #require(routes.first { $0.path == "/api/v1/issues" })
        let page = try await server.send("GET", "/api/v1/issues?limit=2", token: key)
        #expect(page.headers["X-Next-Cursor"] != nil)
        #expect(document.gaps(page, to: list) == [])
        try await server.stop()
    }

    @Test func `metrics and MCP are in the document, with what they answer`() async throws {
        let (server, _, key) = try await server()
        let document = try await InterfaceDocument(of: server)
        let routes = documented(server)
        func route(_ method: String, _ path: String) throws -> Route {
            try #require(routes.first { $0.method.rawValue == method && $0.path == path })
        }
        func check(
            _ method: String,
            _ path: String,
            _ body: JSONValue? = nil,
            _ headers: [(String, String)] = [],
            _ status: Int
        ) async throws {
            let answer = try await server.send(method, path, body, token: key, headers: headers)
            #expect(answer.status == status, "\(method) \(path): \(answer.text)")
            let gaps = document.gaps(answer, to: try route(method, path))
            #expect(gaps == [], "\(method) \(path) \(status)")
        }
        let (mcp, json) = ("/mcp/v1", ("Accept", "application/json"))
        let modern = ("MCP-Protocol-Version", ModernRequest.version)
        try await check("GET", "/metrics", nil, [], 200)
        try await check(
            "POST",
            mcp,
            ModernRequest.call("echo", ["text": "a"]),
            ModernRequest.headers("tools/call", "echo"),
            200
        )
        try await check("POST", mcp, ["jsonrpc": "2.0", "method": "ping", "id": 1], [], 400)
        try await check("POST", mcp, [:], [json], 406)
        try await check("POST", mcp, [:], [("Content-Type", "text/plain")], 415)
        try await check("GET", mcp, nil, [json], 406)
        try await check("GET", mcp, nil, [modern], 405)
        try await check("DELETE", mcp, nil, [("Mcp-Session-Id", "gone")], 404)
        let anonymous = try await server.send("POST", mcp, [:])
        #expect(anonymous.status == 401)
        #expect(document.gaps(anonymous, to: try route("POST", mcp)) == [])
        try await server.stop()
    }

    @Test func `every operation tells of other methods and names, and pointers lead somewhere`()
        async throws
    {
        let (server, _, key) = try await server()
        let document = try await InterfaceDocument(of: server)
        for route in documented(server) {
            for status in [400, 403, 405, 421, 503] {
                let response = document.response(route, status)
                #expect(response != nil, "\(route.method) \(route.path) \(status)")
            }
            if route.access != .open {
                let head = document.response(route, 401)?["headers"]
                #expect(head?["WWW-Authenticate"] != nil, "\(route.path)")
            }
        }
        #expect(document.danglingPointers == [])
        let stats = try #require(documented(server).first { $0.path == "/api/v1/stats" })
        let other = try await server.send("PATCH", "/api/v1/stats", token: key)
        #expect(other.status == 405 && other.headers["Allow"] == "GET")
        #expect(document.gaps(other, to: stats) == [])
        try await server.stop()
    }
}
