import Domain
import Foundation
import Testing

@testable import Firewall

/// What docs/policy.md shows is right.
struct PolicyReferenceTests {
    /// The blocks of YAML in the reference.
    private func blocks() throws -> [String] {
        let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/policy.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        return text.matches(of: /```yaml\n(?s:(.*?))```/).map { String($0.1) }
    }

    @Test func `the example is a policy, and its cases pass`() throws {
        let blocks = try blocks()
        try #require(blocks.count == 3)
        let sensitive = PolicyDocument.read("metadata: {name: x}\n" + blocks[2])
        #expect(sensitive.document?.sensitiveRules.count == 2, "\(sensitive.problems)")
        let reading = PolicyDocument.read(blocks[0])
        let document = try #require(reading.document, "\(reading.problems)")
        let policy = try CompiledPolicy(document, version: 1)
        let (suite, problems) = PolicyTestSuite.read(blocks[1], now: Timestamp(milliseconds: 0))
        let outcomes = try #require(suite, "\(problems)").run(policy)
        #expect(outcomes.count == 2)
        for outcome in outcomes { #expect(outcome.differences.isEmpty, "\(outcome.differences)") }
        // At night the guard is asked first.
        var late = call("github/create_issue")
        late.now = try #require(Timestamp(parsing: "2026-03-02T22:00:00Z"))
        #expect(policy.decide(late).action == .deny)
        late.isDestructive = false
        #expect(policy.decide(late).action == .allow)
        #expect(policy.decide(call("other/tool")).action == .deny)
    }

    @Test func `the schema has every key that is read, and no other`() throws {
        let everything = PolicyReaderTests.everything
        let document = try #require(PolicyDocument.read(everything).document)
        var unknown: [String] = []
        Self.compare(document.json, PolicySchema.json, "$", &unknown)
        #expect(unknown.isEmpty)
        for (section, keys) in [
            ("approval_workflows", PolicyWords.workflowKeys + ["required_approvals"])
        ] {
            let schema = PolicySchema.json["properties"]?[section]?["items"]?["properties"]
            #expect(Set(schema?.object?.members.map(\.key) ?? []) == Set(keys))
        }
        let sensitive = PolicySchema.json["properties"]?["sensitive_data"]?["properties"]?["rules"]
        let rule = sensitive?["items"]?["properties"]
        #expect(Set(rule?.object?.members.map(\.key) ?? []) == Set(PolicyWords.sensitiveRuleKeys))
        let scope = rule?["scope"]?["properties"]
        #expect(Set(scope?.object?.members.map(\.key) ?? []) == Set(PolicyWords.sensitiveScopes))
    }

    /// Walks a document beside its schema.
    private static func compare(
        _ value: JSONValue,
        _ schema: JSONValue,
        _ path: String,
        _ unknown: inout [String]
    ) {
        switch value {
        case .object(let object):
            guard let properties = schema["properties"] else { return }
            for member in object.members {
                guard let inner = properties[member.key] else {
                    unknown.append("\(path).\(member.key)")
                    continue
                }
                compare(member.value, inner, "\(path).\(member.key)", &unknown)
            }
        case .array(let elements):
            guard let items = schema["items"] else { return }
            for element in elements { compare(element, items, path, &unknown) }
        default: break
        }
    }

    @Test func `recorded calls are decided again as far as that can be known`() throws {
        let policy = try policy(
            """
            tools:
            - {name: a, conditions: [{expression: args.x == 1, action: deny}]}
            - {name: b, conditions: [{expression: args.x == 1, action: deny}, {action: deny}]}
            - name: c
              conditions:
              - {condition_type: cel, expression: user.name == "ann", action: deny}
            - name: d
              conditions:
              - {condition_type: cel, expression: user.role == "owner", action: allow}
              - {action: deny}
            - {name: e, enabled: false}
            - {name: f, conditions: [{expression: args.x.y > 1, action: deny}]}
            - name: g
              conditions:
              - {condition_type: cel, expression: session.id == "s1", action: deny}
              - {action: allow}
            """
        )
        func replay(_ tool: String) -> PolicyReplay { policy.replay(call(tool)) }
        guard case .depends(let rules) = replay("a") else {
            Issue.record("\(replay("a"))")
            return
        }
        #expect(rules.map(\.selector) == ["a"])
        #expect(replay("b") == .decided(.deny) && replay("c") == .decided(.deny))
        #expect(replay("d") != .decided(.deny) && replay("e") == .decided(.deny))
        #expect(policy.replay(call("a", ["x": 1]), knowsArguments: true) == .decided(.deny))
        // The types that such a condition asks for in CEL are nothing that records lack.
        let known = policy.replay(call("f", ["x": ["y": 2]]), knowsArguments: true)
        #expect(known == .decided(.deny))
        var inSession = call("g")
        inSession.session = "s1"
        #expect(policy.replay(inSession) == .decided(.deny) && replay("g") == .decided(.allow))
    }

    @Test func `optional arguments are asked for safely`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - {condition_type: cel, expression: args.?a.orValue(0) > 1, action: deny}
              - {condition_type: cel, expression: has(args.b) && args.b > 1, action: deny}
            """
        )
        #expect(policy.action("t") == .allow && policy.action("t", ["a": 2]) == .deny)
        #expect(policy.action("t", ["b": 2]) == .deny)
    }

    @Test func `a case may write as its role may`() throws {
        let policy = try policy(
            """
            tools:
            - name: t
              conditions:
              - {condition_type: cel, expression: user.may_write, action: allow}
              - {action: deny}
            """
        )
        let (suite, problems) = PolicyTestSuite.read(
            """
            tests:
            - {tool: t, expect: allow}
            - {tool: t, role: editor, expect: allow}
            - {tool: t, role: viewer, expect: deny}
            - {tool: t, role: viewer, may_write: true, expect: allow}
            """,
            now: Timestamp(milliseconds: 0)
        )
        for outcome in try #require(suite, "\(problems)").run(policy) {
            #expect(outcome.differences.isEmpty, "\(outcome.differences)")
        }
    }

    @Test func `a file of cases that is wrong is told where`() {
        let (suite, problems) = PolicyTestSuite.read(
            "tests:\n- {tool: a, exepct: deny}\n- {tool: b, expect: denied}\n"
                + "- {tool: c, expect: {}}",
            now: Timestamp(milliseconds: 0)
        )
        #expect(suite == nil)
        #expect(problems.map(\.position?.line) == [2, 2, 3, 4])
        #expect(problems[0].message.contains("did you mean `expect`?"))
    }
}
