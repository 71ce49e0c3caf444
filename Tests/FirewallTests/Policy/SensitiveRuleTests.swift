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
