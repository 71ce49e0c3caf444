package import Domain

/// The form of a policy as JSON Schema, for editors.
package enum PolicySchema {
    /// JSON Schema 2020-12; what it cannot say, such as names that must exist, reading checks.
    package static let json: JSONValue = {
        var schema =
            object(
                required: ["metadata"],
                [
                    "version": ["const": "1.0"], "metadata": metadata,
                    "mcp_servers": list(server), "approval_workflows": list(workflow),
                    "tools": list(tool), "sensitive_data": sensitiveData, "defaults": defaults,
                ]
            ).object ?? JSONObject()
        schema.append(key: "$schema", value: "https://json-schema.org/draft/2020-12/schema")
        schema.append(key: "title", value: "Preloop policy")
        schema.append(key: "$defs", value: ["condition": condition])
        return .object(schema)
    }()

    private static let text: JSONValue = ["type": "string"]
    private static let flag: JSONValue = ["type": "boolean"]
    private static let settings: JSONValue = ["type": "object"]
    private static let names = list(text)
    /// A list that nothing may stand in: what it would name is not supported.
    private static let none: JSONValue = ["type": "array", "maxItems": 0]
    private static let conditions: JSONValue = [
        "type": "array", "minItems": 1,
        "items": ["anyOf": [text, ["$ref": "#/$defs/condition"]]],
    ]

    private static let metadata = object(
        required: ["name"],
        [
            "name": text, "description": text, "author": text, "created_at": text, "tags": names,
        ]
    )
    private static let server = object(
        required: ["name", "url"],
        [
            "name": text, "url": text,
            "transport": choice(PolicyDocument.Server.Transport.self),
            "auth_type": choice(PolicyDocument.Server.Authentication.self),
            "auth_config": settings,
        ]
    )
    private static let workflow = object(
        required: ["name"],
        [
            "name": text, "description": text, "timeout_seconds": integer(30...86_400),
            "require_reason": flag, "is_default": flag,
            "workflow_type": ["const": "simple"],
            "approvals_required": integer(1...10), "required_approvals": integer(1...10),
            "approver_users": names, "approver_teams": none, "escalation_users": names,
            "escalation_teams": none, "channel_configs": settings,
            "approval_type": choice(PolicyDocument.Workflow.ApprovalKind.self),
            "ai_model": text, "ai_guidelines": text, "ai_context": settings,
            "ai_confidence_threshold": ["type": "number", "minimum": 0, "maximum": 1],
            "ai_fallback_behavior": choice(PolicyDocument.Workflow.Fallback.self),
            "escalation_workflow": text, "async_approval": flag, "allow_self_approval": flag,
            "remember_seconds": integer(0...86_400), "remember_session": flag,
        ]
    )
    private static let tool = object(
        required: ["name"],
        [
            "name": text, "source": text, "enabled": flag, "approval_workflow": text,
            "description": text, "justification": choice(PolicyDocument.Tool.Justification.self),
            "custom_config": settings, "conditions": list(rule), "rules": list(rule),
        ]
    )
    private static let identifier: JSONValue = [
        "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$",
    ]
    private static let kind: JSONValue = ["enum": JSONValue(SensitiveKind.words)]
    private static let rule = object(
        required: [],
        [
            "id": identifier,
            "expression": text, "all_of": conditions, "any_of": conditions, "none_of": conditions,
            "action": choice(PolicyDocument.Action.self),
            "condition_type": choice(PolicyDocument.Language.self), "description": text,
            "message": text, "approval_workflow": text,
            "mode": choice(PolicyDocument.Rule.Mode.self),
            "priority": integer(PolicyLimits.priorities), "enabled": flag,
        ]
    )
    private static let condition = object(
        required: [],
        [
            "expression": text, "condition_type": choice(PolicyDocument.Language.self),
            "all_of": conditions, "any_of": conditions, "none_of": conditions,
        ]
    )
    private static let sensitiveData = object(
        required: ["rules"],
        [
            "rules": list(
                object(
                    required: ["id", "on", "types", "action"],
                    [
                        "id": identifier, "enabled": flag,
                        "on": choice(RedactionPolicy.Side.self),
                        "types": ["type": "array", "minItems": 1, "items": kind],
                        "scope": object(
                            required: [],
                            ["tools": names, "servers": names, "users": names, "agents": names]
                        ),
                        "action": choice(RedactionPolicy.Action.self), "approval_workflow": text,
                    ]
                )
            )
        ]
    )
    private static let defaults = object(
        required: [],
        [
            "unknown_tools": choice(PolicyDocument.Action.self),
            "require_approval_for_new_tools": flag, "default_approval_workflow": text,
            "inherit_from_parent": flag,
        ]
    )

    private static func object(
        required: [String],
        _ members: KeyValuePairs<String, JSONValue>
    ) -> JSONValue {
        var properties = JSONObject()
        for (name, schema) in members { properties.append(key: name, value: schema) }
        return [
            "type": "object", "properties": .object(properties), "required": JSONValue(required),
            "additionalProperties": false,
        ]
    }

    private static func list(_ items: JSONValue) -> JSONValue {
        ["type": "array", "items": items]
    }

    private static func integer(_ range: ClosedRange<Int>) -> JSONValue {
        [
            "type": "integer", "minimum": .integer(Int64(range.lowerBound)),
            "maximum": .integer(Int64(range.upperBound)),
        ]
    }

    private static func choice<Choice: RawRepresentable & CaseIterable>(
        _ type: Choice.Type
    ) -> JSONValue where Choice.RawValue == String {
        ["enum": JSONValue(type.allCases.map(\.rawValue))]
    }
}
