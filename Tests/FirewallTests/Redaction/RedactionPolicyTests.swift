import Domain
import Testing

@testable import Firewall

struct RedactionPolicyTests {
    private let redactor = Redactor(key: [UInt8](repeating: 7, count: 32))
    private let subject = RedactionPolicy.Subject(
        tool: "create_issue",
        server: "hub",
        caller: "ann"
    )
    private let value: JSONValue = ["text": "mail ann@example.org", "token": "abc"]

    private func rule(
        _ action: RedactionPolicy.Action,
        _ kinds: Set<SensitiveKind> = [.email],
        _ side: RedactionPolicy.Side = .arguments
    ) -> RedactionPolicy.Rule {
        RedactionPolicy.Rule(id: action.rawValue, side: side, kinds: kinds, action: action)
    }

    @Test func `without rules nothing is looked for`() {
        let verdict = RedactionPolicy()
            .evaluate(value, on: .arguments, of: subject, with: redactor)
        #expect(verdict.action == nil && verdict.value == value && verdict.findings.isEmpty)
    }

    @Test func `the strongest action counts, and each rule finds what it is for`() {
        let rules = [
            rule(.notify, [.named]), rule(.redact), rule(.deny, [.card]),
            rule(.deny, [.email], .result),
        ]
        let verdict = RedactionPolicy(rules: rules)
            .evaluate(value, on: .arguments, of: subject, with: redactor)
        #expect(verdict.action == .redact)
        #expect(verdict.rules == ["notify", "redact"])
        #expect(verdict.value["token"] == "abc")
        #expect(verdict.value["text"]?.string?.hasPrefix("mail [redacted:email:") == true)
        #expect(verdict.summary == "email, named")
        let result = RedactionPolicy(rules: rules)
            .evaluate(value, on: .result, of: subject, with: redactor)
        #expect(result.action == .deny && result.value == value)
    }

    @Test func `an approval names its workflow`() {
        var first = rule(.requireApproval)
        first.workflow = "security"
        let verdict = RedactionPolicy(rules: [rule(.redact), first])
            .evaluate(value, on: .arguments, of: subject, with: redactor)
        #expect(verdict.action == .requireApproval && verdict.workflows == ["security"])
        #expect(verdict.value["text"]?.string?.contains("[redacted:") == true)
    }

    /// Only the first one was asked, and the default one not at all behind one that is named.
    @Test func `every workflow counts that a rule asks for, once, in the order of the rules`() {
        let rules = [nil, "security", nil, "legal", "security"].map { name in
            var one = self.rule(.requireApproval)
            one.workflow = name
            return one
        }
        let verdict = RedactionPolicy(rules: rules)
            .evaluate(value, on: .arguments, of: subject, with: redactor)
        #expect(verdict.workflows == [nil, "security", "legal"])
    }

    @Test(arguments: [
        (["create_*"], [], [], true), (["*issue"], ["hub"], ["a*n"], true),
        (["create"], [], [], false),
        ([], ["other", "h*b"], [], true), ([], [""], [], false), ([], [], ["bob"], false),
        (["*a*b*"], [], [], false), (["*e*_*e*"], [], [], true),
    ])
    func `rules count for calls in their scope`(
        _ tools: [String],
        _ servers: [String],
        _ callers: [String],
        _ isMeant: Bool
    ) {
        var scope = RedactionPolicy.Scope()
        (scope.tools, scope.servers, scope.callers) = (tools, servers, callers)
        #expect(scope.has(subject) == isMeant)
    }
}
