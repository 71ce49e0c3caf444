import Domain
import Firewall
import HTTPClient
import HTTPTypes
import Store
import StoreTestSupport
import Testing

@testable import API

/// Lists come page by page: by cursors, or by how many are left out.
@Suite struct PageTests {
    /// A server with more than one of everything that is listed, and its owner's key.
    private func server() async throws -> (RunningServer, String) {
        var setup = RunningServer.Setup()
        setup.tools = RouteExamples.tools
        setup.workflow.isAsynchronous = true
        let server = try await RunningServer(setup)
        _ = try await World(in: server.scratch.store)
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        for number in 0..<3 {
            let asked = try await server.send(
                "POST",
                "/api/v1/mcp/request_approval",
                [
                    "operation": .string("drop table \(number)"), "context": "a test",
                    "reasoning": "it is old",
                ],
                token: key
            )
            #expect(asked.status == 200, "\(asked.text)")
        }
        return (server, key)
    }

    /// An MCP server with tools that wait to be accepted.
    private func upstream(on server: RunningServer, _ key: String) async throws -> Int64 {
        let added = try await server.send(
            "POST",
            "/api/v1/mcp-servers",
            ["name": "docs", "url": "https://mcp.example.com/mcp"],
            token: key
        )
        let id = try #require(try added.json["id"]?.integer)
        _ = try await server.scratch.store.write { connection, account in
            for name in ["a", "b", "c"] {
                let tool = UpstreamTool(
                    name: name,
                    accepted: nil,
                    proposed: JSONObject([("name", .string(name))]),
                    state: .held,
                    flags: [],
                    seenAt: World.start
                )
                try UpstreamToolTable.put(
                    tool,
                    of: UpstreamServerID(id),
                    account: account,
                    on: connection
                )
            }
        }
        return id
    }

    /// A list, and by what its items are told apart.
    private struct List {
        var path: String
        /// Where in the answer it is; empty for all of it.
        var member = ""
        var key: @Sendable (JSONValue) -> JSONValue?

        func keys(_ answer: JSONValue) -> [JSONValue] {
            let items = member.isEmpty ? answer : answer[member] ?? .null
            return (items.array ?? []).compactMap(key)
        }
    }

    /// Walks a list by the links of its pages, and by what is left out.
    private func check(
        _ list: List,
        furthest: Int = PageRequest.maximumSkip,
        on server: RunningServer,
        _ token: String
    ) async throws {
        func get(_ query: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "\(list.path)?\(query)", token: token)
        }
        let whole = try await get("limit=100")
        #expect(whole.status == 200, "\(whole.text)")
        #expect(whole.headers["X-Next-Cursor"] == nil && whole.headers["Link"] == nil)
        let all = list.keys(try whole.json)
        try #require(all.count > 2, "\(list.path): \(whole.text)")
        #expect(Set(all).count == all.count)
        var walked: [JSONValue] = []
        var next: String? = "\(list.path)?limit=1"
        while let path = next, walked.count <= all.count {
            let page = try await server.send("GET", path, token: token)
            #expect(list.keys(try page.json).count <= 1)
            walked += list.keys(try page.json)
            next = page.headers["Link"].flatMap { link in
                link.split(separator: ">").first.map { String($0.dropFirst()) }
            }
            #expect((page.headers["X-Next-Cursor"] == nil) == (next == nil))
        }
        #expect(walked == all, "\(list.path)")
        #expect(list.keys(try await get("limit=1&skip=1").json) == [all[1]], "\(list.path)")
        #expect(list.keys(try await get("skip=\(all.count)").json).isEmpty, "\(list.path)")
        for wrong in [
            "cursor=nonsense!", "limit=0", "limit=101", "skip=-1", "skip=\(furthest + 1)",
        ] {
            #expect(try await get(wrong).status == 422, "\(list.path)?\(wrong)")
        }
    }

    @Test func `tools, approvals, the audit and the latest issues are walked and skipped`()
        async throws
    {
        let (server, key) = try await server()
        let id = try await upstream(on: server, key)
        let lists = [
            List(path: "/api/v1/tools") { $0["name"] },
            List(path: "/api/v1/mcp-servers/\(id)/tools") { $0["name"] },
            List(path: "/api/v1/approval-requests") { $0["request_id"] },
            List(path: "/api/v1/audit") { $0["sequence"] },
            List(path: "/api/v1/audit/events", member: "events") { $0["sequence"] },
        ]
        for list in lists { try await check(list, on: server, key) }
        let latest = List(path: "/api/v1/issues/search", member: "results") {
            $0["item"]?["key"]
        }
        try await check(latest, furthest: 4_900, on: server, key)
        try await server.stop()
    }

    /// Cursors and bounds are looked at before an index is asked for, which there is none of.
    @Test func `a search begins no later than it may end, by a cursor neither`() async throws {
        let (server, key) = try await server()
        let issues = try await server.send("GET", "/api/v1/issues", token: key)
        let id = try #require(try issues.json[0]?["id"]?.integer)
        for (path, furthest) in [
            ("/api/v1/search?query=crash&", 4_900), ("/api/v1/issues/search?query=a&", 4_900),
            ("/api/v1/issues/\(id)/similar?", 200),
        ] {
            func status(_ query: String) async throws -> Int {
                try await server.send("GET", path + query, token: key).status
            }
            func cursor(_ text: String) -> String { "cursor=\(Base64URL.encode(text.utf8))" }
            #expect(try await status("skip=\(furthest)") == 503, "\(path)")
            #expect(try await status(cursor("\(furthest)")) == 503, "\(path)")
            for wrong in [
                "skip=\(furthest + 1)", cursor("\(furthest + 1)"), cursor("-1"), cursor("a/b"),
                "cursor=nonsense!", "limit=101",
            ] {
                #expect(try await status(wrong) == 422, "\(path)\(wrong)")
            }
        }
        try await server.stop()
    }

    @Test func `every route that answers with a list has pages`() async throws {
        let (server, _) = try await server()
        let routes = server.application.responder.table.routes.filter(\.isDocumented)
        let lists = routes.filter { $0.method == .get && $0.result?["type"] == "array" }
        #expect(lists.count > 15)
        let inside = [
            "/api/v1/search", "/api/v1/issues/search", "/api/v1/audit/events",
            "/api/v1/issue-duplicates",
        ]
        for route in lists + routes.filter({ $0.method == .get && inside.contains($0.path) }) {
            #expect(route.isPaged, "\(route.path)")
            let names = Set(route.parameters.map(\.name))
            #expect(names.isSuperset(of: ["limit", "skip", "cursor"]), "\(route.path)")
        }
        try await server.stop()
    }
}
