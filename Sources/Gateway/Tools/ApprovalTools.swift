import Domain
import MCP

/// `get_approval_status`: how a call stands that waits for approval; runs it when it is approved.
struct GetApprovalStatusTool: Tool {
    var isOfGateway: Bool { true }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "get_approval_status",
            title: "Approval status",
            summary: """
                Tell how a call stands that waits for approval (`pending_approval`), or whose \
                answer does. The first use after the approval runs a call that has not run, once, \
                and later uses give the same result again. While it is pending, wait \
                `poll_interval_seconds` between uses.
                """,
            inputSchema: Schema.object(
                ["request_id": Schema.text("The request_id that came with pending_approval.")],
                required: ["request_id"]
            ),
            outputSchema: approvalStatusSchema,
            annotations: .init(isReadOnly: false, isDestructive: true, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        try await context.approvalStatus(arguments.text("request_id"))
    }
}

/// `request_approval`: asks people about something an agent is going to do by other means.
struct RequestApprovalTool: Tool {
    /// A page or two: who has to read more decides without reading.
    private static let maximumTextCharacters = 10_000

    var isOfGateway: Bool { true }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "request_approval",
            title: "Ask for approval",
            summary: """
                Ask a person before you do something that is hard to undo and that no tool here \
                does: say what you are going to do, in which situation, and why. Go on only when \
                `status` is `approved`. When it is `pending`, ask `get_approval_status` for the \
                decision.
                """,
            inputSchema: Schema.object(
                [
                    "operation": Schema.text(
                        "What you are going to do.",
                        maximumLength: Self.maximumTextCharacters
                    ),
                    "context": Schema.text(
                        "What the person has to know to decide.",
                        maximumLength: Self.maximumTextCharacters
                    ),
                    "reasoning": Schema.text(
                        "Why it has to be done.",
                        maximumLength: Self.maximumTextCharacters
                    ),
                    "caller": Schema.text("What you are called.", maximumLength: 200),
                    "approval_workflow": Schema.text(
                        "Who is asked: a workflow of the policy.",
                        maximumLength: 200
                    ),
                ],
                required: ["operation", "context", "reasoning"]
            ),
            outputSchema: approvalStatusSchema,
            annotations: .init(isReadOnly: true, isIdempotent: false)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        var question = JSONObject()
        for name in ["operation", "context", "reasoning", "caller"] {
            if let text = arguments.optionalText(name) {
                question.append(key: name, value: .string(text))
            }
        }
        return try await context.ask(
            question,
            arguments.optionalText("approval_workflow"),
            arguments.text("reasoning")
        )
    }
}

/// What both answer.
private let approvalStatusSchema = Schema.answer([
    "request_id": Schema.string, "status": Schema.string, "tool_name": Schema.string,
    "remaining_seconds": Schema.count, "poll_interval_seconds": Schema.count,
    "approvals_received": Schema.count, "approvals_required": Schema.count,
    "decided_by": Schema.optionalString, "comment": Schema.optionalString,
    "events": Schema.list(
        of: Schema.answer([
            "timestamp": Schema.string, "type": Schema.string, "actor": Schema.optionalString,
            "detail": Schema.optionalString,
        ])
    ),
    "tool_result": [:], "tool_execution_error": Schema.optionalString,
])
