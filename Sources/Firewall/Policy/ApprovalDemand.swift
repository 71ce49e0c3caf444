/// Which rule of a policy decided, so that records and people can find it again.
package struct RuleIdentity: Sendable, Hashable {
    /// The tools the rule is for, as the policy writes them: `github/create_*`.
    package var selector: String
    /// The rule's place among its tool's rules in the document, from 0.
    package var index: Int
    /// Where it stands in the order of asking; lower comes first.
    package var priority: Int
    /// What the policy says of it.
    package var description: String?

    /// As it is named in answers and records.
    package var name: String { "rule \(index + 1) of `\(selector)`" }

    package init(selector: String, index: Int, priority: Int, description: String? = nil) {
        self.selector = selector
        self.index = index
        self.priority = priority
        self.description = description
    }
}

/// What a call needs before it may run: somebody's approval, and by which workflow.
package struct ApprovalDemand: Sendable, Equatable {
    /// The workflow's name; nil for the account's default one.
    package var workflow: String?
    /// The rule that asks for it; nil when the policy's defaults do.
    package var rule: RuleIdentity?
    /// The version of the policy that was in force when the call was decided.
    package var policyVersion: Int64
    /// What approvers and the caller are told; nil when the policy says nothing.
    package var message: String?

    package init(
        workflow: String? = nil,
        rule: RuleIdentity? = nil,
        policyVersion: Int64,
        message: String? = nil
    ) {
        self.workflow = workflow
        self.rule = rule
        self.policyVersion = policyVersion
        self.message = message
    }
}
