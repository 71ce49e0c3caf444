import Domain
import HTTPClient
import HTTPTypes
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// What is asked counts, or is refused: no parameter is dropped without a word.
@Suite struct ParameterTests {
    /// The fields that a problem names.
    private func fields(_ answer: RunningServer.Answer) throws -> Set<String> {
        Set(try answer.json["errors"]?.array?.compactMap { $0["path"]?.string } ?? [])
    }

    // MARK: - Unknown ones

    @Test func `every route of the interface refuses a parameter that it does not have`()
        async throws
    {
        var setup = RunningServer.Setup()
        setup.tools = RouteExamples.tools
        let (server, _, key) = try await World.served(setup)
        var walked = 0
        for route in server.application.responder.table.routes {
            let place = "\(route.method.rawValue) \(route.path)"
            // What answers with pages of a list is part of the interface.
            #expect(route.isStrict || !route.isPaged, "\(place)")
            guard route.isStrict else { continue }
            let path = route.segments.map { $0.hasPrefix("{") ? "1" : String($0) }
                .joined(separator: "/")
            let answer = try await server.send(
                route.method.rawValue,
                "/\(path)?no_such_parameter=1",
                token: key
            )
            walked += 1
            #expect(answer.status == 422, "\(place): \(answer.text)")
            #expect(try fields(answer) == ["no_such_parameter"], "\(place)")
        }
        #expect(walked > 50)
        try await server.stop()
    }

    // MARK: - Repeated ones

    /// The last one counted.
    @Test func `a parameter that is there twice may say the same, and nothing else`() async throws {
        let (server, world, key) = try await World.served()
        func get(_ query: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "/api/v1/issues?\(query)", token: key)
        }
        for (query, name) in [
            ("state=open&state=closed", "state"), ("limit=1&limit=2", "limit"),
            ("author=a&author=b&author=a", "author"),
        ] {
            let answer = try await get(query)
            #expect(answer.status == 422, "\(query): \(answer.text)")
            #expect(try fields(answer) == [name], "\(query)")
        }
        for (query, count) in [
            ("state=open&state=open", 4), ("state=&state=closed", 2), ("limit=1&limit=01", 1),
            // Lists are made of all their pieces.
            ("project_id=\(world.projects[0])&project_id=\(world.projects[1])", 6),
        ] {
            let answer = try await get(query)
            #expect(try answer.json.array?.count == count, "\(query): \(answer.text)")
        }
        try await server.stop()
    }

    // MARK: - Synonyms

    /// One of the two was dropped, and which one stood nowhere.
    @Test(arguments: ["/api/v1/issues?", "/api/v1/issues/search?", "/api/v1/search?query=crash&"])
    func `two names of one restriction that say different things are refused by name`(
        _ path: String
    ) async throws {
        let (server, world, key) = try await World.served()
        let (app, site) = (world.projects[0], world.projects[1])
        let cursor = Base64URL.encode("5".utf8)
        for (query, names) in [
            ("state=open&status=closed", ["state", "status"]),
            ("state=all&status=opened", ["state", "status"]),
            ("state=closed&status=all", ["state", "status"]),
            (
                "updated_after=2025-01-01&last_updated_after=2025-01-02",
                ["updated_after", "last_updated_after"]
            ),
            (
                "updated_before=2025-01-01&last_updated_before=2025-01-02",
                ["updated_before", "last_updated_before"]
            ),
            ("project=acme/app&project_id=\(site)", ["project", "project_id"]),
            ("project=acme/app&project_id=\(app),\(site)", ["project", "project_id"]),
            ("skip=1&cursor=\(cursor)", ["skip", "cursor"]),
        ] {
            let answer = try await server.send("GET", path + query, token: key)
            #expect(answer.status == 422, "\(path)\(query): \(answer.text)")
            #expect(answer.headers["Content-Type"] == "application/problem+json")
            #expect(try answer.json["code"] == "invalid_fields")
            #expect(try fields(answer) == Set(names), "\(query)")
            let detail = try answer.json["detail"]?.string ?? ""
            for name in names { #expect(detail.contains("`\(name)`"), "\(detail)") }
        }
        try await server.stop()
    }

    @Test func `two names of one restriction may say the same`() async throws {
        let (server, world, key) = try await World.served()
        let early = World.start.advanced(by: .seconds(2)).iso8601
        // The same instant, written otherwise.
        let other = "2023-11-14T22:13:22Z"
        let organization = "organization_id=\(world.organization)"
        for (query, count) in [
            ("state=open&status=opened", 4), ("state=closed&status=closed", 2),
            ("state=all&status=all", 6), ("state=open&status=In%20Progress", 0),
            ("updated_after=\(early)&last_updated_after=\(other)", 4),
            ("updated_before=\(early)&last_updated_before=\(other)", 2),
            ("project=acme/app&project_id=\(world.projects[0])", 3),
            ("organization=ACME&tracker=hub&\(organization)", 6),
        ] {
            let answer = try await server.send("GET", "/api/v1/issues?\(query)", token: key)
            #expect(try answer.json.array?.count == count, "\(query): \(answer.text)")
        }
        let page = try await server.send("GET", "/api/v1/issues?limit=4", token: key)
        let cursor = try #require(page.headers["X-Next-Cursor"])
        // Nothing is left out of what follows: a client that always says so is right.
        let next = try await server.send(
            "GET",
            "/api/v1/issues?limit=4&skip=0&cursor=\(cursor)",
            token: key
        )
        #expect(try next.json.array?.count == 2, "\(next.text)")
        // The organisation says which tracker it is of.
        _ = try await World(in: server.scratch.store, named: "other")
        let elsewhere = try await server.send(
            "GET",
            "/api/v1/issues?tracker=other&\(organization)",
            token: key
        )
        #expect(elsewhere.status == 422, "\(elsewhere.text)")
        #expect(try fields(elsewhere) == ["tracker", "organization_id"])
        try await server.stop()
    }

    /// A cursor did away with where the list was to begin.
    @Test func `a cursor goes on within what was asked of the audit`() async throws {
        let (server, _, key) = try await World.served()
        for number in 0..<4 {
            let text: JSONValue = ["text": .string("number \(number)")]
            _ = try await server.send("POST", "/api/v1/mcp/echo", text, token: key)
        }
        for (path, bound, member) in [
            ("/api/v1/audit", "before", ""), ("/api/v1/audit/events", "after", "events"),
        ] {
            func get(_ query: String) async throws -> (sequences: [Int64], next: String?) {
                let answer = try await server.send("GET", "\(path)?\(query)", token: key)
                let list = try member.isEmpty ? answer.json : answer.json[member] ?? .null
                let sequences = list.array?.compactMap { $0["sequence"]?.integer } ?? []
                return (sequences, answer.headers["X-Next-Cursor"])
            }
            let all = try await get("limit=100").sequences
            try #require(all.count >= 4, "\(path)")
            let cursor = try #require(try await get("limit=1").next)
            let rest = try await get("\(bound)=\(all[1])&limit=100&cursor=\(cursor)")
            #expect(rest.sequences == Array(all.dropFirst(2)), "\(path)")
        }
        try await server.stop()
    }

    // MARK: - Bodies

    /// Gives back what it was called with.
    private struct MirrorTool: Tool {
        var name = "create_issue"

        var definition: ToolDefinition {
            ToolDefinition(
                name: name,
                title: name,
                summary: "Creates nothing.",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: false)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            ["created": true, "arguments": .object(arguments.members)]
        }
    }

    @Test func `a new issue may be placed in two ways that lead to one project`() async throws {
        var setup = RunningServer.Setup()
        setup.tools = [MirrorTool()]
        let (server, world, key) = try await World.served(setup)
        let (app, site) = (world.projects[0].rawValue, world.projects[1].rawValue)
        let owner = JSONValue.integer(world.organization.rawValue)
        func create(_ members: JSONValue) async throws -> RunningServer.Answer {
            var body = members.object ?? JSONObject()
            body["title"] = "new"
            return try await server.send("POST", "/api/v1/issues", .object(body), token: key)
        }
        let agreeing: [(JSONValue, String)] = [
            (["project": "acme/app", "project_name": "ACME/app"], "acme/app"),
            (["project": "acme/app", "project_name": "app"], "hub:acme/app"),
            (["project": "hub:acme/app", "project_name": "app"], "hub:acme/app"),
            (["project": "acme/site", "project_id": .integer(site)], "hub:acme/site"),
            (
                ["organization": "acme", "organization_id": owner, "project": "app"],
                "hub:acme/app"
            ),
        ]
        for (body, project) in agreeing {
            let made = try await create(body)
            #expect(made.status == 201, "\(body): \(made.text)")
            #expect(try made.json["arguments"]?["project"]?.string == project, "\(body)")
        }
        let contradicting: [(JSONValue, Set<String>)] = [
            (["project": "acme/app", "project_name": "site"], ["project", "project_name"]),
            (["project": "acme/site", "project_id": .integer(app)], ["project", "project_id"]),
            (
                ["project_name": "site", "project_id": .integer(app)],
                ["project_name", "project_id"]
            ),
            (
                ["project": "acme/app", "meta_data": ["assignee": "a", "assignees": ["b"]]],
                ["meta_data.assignee", "meta_data.assignees"]
            ),
            (
                ["project": "acme/app", "assignee": "a", "meta_data": ["assignee": "b"]],
                ["assignee", "meta_data.assignee"]
            ),
            (
                ["project": "acme/app", "labels": ["a"], "meta_data": ["labels": ["b"]]],
                ["labels", "meta_data.labels"]
            ),
        ]
        for (body, names) in contradicting {
            let refused = try await create(body)
            #expect(refused.status == 422, "\(body): \(refused.text)")
            #expect(try fields(refused) == names, "\(body)")
        }
        // What there is not contradicts nothing.
        let gone = try await create(["project": "acme/gone", "project_id": .integer(app)])
        #expect(gone.status == 404, "\(gone.text)")
        let nobody = try await create(["project": "acme/app", "meta_data": ["assignees": []]])
        #expect(nobody.status == 201)
        #expect(try nobody.json["arguments"]?["assignee"] == nil)
        try await server.stop()
    }

    @Test func `a policy is sent once`() async throws {
        let (server, _, key) = try await World.served()
        func validate(_ body: JSONValue) async throws -> RunningServer.Answer {
            try await server.send("POST", "/api/v1/policies/validate", body, token: key)
        }
        let twice = try await validate(["policy": "a: 1", "text": "b: 1"])
        #expect(try twice.status == 422 && fields(twice) == ["policy", "text"], "\(twice.text)")
        let once = try await validate(["policy": "a: 1"])
        let same = try await validate(["policy": "a: 1", "text": "a: 1"])
        #expect(same.status == once.status && once.status == 200, "\(same.text)")
        try await server.stop()
    }
}
