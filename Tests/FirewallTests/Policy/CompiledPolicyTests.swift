import Domain
import Testing

@testable import Firewall

struct CompiledPolicyTests {
    @Test func `the first rule that holds decides, by priority and then by the file`() throws {
        let policy = try policy(
            """
            approval_workflows: [{name: w}]
            tools:
            - name: pay
              conditions:
              - {expression: args.amount > 1000, action: deny, message: too much}
              - {expression: args.amount > 100, approval_workflow: w, message: ask}
              - {expression: args.amount < 0, action: deny, priority: 1}
              - {action: allow}
            """
        )
        #expect(policy.action("pay", ["amount": 5]) == .allow)
        #expect(policy.action("pay", ["amount": 500]) == .requireApproval)
        #expect(policy.action("pay", ["amount": -1]) == .deny)
        let ruling = policy.decide(call("pay", ["amount": 5_000]))
        #expect(ruling.outcome == .deny(reason: "too much"))
        #expect(ruling.rule?.index == 0 && ruling.rule?.selector == "pay")
        let asked = policy.decide(call("pay", ["amount": 500]))
        let demand = ApprovalDemand(
            workflow: "w",
            rule: RuleIdentity(selector: "pay", index: 1, priority: 100),
            policyVersion: 7,
            message: "ask"
        )
        #expect(asked.outcome == .requireApproval(demand))
    }

    @Test func `a closer entry comes before a pattern, and priority before both`() throws {
        let policy = try policy(
            """
            mcp_servers: [{name: github, url: u}]
            tools:
            - name: "*"
              conditions:
              - {action: deny, message: all}
              - {expression: args.x == 1, action: deny, message: urgent, priority: 1}
            - name: github/*
              conditions: [{action: deny, message: server}]
            - name: create_*
              conditions: [{action: deny, message: pattern}]
            - name: create_issue
              conditions: [{action: deny, message: name}]
            - name: create_issue
              source: github
              conditions: [{action: deny, message: exact}]
            """
        )
        func words(_ tool: String, _ arguments: JSONValue = [:]) -> String? {
            policy.decide(call(tool, arguments)).reason
        }
        #expect(words("github/create_issue") == "exact")
        #expect(words("gitlab/create_issue") == "name")
        #expect(words("create_issue") == "name")
        #expect(words("create_pr") == "pattern")
        #expect(words("github/merge") == "server")
        #expect(words("search") == "all")
        #expect(words("github/create_issue", ["x": 1]) == "urgent")
    }

    @Test func `sources tell the servers a name is looked for at`() throws {
        let policy = try policy(
            """
            mcp_servers: [{name: github, url: u}]
            tools:
            - {name: a, source: builtin, conditions: [{action: deny}]}
            - {name: b, source: MCP, conditions: [{action: deny}]}
            - {name: c/d, source: github, conditions: [{action: deny}]}
            - {name: e, source: http, conditions: [{action: deny}]}
            - {name: "git?ub/f", conditions: [{action: deny}]}
            """
        )
        #expect(policy.action("a") == .deny && policy.action("github/a") == .allow)
        #expect(policy.action("b") == .allow && policy.action("github/b") == .deny)
        #expect(policy.action("github/c/d") == .deny && policy.action("c/d") == .allow)
        #expect(policy.action("e") == .allow && policy.action("github/e") == .allow)
        #expect(policy.action("github/f") == .deny && policy.action("gitub/f") == .allow)
        // A slash in a name does not make it another server's.
        #expect(policy.action("github/c/d") == .deny)
        let slashed = PolicyContext(
            tool: ToolIdentity(server: "github/c", name: "d"),
            now: Timestamp(milliseconds: 0)
        )
        #expect(policy.decide(slashed).action == .allow)
        // A server that has the name of the built-in ones is another one.
        #expect(policy.action("builtin/a") == .allow)
    }

    /// It was read and kept, and no caller ever saw it.
    @Test func `the closest entry that names a tool describes it, and no pattern does`() throws {
        let policy = try policy(
            """
            mcp_servers: [{name: github, url: u}]
            tools:
            - {name: "*", description: every tool}
            - {name: create_*, description: what creates}
            - {name: create_issue, description: "Files an issue.\\nAsk before."}
            - {name: github/create_issue, description: Files it at GitHub.}
            - {name: "git*/merge", description: Merges.}
            - {name: search, description: "  "}
            """
        )
        func summary(_ tool: String) -> String? { policy.summary(of: call(tool).tool) }
        #expect(summary("create_issue") == "Files an issue.\nAsk before.")
        #expect(summary("gitlab/create_issue") == "Files an issue.\nAsk before.")
        #expect(summary("github/create_issue") == "Files it at GitHub.")
        #expect(summary("github/merge") == "Merges.")
        #expect(summary("create_pull_request") == nil)
        // What says nothing is no description.
        #expect(summary("search") == nil)
    }

    @Test func `names are compared by their bytes`() throws {
        let policy = try policy(
            """
            tools:
            - {name: delete_repo, conditions: [{action: deny}]}
            - {name: "café", conditions: [{action: deny}]}
            defaults: {unknown_tools: require_approval}
            """
        )
        #expect(policy.action("delete_repo") == .deny)
        // Cyrillic е, a full-width letter, a zero-width space, another case.
        for name in ["d\u{435}lete_repo", "ｄelete_repo", "delete\u{200B}_repo", "Delete_repo"] {
            #expect(policy.action(name) == .requireApproval)
        }
        #expect(policy.action("caf\u{E9}") == .deny)
        #expect(policy.action("cafe\u{301}") == .requireApproval)
    }

    @Test(arguments: PolicyDocument.Action.allCases)
    func `the default for unknown tools works`(action: PolicyDocument.Action) throws {
        let policy = try policy(
            """
            tools:
            - {name: known}
            - {name: "*", conditions: [{expression: args.x == 1, action: deny}]}
            defaults: {unknown_tools: \(action.rawValue)}
            """
        )
        #expect(policy.action("known") == .allow)
        // A rule for all tools makes none of them known.
        #expect(policy.action("other") == action)
        #expect(policy.action("other", ["x": 1]) == .deny)
        #expect(policy.isVisible(call("other")) == (action != .deny))
    }

    /// Each of these made every tool known, and so allowed what the guard let pass.
    @Test(arguments: [
        "name: '*/*'", "name: '**'", "name: '?*'", "name: 's/*'", "name: 's*/*'",
        "name: '*', source: mcp", "name: '*', source: '*'", "name: 'mcp/*'",
    ])
    func `a guard makes no tool known`(_ entry: String) throws {
        let guarded = try policy(
            """
            mcp_servers: [{name: s, url: u}]
            tools:
            - {\(entry), conditions: [{expression: args.x == 1, action: deny, message: guard}]}
            - {name: s/known}
            defaults: {unknown_tools: require_approval}
            """
        )
        #expect(guarded.action("s/other") == .requireApproval)
        #expect(guarded.decide(call("s/other", ["x": 1])).outcome == .deny(reason: "guard"))
        #expect(guarded.action("s/known") == .allow)
    }

    @Test func `an entry without conditions names all that a server has`() throws {
        let policy = try policy(
            """
            mcp_servers: [{name: s, url: u}]
            tools: [{name: "s/*"}, {name: "*", source: builtin}]
            defaults: {unknown_tools: deny}
            """
        )
        #expect(policy.action("s/other") == .allow && policy.action("search") == .allow)
        #expect(policy.action("t/other") == .deny)
    }

    @Test func `tools that came after the policy are new`() throws {
        let text = "defaults: {require_approval_for_new_tools: true}"
        let policy = try policy(text, knownTools: ["builtin/old", "s/old"])
        #expect(policy.action("old") == .allow && policy.action("s/old") == .allow)
        #expect(policy.action("new") == .requireApproval)
        #expect(policy.action("t/old") == .requireApproval)
        #expect(try self.policyWithoutList().action("old") == .requireApproval)
    }

    /// A set of Swift's strings takes both spellings for one.
    @Test func `a new tool whose name only looks like a known one is new`() throws {
        let text = "defaults: {require_approval_for_new_tools: true}"
        let policy = try policy(text, knownTools: ["builtin/caf\u{E9}"])
        #expect(policy.action("caf\u{E9}") == .allow)
        #expect(policy.action("cafe\u{301}") == .requireApproval)
        let both = try FirewallTests.policy(
            text,
            knownTools: ["builtin/caf\u{E9}", "builtin/cafe\u{301}"]
        )
        #expect(both.action("caf\u{E9}") == .allow && both.action("cafe\u{301}") == .allow)
    }

    private func policyWithoutList() throws -> CompiledPolicy {
        try policy("defaults: {require_approval_for_new_tools: true}")
    }

    @Test func `an error never allows`() throws {
        let text = """
            tools:
            - name: t
              conditions:
              - {expression: args.a > 1, action: allow}
              - {action: allow}
            """
        let alone = try policy(text)
        let ruling = alone.decide(call("t", ["a": ["x"]]))
        #expect(ruling.action == .deny && ruling.failure != nil)
        #expect(ruling.reason?.contains("rule 1 of `t` cannot be evaluated") == true)
        #expect(alone.action("t", ["a": 2]) == .allow)
        let approved = try policy(
            text + "\napproval_workflows: [{name: w, is_default: true}]"
        )
        let held = approved.decide(call("t", ["a": ["x"]]))
        #expect(held.action == .requireApproval && held.workflow == "w")
        var outside = PolicySurroundings()
        outside.hasDefaultWorkflow = true
        #expect(try policy(text, outside: outside).action("t", ["a": ["x"]]) == .requireApproval)
    }

    @Test func `an evaluation that costs too much never allows`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - condition_type: cel
                expression: args.l.all(a, args.l.all(b, args.l.all(c, a + b + c > -1)))
                action: allow
            """
        )
        let list = JSONValue.array((0..<2_000).map { .integer($0) })
        let ruling = policy.decide(call("t", ["l": list]))
        #expect(ruling.action == .deny && ruling.failure?.contains("costs more") == true)
        #expect(policy.action("t", ["l": [1, 2]]) == .allow)
    }

    @Test func `rules that only log decide nothing, not even by failing`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - {action: deny, mode: log_only, description: would deny}
              - {expression: args.a > 1, action: deny, mode: log_only}
              - {action: allow, description: ok}
              - {action: deny, enabled: false, priority: 1}
            """
        )
        let ruling = policy.decide(call("t", ["a": ["x"]]))
        #expect(ruling.action == .allow && ruling.rule?.description == "ok")
        #expect(ruling.noted.map(\.rule.description) == ["would deny"])
        #expect(ruling.noted.map(\.action) == [.deny])
        #expect(policy.isVisible(call("t")))
    }

    /// Both kinds of rules spent one budget.
    @Test func `a rule that only logs does not spend what one that decides needs`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - condition_type: cel
                expression: args.l.all(a, args.l.all(b, args.l.all(c, a + b + c > -1)))
                mode: log_only
              - {expression: args.a == 1, action: allow, description: ok}
              - {action: deny}
            """
        )
        let list = JSONValue.array((0..<2_000).map { .integer($0) })
        let ruling = policy.decide(call("t", ["a": 1, "l": list]))
        #expect(ruling.action == .allow && ruling.rule?.description == "ok", "\(ruling)")
        #expect(ruling.failure == nil)
    }

    @Test func `conditions in lists are put together`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - all_of:
                - args.a == 1
                - any_of: [args.b == 1, {expression: args.c == 1 // or so, condition_type: cel}]
                - none_of: [args.d == 1, args.e == 1]
                action: deny
            """
        )
        #expect(policy.action("t", ["a": 1, "b": 1]) == .deny)
        #expect(policy.action("t", ["a": 1, "b": 0, "c": 1]) == .deny)
        #expect(policy.action("t", ["a": 1, "b": 1, "e": 1]) == .allow)
        #expect(policy.action("t", ["a": 2, "b": 1]) == .allow)
        // `args.c` is missing and is asked for by CEL: an error, which never allows.
        #expect(policy.action("t", ["a": 1]) == .deny)
    }

    @Test func `conditions see who calls, what, how and when`() throws {
        let policy = try policy(
            """
            tools:
            - name: "*"
              conditions:
              - condition_type: cel
                expression: >-
                  user.name == "ann" && user == "ann" && user.role == "editor"
                  && !user.may_write && tool.name == "create" && tool == tool.name
                  && server == "github" && server.name == server && agent.name == "claude"
                  && agent.version == "1.0" && session.id == "s1" && request.channel == "mcp"
                  && tool.destructive && !tool.read_only && now.getFullYear() == 2026
                  && now > timestamp("2025-12-31T23:59:59Z") && args.x == 1
                action: deny
            """
        )
        var context = call("github/create", ["x": 1])
        (context.agent, context.agentVersion) = ("claude", "1.0")
        (context.session, context.channel) = ("s1", "mcp")
        #expect(policy.decide(context).action == .deny)
        context.role = "owner"
        #expect(policy.decide(context).action == .allow)
    }

    @Test func `an entry with a workflow and no rules holds every call`() throws {
        let policy = try policy(
            """
            approval_workflows: [{name: w}]
            tools:
            - {name: t, approval_workflow: w}
            - {name: u, approval_workflow: w, conditions: [{expression: a == 1}]}
            """
        )
        #expect(policy.decide(call("t")).workflow == "w")
        #expect(policy.decide(call("u", ["a": 1])).workflow == "w")
        #expect(policy.action("u") == .allow)
    }

    /// With one rule that decides nothing, every call went through.
    @Test(arguments: [
        "{action: allow, mode: log_only}", "{action: deny, enabled: false}",
        "{action: deny, mode: log_only}, {expression: a == 1, enabled: false}",
    ])
    func `an entry with a workflow and no rule that decides holds every call`(
        rules: String
    ) throws {
        let policy = try policy(
            """
            approval_workflows: [{name: w}]
            tools: [{name: t, approval_workflow: w, conditions: [\(rules)]}]
            """
        )
        let ruling = policy.decide(call("t"))
        #expect(ruling.action == .requireApproval && ruling.workflow == "w")
        // None of those that stand in the file.
        #expect(ruling.rule?.index == policy.document.tools[0].rules.count)
        #expect(policy.replay(call("t")) == .decided(.requireApproval))
    }

    @Test func `tools whose every call is denied are hidden`() throws {
        let policy = try policy(
            """
            tools:
            - {name: off, enabled: false}
            - {name: never, conditions: [{action: deny}]}
            - {name: twice, conditions: [{expression: a == 1, action: deny}, {action: deny}]}
            - {name: some, conditions: [{expression: a == 1, action: allow}, {action: deny}]}
            - {name: late, conditions: [{expression: a == 1, action: deny}]}
            - name: owners
              conditions:
              - {condition_type: cel, expression: user.role != "owner", action: deny}
            - {name: "of*", enabled: true}
            """
        )
        for name in ["off", "never", "twice", "owners"] {
            #expect(!policy.isVisible(call(name)), "\(name)")
        }
        for name in ["some", "late", "other"] { #expect(policy.isVisible(call(name)), "\(name)") }
        #expect(policy.action("off") == .deny)
        var owner = call("owners")
        owner.role = "owner"
        #expect(policy.isVisible(owner) && policy.decide(owner).action == .allow)
    }

    @Test func `an explanation tells each rule and the values of its parts`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - {expression: args.a > 5, action: deny}
              - condition_type: cel
                expression: args.a == 2 && args.list.exists(x, x > args.a)
                action: deny
                message: no
              - {action: allow}
            """
        )
        let told = policy.explain(call("t", ["a": 2, "list": [1, 3]]))
        #expect(told.ruling.outcome == .deny(reason: "no"))
        #expect(told.rules.map(\.state) == [.doesNotHold, .decided, .notReached])
        #expect(told.rules.map(\.holds) == [false, true, true])
        let values = told.rules[1].values.map { "\($0.part) = \($0.value)" }
        #expect(values.contains("args.a == 2 = true"))
        #expect(values.contains("args.a = 2"))
        #expect(values.contains("args.list.exists(x, x > args.a) = true"))
        #expect(values.contains("args.list = [1, 3]"))
        #expect(told.rules[0].expression == "args.a > 5")
        let simple = told.rules[0].values.map { "\($0.part) = \($0.value)" }
        #expect(simple == ["args.a > 5 = false", "args.a = 2"])
        #expect(told.rules.map(\.arguments) == [["a"], ["a", "list"], []])
        #expect(told.json["rules"]?[1]?["arguments"] == ["a", "list"])
        let failed = policy.explain(call("t", ["a": ["x"]]))
        #expect(failed.rules[0].state == .failed && failed.rules[1].state == .notReached)
        #expect(failed.rules[0].failure == "`args.a > 5` compares no such value")
        #expect(failed.ruling == policy.decide(call("t", ["a": ["x"]])))
    }

    @Test(arguments: [
        ("args.?a.orValue(1) == 1 && has(args.b.c)", ["a", "b"]),
        ("args['a b'] == 1 || 'b' in args || args[?'c'].hasValue()", ["a b", "b", "c"]),
        ("[1].exists(x, x == args.d)", ["d"]), ("user.name == 'a' && size(args) > 1", []),
    ])
    func `an explanation names the arguments that a rule looks at`(
        _ expression: String,
        _ names: [String]
    ) throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions: [{condition_type: cel, action: deny, expression: "\(expression)"}]
            """
        )
        #expect(policy.explain(call("t")).rules.map(\.arguments) == [names])
    }

    @Test func `threads ask one policy at once`() async throws {
        let policy = try policy("tools: [{name: \"t*\", conditions: [{action: deny}]}]")
        await withTaskGroup(of: Bool.self) { group in
            for task in 0..<8 {
                group.addTask {
                    (0..<2_000).allSatisfy { policy.action("t\(task)-\($0)") == .deny }
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
