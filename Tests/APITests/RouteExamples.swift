import Domain
import Firewall
import HTTPTypes
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// One of everything that paths name, in an account, and for each route a request that succeeds.
///
/// What a request uses up is made anew for it: a policy's entries, an approval that waits.
struct RouteExamples {
    /// A request, and the status of its answer when it may be made.
    struct Request {
        var path: String
        var body: JSONValue?
        var status: Int
    }

    /// The tools that the routes call, and one that asks for approvals.
    static let tools: [any Tool] = [
        EchoTool(), StandInTool(name: "create_issue"), StandInTool(name: "update_issue"),
        StandInTool(name: "add_comment"), RequestApprovalTool(),
    ]

    /// What cannot be had from a server that has no service, no index, no address that browsers
    /// know, and no session to end.
    private static let refusals: [String: Int] = [
        "POST /api/v1/trackers": 502, "POST /api/v1/mcp-servers/{id}/scan": 422,
        "POST /api/v1/mcp-servers/{id}/login": 409,
        "GET /api/v1/issues/search": 503, "GET /api/v1/search": 503,
        "GET /api/v1/issues/{id}/similar": 503, "POST /api/v1/auth/logout": 409,
    ]

    let server: RunningServer
    let name: String
    let world: World
    let user: UserID
    /// Of ``user``.
    let key: APIKeyID
    /// The same as a credential.
    let userKey: String
    private let ownerKey: String
    private let account: AccountID

    /// Makes them.
    ///
    /// - Parameters:
    ///   - name: Part of everything's name, so that accounts can be told apart by it.
    ///   - owner: Who owns the account.
    ///   - store: Of the account.
    ///   - server: What serves the account, with ``tools`` and an asynchronous workflow.
    /// - Throws: What the store and the server refuse.
    init(
        named name: String,
        of owner: String,
        in store: Store,
        on server: RunningServer
    ) async throws {
        self.server = server
        self.name = name
        account = store.account
        world = try await World(in: store, named: name)
        ownerKey = try await server.key(owner)
        user = try await server.add("\(name)-user", .viewer, to: store.account).id
        let made = try await server.application.desk.addKey(
            name: "\(name)-key",
            scopes: [],
            expiresAt: nil,
            for: user,
            of: store.account
        )
        key = made.row.id
        userKey = made.key
    }

    // MARK: - Things

    /// Puts a policy in force with one tool and two rules; gives its version.
    @discardableResult
    func applied(_ message: String = "no secrets") async throws -> Int64 {
        let answer = try await server.send(
            "POST",
            "/api/v1/policies/upload?prune=true",
            ["policy": .string(policy(message))],
            token: ownerKey
        )
        #expect(answer.status == 200, "\(answer.text)")
        return try #require(try answer.json["version"]?.integer)
    }

    private func policy(_ message: String) -> String {
        """
        metadata: {name: \(name)}
        approval_workflows: [{name: \(name)-people}]
        tools:
        - name: \(name)-tool
          conditions:
          - {id: \(name)-1, expression: args.text == 'secret', action: deny, message: \(message)}
          - {id: \(name)-2, expression: args.text == 'known', action: allow}
        """
    }

    /// The identifier of the policy's entry of the tool.
    private func entry() async throws -> String {
        let path = "/api/v1/tool-configurations"
        let list = try await server.send("GET", path, token: ownerKey).json
        return try #require(list[0]?["id"]?.string)
    }

    /// The identifier of the policy's workflow.
    private func workflow() async throws -> String {
        let path = "/api/v1/approval-workflows"
        let list = try await server.send("GET", path, token: ownerKey).json
        return try #require(list[0]?["id"]?.string)
    }

    /// Asks for an approval; gives the request, which waits.
    func asked() async throws -> String {
        let operation = "drop table \(UInt64.random(in: 0...UInt64.max)) of \(name)"
        let answer = try await server.send(
            "POST",
            "/api/v1/mcp/request_approval",
            ["operation": .string(operation), "context": "a test", "reasoning": "it is old"],
            token: userKey
        )
        #expect(answer.status == 200, "\(answer.text)")
        return try #require(try answer.json["request_id"]?.string)
    }

    /// The name of the tool whose calls are approved for more than once.
    static let rememberedTool = "remembered_example"

    /// Has a call approved that may be made again; gives the request.
    private func remembered() async throws -> String {
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let desk = ApprovalDesk(
            store: server.scratch.store.viewed(by: account),
            box: { box },
            workflows: { _ in
                var workflow = ApprovalWorkflow.standard
                workflow.rememberedSeconds = 86_400
                return workflow
            }
        )
        let (request, _) = try await desk.open(
            ApprovalDesk.Draft(
                tool: Self.rememberedTool,
                arguments: JSONObject(),
                caller: Caller(name: "user:\(name)-user", channel: .rest),
                digest: (0..<32).map { _ in UInt8.random(in: 0...UInt8.max) },
                demand: ApprovalDemand(policyVersion: 0)
            )
        )
        let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(86_400))
        return try await desk.decide(request.id, by: Approver(.local, "owner"), word).id
    }

    /// Makes another key of ``user``.
    private func anotherKey() async throws -> APIKeyID {
        try await server.application.desk.addKey(
            name: "\(name)-\(UInt64.random(in: 0...UInt64.max))",
            scopes: [],
            expiresAt: nil,
            for: user,
            of: account
        ).row.id
    }

    /// A tool that waits to be accepted.
    private static let waitingTool = UpstreamTool(
        name: "write",
        accepted: nil,
        proposed: JSONObject([("name", "write"), ("description", "Writes a text")]),
        state: .held,
        flags: [],
        seenAt: Timestamp(milliseconds: 1)
    )

    /// Adds an MCP server at a name that is nobody's (RFC 2606), of which a tool waits; gives its
    /// identifier.
    private func upstream() async throws -> String {
        let answer = try await server.send(
            "POST",
            "/api/v1/mcp-servers",
            Self.upstream(named: "\(name)-\(UInt32.random(in: 0...UInt32.max))"),
            token: ownerKey
        )
        #expect(answer.status == 201, "\(answer.text)")
        let id = UpstreamServerID(try #require(try answer.json["id"]?.integer))
        try await server.scratch.store.viewed(by: account).write { connection, account in
            try UpstreamToolTable.put(
                Self.waitingTool,
                of: id,
                account: account,
                on: connection
            )
        }
        return "\(id)"
    }

    private static func upstream(named name: String) -> JSONValue {
        ["name": .string(name), "url": "https://mcp.example.com/mcp"]
    }

    // MARK: - Requests

    /// What stands for `{id}` in the path of a route; nil where nobody has thought of the kind.
    private func identifier(_ route: Route) async throws -> String? {
        switch route.path.split(separator: "{").first ?? "" {
        case "/api/v1/trackers/": return "\(world.tracker)"
        case "/api/v1/organizations/": return "\(world.organization)"
        case "/api/v1/projects/": return "\(world.projects[0])"
        case "/api/v1/issues/": return "\(world.issues[0])"
        case "/api/v1/users/": return "\(user)"
        case "/api/v1/auth/api-keys/": return "\(key)"
        case "/api/v1/policies/versions/": return "\(try await applied())"
        case "/api/v1/tool-configurations/": return try await entry()
        case "/api/v1/access-rules/": return "\(name)-1"
        case "/api/v1/approval-workflows/": return try await workflow()
        case "/api/v1/approval-requests/": return try await asked()
        case "/api/v1/approvals/remembered/": return try await remembered()
        case "/api/v1/mcp-servers/": return try await upstream()
        default: return nil
        }
    }

    private static func isAboutPolicies(_ route: Route) -> Bool {
        let kinds: [Substring] = [
            "policies", "tool-configurations", "access-rules", "approval-workflows",
        ]
        return kinds.contains(route.segments.dropFirst(2).first ?? "")
    }

    /// A request to a route.
    ///
    /// - Parameters:
    ///   - route: Of the table.
    ///   - label: Whose request it is, for names that may be there only once.
    /// - Returns: Nil for a route whose path names a kind of thing that there is no example of.
    /// - Throws: When what the request is about cannot be made.
    func request(_ route: Route, by label: String = "nobody") async throws -> Request? {
        if Self.isAboutPolicies(route) { try await applied() }
        var path = route.path.replacing("{tool}", with: "echo")
        if path.contains("{id}") {
            guard let id = try await identifier(route) else { return nil }
            path = path.replacing("{id}", with: id)
        }
        if path.contains("{key}") {
            path = path.replacing("{key}", with: "\(try await anotherKey())")
        }
        guard !path.contains("{") else { return nil }
        let place = "\(route.method.rawValue) \(route.path)"
        return Request(
            path: path + query(place),
            body: body(route, place, label),
            status: Self.refusals[place] ?? route.status.code
        )
    }

    private func query(_ place: String) -> String {
        switch place {
        case "GET /api/v1/issues/search", "GET /api/v1/search": "?query=crash"
        case "GET /api/v1/issue-duplicates/check":
            "?issue1_id=\(world.issues[0])&issue2_id=\(world.issues[1])"
        default: ""
        }
    }

    /// A body that passes the route's checks and means something that can be done.
    private func body(_ route: Route, _ place: String, _ label: String) -> JSONValue? {
        guard let schema = route.body else { return nil }
        if let known = body(of: place, label) { return known }
        var object = JSONObject()
        for name in (schema["required"]?.array ?? []).compactMap(\.string) {
            let property = schema["properties"]?[name]
            if let word = property?["enum"]?.array?.last {
                object[name] = word
            } else if property?["type"] == "integer" {
                object[name] = 999_999
            } else if property?["type"] == "array" {
                object[name] = ["something"]
            } else {
                object[name] = "something long enough"
            }
        }
        return .object(object)
    }

    private func body(of place: String, _ label: String) -> JSONValue? {
        let entries = "/api/v1/tool-configurations"
        switch place {
        case "POST /api/v1/mcp-servers":
            return Self.upstream(named: label.lowercased().replacing(" ", with: "-"))
        case "PUT /api/v1/mcp-servers/{id}": return ["prefix": "always"]
        case "POST /api/v1/mcp-servers/{id}/tools/accept":
            return ["digests": JSONValue([Self.waitingTool.pendingDigest ?? ""])]
        case "PUT /api/v1/auth/users/me": return ["email": .string("\(label)@example.org")]
        case "PUT /api/v1/auth/users/me/password":
            let password = JSONValue.string(RunningServer.password)
            return ["current_password": password, "new_password": password]
        case "POST /api/v1/users":
            return [
                "username": .string("made-by-\(label)"),
                "password": .string(RunningServer.password), "role": "viewer",
            ]
        case "POST /api/v1/users/{id}/api-keys": return ["name": .string(label)]
        case "POST /api/v1/projects/test-connection":
            return ["organization": "acme", "project": "acme/app"]
        case "POST /api/v1/issue-duplicates/decisions":
            return [
                "issue1_id": .integer(world.issues[0].rawValue),
                "issue2_id": .integer(world.issues[1].rawValue), "decision": "duplicate",
            ]
        case "POST /api/v1/issues": return ["project": "acme/app", "title": "Crash"]
        case "POST /api/v1/mcp/{tool}": return ["text": "hello"]
        case "POST /api/v1/policies/upload", "POST /api/v1/policies/diff",
            "POST /api/v1/policies/validate", "POST /api/v1/policies/plan",
            "POST /api/v1/policies/replay", "POST /api/v1/policies/fmt":
            return ["policy": .string(policy("never"))]
        case "POST /api/v1/policies/test":
            return ["policy": .string(policy("never")), "tests": "tests: []"]
        case "POST /api/v1/policies/explain": return ["tool": "echo"]
        case "PUT /api/v1/policies/versions/{id}/tag": return ["tag": .string(label)]
        case "PUT /api/v1/approval-workflows/{id}":
            return ["name": .string("\(name)-people"), "timeout_seconds": 60]
        case "POST \(entries)": return ["tool_name": "another"]
        case "PUT \(entries)/{id}": return ["tool_name": .string("\(name)-tool")]
        case "POST \(entries)/{id}/access-rules", "PUT /api/v1/access-rules/{id}":
            return ["action": "deny"]
        case "PUT \(entries)/{id}/access-rules/order":
            return ["rule_ids": [.string("\(name)-2"), .string("\(name)-1")]]
        default: return nil
        }
    }
}

/// Two accounts of a server: ann's, where everything is named `mine`, and eve's, `theirs`.
struct TwoAccounts {
    /// Keys of the owners.
    let ann: String
    let eve: String
    let mine: RouteExamples
    let theirs: RouteExamples

    init(on server: RunningServer) async throws {
        let store = server.scratch.store
        _ = try await server.add("ann", .owner)
        let foreign = store.viewed(by: try await server.addAccount(owner: "eve"))
        // Identifiers are drawn per account: those of the other one are made to differ.
        _ = try await foreign.write { connection, account in
            let ids: [IssueID] = try AccountTable.nextIDs(500, account: account, on: connection)
            return ids.count
        }
        ann = try await server.key("ann")
        eve = try await server.key("eve")
        mine = try await RouteExamples(named: "mine", of: "ann", in: store, on: server)
        theirs = try await RouteExamples(named: "theirs", of: "eve", in: foreign, on: server)
        // Versions of policies are counted in each account, too.
        try await mine.applied()
        try await theirs.applied("an earlier one")
        try await theirs.applied()
    }
}

/// A tool that a route calls by its name; it says that it is done.
struct StandInTool: Tool {
    let name: String

    var definition: ToolDefinition {
        ToolDefinition(
            name: name,
            title: name,
            summary: "Stands in for the tool of this name.",
            inputSchema: ["type": "object"],
            annotations: .init(isReadOnly: false)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        ["created": true]
    }
}
