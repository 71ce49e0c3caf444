import Domain
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import API
@testable import Gateway

/// What routes take and give: parameters by either name, pages, tags, and keys of repeated writes.
@Suite struct RestShapeTests {
    private func count(_ answer: RunningServer.Answer) throws -> Int? {
        try answer.json.array?.count
    }

    // MARK: - Parameters

    /// A misspelt filter answered with everything.
    @Test func `a parameter that a route does not have is named`() async throws {
        let (server, _, key) = try await World.served()
        let misspelt = try await server.send("GET", "/api/v1/issues?stat=open", token: key)
        #expect(misspelt.status == 422)
        #expect(try misspelt.json["errors"]?[0]?["path"] == "stat")
        #expect(misspelt.text.contains("did you mean `state`?"), "\(misspelt.text)")
        let none = try await server.send("GET", "/api/v1/sync?page=2", token: key)
        #expect(none.status == 422 && none.text.contains("there are no parameters"))
        #expect(try await server.send("GET", "/healthz?now=1").status == 200)
        let list = "/api/v1/issues?labels%5B%5D=bug"
        #expect(try count(try await server.send("GET", list, token: key)) == 2)
        try await server.stop()
    }

    /// What could not be read was left out: such a filter answered with everything.
    @Test func `a query that cannot be read whole is refused`() async throws {
        let (server, world, key) = try await World.served()
        let path = "/api/v1/issues"
        let project = "project_id=\(world.projects[0])"
        let many = Array(repeating: project, count: 200).joined(separator: "&")
        for query in [
            "state=%FF", "stat%C3=open", "labels=%zz", "labels=%4", "\(many)&state=open",
        ] {
            let answer = try await server.send("GET", "\(path)?\(query)", token: key)
            #expect(answer.status == 400, "\(query): \(answer.text)")
            #expect(try answer.json["code"] == "malformed_query")
        }
        // The longest list that a route takes leaves room for the rest.
        let longest = Array(repeating: project, count: 100).joined(separator: "&")
        let page = try await server.send("GET", "\(path)?\(longest)&limit=1", token: key)
        #expect(try page.status == 200 && count(page) == 1, "\(page.text)")
        #expect(try await server.send("GET", "/healthz?%FF").status == 200)
        try await server.stop()
    }

    @Test func `filters go by the names of the original, too`() async throws {
        let (server, world, key) = try await World.served()
        func get(_ query: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "/api/v1/issues?\(query)", token: key)
        }
        #expect(try count(try await get("status=closed")) == 2)
        #expect(try count(try await get("status=opened")) == 4)
        #expect(try count(try await get("status=In%20Progress")) == 0)
        #expect(try count(try await get("priority=high")) == 0)
        #expect(try count(try await get("organization_id=\(world.organization)")) == 6)
        for gone in ["organization_id=999999", "organization=nope", "tracker=nope"] {
            #expect(try await get(gone).status == 404, "\(gone)")
        }
        // One that is there does not make up for one that is not.
        let halfGone = "project_id=\(world.projects[0]),999999"
        #expect(try await get(halfGone).status == 404)
        #expect(try count(try await get("organization=ACME&tracker=hub")) == 6)
        let other = "organization_id=\(world.organization)&organization=else"
        #expect(try await get(other).status == 404)
        let early = World.start.advanced(by: .seconds(2)).iso8601
        #expect(try count(try await get("last_updated_before=\(early)")) == 2)
        #expect(try count(try await get("last_updated_after=\(early)")) == 4)
        #expect(try await get("last_updated_before=soon").status == 422)
        try await server.stop()
    }

    @Test func `a search without a query shows the latest changes, and refuses what it cannot`()
        async throws
    {
        let (server, _, key) = try await World.served()
        let path = "/api/v1/issues/search"
        let latest = try await server.send("GET", "\(path)?sort=newest&limit=2", token: key)
        #expect(latest.status == 200, "\(latest.text)")
        let results = try latest.json["results"]?.array ?? []
        #expect(results.map { $0["item"]?["key"]?.string } == ["acme/site#3", "acme/app#3"])
        for wrong in [
            "\(path)?search_type=similarity", "\(path)?query=a&sort=newest",
            "\(path)?query=a&embedding_type=comment", "/api/v1/search?limit=2",
        ] {
            #expect(try await server.send("GET", wrong, token: key).status == 422, "\(wrong)")
        }
        try await server.stop()
    }

    // MARK: - Issues

    /// Gives back what it was called with.
    private struct CapturingTool: Tool {
        var definition: ToolDefinition {
            ToolDefinition(
                name: "create_issue",
                title: "Create",
                summary: "Creates nothing.",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: false)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            ["created": true, "arguments": .object(arguments.members)]
        }
    }

    @Test func `an issue shows where it belongs, and a new one may name it in many ways`()
        async throws
    {
        var setup = RunningServer.Setup()
        setup.tools = [CapturingTool()]
        let (server, world, key) = try await World.served(setup)
        let list = try await server.send("GET", "/api/v1/issues?project=acme/app", token: key)
        let bug = try list.json.array?.first { $0["key"] == "acme/app#1" }
        let id = try #require(bug?["id"]?.integer)
        let issue = try await server.send("GET", "/api/v1/issues/\(id)", token: key).json
        #expect(issue["organization"] == "acme")
        #expect(issue["project_identifier"] == "acme/app")
        #expect(issue["meta_data"]?["labels"] == ["bug"])
        #expect(issue["meta_data"]?["source"] == "hub")
        func create(_ members: JSONValue) async throws -> RunningServer.Answer {
            var body = members.object ?? JSONObject()
            body["title"] = "new"
            return try await server.send("POST", "/api/v1/issues", .object(body), token: key)
        }
        let number = JSONValue.integer(world.projects[0].rawValue)
        let organization = JSONValue.integer(world.organization.rawValue)
        let ways: [(JSONValue, String)] = [
            (["project_id": number], "hub:acme/app"),
            (["organization": "acme", "project": "site"], "hub:acme/site"),
            (["organization_id": organization, "project_name": "acme/site"], "hub:acme/site"),
            (["project": "acme/app"], "acme/app"),
        ]
        for (body, project) in ways {
            let made = try await create(body)
            #expect(made.status == 201, "\(made.text)")
            #expect(try made.json["arguments"]?["project"]?.string == project)
        }
        let labelled = try await create(["project_id": number, "meta_data": ["labels": ["a"]]])
        #expect(try labelled.json["arguments"]?["labels"] == ["a"])
        #expect(try await create(["organization": "acme"]).status == 422)
        #expect(try await create(["project_id": 999_999]).status == 404)
        #expect(try await create(["project_id": number, "meta_data": ["x": 1]]).status == 422)
        try await server.stop()
    }

    /// The bare path went to the tool, which called it a mistake in its arguments.
    @Test func `a path that two trackers have has to be told apart`() async throws {
        var setup = RunningServer.Setup()
        setup.tools = [CapturingTool()]
        let (server, _, key) = try await World.served(setup)
        _ = try await World(in: server.scratch.store, named: "other")
        func create(_ member: String, _ value: String) async throws -> RunningServer.Answer {
            try await server.send(
                "POST",
                "/api/v1/issues",
                .object(JSONObject([("title", "new"), (member, .string(value))])),
                token: key
            )
        }
        for member in ["project", "project_name"] {
            let refused = try await create(member, "acme/app")
            #expect(refused.status == 400, "\(refused.text)")
            #expect(try refused.json["code"] == "ambiguous_project")
            #expect(refused.text.contains("hub:acme/app"))
            let made = try await create(member, "other:acme/app")
            #expect(made.status == 201, "\(made.text)")
        }
        let listed = try await server.send("GET", "/api/v1/issues?project=acme/app", token: key)
        #expect(listed.status == 400, "\(listed.text)")
        let tried = try await server.send(
            "POST",
            "/api/v1/projects/test-connection",
            ["organization": "acme", "project": "acme/app"],
            token: key
        )
        #expect(tried.status == 400, "\(tried.text)")
        try await server.stop()
    }

    /// Changes the issue that it is called for as it is stored, slowly.
    private final class ChangingTool: Tool {
        /// The store of the server, which is made after its tools.
        let store = Mutex<Store?>(nil)
        let started = Gate()
        let mayEnd = Gate()
        let count = Counter()

        var definition: ToolDefinition {
            ToolDefinition(
                name: "update_issue",
                title: "Update",
                summary: "Changes the title.",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: false)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            _ = count.add()
            started.open()
            try await mayEnd.pass()
            let url = arguments.text("issue")
            guard let store = self.store.withLock({ $0 }) else { throw CancellationError() }
            _ = try await store.write { connection, account in
                try connection.execute(
                    """
                    UPDATE issues SET title = 'changed'
                    WHERE account_id = \(account) AND url = \(url)
                    """
                )
            }
            return ["updated": true]
        }
    }

    /// Both compared before either wrote.
    @Test func `of two who have seen the same issue one changes it`() async throws {
        let tool = ChangingTool()
        var setup = RunningServer.Setup()
        setup.tools = [tool]
        let (server, world, key) = try await World.served(setup)
        tool.store.withLock { $0 = server.scratch.store }
        let path = "/api/v1/issues/\(world.issues[0])"
        let tag = try #require(try await server.send("GET", path, token: key).headers["ETag"])
        @Sendable func change() async throws -> Int {
            try await server.send(
                "PUT",
                path,
                ["title": "changed"],
                token: key,
                headers: [("If-Match", tag)]
            ).status
        }
        async let first = change()
        async let second = change()
        try await tool.started.pass()
        tool.mayEnd.open()
        let statuses = try await [first, second].sorted()
        #expect(statuses == [200, 412])
        #expect(tool.count.value == 1)
        try await server.stop()
    }

    // MARK: - Duplicates

    @Test func `pairs are listed by resolution and by issue, and counted in the database`()
        async throws
    {
        let (server, world, key) = try await World.served()
        let issues = world.issues
        func scored(_ one: Int, _ other: Int, _ score: Double) throws -> DuplicateTable.Scored {
            let pair = try #require(DuplicateTable.Pair(issues[one], issues[other]))
            return DuplicateTable.Scored(pair: pair, score: score, features: [:])
        }
        let (best, good) = (try scored(0, 1, 0.9), try scored(0, 2, 0.8))
        let last = try scored(1, 2, 0.7)
        try await server.scratch.store.write { connection, account in
            for (issue, pairs) in [(issues[2], [good, last]), (issues[0], [best, good])] {
                try DuplicateTable.replace(
                    of: issue,
                    with: pairs,
                    keeping: 10,
                    at: World.start,
                    account: account,
                    on: connection
                )
            }
            try DuplicateTable.decide(
                best.pair,
                verdict: .related,
                by: "ann",
                at: World.start,
                account: account,
                on: connection
            )
        }
        func get(_ query: String) async throws -> JSONValue {
            try await server.send("GET", "/api/v1/issue-duplicates?\(query)", token: key).json
        }
        let all = try await get("resolution=all")
        let words = all["duplicates"]?.array?.map { $0["resolution"]?.string ?? "-" }
        #expect(words == ["related", "-", "-"])
        #expect(all["model_id_used"] == .null)
        #expect(all["project_ids"] == [])
        #expect(try await get("")["duplicates"]?.array?.count == 2)
        #expect(try await get("resolution=resolved")["duplicates"]?.array?.count == 1)
        // The last is the best of neither of its issues.
        let few = try await get("resolution=all&limit_per_issue=1")
        #expect(few["duplicates"]?.array?.count == 2)
        let path = "/api/v1/project-duplicate-stats"
        let stats = try await server.send("GET", path, token: key).json
        let counts = stats.array?.compactMap { $0["duplicates"]?.integer } ?? []
        #expect(counts.reduce(0, +) == 3, "\(counts)")
        let page = try await server.send("GET", "\(path)?limit=1", token: key)
        #expect(try count(page) == 1 && page.headers["X-Next-Cursor"] != nil)
        try await server.stop()
    }

    // MARK: - Writes

    @Test func `a key of a repeated write is honoured or refused, and few are kept`() async throws {
        var setup = RunningServer.Setup()
        setup.limits.keptAnswers = 1
        let (server, world, key) = try await World.served(setup)
        let path = "/api/v1/trackers/\(world.tracker)"
        func put(_ name: String) async throws -> RunningServer.Answer {
            try await server.send(
                "PUT",
                path,
                ["include": ["acme/*"]],
                token: key,
                headers: [("Idempotency-Key", name)]
            )
        }
        #expect(try await put("k1").status == 200)
        #expect(try await put("k1").headers["Idempotent-Replayed"] == "true")
        let full = try await put("k2")
        #expect(full.status == 429 && full.headers["Retry-After"] != nil)
        let secret = try await server.send(
            "POST",
            "/api/v1/auth/api-keys",
            ["name": "ci"],
            token: key,
            headers: [("Idempotency-Key", "k3")]
        )
        #expect(try secret.status == 400 && secret.json["code"] == "idempotency_not_kept")
        try await server.stop()
    }

    @Test func `a tag is of what people edit`() async throws {
        let (server, world, key) = try await World.served()
        let path = "/api/v1/trackers/\(world.tracker)"
        let before = try await server.send("GET", path, token: key).headers["ETag"]
        let tracker = world.tracker
        try await server.scratch.store.write { connection, account in
            try TrackerTable.setStatus(
                .invalid,
                detail: "refused",
                checkedAt: World.start,
                of: tracker,
                account: account,
                on: connection
            )
        }
        let after = try await server.send("GET", path, token: key)
        #expect(after.headers["ETag"] == before && before != nil)
        #expect(try after.json["status"] == "invalid")
        let removed = try await server.send("DELETE", path, token: key)
        #expect(try removed.json["webhooks_left"] == ["acme: refused"])

        let bob = try await server.add("bob", .viewer)
        let user = "/api/v1/users/\(bob.id)"
        let tag = try #require(try await server.send("GET", user, token: key).headers["ETag"])
        func send(_ method: String, _ tag: String) async throws -> Int {
            try await server.send(
                method,
                user,
                method == "PUT" ? ["role": "editor"] : nil,
                token: key,
                headers: [("If-Match", tag)]
            ).status
        }
        #expect(try await send("PUT", tag) == 200)
        #expect(try await send("PUT", tag) == 412)
        #expect(try await send("DELETE", tag) == 412)
        #expect(try await send("DELETE", "*") == 204)
        try await server.stop()
    }

    @Test(arguments: ["/api/v1/users", "/api/v1/auth/api-keys"])
    func `users and keys come page by page`(_ path: String) async throws {
        let (server, _, key) = try await World.served()
        _ = try await server.add("bob", .viewer)
        _ = try await server.key("ann")
        var walked: [Int64] = []
        var next: String? = "limit=1"
        while let query = next {
            let page = try await server.send("GET", "\(path)?\(query)", token: key)
            walked += try page.json.array?.compactMap { $0["id"]?.integer } ?? []
            next = page.headers["X-Next-Cursor"].map { "limit=1&cursor=\($0)" }
        }
        #expect(walked.count == 2 && Set(walked).count == 2)
        try await server.stop()
    }
}
