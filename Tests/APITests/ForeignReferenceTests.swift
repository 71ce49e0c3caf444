import Domain
import Firewall
import Gateway
import HTTPClient
import HTTPTypes
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API

/// What belongs to another account is not there either where a query, a body, a tool's argument or
/// a link names it.
@Suite struct ForeignReferenceTests {
    /// How often somebody wanted to write to a tracker.
    private let writes = Counter()

    /// A server of the tools that come with Preloop.
    private func server() async throws -> RunningServer {
        var setup = RunningServer.Setup()
        let writes = writes
        setup.toolsOverStore = { store in
            var tools = BuiltInTools(store: store, scanLease: "scan") { _ in
                throw ToolFailure("there is no index here")
            }
            tools.writers = { _ in
                _ = writes.add()
                throw ToolFailure("there is no service here")
            }
            return tools.make()
        }
        setup.workflow.isAsynchronous = true
        return try await RunningServer(setup)
    }

    /// Every query of a list or search that names something of an account by its identifier, and
    /// those that name it by words.
    private func queries(of server: RunningServer, about world: World) throws -> [String] {
        let prefix = "/api/v1/"
        var queries = ["issues?tracker=theirs", "issues?project=theirs:acme/app"]
        for route in server.application.responder.table.routes
        where route.method == .get && route.path.hasPrefix(prefix) && !route.path.contains("{") {
            let path = route.path.dropFirst(prefix.count)
            for parameter in route.parameters {
                let id: String
                switch parameter.name {
                case "project_id", "project_ids": id = "\(world.projects[0])"
                case "tracker_id": id = "\(world.tracker)"
                case "organization_id": id = "\(world.organization)"
                // Two issues are asked about together, below; calls are the audit's.
                case "issue1_id", "issue2_id", "call_id": continue
                default:
                    let isIdentifier = ["_id", "_ids"].contains { parameter.name.hasSuffix($0) }
                    try #require(!isIdentifier, "no example of `\(parameter.name)` of \(path)")
                    continue
                }
                let words = path.hasSuffix("search") ? "query=crash&" : ""
                queries.append("\(path)?\(words)\(parameter.name)=\(id)")
            }
        }
        try #require(queries.count > 8)
        return queries
    }

    @Test func `queries find nothing of others`() async throws {
        let server = try await self.server()
        let accounts = try await TwoAccounts(on: server)
        let (mine, theirs) = (accounts.mine.world, accounts.theirs.world)
        func get(_ query: String, _ key: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "/api/v1/\(query)", token: key)
        }
        for query in try queries(of: server, about: theirs) {
            let answer = try await get(query, accounts.ann)
            // An empty list would say that it is there.
            #expect(answer.status == 404, "\(query): \(answer.text)")
            // There is no index to search here.
            let own = try await get(query, accounts.eve)
            #expect([200, 503].contains(own.status), "\(query): \(own.text)")
        }
        for (one, other) in [
            (theirs.issues[0], theirs.issues[1]), (mine.issues[0], theirs.issues[0]),
            (theirs.issues[0], mine.issues[0]),
        ] {
            let check = "issue-duplicates/check?issue1_id=\(one)&issue2_id=\(other)"
            let checked = try await get(check, accounts.ann)
            #expect(checked.status == 404, "\(checked.text)")
            let decided = try await server.send(
                "POST",
                "/api/v1/issue-duplicates/decisions",
                [
                    "issue1_id": .integer(one.rawValue), "issue2_id": .integer(other.rawValue),
                    "decision": "duplicate",
                ],
                token: accounts.ann
            )
            #expect(decided.status == 404, "\(decided.text)")
        }
        for key in [accounts.ann, accounts.eve] {
            #expect(try await get("issue-duplicates/confirmed", key).json == [])
        }
        try await server.stop()
    }

    /// A call of each tool about what is theirs.
    ///
    /// Keys such as `acme/app#1` are in both accounts: a URL is in one.
    private static let calls: [String: JSONValue] = {
        let issue: JSONValue = "https://theirs/acme/app/issues/1"
        let pull: JSONValue = "https://theirs/acme/app/pull/1"
        let project: JSONValue = "theirs:acme/app"
        return [
            "add_comment": ["target": issue, "comment": "Me too"],
            "create_issue": ["project": project, "title": "Crash"],
            "create_pull_request": [
                "project": project, "title": "Mend", "source_branch": "a", "target_branch": "b",
            ],
            "estimate_compliance": ["issues": [issue]], "find_duplicates": ["issue": issue],
            "get_approval_status": ["request_id": ""], "get_issue": ["issue": issue],
            "get_pull_request": ["pull_request": pull], "improve_compliance": ["issues": [issue]],
            "list_projects": ["tracker": "theirs"],
            "search": ["query": "crash", "project": project], "similar_issues": ["issue": issue],
            "sync_status": ["project": project],
            "update_comment": ["target": issue, "comment_id": "c1", "body": "Never mind"],
            "update_issue": ["issue": issue, "title": "Changed"],
            "update_pull_request": ["pull_request": pull, "title": "Changed"],
        ]
    }()

    @Test func `tools know nothing of others, over REST and over MCP`() async throws {
        let server = try await self.server()
        let accounts = try await TwoAccounts(on: server)
        let request = try await accounts.theirs.asked()
        let listed = try await server.send("GET", "/api/v1/tools", token: accounts.ann).json
        let names = try #require(listed.array).compactMap { $0["name"]?.string }
        #expect(names.count >= 17)
        // Which names nothing.
        for name in names where name != "request_approval" {
            let known = try #require(Self.calls[name], "no call of \(name) about another's things")
            var arguments = try #require(known.object)
            if name == "get_approval_status" { arguments["request_id"] = .string(request) }
            let body = JSONValue.object(arguments)
            let rest = try await server.send(
                "POST",
                "/api/v1/mcp/\(name)",
                body,
                token: accounts.ann
            )
            #expect(rest.status == 404, "\(name): \(rest.text)")
            let call = try await server.send(
                "POST",
                "/mcp/v1",
                ModernRequest.call(name, body),
                token: accounts.ann,
                headers: ModernRequest.headers("tools/call", name)
            )
            #expect(try call.json["result"]?["isError"] == true, "\(name): \(call.text)")
            for text in [rest.text, call.text] {
                #expect(!text.contains("crash number") && !text.contains("drop table"), "\(name)")
            }
        }
        let filed = try await server.send(
            "POST",
            "/api/v1/issues",
            ["project": "theirs:acme/app", "title": "Crash"],
            token: accounts.ann
        )
        #expect(filed.status == 404, "\(filed.text)")
        let creating = server.application.responder.table.routes.first { route in
            route.method == .post && route.path == "/api/v1/issues"
        }
        if creating?.body?["properties"]?["project_id"] != nil {
            let id = JSONValue.integer(accounts.theirs.world.projects[0].rawValue)
            let byID = try await server.send(
                "POST",
                "/api/v1/issues",
                ["project_id": id, "title": "Crash"],
                token: accounts.ann
            )
            #expect(byID.status == 404, "\(byID.text)")
        }
        #expect(writes.value == 0)
        // To its owner all of it is there.
        let calls: [(String, JSONValue)] = [
            ("get_issue", ["issue": "https://theirs/acme/app/issues/1"]),
            ("list_projects", ["tracker": "theirs"]),
        ]
        for (name, arguments) in calls {
            let own = try await server.send(
                "POST",
                "/api/v1/mcp/\(name)",
                arguments,
                token: accounts.eve
            )
            #expect(own.status == 200, "\(own.text)")
        }
        try await server.stop()
    }

    @Test func `links and passwords of one account open no page of another's`() async throws {
        let server = try await self.server()
        let accounts = try await TwoAccounts(on: server)
        let (id, own) = (try await accounts.theirs.asked(), try await accounts.mine.asked())
        let box = try RunningServer.box()
        let desk = ApprovalDesk(store: server.scratch.store, box: { box })
        let link = ApprovalLink.makeToken(of: AccountTable.defaultID)
        try await desk.addLink(digest: link.digest, to: own, for: Approver(.user, "ann"))
        let page = "/approval/\(id)"
        let shown = try await server.send("GET", "\(page)?token=\(link.text)")
        let data = try await server.send("GET", "\(page)/data?token=\(link.text)")
        let decided = try await server.sendForm(
            "\(page)/decide",
            "token=\(link.text)&decision=approve"
        )
        let password = RunningServer.password.replacing(" ", with: "+")
        let signedIn = try await server.sendForm(page, "username=ann&password=\(password)")
        for answer in [shown, data, decided, signedIn] {
            #expect(answer.status == 404, "\(answer.text)")
            #expect(!answer.text.contains("drop table"))
        }
        let requests = try await server.send(
            "GET",
            "/api/v1/approval-requests/\(id)",
            token: accounts.eve
        )
        #expect(try requests.json["status"] == "pending")
        // The same link is good for what it was made for.
        #expect(
            try await server.send("GET", "/approval/\(own)?token=\(link.text)").status == 200
        )
        try await server.stop()
    }
}
