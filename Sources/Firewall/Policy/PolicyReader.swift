import Domain

/// What reading a policy gives: the policy unless it has errors, and everything found about it.
package struct PolicyReading: Sendable {
    /// Nil when there are errors.
    package var document: PolicyDocument?
    /// In the order of the text.
    package var problems: [PolicyProblem]

    /// The problems that keep it from being used.
    package var errors: [PolicyProblem] { problems.filter { $0.severity == .error } }
    /// The others.
    package var warnings: [PolicyProblem] { problems.filter { $0.severity == .warning } }
}

extension PolicyDocument {
    /// Reads a policy's text, strictly, and checks what it says.
    ///
    /// - Parameters:
    ///   - text: YAML, or JSON.
    ///   - outside: What the account has besides, which the text may name.
    /// - Returns: The policy, unless it has errors, and everything found about it.
    package static func read(
        _ text: String,
        outside: PolicySurroundings = PolicySurroundings()
    ) -> PolicyReading {
        var problems: [PolicyProblem] = []
        do throws(PolicyProblem) {
            guard let root = try YAMLNode.parse(text, problems: &problems) else {
                return PolicyReading(problems: problems + [PolicyProblem("it is empty")])
            }
            var reader = PolicyReader()
            for problem in problems { reader.fields.add(problem) }
            let document = reader.document(root)
            reader.check(document, outside)
            let all = reader.fields.problems.sorted { left, right in
                (left.position?.line ?? 0, left.position?.column ?? 0)
                    < (right.position?.line ?? 0, right.position?.column ?? 0)
            }
            return PolicyReading(document: reader.fields.hasErrors ? nil : document, problems: all)
        } catch {
            return PolicyReading(problems: problems + [error])
        }
    }
}

/// What an account has that a policy may name without defining it.
package struct PolicySurroundings: Sendable {
    package var workflows: Set<String> = []
    package var servers: Set<String> = []
    /// Whether these are all there are; where nobody knows, nothing is said of servers.
    package var knowsServers = true
    /// Addresses of the servers that are installed, empty for programs; nil when they are not
    /// known.
    package var addresses: [String: String]?
    /// The tools there are; nil when they are not known.
    package var tools: [ToolIdentity]?
    /// Whether demands that name no workflow find one all the same.
    package var hasDefaultWorkflow = false
    /// Whether any name is taken for one of something that is there: for what was checked before.
    package var trustsNames = false

    package init() {}

    /// What every installation has, for policies that are looked at without one.
    ///
    /// Who may decide approvals is asked where no workflow is named; which servers there are is not
    /// known.
    package static var installation: PolicySurroundings {
        var surroundings = PolicySurroundings()
        surroundings.hasDefaultWorkflow = true
        surroundings.knowsServers = false
        return surroundings
    }
}

/// Reads the sections of a policy.
struct PolicyReader {
    var fields = FieldReader()
    /// Where workflows, tools, rules and references stand, by their paths.
    var places: [String: SourcePosition] = [:]
    /// Names that references are looked for among, when parts are checked with one another.
    var workflowNames: Set<ByteText> = []
    var serverNames: Set<ByteText> = []
    /// Rules read so far, those that aliases repeat counted each time.
    private var ruleCount = 0
    /// Bytes of the expressions read so far, counted in the same way.
    var expressionBytes = 0

    mutating func document(_ root: YAMLNode) -> PolicyDocument {
        var document = PolicyDocument(name: "")
        guard
            let top = fields.fields(
                root,
                "$",
                known: [
                    "version", "metadata", "mcp_servers", "approval_workflows", "tools",
                    "sensitive_data", "defaults",
                ]
            )
        else { return document }
        version(top)
        if let node = top["metadata"] {
            document.metadata = metadata(node)
        } else {
            fields.report("`metadata` with a `name` is missing", at: top.position, "$")
        }
        for (node, path) in fields.list(top, "mcp_servers", limit: PolicyLimits.servers) {
            if let server = server(node, path) { document.servers.append(server) }
        }
        for (node, path) in fields.list(top, "approval_workflows", limit: PolicyLimits.workflows) {
            if let workflow = workflow(node, path) { document.workflows.append(workflow) }
        }
        for (node, path) in fields.list(top, "tools", limit: PolicyLimits.tools) {
            if let tool = tool(node, path) { document.tools.append(tool) }
        }
        fields.refuseNull(["sensitive_data"], in: top, "nothing is looked for")
        if let node = top["sensitive_data"] { document.sensitiveRules = sensitiveRules(node) }
        if let node = top["defaults"] { document.defaults = defaults(node) }
        return document
    }

    private mutating func version(_ top: FieldReader.Fields) {
        guard let node = top["version"], node.text != "1.0" else { return }
        fields.report("`version` must be \"1.0\"", at: node.position, "$.version")
    }

    private mutating func metadata(_ node: YAMLNode) -> PolicyDocument.Metadata {
        var metadata = PolicyDocument.Metadata(name: "")
        guard
            let own = fields.fields(
                node,
                "$.metadata",
                known: ["name", "description", "author", "created_at", "tags"]
            )
        else { return metadata }
        metadata.name = fields.name(own, "name", isRequired: true) ?? ""
        metadata.description = fields.text(own, "description")
        metadata.author = fields.text(own, "author")
        metadata.createdAt = fields.text(own, "created_at")
        if let text = metadata.createdAt, Timestamp(parsing: text) == nil {
            fields.report(
                "`created_at` must be a time such as 2026-01-31T12:00:00Z",
                at: own["created_at"]?.position,
                "$.metadata.created_at"
            )
        }
        metadata.tags = fields.names(own, "tags")
        return metadata
    }

    private mutating func server(_ node: YAMLNode, _ path: String) -> PolicyDocument.Server? {
        guard
            let own = fields.fields(
                node,
                path,
                known: ["name", "url", "transport", "auth_type", "auth_config"]
            )
        else { return nil }
        var server = PolicyDocument.Server(
            name: fields.name(own, "name", isRequired: true) ?? "",
            url: fields.text(own, "url", isRequired: true) ?? ""
        )
        server.transport = fields.choice(own, "transport", PolicyDocument.Server.Transport.self)
        server.authentication = fields.choice(
            own,
            "auth_type",
            PolicyDocument.Server.Authentication.self
        )
        server.authenticationSettings = fields.settings(own, "auth_config")
        refuseSecrets(server.authenticationSettings, own["auth_config"]?.position, path)
        places[path] = own["name"]?.position ?? node.position
        if server.name.contains(where: { "/*?".contains($0) }) {
            fields.report(
                "the name of a server has no `/`, `*` or `?`",
                at: places[path],
                path
            )
        }
        if PolicyWords.reservedSources.contains(server.name.lowercased()) {
            fields.report("`\(server.name)` is no name for a server", at: places[path], path)
        }
        return server
    }

    /// A policy is kept as text in every version there was: credentials have no place in it.
    private mutating func refuseSecrets(
        _ settings: JSONValue?,
        _ position: SourcePosition?,
        _ path: String
    ) {
        for member in settings?.object?.members ?? [] where Self.isSecret(member.key) {
            let text = member.value.string ?? ""
            guard !member.value.isNull, !text.contains("${") else { continue }
            fields.report(
                "`\(member.key)` holds a credential in plain text; write `${NAME}` and set NAME "
                    + "in the server's environment",
                at: position,
                "\(path).auth_config"
            )
        }
    }

    private static func isSecret(_ key: String) -> Bool {
        let key = key.lowercased()
        return ["token", "secret", "password", "api_key", "apikey", "value", "credential"]
            .contains { key == $0 || key.hasSuffix("_\($0)") }
    }

    private mutating func workflow(_ node: YAMLNode, _ path: String) -> PolicyDocument.Workflow? {
        guard
            let own = fields.fields(
                node,
                path,
                known: PolicyWords.workflowKeys,
                synonyms: ["required_approvals": "approvals_required"]
            )
        else { return nil }
        typealias Workflow = PolicyDocument.Workflow
        var workflow = Workflow(name: fields.name(own, "name", isRequired: true) ?? "")
        workflow.description = fields.text(own, "description")
        workflow.timeoutSeconds = fields.integer(own, "timeout_seconds", 30...86_400)
        workflow.requiresReason = fields.flag(own, "require_reason")
        workflow.isDefault = fields.flag(own, "is_default")
        workflow.kind = fields.choice(own, "workflow_type", Workflow.Kind.self)
        workflow.approvalsRequired = fields.integer(own, "approvals_required", 1...10)
        workflow.approverUsers = fields.names(own, "approver_users")
        workflow.approverTeams = fields.names(own, "approver_teams")
        workflow.escalationUsers = fields.names(own, "escalation_users")
        workflow.escalationTeams = fields.names(own, "escalation_teams")
        workflow.channels = fields.settings(own, "channel_configs")
        workflow.approvalKind = fields.choice(own, "approval_type", Workflow.ApprovalKind.self)
        workflow.model = fields.name(own, "ai_model")
        workflow.guidelines = fields.text(own, "ai_guidelines", limit: 16 << 10)
        workflow.modelContext = fields.settings(own, "ai_context")
        workflow.confidenceThreshold = fields.fraction(own, "ai_confidence_threshold")
        workflow.fallback = fields.choice(own, "ai_fallback_behavior", Workflow.Fallback.self)
        workflow.escalationWorkflow = fields.name(own, "escalation_workflow")
        workflow.isAsynchronous = fields.flag(own, "async_approval")
        workflow.allowsSelfApproval = fields.flag(own, "allow_self_approval")
        workflow.rememberSeconds = fields.integer(own, "remember_seconds", 0...86_400)
        workflow.remembersSession = fields.flag(own, "remember_session")
        places[path] = own["name"]?.position ?? node.position
        places["\(path).ai_context"] = own["ai_context"]?.position
        if workflow.approvalKind == .byModel, workflow.model == nil {
            fields.report("`ai_driven` needs `ai_model`", at: places[path], path)
        }
        return workflow
    }

    private mutating func tool(_ node: YAMLNode, _ path: String) -> PolicyDocument.Tool? {
        guard
            let own = fields.fields(
                node,
                path,
                known: [
                    "name", "source", "enabled", "approval_workflow", "conditions", "description",
                    "justification", "custom_config",
                ],
                synonyms: ["rules": "conditions"]
            )
        else { return nil }
        var tool = PolicyDocument.Tool(name: fields.name(own, "name", isRequired: true) ?? "")
        tool.source = fields.name(own, "source")
        tool.isEnabled = fields.flag(own, "enabled")
        tool.approvalWorkflow = fields.name(own, "approval_workflow")
        tool.description = fields.text(own, "description")
        tool.justification = fields.choice(
            own,
            "justification",
            PolicyDocument.Tool.Justification.self
        )
        tool.settings = fields.settings(own, "custom_config")
        places[path] = own["name"]?.position ?? node.position
        for name in ["description", "custom_config"] {
            places["\(path).\(name)"] = own[name]?.position
        }
        for (node, path) in fields.list(own, "conditions", limit: PolicyLimits.rules) {
            guard mayRead(anotherRuleAt: node.position) else { break }
            if let rule = rule(node, path) { tool.rules.append(rule) }
        }
        return tool
    }

    /// Counts a rule; false when there are too many, which is an error once.
    private mutating func mayRead(anotherRuleAt position: SourcePosition) -> Bool {
        ruleCount += 1
        if ruleCount == PolicyLimits.allRules + 1 {
            fields.report("more than \(PolicyLimits.allRules) rules", at: position, "$.tools")
        }
        return ruleCount <= PolicyLimits.allRules
    }

    private mutating func defaults(_ node: YAMLNode) -> PolicyDocument.Defaults {
        var defaults = PolicyDocument.Defaults()
        guard
            let own = fields.fields(
                node,
                "$.defaults",
                known: [
                    "unknown_tools", "require_approval_for_new_tools", "default_approval_workflow",
                    "inherit_from_parent",
                ]
            )
        else { return defaults }
        fields.refuseNull(["unknown_tools"], in: own, "unknown tools are allowed")
        defaults.unknownTools = fields.choice(own, "unknown_tools", PolicyDocument.Action.self)
        defaults.requiresApprovalForNewTools = fields.flag(own, "require_approval_for_new_tools")
        defaults.approvalWorkflow = fields.name(own, "default_approval_workflow")
        defaults.inheritsFromParent = fields.flag(own, "inherit_from_parent")
        places["$.defaults"] = own["default_approval_workflow"]?.position ?? node.position
        return defaults
    }
}

/// Words of the policy language that several places know.
enum PolicyWords {
    /// What `source` may say besides the name of a server.
    static let sources = ["builtin", "mcp", "http", "agent"]
    /// No server has these names.
    static let reservedSources = Set(sources + ["preloop_builtin"])

    static let workflowKeys = [
        "name", "description", "timeout_seconds", "require_reason", "is_default", "workflow_type",
        "approvals_required", "approver_users", "approver_teams", "escalation_users",
        "escalation_teams", "channel_configs", "approval_type", "ai_model", "ai_guidelines",
        "ai_context", "ai_confidence_threshold", "ai_fallback_behavior", "escalation_workflow",
        "async_approval", "allow_self_approval", "remember_seconds", "remember_session",
    ]
    static let ruleKeys = [
        "id", "expression", "all_of", "any_of", "none_of", "action", "condition_type",
        "description", "message", "approval_workflow", "mode", "priority", "enabled",
    ]
    static let sensitiveRuleKeys = [
        "id", "enabled", "on", "scope", "types", "action", "approval_workflow",
    ]
    static let sensitiveScopes = ["tools", "servers", "users", "agents"]
    /// A condition has one of these.
    static let conditionForms = ["expression", "all_of", "any_of", "none_of"]
    static let conditionKeys = conditionForms + ["condition_type"]
}
