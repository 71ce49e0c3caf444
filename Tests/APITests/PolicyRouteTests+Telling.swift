import Domain
import Testing

/// What is told of policies, and what may be sent back of it.
extension PolicyRouteTests {
    /// A rule about arguments was not asked by plans, cases and explanations.
    @Test func `rules about arguments are planned, tried and explained`() async throws {
        let (server, key) = try await server()
        func post(_ path: String, _ body: JSONValue) async throws -> RunningServer.Answer {
            try await server.send("POST", "\(Self.path)/\(path)", body, token: key)
        }
        for text in ["to ann@example.org", "plain"] {
            let echo: JSONValue = ["text": .string(text)]
            let called = try await server.send("POST", "/api/v1/mcp/echo", echo, token: key)
            #expect(called.status == 200, "\(called.text)")
        }
        let policy = """
            metadata: {name: quiet}
            sensitive_data:
              rules: [{id: mail, on: tool.args, types: [email], action: deny}]
            """
        let plan = try await post("plan", ["policy": .string(policy)])
        let change: JSONValue = ["tool": "echo", "before": "allow", "after": "deny", "count": 1]
        #expect(try plan.json["calls"]?["changes"] == [change], "\(plan.text)")
        #expect(try plan.json["calls"]?["undecided_by_sensitive_data"] == [])
        let cases = """
            tests:
            - tool: echo
              args: {text: to ann@example.org}
              expect: {action: deny, rule: mail, sensitive_data: deny}
            - {tool: echo, args: {text: plain}, expect: allow}
            """
        let tried = try await post("test", ["policy": .string(policy), "tests": .string(cases)])
        #expect(try tried.json["passed"] == 2, "\(tried.text)")
        #expect(try await upload(server, key, policy).status == 200)
        let told = try await post(
            "explain",
            ["tool": "echo", "arguments": ["text": "to ann@example.org"]]
        )
        #expect(try told.json["action"] == "deny", "\(told.text)")
        #expect(try told.json["reason"] == "the arguments contain email (mail)")
        let found = try told.json["sensitive_data"]
        #expect(found?["rules"] == ["mail"] && found?["found"] == "email")
        try await server.stop()
    }

    @Test func `an explanation takes everything that rules ask for`() async throws {
        let (server, key) = try await server()
        let policy = """
            metadata: {name: hours}
            tools:
            - name: echo
              conditions:
              - {condition_type: cel, expression: 'now.getHours("Europe/Berlin") < 8', action: deny}
              - {condition_type: cel, expression: session.id == "s1", action: deny}
              - {condition_type: cel, expression: agent.version == "2", action: deny}
              - {condition_type: cel, expression: request.trace_parent == "t1", action: deny}
              - {condition_type: cel, expression: "!user.may_write", action: deny}
            """
        #expect(try await upload(server, key, policy).status == 200)
        func explain(_ members: [(String, JSONValue)]) async throws -> RunningServer.Answer {
            var body = JSONObject(members)
            body["tool"] = "echo"
            if body["now"] == nil { body["now"] = "2026-01-31T12:00:00Z" }
            return try await server.send(
                "POST",
                "\(Self.path)/explain",
                .object(body),
                token: key
            )
        }
        #expect(try await explain([]).json["action"] == "allow")
        let given: [(String, JSONValue)] = [
            ("now", "2026-01-31T06:59:00Z"), ("session", "s1"), ("agent_version", "2"),
            ("trace_parent", "t1"), ("may_write", false),
        ]
        for (place, member) in given.enumerated() {
            let told = try await explain([member])
            #expect(try told.json["action"] == "deny", "\(told.text)")
            #expect(try told.json["rule"]?["index"]?.integer == Int64(place), "\(told.text)")
        }
        let wrong = try await explain([("now", "yesterday")])
        #expect(wrong.status == 422 && wrong.text.contains("now"))
        try await server.stop()
    }

    /// A body that is an answer with one member more, or another one.
    private func body(_ answer: JSONValue, _ name: String, _ value: JSONValue) -> JSONValue {
        var object = answer.object ?? JSONObject()
        object[name] = value
        return .object(object)
    }

    @Test func `what is shown of a workflow may be sent back, and its type may be said`()
        async throws
    {
        let (server, key) = try await server()
        let ruled = Ruled(server: server, key: key)
        let path = "approval-workflows"
        let leads: JSONValue = [
            "name": "leads", "workflow_type": "simple", "approver_users": ["ann"],
            "ai_confidence_threshold": 0.5, "channel_configs": ["slack": ["webhook_url": "a"]],
        ]
        let made = try await ruled.send("POST", path, leads)
        #expect(try made.status == 201 && made.json["workflow_type"] == "simple", "\(made.text)")
        let one = "\(path)/\(try made.json["id"]?.string ?? "")"
        let shown = try await ruled.send("GET", one).json
        let same = try await ruled.send("PUT", one, shown)
        #expect(try same.status == 200 && same.json == shown, "\(same.text)")
        // Nothing is another way there, or under another name.
        let stages = try await ruled.send("PUT", one, body(shown, "workflow_type", "multi_stage"))
        #expect(stages.status == 422 && stages.text.contains("workflow_type"))
        let other = try await ruled.send("PUT", one, body(shown, "id", "0123456789abcdef"))
        #expect(other.status == 422 && other.text.contains("path"), "\(other.text)")
        // A new one has no identifier yet.
        #expect(try await ruled.send("POST", path, body(leads, "id", "a")).status == 422)
        try await server.stop()
    }

    @Test func `what is shown of an entry may be sent back, and changes no rule of it`()
        async throws
    {
        let ruled = try await ruled()
        _ = try await ruled.send("POST", "approval-workflows", ["name": "leads"])
        let entry = "tool-configurations/\(ruled.tool)"
        let with = body(Self.entry, "approval_workflow", "leads")
        let named = try await ruled.send("PUT", entry, with)
        #expect(named.status == 200, "\(named.text)")
        let shown = try await ruled.send("GET", entry).json
        let same = try await ruled.send("PUT", entry, shown)
        #expect(try same.status == 200 && same.json == shown, "\(same.text)")
        let rules = try #require(shown["access_rules"]?.array)
        // Programs sort members as they like.
        let sorted = try JSONParser.parse(
            JSONValue.array(rules).serializedText(sortedKeys: true)
        )
        let again = try await ruled.send("PUT", entry, body(shown, "access_rules", sorted))
        #expect(again.status == 200, "\(again.text)")
        for list in [JSONValue.array(rules.reversed()), [], .array([rules[0]])] {
            let refused = try await ruled.send("PUT", entry, body(shown, "access_rules", list))
            #expect(refused.status == 422, "\(refused.text)")
            #expect(refused.text.contains("/api/v1/access-rules/{id}"), "\(refused.text)")
        }
        let rule = "access-rules/\(ruled.rules[0])"
        let changed = try await ruled.send("PUT", rule, rules[0])
        #expect(try changed.status == 200 && changed.json == rules[0], "\(changed.text)")
        for (path, answer) in [(entry, shown), (rule, rules[0])] {
            let other = try await ruled.send("PUT", path, body(answer, "id", "another"))
            #expect(other.status == 422 && other.text.contains("path"), "\(other.text)")
        }
        #expect(try await ruled.send("GET", entry).json["access_rules"]?.array == rules)
        try await ruled.server.stop()
    }
}
