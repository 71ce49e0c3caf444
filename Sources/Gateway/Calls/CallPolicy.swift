package import Domain
package import MCP

/// A call that somebody wants to make, before anything has happened.
package struct ProposedCall: Sendable {
    package var tool: ToolDefinition
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

/// The policy of an installation without rules: its own user may do everything.
package struct OpenPolicy: CallPolicy {
    package init() {}

    /// Every tool.
    package func isVisible(_ tool: ToolDefinition, to caller: Caller) async -> Bool { true }

    /// Every call.
    package func decide(_ call: ProposedCall) async -> CallDecision { .allow }
}
