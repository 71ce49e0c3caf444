import Domain
import HTTPClient
import HTTPTypes
import MCP
import Search
import Store
import StoreTestSupport
import Synchronization
import Testing
import Trackers

@testable import API
@testable import Gateway

/// The routes below `/api/v1` that read and write issues, trackers and decisions.
@Suite struct RestTests {
    private func keys(_ answer: RunningServer.Answer) throws -> [String] {
        try answer.json.array?.compactMap { $0["key"]?.string } ?? []
    }

    @Test func `issues are listed by their last change, restricted, and page by page`()
        async throws
    {
        let (server, world, key) = try await World.served()
        func get(_ query: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "/api/v1/issues?\(query)", token: key)
        }
        let all = try keys(try await get(""))
        #expect(all.count == 6 && all[0] == "acme/site#3")
        var walked: [String] = []
        var next: String? = "limit=4"
        while let query = next {
            let page = try await get(query)
            walked += try keys(page)
            next = page.headers["X-Next-Cursor"].map { "limit=4&cursor=\($0)" }
            if next != nil { #expect(page.headers["Link"]?.contains("rel=\"next\"") == true) }
        }
        #expect(walked == all)
        #expect(try keys(try await get("limit=2&skip=3")) == Array(all[3..<5]))
        #expect(try keys(try await get("state=closed")).count == 2)
        #expect(try keys(try await get("labels=bug&project=acme/app")) == ["acme/app#1"])
        #expect(try keys(try await get("project_id=\(world.projects[1])")).count == 3)
        #expect(try await get("project=acme/gone").status == 404)
        #expect(try await get("cursor=nonsense!").status == 422)
        #expect(try await get("limit=0").status == 422)
        #expect(try await get("updated_after=yesterday").status == 422)
        try await server.stop()
    }

    @Test func `an issue comes with its comments, and not again when it has not changed`()
        async throws
    {
        let (server, world, key) = try await World.served()
        let path = "/api/v1/issues/\(world.issues[0])"
        let issue = try await server.send("GET", path, token: key)
        #expect(try issue.json["description"] == "what happened")
        #expect(try issue.json["comments"]?[0]?["body"] == "me too")
        let tag = try #require(issue.headers["ETag"])
        let again = try await server.send(
            "GET",
            path,
            token: key,
            headers: [("If-None-Match", tag)]
        )
        #expect(again.status == 304 && again.body.isEmpty)
        #expect(try await server.send("GET", "/api/v1/issues/0", token: key).status == 404)
        #expect(try await server.send("GET", "/api/v1/issues/x", token: key).status == 404)
        let comments = try await server.send("GET", "\(path)/comments", token: key)
        #expect(try comments.json.array?.count == 1)
        try await server.stop()
    }

    @Test func `what an index is needed for says so where there is none`() async throws {
        let (server, world, key) = try await World.served()
        for path in [
            "/api/v1/search?query=crash", "/api/v1/issues/search?query=a&search_type=fulltext",
            "/api/v1/issues/\(world.issues[0])/similar",
        ] {
            let answer = try await server.send("GET", path, token: key)
            #expect(answer.status == 503 && answer.text.contains("there is no index here"))
        }
        #expect(try await server.send("GET", "/api/v1/search", token: key).status == 422)
        try await server.stop()
    }

    @Test func `a tracker is changed only as it was seen, and tested`() async throws {
        let (server, world, key) = try await World.served()
        let path = "/api/v1/trackers/\(world.tracker)"
        let tracker = try await server.send("GET", path, token: key)
        #expect(try tracker.json["tracker_type"] == "github")
        #expect(!tracker.text.contains("credential"))
        let stale = try await server.send(
            "PUT",
            path,
            ["include": ["acme/*"]],
            token: key,
            headers: [("If-Match", "\"old\"")]
        )
        #expect(stale.status == 412)
        let fresh = try await server.send(
            "PUT",
            path,
            ["include": ["acme/*"]],
            token: key,
            headers: [("If-Match", try #require(tracker.headers["ETag"]))]
        )
        #expect(fresh.status == 200)
        let test = try await server.send("POST", "\(path)/test-connection", token: key)
        #expect(try test.json["username"] == "bot")
        let begun = try await server.send("POST", "\(path)/sync", token: key)
        #expect(try begun.status == 202 && begun.json["state"] == "running")
        let state = try await server.send("GET", "\(path)/sync", token: key).json
        #expect(state["state"] == "idle" && state["problems"] == ["hub: asked alone"])
        let all = try await server.send("GET", "/api/v1/sync", token: key).json
        #expect(all["problems"] == [])
        let stats = try await server.send("GET", "/api/v1/stats", token: key).json
        #expect(stats["issues"] == 6 && stats["comments"] == 6 && stats["projects"] == 2)
        try await server.stop()
    }

    @Test func `pairs are listed, and a decision is remembered`() async throws {
        let (server, world, key) = try await World.served()
        let store = server.scratch.store
        let pair = try #require(DuplicateTable.Pair(world.issues[0], world.issues[1]))
        try await store.write { connection, account in
            try DuplicateTable.replace(
                of: pair.first,
                with: [DuplicateTable.Scored(pair: pair, score: 0.8, features: ["titles": 0.9])],
                keeping: 10,
                at: World.start,
                account: account,
                on: connection
            )
        }
        let path = "/api/v1/issue-duplicates"
        let listed = try await server.send("GET", path, token: key).json
        #expect(listed["duplicates"]?[0]?["similarity"] == 0.8)
        let ids = "issue1_id=\(pair.first)&issue2_id=\(pair.second)"
        let checked = try await server.send("GET", "\(path)/check?\(ids)", token: key).json
        #expect(checked["similarity"] == 0.8 && checked["decision"]?.isNull == true)
        let decision: JSONValue = [
            "issue1_id": .integer(pair.first.rawValue),
            "issue2_id": .integer(pair.second.rawValue), "decision": "duplicate",
        ]
        let decided = try await server.send("POST", "\(path)/decisions", decision, token: key)
        #expect(decided.status == 201)
        let rest = try await server.send("GET", path, token: key).json
        #expect(rest["duplicates"]?.array?.isEmpty == true)
        let confirmed = try await server.send("GET", "\(path)/confirmed", token: key).json
        #expect(confirmed[0]?["decided_by"] == "ann")
        let stats = try await server.send("GET", "/api/v1/project-duplicate-stats", token: key)
        #expect(try stats.json.array?.count == 2)
        try await server.stop()
    }

    /// Fails as it is told to.
    private struct FailingTool: Tool {
        let cause: any Error
        let count = Counter()

        var definition: ToolDefinition {
            ToolDefinition(
                name: "fail",
                title: "Fail",
                summary: "Fails.",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: true)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            _ = count.add()
            throw cause
        }
    }

    /// The status alone does not tell: 502 and 503 are also of what was never begun, or has ended
    /// nobody knows how.
    @Test func `a key is free again only after what certainly did nothing`() async throws {
        let causes: [(any Error, first: Int, second: Int, runs: Int)] = [
            (TrackerError.outcomeUnknown(detail: "?"), 502, 409, 1),
            (TrackerError.unavailable(detail: "away"), 502, 409, 1),
            (TrackerError.cancelled, 503, 409, 1),
            (ToolFailure("took too long", kind: .timedOut), 504, 409, 1),
            (ToolFailure("broke", kind: .broken), 500, 409, 1),
            (TrackerError.unauthenticated(detail: "no"), 422, 422, 2),
            (TrackerError.rateLimited(until: Timestamp(milliseconds: 0)), 503, 503, 2),
            (StoreError.busy, 503, 503, 2),
            // A refusal is an answer like others.
            (ToolFailure("makes no sense"), 422, 422, 1),
        ]
        let once = [("Idempotency-Key", "k1")]
        for (cause, first, second, runs) in causes {
            let tool = FailingTool(cause: cause)
            var setup = RunningServer.Setup()
            setup.tools = [tool]
            let server = try await RunningServer(setup)
            _ = try await server.add("ann", .owner)
            let key = try await server.key("ann")
            for status in [first, second] {
                let answer = try await server.send(
                    "POST",
                    "/api/v1/mcp/fail",
                    [:],
                    token: key,
                    headers: once
                )
                #expect(answer.status == status, "\(cause): \(answer.text)")
            }
            #expect(tool.count.value == runs, "\(cause)")
            try await server.stop()
        }
    }

    /// The service was reached and understood: nothing is wrong between us.
    @Test func `a service that refuses a token is no failure of a server`() async throws {
        let setup = RunningServer.Setup()
        setup.operations.changing.withLock { changing in
            changing = { _, _ in throw TrackerError.unauthenticated(detail: "no such token") }
        }
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let tracker = try await World(in: server.scratch.store).tracker
        let once = [("Idempotency-Key", "k1")]
        for _ in 0..<2 {
            let answer = try await server.send(
                "PUT",
                "/api/v1/trackers/\(tracker)",
                ["api_key": "wrong"],
                token: key,
                headers: once
            )
            #expect(answer.status == 422)
            #expect(try answer.json["code"]?.string == "tracker_refuses_token")
        }
        try await server.stop()
        // Nor is a file that cannot be read at the moment; there nobody knows what was done.
        let away = Problem(cause: StoreError.unavailable(detail: "disk I/O error"))
        #expect(away.status == .serviceUnavailable && away.effect == .unknown)
        #expect(!away.detail.contains("disk"))
        let causes: [any Error] = [
            TrackerError.forbidden(detail: "no", missingScope: "repo"),
            UpstreamError.unauthorized(status: 401),
        ]
        for cause in causes {
            let problem = Problem(cause: cause)
            #expect(problem.status == .unprocessableContent && problem.effect == .nothing)
        }
    }

    @Test func `what a tool could not do has the status of its kind`() async throws {
        let causes: [(any Error, Int, String?)] = [
            (ToolFailure("makes no sense"), 422, "tool_error"),
            (SearchError.unknownIssue(reference: "a#1"), 404, "not_found"),
            (SearchError.emptyQuery, 422, "tool_error"),
            (TrackerError.notFound(detail: "gone"), 404, "not_found"),
            (TrackerError.refused(WriteRefusal(.invalid, detail: "no")), 422, "tracker_refused"),
            (TrackerError.refused(WriteRefusal(.conflict, detail: "no")), 409, "conflict"),
            (TrackerError.unauthenticated(detail: "no"), 422, "tracker_refuses_token"),
            (TrackerError.unavailable(detail: "away"), 502, "service_unavailable"),
            (TrackerError.outcomeUnknown(detail: "?"), 502, "outcome_unknown"),
            (TrackerError.rateLimited(until: Timestamp(milliseconds: 0)), 503, nil),
            (StoreError.busy, 503, nil),
        ]
        for (cause, status, code) in causes {
            var setup = RunningServer.Setup()
            setup.tools = [FailingTool(cause: cause)]
            let server = try await RunningServer(setup)
            _ = try await server.add("ann", .owner)
            let key = try await server.key("ann")
            let answer = try await server.send("POST", "/api/v1/mcp/fail", [:], token: key)
            #expect(answer.status == status, "\(cause): \(answer.text)")
            #expect(try answer.json["code"]?.string == code, "\(cause)")
            try await server.stop()
        }
        #expect(Problem.failure("", .denied).status == .forbidden)
        #expect(Problem.failure("", .conflict).status == .conflict)
        #expect(Problem.failure("", .timedOut).status == .gatewayTimeout)
        #expect(Problem.failure("", .broken).status == .internalServerError)
    }

    @Test func `webhooks of a tracker are shown, registered and taken away`() async throws {
        let setup = RunningServer.Setup()
        let (server, world, key) = try await World.served(setup)
        let path = "/api/v1/trackers/\(world.tracker)/webhooks"
        let shown = try await server.send("GET", path, token: key)
        #expect(shown.status == 200, "\(shown.text)")
        let (asked, unasked) = (
            try shown.json["organizations"]?[0], try shown.json["organizations"]?[1]
        )
        #expect(asked?["webhooks"]?[0]?["place"] == "acme/app" && asked?["has_secret"] == true)
        #expect(asked?["refused"]?[0]?["place"] == "acme/lib")
        #expect(asked?["last_delivery"]?["received_at"] == "1970-01-01T00:00:00.000Z")
        #expect(unasked?["webhooks"] == .null && unasked?["last_delivery"] == .null)
        for query in ["", "?new_secrets=true"] {
            #expect(try await server.send("POST", path + query, token: key).status == 200)
        }
        let wrong = try await server.send("POST", path + "?new_secrets=perhaps", token: key)
        #expect(wrong.status == 422)
        #expect(try await server.send("DELETE", path, token: key).status == 200)
        #expect(
            setup.operations.webhookTasks.withLock { $0 } == [
                .look, .install(renewsSecrets: false), .install(renewsSecrets: true), .remove,
            ]
        )
        try await server.stop()
    }

    @Test func `whoever changes a tracker is named to what records it`() async throws {
        let setup = RunningServer.Setup()
        let (server, world, key) = try await World.served(setup)
        let path = "/api/v1/trackers/\(world.tracker)"
        let draft: JSONValue = ["name": "hub", "tracker_type": "github", "api_key": "t"]
        for (method, path, body, status) in [
            ("POST", "/api/v1/trackers", draft, 502), ("PUT", path, ["name": "hub"], 200),
            ("POST", path + "/webhooks", nil, 200), ("DELETE", path, nil, 200),
        ] as [(String, String, JSONValue?, Int)] {
            let answer = try await server.send(method, path, body, token: key)
            #expect(answer.status == status, "\(method) \(path): \(answer.text)")
        }
        let ann = TrackerOperations.Author(account: AccountTable.defaultID, name: "user:ann")
        #expect(setup.operations.authors.withLock { $0 } == [ann, ann, ann, ann])
        try await server.stop()
    }

    @Test func `tools are called by their names, and a repeated write happens once`()
        async throws
    {
        let tool = WriteTool()
        var setup = RunningServer.Setup()
        setup.tools = [EchoTool(), tool]
        let (server, _, key) = try await World.served(setup)
        let echo = try await server.send("POST", "/api/v1/mcp/echo", ["text": "a"], token: key)
        #expect(try echo.json == ["said": "a"])
        let wrong = try await server.send("POST", "/api/v1/mcp/echo", ["txt": "a"], token: key)
        #expect(wrong.status == 422 && wrong.text.contains("txt"))
        let gone = try await server.send("POST", "/api/v1/mcp/gone", [:], token: key)
        #expect(gone.status == 404)
        let once = [("Idempotency-Key", "k1")]
        let path = "/api/v1/mcp/write"
        let first = try await server.send("POST", path, [:], token: key, headers: once)
        let second = try await server.send("POST", path, [:], token: key, headers: once)
        #expect(first.body == second.body && second.headers["Idempotent-Replayed"] == "true")
        #expect(tool.count.value == 1)
        let other = try await server.send("POST", path, ["a": 1], token: key, headers: once)
        #expect(other.status == 422)
        // Another user's key of the same name is another key.
        _ = try await server.add("bob", .editor)
        let bob = try await server.key("bob")
        _ = try await server.send("POST", path, [:], token: bob, headers: once)
        #expect(tool.count.value == 2)
        _ = try await server.add("vera", .viewer)
        let vera = try await server.key("vera")
        #expect(try await server.send("POST", path, [:], token: vera).status == 404)
        let calls = try await server.scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 10, account: account, on: connection)
        }
        #expect(calls.contains { $0.channel == "rest" && $0.caller == "user:bob" })
        // Without a tool that writes, there is nothing to create an issue with.
        let issue: JSONValue = ["project": "acme/app", "title": "new"]
        let created = try await server.send("POST", "/api/v1/issues", issue, token: key)
        #expect(try created.status == 404 && created.json["code"] == "unknown_tool")
        try await server.stop()
    }
}
