package import Domain

extension ApprovalWorkflow {
    /// The workflow as policies write it, every field named.
    package var json: JSONValue {
        var object = JSONObject()
        object.append(key: "name", value: .string(name))
        object.append(key: "description", value: JSONValue(summary))
        object.append(key: "approver_users", value: JSONValue(approvers))
        object.append(key: "escalation_users", value: JSONValue(escalation))
        object.append(key: "approvals_required", value: .integer(Int64(quorum)))
        object.append(key: "timeout_seconds", value: .integer(Int64(timeoutSeconds)))
        object.append(key: "require_reason", value: .bool(requiresReason))
        object.append(key: "async_approval", value: .bool(isAsynchronous))
        object.append(key: "allow_self_approval", value: .bool(permitsSelfApproval))
        object.append(key: "remember_seconds", value: .integer(Int64(rememberedSeconds)))
        object.append(key: "remember_session", value: .bool(remembersSession))
        object.append(key: "approval_type", value: judge == nil ? "standard" : "ai_driven")
        if let judge {
            object.append(key: "ai_model", value: JSONValue(judge.model))
            object.append(key: "ai_guidelines", value: .string(judge.guidelines))
            if !judge.context.members.isEmpty {
                object.append(key: "ai_context", value: .object(judge.context))
            }
            object.append(key: "ai_confidence_threshold", value: .double(judge.threshold))
            object.append(
                key: "ai_fallback_behavior",
                value: .string(judge.fallback.rawValue)
            )
        }
        object.append(key: "escalation_workflow", value: JSONValue(escalationWorkflow))
        object.append(key: "channel_configs", value: .object(channels))
        return .object(object)
    }

    /// Reads what ``json`` has written.
    ///
    /// - Throws: ``ApprovalError/invalidWorkflow(field:rule:)`` for a field of another type or out
    ///   of range: a stored workflow that cannot be read approves nothing.
    package init(_ json: JSONValue) throws(ApprovalError) {
        let reader = try WorkflowFields(json)
        self.init(name: try reader.text("name") ?? "")
        summary = try reader.text("description")
        approvers = try reader.texts("approver_users")
        escalation = try reader.texts("escalation_users")
        quorum = try reader.number("approvals_required") ?? quorum
        timeoutSeconds = try reader.number("timeout_seconds") ?? timeoutSeconds
        requiresReason = try reader.flag("require_reason") ?? false
        isAsynchronous = try reader.flag("async_approval") ?? false
        allowsSelfApproval = try reader.flag("allow_self_approval")
        rememberedSeconds = try reader.number("remember_seconds") ?? 0
        remembersSession = try reader.flag("remember_session") ?? false
        if try reader.text("approval_type") == "ai_driven" {
            let fallback = try reader.text("ai_fallback_behavior") ?? "escalate"
            guard let behavior = Fallback(rawValue: fallback) else {
                throw reader.wrong("ai_fallback_behavior")
            }
            judge = Judge(
                model: try reader.text("ai_model"),
                guidelines: try reader.text("ai_guidelines") ?? "",
                threshold: try reader.fraction("ai_confidence_threshold") ?? 0.8,
                fallback: behavior
            )
            judge?.context = try reader.object("ai_context")
        }
        escalationWorkflow = try reader.text("escalation_workflow")
        channels = try reader.object("channel_configs")
        try validate()
    }
}

/// Reads the fields of an object, each of its type or missing.
private struct WorkflowFields {
    private let members: JSONObject

    init(_ json: JSONValue) throws(ApprovalError) {
        guard let members = json.object else {
            throw .invalidWorkflow(field: "workflow", rule: "is not an object")
        }
        self.members = members
    }

    func wrong(_ field: String) -> ApprovalError {
        .invalidWorkflow(field: field, rule: "has a value of another kind")
    }

    private func read<Value>(
        _ field: String,
        _ convert: (JSONValue) -> Value?
    ) throws(ApprovalError) -> Value? {
        guard let value = members[field], !value.isNull else { return nil }
        guard let converted = convert(value) else { throw wrong(field) }
        return converted
    }

    func text(_ field: String) throws(ApprovalError) -> String? {
        try read(field) { $0.string }
    }

    func number(_ field: String) throws(ApprovalError) -> Int? {
        try read(field) { $0.integer.flatMap { Int(exactly: $0) } }
    }

    func fraction(_ field: String) throws(ApprovalError) -> Double? {
        try read(field) { $0.double }
    }

    func flag(_ field: String) throws(ApprovalError) -> Bool? {
        try read(field) { $0.bool }
    }

    func object(_ field: String) throws(ApprovalError) -> JSONObject {
        try read(field) { $0.object } ?? JSONObject()
    }

    func texts(_ field: String) throws(ApprovalError) -> [String] {
        try read(field) { value in
            guard let items = value.array else { return nil }
            let texts = items.compactMap(\.string)
            return texts.count == items.count ? texts : nil
        } ?? []
    }
}
