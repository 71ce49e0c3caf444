import Domain
import Firewall
import HTTPClient
import HTTPTypes
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// Policies over REST.
@Suite struct PolicyRouteTests {
    static let path = "/api/v1/policies"
    private static let policy = """
        # no secrets
        metadata: {name: first}
        tools:
        - name: echo
          conditions:
          - {expression: args.text == 'secret', action: deny, message: no secrets}
        """

    func server() async throws -> (server: RunningServer, key: String) {
        let server = try await RunningServer()
        _ = try await server.add("ann", .owner)
        return (server, try await server.key("ann"))
    }

    func upload(
        _ server: RunningServer,
        _ key: String,
        _ text: String,
        query: String = "",
        headers: [(String, String)] = []
    ) async throws -> RunningServer.Answer {
        try await server.send(
            "POST",
            "\(Self.path)/upload\(query)",
            ["policy": .string(text)],
            token: key,
            headers: headers
        )
    }

    @Test func `a policy is validated, applied, exported, compared and rolled back`()
        async throws
    {
        let (server, key) = try await server()
        let none = try await server.send("GET", "\(Self.path)/export", token: key)
        #expect(none.status == 404)
        let dry = try await upload(server, key, Self.policy, query: "?dry_run=true")
        #expect(try dry.json["is_new"] == false && dry.json["changes"]?.array?.isEmpty == false)
        let first = try await upload(server, key, Self.policy)
        #expect(first.status == 200, "\(first.text)")
        #expect(try first.json["version"] == 1 && first.json["policy_name"] == "first")
        #expect(first.headers["ETag"] == "\"policy-1\"")
        let denied = try await server.send(
            "POST",
            "/api/v1/mcp/echo",
            ["text": "secret"],
            token: key
        )
        #expect(denied.status == 403 && denied.text.contains("no secrets"))
        let exported = try await server.send("GET", "\(Self.path)/export", token: key)
        #expect(exported.text == Self.policy && exported.headers["ETag"] == "\"policy-1\"")
        #expect(try await upload(server, key, exported.text).json["is_new"] == false)
        let second = Self.policy.replacing("deny", with: "allow")
        let body: JSONValue = ["policy": .string(second)]
        let diff = try await server.send("POST", "\(Self.path)/diff", body, token: key)
        #expect(try diff.json["changes"]?[0]?["path"] == "tools[echo].conditions")
        let stale = [("If-Match", "\"policy-7\"")]
        #expect(try await upload(server, key, second, headers: stale).status == 412)
        let match = [("If-Match", "\"policy-1\"")]
        #expect(try await upload(server, key, second, headers: match).json["version"] == 2)
        let named = try await server.send(
            "PUT",
            "\(Self.path)/versions/1/tag",
            ["tag": "strict"],
            token: key
        )
        #expect(named.status == 204)
        let back = try await server.send(
            "POST",
            "\(Self.path)/versions/1/rollback",
            [:],
            token: key
        )
        #expect(try back.json["version"] == 3)
        let versions = try await server.send(
            "GET",
            "\(Self.path)/versions?limit=2",
            token: key
        )
        let list = try #require(try versions.json.array)
        #expect(list.map { $0["version"] } == [3, 2] && list[0]["is_active"] == true)
        let next = try #require(versions.headers["X-Next-Cursor"])
        let rest = try await server.send(
            "GET",
            "\(Self.path)/versions?limit=2&cursor=\(next)",
            token: key
        )
        #expect(try rest.json[0]?["tag"] == "strict" && rest.json[1] == nil)
        try await server.stop()
    }

    @Test func `a policy is planned, and calls on record are decided again`() async throws {
        let (server, key) = try await server()
        let body: JSONValue = ["policy": .string(Self.policy)]
        func post(_ path: String, _ body: JSONValue = [:]) async throws -> RunningServer.Answer {
            try await server.send("POST", "\(Self.path)/\(path)", body, token: key)
        }
        // Nothing is in force that could be asked again.
        #expect(try await post("replay").status == 404)
        for text in ["secret", "open"] {
            let echo: JSONValue = ["text": .string(text)]
            let called = try await server.send("POST", "/api/v1/mcp/echo", echo, token: key)
            #expect(called.status == 200, "\(called.text)")
        }
        let plan = try await post("plan", body)
        #expect(plan.status == 200, "\(plan.text)")
        #expect(try plan.json["base_version"] == 0 && plan.json["has_changes"] == true)
        let change: JSONValue = ["tool": "echo", "before": "allow", "after": "deny", "count": 1]
        let told = try plan.json["calls"]
        #expect(told?["total"] == 2 && told?["changes"]?.array?.count == 1, "\(plan.text)")
        #expect(told?["changes"]?[0] == change)
        #expect(try await post("plan?calls=0", body).json["calls"]?["total"] == 0)
        #expect(try await post("plan?calls=10001", body).status == 422)
        #expect(try await post("replay", body).json == told)
        // A plan puts nothing in force.
        #expect(try await server.send("GET", "\(Self.path)/export", token: key).status == 404)
        #expect(try await upload(server, key, Self.policy).status == 200)
        #expect(try await post("replay").json == told)
        #expect(try await post("plan", ["policy": "metadata: {name: x}\ntoolz: []"]).status == 422)
        _ = try await server.add("vera", .viewer)
        let viewer = try await server.key("vera")
        for path in ["plan", "replay"] {
            let answer = try await server.send("POST", "\(Self.path)/\(path)", body, token: viewer)
            #expect(answer.status == 403)
        }
        try await server.stop()
    }

    /// A tool of another server, listed without that server's name.
    private struct TimeTool: Tool {
        let identity = ToolIdentity(server: "time", name: "now")
        let definition = ToolDefinition(
            name: "now",
            title: "Now",
            summary: "Tells the time.",
            inputSchema: ["type": "object"],
            annotations: .init(isReadOnly: true)
        )

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            ["now": "noon"]
        }
    }

    // A name alone was taken for a built-in tool's, and what calls were denied was explained as
    // allowed.
    @Test func `an explanation is about the tool that a call by the name would reach`()
        async throws
    {
        var setup = RunningServer.Setup()
        setup.tools = [EchoTool(), TimeTool()]
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let policy = """
            metadata: {name: clocks}
            tools:
            - name: now
              source: time
              conditions:
              - {expression: args.zone == 'Asia/Tokyo', action: deny, message: too late}
            """
        #expect(try await upload(server, key, policy).status == 200)
        func explain(_ tool: String) async throws -> RunningServer.Answer {
            let body: JSONValue = ["tool": .string(tool), "arguments": ["zone": "Asia/Tokyo"]]
            return try await server.send("POST", "\(Self.path)/explain", body, token: key)
        }
        for name in ["now", "time/now"] {
            let told = try await explain(name).json
            #expect(told["tool"] == "time/now" && told["action"] == "deny", "\(told)")
            #expect(told["exists"] == true)
        }
        let call: JSONValue = ["zone": "Asia/Tokyo"]
        let called = try await server.send("POST", "/api/v1/mcp/now", call, token: key)
        #expect(called.status == 403)
        for name in ["time/later", "builtin/now"] {
            let told = try await explain(name).json
            #expect(told["tool"]?.string == name && told["exists"] == false, "\(told)")
        }
        let unknown = try await explain("later")
        #expect(try unknown.status == 404 && unknown.json["code"] == "unknown_tool")
        try await server.stop()
    }

    @Test func `cases are tried on a policy, and a policy is put into its standard form`()
        async throws
    {
        let (server, key) = try await server()
        func post(_ path: String, _ body: JSONValue) async throws -> RunningServer.Answer {
            try await server.send("POST", "\(Self.path)/\(path)", body, token: key)
        }
        let cases = """
            tests:
            - {name: secrets, tool: echo, args: {text: secret}, expect: deny}
            - {name: others, tool: echo, args: {text: x}, expect: deny}
            """
        let text = JSONValue.string(Self.policy)
        let tried = try await post("test", ["policy": text, "tests": .string(cases)])
        #expect(try tried.json["passed"] == 1 && tried.json["failed"] == 1, "\(tried.text)")
        let second = try tried.json["tests"]?[1]
        #expect(second?["name"] == "others" && second?["passed"] == false)
        #expect(second?["differences"]?[0] == "expected deny, got allow")
        let wrong = try await post("test", ["policy": text, "tests": "tests: [{tool: a}]"])
        #expect(wrong.status == 422 && wrong.text.contains("`expect` is missing"))
        let formatted = try await post("fmt", ["policy": text])
        #expect(try formatted.json["is_formatted"] == false, "\(formatted.text)")
        let form = try #require(try formatted.json["policy"]?.string)
        #expect(!form.contains("# no secrets") && form.contains("no secrets"))
        #expect(try await post("fmt", ["policy": .string(form)]).json["is_formatted"] == true)
        #expect(try await post("fmt", ["policy": "toolz: []"]).status == 422)
        try await server.stop()
    }

    @Test func `errors are told with their places, and nothing changes`() async throws {
        let (server, key) = try await server()
        let wrong = "metadata: {name: x}\ntools:\n- name: a\n  conditons: []\n"
        let body: JSONValue = ["policy": .string(wrong)]
        let told = try await server.send("POST", "\(Self.path)/validate", body, token: key)
        #expect(try told.json["is_valid"] == false)
        #expect(try told.json["errors"]?[0]?["line"] == 4)
        let refused = try await upload(server, key, wrong)
        #expect(refused.status == 422 && refused.text.contains("did you mean `conditions`?"))
        #expect(try refused.json["code"] == "invalid_policy")
        #expect(try await server.send("GET", "\(Self.path)/export", token: key).status == 404)
        #expect(
            try await server.send("POST", "\(Self.path)/validate", [:], token: key).status == 422
        )
        let schema = try await server.send("GET", "\(Self.path)/schema", token: key)
        #expect(try schema.json["properties"]?["tools"] != nil)
        try await server.stop()
    }

    @Test func `a policy comes as a file of a form too`() throws {
        let boundary = "----x9"
        let form =
            "--\(boundary)\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n"
            + "--\(boundary)\r\nContent-Disposition: form-data; name=\"file\"; "
            + "filename=\"p.yaml\"\r\nContent-Type: text/yaml\r\n\r\n\(Self.policy)\r\n"
            + "--\(boundary)--\r\n"
        func request(_ type: String, _ body: String) -> APIRequest {
            APIRequest(
                id: "1",
                method: .post,
                path: "/",
                query: QueryItems(""),
                headers: [.contentType: type],
                body: Array(body.utf8),
                peer: "test"
            )
        }
        let type = "multipart/form-data; boundary=\(boundary)"
        #expect(try PolicyUpload.text(of: request(type, form)) == Self.policy)
        #expect(try PolicyUpload.text(of: request("application/yaml", "a: b")) == "a: b")
        for (type, body) in [
            ("multipart/form-data", form), (type, ""), (type, "--\(boundary)"),
            (type, String(repeating: "--\(boundary)", count: 1_000)),
            (type, form.replacing("\"file\"", with: "\"data\"")), ("application/json", "{}"),
        ] {
            #expect(throws: Problem.self) { try PolicyUpload.text(of: request(type, body)) }
        }
    }

    /// A server whose policy has an entry for `echo` with two rules.
    struct Ruled {
        let server: RunningServer
        let key: String
        var tool = ""
        var rules: [String] = []

        func send(
            _ method: String,
            _ path: String,
            _ body: JSONValue? = nil,
            ifMatch: String? = nil
        ) async throws -> RunningServer.Answer {
            let headers = ifMatch.map { [("If-Match", $0)] } ?? []
            return try await server.send(
                method,
                "/api/v1/\(path)",
                body,
                token: key,
                headers: headers
            )
        }

        /// How a call of the tool is answered.
        func echo() async throws -> Int {
            try await send("POST", "mcp/echo", ["text": "a"]).status
        }
    }

    static let entry: JSONValue = ["tool_name": "echo", "tool_source": "builtin"]

    func ruled() async throws -> Ruled {
        let (server, key) = try await server()
        var ruled = Ruled(server: server, key: key)
        let made = try await ruled.send("POST", "tool-configurations", Self.entry)
        #expect(made.status == 201, "\(made.text)")
        ruled.tool = try #require(try made.json["id"]?.string)
        for (expression, action) in [("args.text == 'a'", "deny"), ("true", "allow")] {
            let rule = try await ruled.send(
                "POST",
                "tool-configurations/\(ruled.tool)/access-rules",
                ["action": .string(action), "condition_expression": .string(expression)]
            )
            #expect(rule.status == 201, "\(rule.text)")
            ruled.rules.append(try #require(try rule.json["id"]?.string))
        }
        return ruled
    }

    @Test func `rules are added, put in order, changed and removed one by one`() async throws {
        let ruled = try await ruled()
        let (rules, path) = (ruled.rules, "tool-configurations/\(ruled.tool)/access-rules")
        let wrong: JSONValue = ["action": "deny", "condition_expression": "a =="]
        #expect(try await ruled.send("POST", path, wrong).status == 422)
        #expect(try await ruled.echo() == 403)
        let order: JSONValue = ["rule_ids": .array(rules.reversed().map(JSONValue.string))]
        let moved = try await ruled.send("PUT", "\(path)/order", order)
        #expect(moved.status == 200, "\(moved.text)")
        let list = try #require(try moved.json["access_rules"]?.array)
        #expect(list.compactMap { $0["id"]?.string } == rules.reversed())
        #expect(try await ruled.echo() == 200)
        let part: JSONValue = ["rule_ids": [.string(rules[0])]]
        #expect(try await ruled.send("PUT", "\(path)/order", part).status == 422)
        let rule = "access-rules/\(rules[1])"
        let body: JSONValue = ["action": "deny", "message": "never"]
        let changed = try await ruled.send("PUT", rule, body)
        #expect(try changed.json["id"]?.string == rules[1])
        #expect(changed.headers["ETag"] == "\"policy-5\"")
        #expect(try await ruled.send("DELETE", rule, ifMatch: "\"policy-4\"").status == 412)
        #expect(try await ruled.send("DELETE", rule, ifMatch: "\"policy-5\"").status == 204)
        #expect(try await ruled.send("DELETE", rule).status == 404)
        try await ruled.server.stop()
    }

    @Test func `entries are changed with their rules kept, and removed`() async throws {
        let ruled = try await ruled()
        let path = "tool-configurations/\(ruled.tool)"
        #expect(try await ruled.send("POST", "tool-configurations", Self.entry).status == 409)
        var object = Self.entry.object ?? JSONObject()
        object["is_enabled"] = false
        let off = try await ruled.send("PUT", path, .object(object))
        #expect(try off.json["is_enabled"] == false)
        #expect(try off.json["access_rules"]?.array?.count == 2)
        #expect(try await ruled.echo() == 404)
        #expect(try await ruled.send("GET", "tool-configurations").json.array?.count == 1)
        #expect(try await ruled.send("GET", path).status == 200)
        #expect(try await ruled.send("DELETE", path).status == 204)
        #expect(try await ruled.echo() == 200)
        #expect(try await ruled.send("GET", path).status == 404)
        try await ruled.server.stop()
    }

    @Test func `workflows are added, changed and removed one by one, and none that is named`()
        async throws
    {
        let (server, key) = try await server()
        let ruled = Ruled(server: server, key: key)
        let path = "approval-workflows"
        #expect(try await ruled.send("GET", path).json == [])
        let leads: JSONValue = ["name": "leads", "approver_users": ["ann"], "timeout_seconds": 60]
        let made = try await ruled.send("POST", path, leads)
        #expect(made.status == 201, "\(made.text)")
        let id = try #require(try made.json["id"]?.string)
        #expect(try await ruled.send("POST", path, leads).status == 409)
        let wrong: JSONValue = ["name": "other", "approvals_required": 11]
        #expect(try await ruled.send("POST", path, wrong).status == 422)
        let few: JSONValue = ["name": "few", "approver_users": ["ann"], "approvals_required": 2]
        #expect(try await ruled.send("POST", path, few).status == 422)
        let changed = try await ruled.send(
            "PUT",
            "\(path)/\(id)",
            ["name": "leads", "remember_session": true]
        )
        #expect(try changed.json["remember_session"] == true)
        #expect(try changed.json["approver_users"] == nil)
        let shown = try await ruled.send("GET", "\(path)/\(id)")
        #expect(try shown.json == changed.json)
        #expect(shown.headers["ETag"] == "\"policy-2\"")
        // A rule that names it keeps it.
        let entry: JSONValue = ["tool_name": "echo", "approval_workflow": "leads"]
        let named = try await ruled.send("POST", "tool-configurations", entry)
        #expect(named.status == 201, "\(named.text)")
        #expect(try await ruled.send("DELETE", "\(path)/\(id)").status == 422)
        let tool = "tool-configurations/\(try named.json["id"]?.string ?? "")"
        #expect(try await ruled.send("DELETE", tool).status == 204)
        let stale = try await ruled.send("DELETE", "\(path)/\(id)", ifMatch: "\"policy-2\"")
        #expect(stale.status == 412)
        #expect(try await ruled.send("DELETE", "\(path)/\(id)").status == 204)
        #expect(try await ruled.send("GET", "\(path)/\(id)").status == 404)
        try await server.stop()
    }

    @Test func `a workflow is named by its name, its identifier or both`() async throws {
        let ruled = try await ruled()
        let made = try await ruled.send("POST", "approval-workflows", ["name": "leads"])
        let id = try #require(try made.json["id"]?.string)
        let (path, rule) = ("tool-configurations/\(ruled.tool)", "access-rules/\(ruled.rules[0])")
        let said: [JSONValue] = [
            ["approval_workflow_id": .string(id)], ["approval_workflow": "leads"],
            ["approval_workflow_id": .string(id), "approval_workflow": "leads"],
            ["approval_workflow_id": .string(id), "approval_workflow": nil],
        ]
        let held: JSONValue = ["action": "require_approval"]
        for named in said {
            for (path, start) in [(path, Self.entry), (rule, held)] {
                let members = (start.object?.members ?? []) + (named.object?.members ?? [])
                let body = JSONObject(members.map { ($0.key, $0.value) })
                let changed = try await ruled.send("PUT", path, .object(body))
                #expect(changed.status == 200, "\(changed.text)")
                #expect(try changed.json["approval_workflow"] == "leads")
                #expect(try changed.json["approval_workflow_id"]?.string == id)
            }
        }
        let shown = try await ruled.send("GET", path).json
        #expect(shown["access_rules"]?[0]?["approval_workflow_id"]?.string == id)
        #expect(shown["access_rules"]?[1]?["approval_workflow_id"] == .null)
        // What is none, or another one's, is told by the field's name.
        for (id, name) in [("0123456789abcdef", "leads"), (id, "others")] {
            let body: JSONValue = [
                "action": "require_approval", "approval_workflow_id": .string(id),
                "approval_workflow": .string(name),
            ]
            let refused = try await ruled.send("PUT", rule, body)
            #expect(refused.status == 422 && refused.text.contains("approval_workflow_id"))
        }
        try await ruled.server.stop()
    }

    @Test func `only owners and admins change policies`() async throws {
        let (server, _) = try await server()
        for (role, status) in [(Role.admin, 200), (.editor, 403), (.viewer, 403)] {
            _ = try await server.add(role.rawValue, role)
            let key = try await server.key(role.rawValue)
            #expect(try await upload(server, key, Self.policy).status == status, "\(role)")
            let versions = try await server.send("GET", "\(Self.path)/versions", token: key)
            #expect(versions.status == 200)
        }
        try await server.stop()
    }
}
