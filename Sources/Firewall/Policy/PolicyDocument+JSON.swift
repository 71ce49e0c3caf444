package import Domain

extension PolicyDocument {
    /// The document as its file would say it, in the order of the reference; what is nil is left
    /// out.
    package var json: JSONValue {
        var top = Members()
        top.add("version", "1.0")
        top.add("metadata", metadata.json)
        top.add("mcp_servers", servers.map(\.json))
        top.add("approval_workflows", workflows.map(\.json))
        top.add("tools", tools.map(\.json))
        if !sensitiveRules.isEmpty {
            top.add("sensitive_data", ["rules": .array(sensitiveRules.map(\.json))])
        }
        if !defaults.isEmpty { top.add("defaults", defaults.json) }
        return top.json
    }

    /// The document as a file: the same text for the same document, and reading it gives the
    /// document again.
    package var text: String { YAMLWriter.text(json) }
}

/// Members of an object that leave out what is not there.
private struct Members {
    private var object = JSONObject()

    var json: JSONValue { .object(object) }
    var isEmpty: Bool { object.members.isEmpty }

    mutating func add(_ name: String, _ value: JSONValue?) {
        if let value { object.append(key: name, value: value) }
    }

    mutating func add(_ name: String, _ text: String?) {
        add(name, text.map(JSONValue.string))
    }

    mutating func add(_ name: String, _ flag: Bool?) {
        add(name, flag.map(JSONValue.bool))
    }

    mutating func add(_ name: String, _ number: Int?) {
        add(name, number.map { JSONValue.integer(Int64($0)) })
    }

    mutating func add(_ name: String, _ texts: [String]?) {
        add(name, texts.map { JSONValue.array($0.map(JSONValue.string)) })
    }

    /// A list that is left out when it is empty.
    mutating func add(_ name: String, _ elements: [JSONValue]) {
        if !elements.isEmpty { add(name, JSONValue.array(elements)) }
    }
}

extension PolicyDocument.Metadata {
    fileprivate var json: JSONValue {
        var members = Members()
        members.add("name", name)
        members.add("description", description)
        members.add("author", author)
        members.add("created_at", createdAt)
        members.add("tags", tags)
        return members.json
    }
}

extension PolicyDocument.Server {
    /// As a file says it.
    package var json: JSONValue {
        var members = Members()
        members.add("name", name)
        members.add("url", url)
        members.add("transport", transport?.rawValue)
        members.add("auth_type", authentication?.rawValue)
        members.add("auth_config", authenticationSettings)
        return members.json
    }
}

extension PolicyDocument.Workflow {
    /// As a file says it.
    package var json: JSONValue {
        var members = Members()
        members.add("name", name)
        members.add("description", description)
        members.add("timeout_seconds", timeoutSeconds)
        members.add("require_reason", requiresReason)
        members.add("is_default", isDefault)
        members.add("workflow_type", kind?.rawValue)
        members.add("approvals_required", approvalsRequired)
        members.add("approver_users", approverUsers)
        members.add("approver_teams", approverTeams)
        members.add("escalation_users", escalationUsers)
        members.add("escalation_teams", escalationTeams)
        members.add("channel_configs", channels)
        members.add("approval_type", approvalKind?.rawValue)
        members.add("ai_model", model)
        members.add("ai_guidelines", guidelines)
        members.add("ai_context", modelContext)
        members.add("ai_confidence_threshold", confidenceThreshold.map(JSONValue.double))
        members.add("ai_fallback_behavior", fallback?.rawValue)
        members.add("escalation_workflow", escalationWorkflow)
        members.add("async_approval", isAsynchronous)
        members.add("allow_self_approval", allowsSelfApproval)
        members.add("remember_seconds", rememberSeconds)
        members.add("remember_session", remembersSession)
        return members.json
    }
}

extension PolicyDocument.Tool {
    /// As a file says it.
    package var json: JSONValue {
        var members = Members()
        members.add("name", name)
        members.add("source", source)
        members.add("enabled", isEnabled)
        members.add("approval_workflow", approvalWorkflow)
        members.add("description", description)
        members.add("justification", justification?.rawValue)
        members.add("custom_config", settings)
        members.add("conditions", rules.map(\.json))
        return members.json
    }
}

extension PolicyDocument.Rule {
    /// As a file says it.
    package var json: JSONValue {
        var members = Members()
        members.add("id", id)
        if let condition { members.add(condition.key, condition.value) }
        members.add("action", action?.rawValue)
        members.add("condition_type", language?.rawValue)
        members.add("description", description)
        members.add("message", message)
        members.add("approval_workflow", approvalWorkflow)
        members.add("mode", mode?.rawValue)
        members.add("priority", priority)
        members.add("enabled", isEnabled)
        return members.json
    }
}

extension PolicyDocument.SensitiveRule {
    /// As a file says it.
    package var json: JSONValue {
        var members = Members()
        members.add("id", id)
        members.add("enabled", isEnabled)
        members.add("on", side.rawValue)
        members.add("types", types)
        var scope = Members()
        scope.add("tools", tools)
        scope.add("servers", servers)
        scope.add("users", callers)
        scope.add("agents", agents)
        if !scope.isEmpty { members.add("scope", scope.json) }
        members.add("action", action.rawValue)
        members.add("approval_workflow", approvalWorkflow)
        return members.json
    }
}

extension PolicyDocument.Condition {
    /// The key that says what kind it is.
    fileprivate var key: String {
        switch self {
        case .expression: "expression"
        case .all: "all_of"
        case .any: "any_of"
        case .none: "none_of"
        }
    }

    fileprivate var value: JSONValue {
        switch self {
        case .expression(let text, _): .string(text)
        case .all(let parts), .any(let parts), .none(let parts): .array(parts.map(\.element))
        }
    }

    /// As an element of a list.
    private var element: JSONValue {
        switch self {
        case .expression(let text, nil): return .string(text)
        case .expression(let text, let language?):
            return [
                "expression": .string(text), "condition_type": .string(language.rawValue),
            ]
        default: return [key: value]
        }
    }
}

extension PolicyDocument.Condition {
    /// On one line, for people.
    var text: String {
        switch self {
        case .expression(let text, _): text
        case .all(let parts): "all of (\(Self.text(parts)))"
        case .any(let parts): "any of (\(Self.text(parts)))"
        case .none(let parts): "none of (\(Self.text(parts)))"
        }
    }

    private static func text(_ parts: [PolicyDocument.Condition]) -> String {
        parts.map(\.text).joined(separator: "; ")
    }
}

extension PolicyDocument.Defaults {
    fileprivate var json: JSONValue {
        var members = Members()
        members.add("unknown_tools", unknownTools?.rawValue)
        members.add("require_approval_for_new_tools", requiresApprovalForNewTools)
        members.add("default_approval_workflow", approvalWorkflow)
        members.add("inherit_from_parent", inheritsFromParent)
        return members.json
    }
}
