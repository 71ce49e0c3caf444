import Domain
import Testing

@testable import Firewall

/// The section `sensitive_data` of a policy.
struct SensitiveRuleTests {
    private func reading(_ rules: String) -> PolicyReading {
        PolicyDocument.read("metadata: {name: x}\nsensitive_data:\n" + rules)
    }

    @Test func `rules say what is looked for, where, and what is done`() throws {
        let reading = reading(
            """
              rules:
              - id: a
                on: tool.args
                types: [card, secrets]
                scope: {tools: ["pay_*"], servers: [crm], users: ["user:*"], agents: [bot]}
                action: require_approval
              - {id: b, on: tool.result, types: [pii], action: redact, enabled: false}
              - {id: c, on: tool.result, types: [email], action: deny}
            """
        )
        let document = try #require(reading.document, "\(reading.errors)")
        #expect(document.sensitiveRules.map(\.id) == ["a", "b", "c"])
        let rules = document.redaction.rules
        #expect(rules.map(\.id) == ["a", "c"])
        #expect(rules[0].kinds == SensitiveKind.secrets.union([.card]))
        #expect(rules[0].side == .arguments && rules[1].side == .result)
        var subject = RedactionPolicy.Subject(
            tool: "pay_bill",
            server: "crm",
            caller: "user:ann",
            agent: "bot"
        )
        #expect(rules[0].scope.has(subject) && rules[1].scope.has(subject))
        subject.agent = "other"
        #expect(!rules[0].scope.has(subject))
        // What runs has the same rules as what was read.
        #expect(try CompiledPolicy(document, version: 1).redaction == document.redaction)
    }

    /// Each of these would look for less, or at less, than its file says.
    @Test(arguments: [
        ("{on: tool.args, types: [card], action: deny}", "`id` is missing"),
        ("{id: a, types: [card], action: deny}", "`on` is missing"),
        ("{id: a, on: tool.args, action: deny}", "`types` is missing"),
        ("{id: a, on: tool.args, types: [card]}", "`action` is missing"),
        ("{id: a, on: tool.args, types: [], action: deny}", "`types` is empty"),
        ("{id: a, on: tool.args, types: [cards], action: deny}", "did you mean `card`?"),
        ("{id: a, on: model.request, types: [card], action: deny}", "`on` must be one of"),
        ("{id: a, on: tool.args, types: [card], action: hide}", "`action` must be one of"),
        ("{id: a, on: tool.args, types: [card], action: deny, scope: }", "`scope` says nothing"),
        (
            "{id: a, on: tool.args, types: [card], action: deny, scope: {servers: []}}",
            "`servers` is empty"
        ),
        (
            "{id: a, on: tool.args, types: [card], action: deny, scope: {server: [a]}}",
            "did you mean `servers`?"
        ),
        (
            "{id: a, on: tool.args, types: [card], action: require_approval, "
                + "approval_workflow: gone}",
            "which there is not"
        ),
        ("{id: 'a b', on: tool.args, types: [card], action: deny}", "`id` has 1 to 64 letters"),
    ])
    func `what a rule leaves out or does not mean is an error`(_ rule: String, _ part: String) {
        let reading = reading("  rules: [\(rule)]")
        #expect(reading.document == nil)
        #expect(reading.errors.contains { "\($0)".contains(part) }, "\(reading.errors)")
    }

    @Test(arguments: ["tool.args", "tool.result"])
    func `people are asked about either way by the workflow that a rule names`(_ side: String) {
        func reading(_ rest: String) -> PolicyReading {
            let rule = "{id: a, on: \(side), types: [card], action: require_approval\(rest)}"
            return self.reading("  rules:\n  - \(rule)")
        }
        let usual = reading("")
        #expect(usual.errors.isEmpty)
        #expect(usual.warnings.map(\.message).contains { $0.contains("no workflow is named") })
        let missing = reading(", approval_workflow: gone")
        #expect(missing.errors.contains { $0.message.contains("gone") }, "\(missing.errors)")
    }

    @Test func `detectors of one's own, and rules of one name, are errors`() {
        let own = reading("  detectors: {keywords: []}\n  rules: []")
        #expect(own.errors.map(\.message).contains { $0.hasPrefix("`detectors` are not") })
        let rule = "{id: a, on: tool.args, types: [card], action: deny}"
        let twice = reading("  rules: [\(rule), \(rule)]")
        #expect(twice.errors.map(\.message).contains { $0.hasPrefix("a second rule `a`") })
        #expect(!PolicyDocument.read("metadata: {name: x}\nsensitive_data:\n").errors.isEmpty)
    }

    @Test func `changes name the rule, and a file that lacks it keeps it`() throws {
        let rule = "{id: a, on: tool.args, types: [card], action: deny}"
        let before = try #require(reading("  rules: [\(rule)]").document)
        let changed = rule.replacing("deny", with: "redact")
        let after = try #require(reading("  rules: [\(changed)]").document)
        let changes = before.changes(to: after)
        #expect(changes.map(\.path) == ["sensitive_data.rules[a].action"])
        #expect(before.merged(with: PolicyDocument(name: "x")).sensitiveRules.count == 1)
        #expect(before.merged(with: after).sensitiveRules == after.sensitiveRules)
    }
}

/// What such rules do to calls that are explained, tried, or on record.
extension SensitiveRuleTests {
    private static let rules = """
        approval_workflows: [{name: leads, is_default: true}, {name: others}]
        sensitive_data:
          rules:
          - {id: cards, on: tool.args, types: [card], scope: {tools: [pay]}, action: deny}
          - {id: mail, on: tool.args, types: [email], action: require_approval}
          - {id: phones, on: tool.args, types: [phone], action: redact}
          - {id: accounts, on: tool.args, types: [iban], action: notify}
          - {id: back, on: tool.result, types: [any], action: deny}
        tools:
        - name: pay
          conditions:
          - {expression: args.text.contains('redacted'), action: deny, message: no marks}
          - {expression: args.text.contains('stop'), action: deny}
          - {expression: args.text.contains('ask'), approval_workflow: others, message: ask first}
        """

    private static let card = "4111 1111 1111 1111"

    @Test func `an explanation counts what stands in the arguments, the stronger of both decides`()
        throws
    {
        let policy = try policy(Self.rules)
        func told(_ tool: String, _ text: String) -> PolicyExplanation {
            policy.explain(call(tool, ["text": .string(text)]))
        }
        let denied = told("pay", "\(Self.card), ask")
        #expect(denied.ruling.reason == "the arguments contain card (cards)")
        #expect(denied.ruling.action == .deny && denied.ruling.rule == nil && denied.isScreened)
        // No rule for tools is asked any more.
        #expect(denied.rules.allSatisfy { $0.state == .notReached })
        #expect(told("get", Self.card).ruling.action == .allow)
        let held = told("pay", "ann@example.org")
        #expect(held.ruling.action == .requireApproval && held.ruling.workflow == "leads")
        #expect(held.isScreened && held.ruling.rule == nil)
        let both = told("pay", "ask ann@example.org")
        #expect(both.ruling.workflow == "others" && both.ruling.rule?.index == 2)
        #expect(both.ruling.reason == "ask first; the arguments contain email (mail)")
        // Each has to approve: what one rule asks for is not had by the other's word.
        #expect(both.ruling.workflows == ["others", "leads"])
        #expect(both.json["workflows"] == ["others", "leads"])
        #expect(held.ruling.workflows == ["leads"])
        #expect(told("pay", "stop ann@example.org").ruling.action == .deny)
        // Rules for tools see what is left.
        let redacted = told("pay", "call +49 30 901820")
        #expect(redacted.ruling.reason == "no marks" && redacted.screening?.action == .redact)
        let noted = told("pay", "to DE89 3704 0044 0532 0130 00")
        #expect(noted.ruling.action == .allow && noted.screening?.rules == ["accounts"])
        #expect(noted.json["sensitive_data"]?["action"] == "notify")
        #expect(told("pay", "plain").json["sensitive_data"] == .null)
    }

    @Test func `cases expect what rules about arguments do`() throws {
        let policy = try policy(Self.rules)
        let text = """
            tests:
            - {tool: pay, args: {text: 4111111111111111}, expect: {action: deny, rule: cards}}
            - {tool: pay, args: {text: a@example.org}, expect: {rule: mail, workflow: leads}}
            - {tool: get, args: {text: +49 30 901820}, expect: {sensitive_data: redact}}
            - {tool: get, args: {text: +49 30 901820}, expect: {action: deny, rule: cards}}
            - {tool: get, args: {text: plain}, expect: {sensitive_data: notify}}
            - {tool: pay, args: {text: a@example.org}, expect: {rule: cards}}
            - {tool: pay, args: {text: ask a@example.org}, expect: {workflow: leads}}
            - {tool: pay, args: {text: ask a@example.org}, expect: {workflow: none}}
            """
        let (suite, problems) = PolicyTestSuite.read(text, now: Timestamp(milliseconds: 0))
        let outcomes = try #require(suite, "\(problems)").run(policy)
        #expect(
            outcomes.map(\.differences) == [
                [], [], [],
                ["expected deny, got allow", "expected the rule `cards`, got no rule"],
                ["expected sensitive_data: notify, got nothing"],
                ["expected the rule `cards`, got rule `mail` of `sensitive_data`"],
                [], ["expected the workflow `none`, got others and leads"],
            ]
        )
    }

    /// A recorded call of a tool, of whose arguments kinds are known.
    private func replayed(
        _ tool: String,
        _ kinds: Set<SensitiveKind>,
        areAll: Bool = true,
        arguments: JSONValue? = nil,
        policy: CompiledPolicy
    ) -> RecordedRuling {
        policy.replay(
            call(tool, arguments ?? [:]),
            knowsArguments: arguments != nil,
            SensitiveTraces(kinds: kinds, areAll: areAll),
            by: "user:ann"
        )
    }

    @Test func `calls on record are decided again by the kinds that were found in them`() throws {
        let policy = try policy(
            """
            approval_workflows: [{name: leads, is_default: true}]
            sensitive_data:
              rules:
              - id: cards
                on: tool.args
                types: [card]
                action: deny
                scope: {tools: [pay], users: ["user:*"]}
              - {id: mail, on: tool.args, types: [email], action: require_approval}
              - {id: phones, on: tool.args, types: [phone], action: notify}
            tools:
            - {name: pay, conditions: [{expression: args.text == 'x', action: deny}]}
            - {name: no, conditions: [{action: deny}]}
            """
        )
        func replay(
            _ tool: String,
            _ kinds: Set<SensitiveKind>,
            areAll: Bool = true
        ) -> RecordedRuling {
            replayed(tool, kinds, areAll: areAll, policy: policy)
        }
        #expect(replay("pay", [.card]).action == .deny && replay("get", [.card]).action == .allow)
        #expect(replay("get", [.email]).action == .requireApproval)
        #expect(replay("no", [.email]).action == .deny && replay("get", [.phone]).action == .allow)
        let whole = replayed("pay", [], arguments: ["text": "y"], policy: policy)
        #expect(whole.action == .allow)
        let open = replay("pay", [.email])
        #expect(open.action == nil && open.rules.map(\.selector) == ["pay"])
        // Under a password there may have been anything, and what is not known may be anything.
        for unknown in [replay("get", [.named]), replay("get", [], areAll: false)] {
            #expect(unknown.action == nil && unknown.sensitiveRules == ["mail"])
        }
        #expect(replay("no", [.named]).action == .deny)
        #expect(replay("get", [.email, .named]).action == .requireApproval)
    }
}

/// The gateway's own tools, about which no policy is asked.
struct ExemptToolTests {
    @Test func `an entry for one of the gateway's tools is a warning with its place`() {
        let text = """
            metadata: {name: x}
            tools:
            - {name: request_approval, enabled: false}
            - name: get_approval_status
              source: builtin
              conditions: [{action: deny}]
            - {name: up/request_approval, conditions: [{action: deny}]}
            - {name: "*", conditions: [{action: deny}]}
            - {name: "*_approval*", conditions: [{action: deny}]}
            """
        var outside = PolicySurroundings.installation
        let unknown = PolicyDocument.read(text, outside: outside)
        #expect(unknown.document != nil, "\(unknown.errors)")
        #expect(unknown.warnings.map(\.position?.line) == [3, 4])
        #expect(unknown.warnings[0].message.contains("`request_approval` has no effect"))
        // Where the tools are known, so are patterns for nothing but these.
        outside.tools = [
            ToolIdentity(name: "request_approval"), ToolIdentity(name: "get_approval_status"),
            ToolIdentity(name: "search"), ToolIdentity(server: "up", name: "request_approvals"),
            ToolIdentity(server: "up", name: "request_approval"),
        ]
        // The first entry is for another server's tool, too.
        let some = PolicyDocument.read(text, outside: outside).warnings
        #expect(some.map(\.position?.line) == [4], "\(some)")
        outside.tools = Array(outside.tools?.prefix(3) ?? [])
        let known = PolicyDocument.read(text, outside: outside).warnings
        #expect(known.last?.position?.line == 9, "\(known)")
    }

    @Test func `an explanation says that no rule is asked, but what stands in arguments counts`()
        throws
    {
        let policy = try policy(
            """
            sensitive_data:
              rules: [{id: mail, on: tool.args, types: [email], action: require_approval}]
            tools: [{name: "*", conditions: [{action: deny}]}]
            defaults: {unknown_tools: deny}
            """
        )
        let told = policy.explain(call("get_approval_status"))
        #expect(told.isExempt && told.isVisible && told.rules.isEmpty)
        #expect(told.ruling == PolicyRuling(outcome: .allow) && told.json["is_exempt"] == true)
        let named = policy.explain(call("up/get_approval_status"))
        #expect(!named.isExempt && named.ruling.action == .deny)
        // Nobody is asked about what one waits with.
        let refused = policy.explain(call("request_approval", ["operation": "to a@example.org"]))
        #expect(refused.ruling.reason == "the arguments contain email (mail)")
        #expect(refused.ruling.action == .deny && refused.isScreened)
        let (suite, _) = PolicyTestSuite.read(
            "tests: [{tool: request_approval, expect: deny}]",
            now: Timestamp(milliseconds: 0)
        )
        let difference = suite?.run(policy).first?.differences.first
        #expect(difference?.hasSuffix("(no rule is asked about the gateway's tools)") == true)
    }
}
