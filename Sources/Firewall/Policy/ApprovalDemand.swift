import Domain

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
    /// Workflows that have to approve as well, in the order they are asked when the first one has;
    /// nil for the account's default one.
    package var others: [String?] = []
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

    /// What the approval of each of some workflows is asked for, in their order; of the default one
    /// where there are none.
    package init(workflows: [String?], policyVersion: Int64, message: String) {
        self.init(workflow: workflows.first ?? nil, policyVersion: policyVersion)
        add(workflows, message)
    }

    /// Every workflow that has to approve, in the order they are asked.
    package var workflows: [String?] { [workflow] + others }

    /// Asks for the approval of further workflows, and says why.
    package mutating func add(_ workflows: [String?], _ words: String) {
        var all = self.workflows
        for name in workflows { all.add(workflow: name) }
        others = Array(all.dropFirst())
        message = message.map { "\($0); \(words)" } ?? words
    }
}

extension [String?] {
    /// Adds the name of a workflow, nil for the default one, unless it is there.
    mutating func add(workflow name: String?) {
        let isThere = contains { known in
            switch (known, name) {
            case (nil, nil): true
            // By bytes: two names that only look the same are two.
            case (let known?, let name?): haveEqualBytes(known, name)
            default: false
            }
        }
        if !isThere { append(name) }
    }
}
