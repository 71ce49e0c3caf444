import Domain
import TestSupport
import Testing

@testable import Firewall

struct PolicyReaderTests {
    static let everything = """
        version: "1.0"
        metadata:
          name: everything
          description: all keys
          author: Ann
          created_at: 2026-01-31T12:00:00Z
          tags: [a, "true"]
        mcp_servers:
        - name: github
          url: https://mcp.example.com/
          transport: streamable-http
          auth_type: bearer
          auth_config: {token: "${GITHUB_TOKEN}", retries: 2}
        approval_workflows:
        - name: leads
          description: who leads
          timeout_seconds: 600
          require_reason: true
          is_default: true
          workflow_type: simple
          approvals_required: 2
          approver_users: [ann, bob]
          approver_teams: []
          escalation_users: []
          escalation_teams: []
          channel_configs: {slack: {webhook_url: "${SLACK}"}}
          approval_type: ai_driven
          ai_model: judge
          ai_guidelines: "Line one\\nline two: #3"
          ai_context: {depth: 1.5, list: [1, null, "x"]}
          ai_confidence_threshold: 0.9
          ai_fallback_behavior: deny
          escalation_workflow: people
          async_approval: true
          allow_self_approval: false
          remember_seconds: 60
          remember_session: true
        - name: people
        tools:
        - name: create_*
          source: github
          enabled: true
          approval_workflow: leads
          description: "makes things: é"
          justification: required
          custom_config: {limit: 3}
          conditions:
          - id: big
            expression: args.amount > 100
            action: deny
            condition_type: simple
            description: too big
            message: Ask for less.
            approval_workflow: people
            mode: log_only
            priority: -5
            enabled: false
          - all_of:
            - args.a == 1
            - expression: size(args) > 1
              condition_type: cel
            - any_of: ["args.b == 'x'", "true"]
            - none_of: [args.c == 3]
            action: require_approval
          - action: allow
        - name: search
        sensitive_data:
          rules:
          - id: no-cards
            enabled: true
            on: tool.args
            types: [card, secrets]
            scope: {tools: ["pay_*"], servers: [github], users: ["user:*"], agents: [bot]}
            action: require_approval
            approval_workflow: people
          - {id: no-mail, on: tool.result, types: [email], action: redact}
        defaults:
          unknown_tools: deny
          require_approval_for_new_tools: true
          default_approval_workflow: people
          inherit_from_parent: true
        """

    @Test func `every key is read, written and read again as the same`() throws {
        let reading = PolicyDocument.read(Self.everything)
        #expect(reading.problems.filter { $0.severity == .error }.isEmpty, "\(reading.problems)")
        let document = try #require(reading.document)
        let again = PolicyDocument.read(document.text)
        #expect(again.errors.isEmpty, "\(again.errors)\n\(document.text)")
        #expect(again.document == document)
        #expect(again.document?.text == document.text)
        #expect(document.metadata.tags == ["a", "true"])
        #expect(document.workflows[0].approvalsRequired == 2)
        #expect(document.workflows[0].guidelines == "Line one\nline two: #3")
        #expect(document.tools[0].rules.count == 3)
        #expect(document.tools[0].rules[0].mode == .logOnly)
        #expect(document.defaults.unknownTools == .deny)
    }

    @Test func `required_approvals is another name for approvals_required`() {
        let text = """
            metadata: {name: x}
            approval_workflows:
            - {name: a, required_approvals: 3}
            """
        #expect(PolicyDocument.read(text).document?.workflows[0].approvalsRequired == 3)
        let both = text.replacing("approvals: 3", with: "approvals: 3, approvals_required: 2")
        #expect(errors(both).count == 1)
    }

    @Test func `every problem is told with its place and what was meant`() {
        let found = errors(
            """
            metadata: {name: x}
            toools: []
            approval_workflows:
            - name: a
              timeout_second: 30
              timeout_seconds: 5
            tools:
            - name: t
              approval_workflow: aa
              conditions:
              - expression: args.a > 1
                action: block
              - expresion: "true"
              - expression: args.a > 1 && args.b > 2
              - expression: size(arg) > 2
                condition_type: cel
              - expression: " "
            """
        )
        let expected = [
            "2:1: unknown key `toools`; did you mean `tools`?",
            "5:3: unknown key `timeout_second`; did you mean `timeout_seconds`?",
            "6:20: `timeout_seconds` must be a whole number from 30 to 86400",
            "8:9: `approval_workflow` names the workflow `aa`, which there is not; "
                + "did you mean `a`?",
            "12:13: `action` must be one of `allow`, `deny`, `require_approval`",
            "13:5: unknown key `expresion`; did you mean `expression`?",
        ]
        #expect(Array(found.prefix(6)) == expected)
        #expect(found.count == 9)
        #expect(found[6].contains("condition_type: cel"))
        #expect(found[7].contains("undeclared") && found[7].contains("`arg`"))
        #expect(found[8].hasPrefix("17:") && found[8].contains("empty"))
    }

    @Test(arguments: [
        ("- a", "must be a map"),
        ("", "empty"),
        ("metadata: {name: x}\nmetadata: {name: y}", "2:1: the key `metadata` stands here a"),
        ("metadata: {name: x}\ntools:\n- {name: t}\n- {name: t}", "a second tool `t`"),
        ("metadata: {}", "`name` is missing"),
        ("version: 1", "`version` must be"),
        ("metadata: {name: x}\n---\nmetadata: {name: y}", "a second document"),
        ("metadata: {name: !!str x}", "tags such as"),
        ("metadata: {name: x, name: [}", "not YAML"),
        ("metadata: {name: x}\ntools: [{name: t, enabled: yes}]", "must be `true` or `false`"),
        ("metadata: {name: \" x\"}", "without spaces around it"),
        ("metadata: {name: x, created_at: soon}", "must be a time"),
        (
            "metadata: {name: x}\nmcp_servers: [{name: a, url: u, auth_config: {token: abc}}]",
            "holds a credential in plain text"
        ),
        ("metadata: {name: x}\nmcp_servers: [{name: MCP, url: u}]", "no name for a server"),
        ("metadata: {name: x}\nmcp_servers: [{name: a/b, url: u}]", "has no `/`"),
        (
            "metadata: {name: x}\ntools: [{name: t, conditions: [{all_of: [a == 1], "
                + "expression: a == 1}]}]", "only one of"
        ),
        (
            "metadata: {name: x}\ntools: [{name: t, conditions: [{id: \"a b\", action: deny}]}]",
            "`id` has"
        ),
        (
            "metadata: {name: x}\ntools: [{name: t, conditions: [{expression: \"'a'\", "
                + "condition_type: cel}]}]", "must give bool"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, approval_type: ai_driven}]",
            "needs `ai_model`"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, is_default: true}, "
                + "{name: b, is_default: true}]", "a second workflow `is_default`"
        ),
        // Without its teams a workflow would be decided by whoever may decide approvals.
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, approver_teams: [core]}]",
            "`approver_teams` is not supported here"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, escalation_teams: [core]}]",
            "`escalation_teams` is not supported here"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, channel_configs: "
                + "{webhook: {url: u, secret: s, headers: {HOST: other}}}}]",
            "the header `HOST` of a webhook is not the policy's to set"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, workflow_type: consensus}]",
            "`workflow_type: consensus` is not supported here"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, workflow_type: multi_stage}]",
            "`workflow_type: multi_stage` is not supported here"
        ),
        (
            "metadata: {name: x}\napproval_workflows: [{name: a, approver_users: [ann], "
                + "approver_teams: [core], approvals_required: 2}]",
            "`approvals_required` is more than the 1 `approver_users`"
        ),
    ])
    func `what is wrong is said`(text: String, part: String) {
        let found = errors(text)
        #expect(found.contains { $0.contains(part) }, "\(found)")
    }

    /// A condition that is left empty was read as none, so that its rule held for every call.
    @Test(arguments: [
        ("{expression: , action: allow}", "`expression` says nothing"),
        ("{all_of: ~, action: allow}", "`all_of` says nothing"),
        ("{any_of: null, action: allow}", "`any_of` says nothing"),
        ("{none_of: , expression: a == 1}", "`none_of` says nothing"),
        ("{all_of: [{expression: }]}", "`expression` says nothing"),
        ("{all_of: [a == 1, ~]}", ""),
        ("{any_of: [{expression: a == 1, all_of: ~}]}", "`all_of` says nothing"),
        ("{expression: a == 1, action: }", "`action` says nothing"),
    ])
    func `a key of a rule that says nothing is an error`(rule: String, part: String) {
        let found = errors("metadata: {name: x}\ntools: [{name: t, conditions: [\(rule)]}]")
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.contains(part) == true || part.isEmpty, "\(found)")
    }

    /// The second condition was passed over.
    @Test func `a condition in a list is one condition`() {
        let found = errors(
            """
            metadata: {name: x}
            tools:
            - name: t
              conditions:
              - any_of: [{expression: a == 1, all_of: [b == 1]}]
            """
        )
        #expect(found.count == 1 && found[0].contains("only one of"), "\(found)")
    }

    @Test func `a default for unknown tools that says nothing is an error`() {
        let found = errors("metadata: {name: x}\ndefaults: {unknown_tools: }")
        #expect(found.count == 1 && found[0].contains("`unknown_tools` says nothing"))
    }

    @Test func `what was applied before is read with what is not supported`() {
        let text = "metadata: {name: x}\napproval_workflows: [{name: a, approver_teams: [core]}]"
        var outside = PolicySurroundings()
        outside.trustsNames = true
        let reading = PolicyDocument.read(text, outside: outside)
        #expect(reading.document?.workflows.first?.unsupportedParts == ["`approver_teams`"])
        #expect(reading.warnings.count == 1)
    }

    @Test func `what a workflow says of its model without effect is a warning`() {
        let reading = PolicyDocument.read(
            """
            metadata: {name: x}
            approval_workflows:
            - name: a
              approval_type: ai_driven
              ai_model: judge
              ai_context: {depth: 1}
              ai_fallback_behavior: deny
            """
        )
        #expect(reading.document != nil)
        let warnings = reading.warnings.map(\.description)
        #expect(warnings.count == 1, "\(warnings)")
        #expect(warnings.contains { $0.contains("`ai_model` is not used") })
    }

    @Test func `what a model is told besides its guidelines has a limit`() {
        func reading(_ count: Int, trusting: Bool = false) -> PolicyReading {
            var outside = PolicySurroundings()
            outside.trustsNames = trusting
            let long = String(repeating: "a", count: count)
            let kind = "approval_type: ai_driven, ai_model: m"
            let workflow = "{name: a, \(kind), ai_context: {k: \(long)}}"
            let text = "metadata: {name: x}\napproval_workflows: [\(workflow)]"
            return PolicyDocument.read(text, outside: outside)
        }
        // `{"k":""}` has eight bytes.
        let limit = PolicyLimits.modelContextBytes - 8
        #expect(reading(limit).document?.workflows.first?.modelContext != nil)
        let errors = reading(limit + 1).errors.map(\.message)
        #expect(errors == ["`ai_context` has more than 16384 bytes"])
        // A version that was applied before goes on.
        #expect(reading(limit + 1, trusting: true).errors.isEmpty)
    }

    /// It was kept, and nobody learnt that it does nothing.
    @Test func `settings of a tool are a warning with their place`() {
        let reading = PolicyDocument.read(
            """
            metadata: {name: x}
            tools:
            - name: a
              custom_config: {limit: 3}
            - name: b
            """
        )
        let warnings = reading.warnings.map(\.description)
        #expect(reading.document?.tools.first?.settings == ["limit": 3])
        #expect(warnings.count == 1, "\(warnings)")
        #expect(warnings.first?.hasPrefix("4:18: `custom_config` is not used") == true)
        #expect(reading.warnings.first?.path == "$.tools.0.custom_config")
    }

    /// Warnings took the places of errors, and a policy without errors among the first 200
    /// problems was accepted.
    @Test func `an error after many warnings is an error`() {
        let warned = (0..<250).map { "- {name: nowhere/t\($0)}\n" }.joined()
        let reading = PolicyDocument.read(
            "metadata: {name: x}\ntools:\n" + warned
                + "- {name: t, conditions: [{id: a, action: deny}, {id: a, action: deny}]}"
        )
        #expect(reading.document == nil)
        #expect(reading.errors.count == 1 && reading.warnings.count == 200)
    }

    @Test func `errors beyond those that are kept count`() {
        var fields = FieldReader()
        #expect(!fields.hasErrors)
        fields.warn("a warning", at: nil, "")
        #expect(!fields.hasErrors)
        let words = ["tools", "defaults"]
        #expect(fields.hint(for: "toools", among: words) == "; did you mean `tools`?")
        for _ in 0..<300 { fields.report("an error", at: nil, "") }
        #expect(fields.hasErrors && fields.problems.count == 201)
        // Nothing is looked for that nobody would read.
        #expect(fields.hint(for: "toools", among: words).isEmpty)
        #expect(fields.hint(for: "toools", among: words, .warning) == "; did you mean `tools`?")
    }

    @Test func `every installation has somebody to ask`() {
        let text = "metadata: {name: x}\ntools: [{name: a, conditions: [{expression: b == 1}]}]"
        #expect(PolicyDocument.read(text).warnings.count == 1)
        #expect(PolicyDocument.read(text, outside: .installation).problems.isEmpty)
    }

    @Test func `servers are missed only where it is known which there are`() {
        let text = "metadata: {name: a}\ntools: [{name: time/now}]"
        #expect(PolicyDocument.read(text, outside: .installation).problems.isEmpty)
        let warnings = PolicyDocument.read(text).warnings
        #expect(warnings.map(\.message) == ["there is no server `time`, so nothing matches yet"])
    }

    @Test func `what may not do what was meant is a warning`() {
        let reading = PolicyDocument.read(
            """
            metadata: {name: x}
            mcp_servers: [{name: github, url: u}]
            tools:
            - name: gitub/create_issue
            - name: a
              conditions: [{expression: b == 1}]
            - name: dеlete_repo
            """
        )
        #expect(reading.document != nil)
        let warnings = reading.warnings.map(\.description)
        #expect(warnings.count == 3)
        #expect(warnings.contains { $0.contains("did you mean `github`?") })
        #expect(warnings.contains { $0.contains("no workflow is named") })
        #expect(warnings.contains { $0.contains("beyond ASCII") })
    }

    @Test func `the description of a pattern is a warning with its place`() {
        let reading = PolicyDocument.read(
            """
            metadata: {name: x}
            tools:
            - {name: a, description: What it does.}
            - {name: "b*", description: " "}
            - name: "*"
              description: a guard
            """
        )
        let warnings = reading.warnings.map(\.description)
        #expect(reading.document != nil && warnings.count == 1, "\(warnings)")
        #expect(warnings.first?.hasPrefix("6:16: `description` is not used") == true)
        #expect(reading.warnings.first?.path == "$.tools.2.description")
    }

    // MARK: - Bombs

    @Test func `aliases that multiply are refused`() {
        var text = "metadata: {name: x}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let names = (0..<10).map { _ in "*a\(level - 1)" }.joined(separator: ", ")
            text += "a\(level): &a\(level) [\(names)]\n"
        }
        #expect(errors(text).contains { $0.contains("repeat too much") })
        let keys = text + "? *a12\n: x\n"
        #expect(errors(keys).contains { $0.contains("repeat too much") })
    }

    @Test func `an alias in its own anchor is refused`() {
        #expect(errors("a: &a [*a]").contains { $0.contains("no anchor") })
    }

    @Test func `rules that aliases repeat are read up to a limit`() throws {
        let rules = String(repeating: "  - {expression: a == 1, action: deny}\n", count: 200)
        let text =
            "metadata: {name: x}\ntools:\n- name: t0\n  conditions: &c\n" + rules
            + (1...50).map { "- {name: t\($0), conditions: *c}\n" }.joined()
        var problems: [PolicyProblem] = []
        let root = try YAMLNode.parse(text, problems: &problems)
        var reader = PolicyReader()
        let document = reader.document(try #require(root))
        #expect(document.tools.reduce(0) { $0 + $1.rules.count } == PolicyLimits.allRules)
        #expect(reader.fields.problems.map(\.message) == ["more than 10000 rules"])
    }

    @Test func `expressions that aliases repeat are compiled up to a limit`() {
        let long = "args.a == '\(String(repeating: "x", count: 16_000))'"
        func text(_ count: Int) -> String {
            "metadata: {name: x}\ntools:\n- name: a\n  conditions: &c\n"
                + "  - &r {expression: \"\(long)\", action: deny}\n"
                + String(repeating: "  - *r\n", count: count - 1)
                + "- {name: b, conditions: *c}\n"
        }
        #expect(errors(text(2)).isEmpty)
        let found = errors(text(150))
        #expect(found.count == 1 && found[0].contains("aliases repeat"), "\(found)")
    }

    @Test(arguments: ["[", "{a: ", "- "])
    func `nesting without end is refused`(part: String) {
        let text = String(repeating: part, count: 50_000)
        #expect(errors(text).contains { $0.contains("deep") || $0.contains("not YAML") })
    }

    @Test func `what is too long is refused`() {
        #expect(errors("a: " + String(repeating: "x", count: 1 << 20))[0].contains("bytes"))
        let many = "[" + String(repeating: "a,", count: 300_000) + "]"
        #expect(errors(many)[0].contains("nodes"))
        let keys = (0..<100_000).map { "k\($0): 1\n" }.joined()
        #expect(!errors(keys).isEmpty)
    }

    @Test func `an expression that is a bomb is refused or ends`() {
        let open = String(repeating: "(", count: 5_000)
        let close = String(repeating: ")", count: 5_000)
        let deep = open + "true" + close
        let long = Array(repeating: "args.a == 1", count: 3_000).joined(separator: " && ")
        for text in [deep, long] {
            let policy = """
                metadata: {name: x}
                tools: [{name: t, conditions: [{condition_type: cel, expression: "\(text)"}]}]
                """
            #expect(!errors(policy).isEmpty)
        }
        let pattern = String(repeating: "(a{1,1000}){1,1000}", count: 10)
        let policy = """
            metadata: {name: x}
            tools: [{name: t, conditions: [{expression: "args.a.matches('\(pattern)')"}]}]
            """
        #expect(errors(policy).contains { $0.contains("pattern") })
    }

    /// Random damage: reading ends, and what is accepted can be written and read again.
    @Test func `damaged policies are refused or mean what they say`() throws {
        var random = SeededGenerator(seed: 20_261_128)
        let bytes = Array(Self.everything.utf8)
        var accepted = 0
        for round in 0..<600 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<damaged.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: damaged.remove(at: place)
                case 1: damaged.insert(bytes.randomElement(using: &random) ?? 0, at: place)
                default: damaged[place] = UInt8.random(in: 0...127, using: &random)
                }
            }
            let text = String(decoding: damaged, as: UTF8.self)
            guard let document = PolicyDocument.read(text).document else { continue }
            accepted += 1
            let again = PolicyDocument.read(document.text)
            #expect(again.document == document, "round \(round)\n\(text)\n\(again.errors)")
        }
        #expect(accepted > 20)
    }
}
