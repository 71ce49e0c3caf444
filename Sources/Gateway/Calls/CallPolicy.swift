package import Domain
package import MCP

/// A call that somebody wants to make, before anything has happened.
package struct ProposedCall: Sendable {
    package var tool: ToolDefinition
    /// Whose tool it is: the name of an upstream server, nil for Preloop's own.
    package var server: String?
    /// What that server calls the tool, where that is not the name it has here.
    package var upstreamTool: String?
    /// As they would reach the tool.
    package var arguments: JSONObject
    package var caller: Caller
}

/// What is decided about a call.
package enum CallDecision: Sendable, Equatable {
    case allow
    /// The reason is told to the caller.
    case deny(reason: String)
}

/// Decides about calls.
///
/// Contract: every call is decided before it runs, and a tool that is not visible to a caller
/// cannot be called by its name either. A policy that cannot decide denies.
package protocol CallPolicy: Sendable {
    /// Whether the tool exists for the caller.
    func isVisible(_ tool: ToolDefinition, to caller: Caller) async -> Bool

    /// Whether this call may run.
    func decide(_ call: ProposedCall) async -> CallDecision
}

/// The policy of an installation without rules: whoever may write may do everything, and for
/// others tools that change something do not exist.
package struct OpenPolicy: CallPolicy {
    package init() {}

    /// Every tool to those who may write, and those that only read to all.
    package func isVisible(_ tool: ToolDefinition, to caller: Caller) async -> Bool {
        caller.mayWrite || tool.annotations.isReadOnly
    }

    /// Every call of a tool that the caller can see.
    package func decide(_ call: ProposedCall) async -> CallDecision {
        await isVisible(call.tool, to: call.caller)
            ? .allow : .deny(reason: "this credential may only read")
    }
}
