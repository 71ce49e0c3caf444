package import Domain

/// Calls with what a policy is expected to say about them: the file beside a policy.
package struct PolicyTestSuite: Sendable {
    /// One call.
    package struct Case: Sendable {
        package var name: String
        package var context: PolicyContext
        package var expected: Expectation
        /// Where it stands in its file.
        package var position: SourcePosition?
    }

    /// What is expected; nil where nothing is.
    package struct Expectation: Sendable, Equatable {
        package var action: PolicyDocument.Action?
        /// The description of the rule, or its number in its entry from 1.
        package var rule: String?
        package var workflow: String?
        package var message: String?
        package var isVisible: Bool?
        /// What rules about sensitive values do about the arguments.
        package var sensitiveAction: RedactionPolicy.Action?
    }

    /// How a case ended.
    package struct Outcome: Sendable {
        package var test: Case
        package var explanation: PolicyExplanation
        /// What is not as expected; empty when all is.
        package var differences: [String]

        /// As commands and routes show one.
        package var json: JSONValue {
            [
                "name": .string(test.name), "passed": .bool(differences.isEmpty),
                "differences": .array(differences.map(JSONValue.string)),
                "action": .string(explanation.ruling.action.rawValue),
            ]
        }
    }

    package var cases: [Case]

    /// More cases than this are another kind of file.
    private static let maximumCases = 5_000

    /// Reads a file of cases.
    ///
    /// - Parameters:
    ///   - text: YAML with `tests`.
    ///   - now: The time of calls that name none.
    /// - Returns: The cases; nil when there are problems.
    package static func read(
        _ text: String,
        now: Timestamp
    ) -> (suite: PolicyTestSuite?, problems: [PolicyProblem]) {
        var problems: [PolicyProblem] = []
        do throws(PolicyProblem) {
            guard let root = try YAMLNode.parse(text, problems: &problems) else {
                return (nil, [PolicyProblem("it is empty")])
            }
            var reader = CaseReader(now: now)
            for problem in problems { reader.fields.add(problem) }
            var suite = PolicyTestSuite(cases: [])
            if let top = reader.fields.fields(root, "$", known: ["tests"]) {
                for (node, path) in reader.fields.list(top, "tests", limit: maximumCases) {
                    if let test = reader.test(node, path) { suite.cases.append(test) }
                }
            }
            let found = reader.fields.problems
            return (found.isEmpty ? suite : nil, found)
        } catch {
            return (nil, problems + [error])
        }
    }

    /// Asks a policy about every case.
    package func run(_ policy: CompiledPolicy) -> [Outcome] {
        cases.map { test in
            let told = policy.explain(test.context)
            return Outcome(
                test: test,
                explanation: told,
                differences: test.expected.differences(from: told)
            )
        }
    }
}

extension PolicyTestSuite.Expectation {
    fileprivate func differences(from told: PolicyExplanation) -> [String] {
        var differences: [String] = []
        let ruling = told.ruling
        if let action, action != ruling.action {
            let exemption = told.isExempt ? " (no rule is asked about the gateway's tools)" : ""
            let reason = ruling.reason.map { " (\($0))" } ?? exemption
            differences.append(
                "expected \(action.rawValue), got \(ruling.action.rawValue)\(reason)"
            )
        }
        if let rule {
            let sensitive = told.isScreened ? told.screening?.rules ?? [] : []
            let isRight =
                ruling.rule.map { $0.description == rule || "\($0.index + 1)" == rule } ?? false
            if !isRight, !sensitive.contains(rule) {
                let names =
                    (ruling.rule.map { [$0.name] } ?? [])
                    + sensitive.map { "rule `\($0)` of `sensitive_data`" }
                let name = names.isEmpty ? "no rule" : names.joined(separator: " and ")
                differences.append("expected the rule `\(rule)`, got \(name)")
            }
        }
        if let sensitiveAction, sensitiveAction != told.screening?.action {
            let actual = told.screening?.action.rawValue ?? "nothing"
            differences.append(
                "expected sensitive_data: \(sensitiveAction.rawValue), got \(actual)"
            )
        }
        // Of several who have to approve a case may name any.
        if let workflow, !ruling.workflows.contains(workflow) {
            let names = ruling.workflows.map { $0 ?? "the default one" }
            let actual = names.isEmpty ? "the default one" : names.joined(separator: " and ")
            differences.append("expected the workflow `\(workflow)`, got \(actual)")
        }
        if let message, message != ruling.reason {
            differences.append("expected the message `\(message)`, got `\(ruling.reason ?? "")`")
        }
        if let isVisible, isVisible != told.isVisible {
            differences.append("expected visible: \(isVisible), got \(told.isVisible)")
        }
        return differences
    }
}

/// Reads cases.
private struct CaseReader {
    let now: Timestamp
    var fields = FieldReader()

    mutating func test(_ node: YAMLNode, _ path: String) -> PolicyTestSuite.Case? {
        guard
            let own = fields.fields(
                node,
                path,
                known: [
                    "name", "tool", "server", "args", "user", "role", "may_write", "agent",
                    "agent_version", "session", "channel", "trace_parent", "now", "read_only",
                    "destructive", "idempotent", "open_world", "expect",
                ]
            )
        else { return nil }
        let tool = fields.name(own, "tool", isRequired: true) ?? ""
        var context = PolicyContext(
            tool: ToolIdentity(naming: tool, server: fields.name(own, "server")),
            now: now
        )
        context.arguments = fields.settings(own, "args")?.object ?? JSONObject()
        context.user = fields.text(own, "user") ?? ""
        context.role = fields.text(own, "role") ?? ""
        context.mayWrite =
            fields.flag(own, "may_write") ?? (context.role != Role.viewer.rawValue)
        context.agent = fields.text(own, "agent") ?? ""
        context.agentVersion = fields.text(own, "agent_version") ?? ""
        context.session = fields.text(own, "session") ?? ""
        context.channel = fields.text(own, "channel") ?? "mcp"
        context.traceParent = fields.text(own, "trace_parent") ?? ""
        context.isReadOnly = fields.flag(own, "read_only") ?? context.isReadOnly
        context.isDestructive = fields.flag(own, "destructive") ?? context.isDestructive
        context.isIdempotent = fields.flag(own, "idempotent") ?? context.isIdempotent
        context.isOpenWorld = fields.flag(own, "open_world") ?? context.isOpenWorld
        if let text = fields.text(own, "now") {
            if let instant = Timestamp(parsing: text) {
                context.now = instant
            } else {
                fields.report("`now` must be a time", at: own["now"]?.position, "\(path).now")
            }
        }
        return PolicyTestSuite.Case(
            name: fields.text(own, "name") ?? tool,
            context: context,
            expected: expectation(own),
            position: node.position
        )
    }

    /// `expect: deny`, or a map of what is expected.
    private mutating func expectation(
        _ own: FieldReader.Fields
    ) -> PolicyTestSuite.Expectation {
        var expected = PolicyTestSuite.Expectation()
        guard let node = own["expect"] else {
            fields.report("`expect` is missing", at: own.position, own.path)
            return expected
        }
        guard node.text == nil else {
            expected.action = fields.choice(own, "expect", PolicyDocument.Action.self)
            return expected
        }
        guard
            let inner = fields.fields(
                node,
                "\(own.path).expect",
                known: ["action", "rule", "workflow", "message", "visible", "sensitive_data"]
            )
        else { return expected }
        expected.action = fields.choice(inner, "action", PolicyDocument.Action.self)
        expected.rule = fields.text(inner, "rule")
        expected.workflow = fields.text(inner, "workflow")
        expected.message = fields.text(inner, "message")
        expected.isVisible = fields.flag(inner, "visible")
        expected.sensitiveAction = fields.choice(
            inner,
            "sensitive_data",
            RedactionPolicy.Action.self
        )
        if expected == PolicyTestSuite.Expectation() {
            fields.report("`expect` says nothing", at: node.position, "\(own.path).expect")
        }
        return expected
    }
}

extension ToolIdentity {
    /// A tool as people name it: `server/name`, `builtin/name`, or a name alone for a built-in one.
    package init(naming text: String, server: String? = nil) {
        var (server, name) = (server, text)
        if server == nil, let slash = text.firstIndex(of: "/") {
            server = String(text[..<slash])
            name = String(text[text.index(after: slash)...])
        }
        self.init(server: server == Self.builtIn ? nil : server, name: name)
    }
}
