package import Domain
package import Firewall
package import MCP

/// A call that somebody wants to make, before anything has happened.
package struct ProposedCall: Sendable {
    package var tool: ToolDefinition
    package var identity: ToolIdentity
    /// As they would reach the tool.
    package var arguments: JSONObject
    package var caller: Caller
    /// What the client says of itself; nobody has verified it.
    package var client: ClientDescription?
    package var traceParent: String?
    /// The connection or session that it comes by; nil where there is none.
    package var session: String?
}

/// What is decided about a call.
package enum CallDecision: Sendable, Equatable {
    case allow
    /// The reason is told to the caller.
    case deny(reason: String)
    /// It may run when somebody has approved it.
    case requireApproval(ApprovalDemand)
}

/// A decision with its grounds, for the record.
package struct CallRuling: Sendable, Equatable {
    package var decision: CallDecision
    /// The rule that decided; nil when none did.
    package var rule: RuleIdentity?
    /// The version of the policy; nil where there is none.
    package var policyVersion: Int64?
    /// Rules that only tell what they would have decided: `log_only`.
    package var noted: [Note] = []

    /// What a rule would have decided, had it been enforced.
    package struct Note: Sendable, Equatable {
        package var rule: RuleIdentity
        /// `allow`, `deny` or `require_approval`.
        package var action: String

        package init(rule: RuleIdentity, action: String) {
            self.rule = rule
            self.action = action
        }
    }

    package init(
        _ decision: CallDecision,
        rule: RuleIdentity? = nil,
        policyVersion: Int64? = nil
    ) {
        self.decision = decision
        self.rule = rule
        self.policyVersion = policyVersion
    }
}

/// Decides about calls.
///
/// Contract: every call is decided before it runs, and a tool that is not visible to a caller
/// cannot be called by its name either. A policy that cannot decide denies.
package protocol CallPolicy: Sendable {
    /// Whether the tool exists for the caller.
    func isVisible(
        _ tool: ToolDefinition,
        _ identity: ToolIdentity,
        to caller: Caller
    ) async -> Bool

    /// Whether this call may run.
    func decide(_ call: ProposedCall) async -> CallRuling

    /// Whether callers of a tool are asked why they call it; nil where they are not.
    ///
    /// Throws when the policy cannot be read: the call is then refused.
    func justification(for tool: ToolIdentity) async throws -> JustificationMode?

    /// What callers read of a tool in place of its own description; nil where it is left as it is.
    ///
    /// It is for the list alone: rules, approvals and pins go by what the tool says of itself.
    /// Throws when the policy cannot be read.
    func summary(of tool: ToolIdentity) async throws -> String?

    /// Which policy it is, as a number that changes with it; nil while that cannot be told.
    func versionInForce() async -> Int64?
}

extension CallPolicy {
    /// Always the same.
    package func versionInForce() async -> Int64? { 0 }

    /// Nobody is asked.
    package func justification(for tool: ToolIdentity) async -> JustificationMode? { nil }

    /// Every tool describes itself.
    package func summary(of tool: ToolIdentity) async -> String? { nil }
}

/// The policy of an installation without rules: whoever may write may do everything, and for
/// others tools that change something do not exist.
package struct OpenPolicy: CallPolicy {
    package init() {}

    /// Every tool to those who may write, and those that are known to only read to all.
    package func isVisible(
        _ tool: ToolDefinition,
        _ identity: ToolIdentity,
        to caller: Caller
    ) async -> Bool {
        caller.mayWrite || tool.isSurelyReadOnly
    }

    /// Every call of a tool that the caller can see.
    package func decide(_ call: ProposedCall) async -> CallRuling {
        await isVisible(call.tool, call.identity, to: call.caller)
            ? CallRuling(.allow) : CallRuling(.deny(reason: "this credential may only read"))
    }
}
