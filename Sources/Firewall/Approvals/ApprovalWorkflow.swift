package import Domain

/// Who is asked about a call, for how long, and what their answer has to be like.
package struct ApprovalWorkflow: Sendable, Equatable {
    /// What becomes of a call that a model is not sure about.
    package enum Fallback: String, Sendable, CaseIterable {
        /// People are asked.
        case escalate
        case approve
        case deny
    }

    /// A language model that decides where it is sure enough.
    package struct Judge: Sendable, Equatable {
        /// The name of the configured model; nil for the installation's.
        package var model: String?
        /// What the model is to go by.
        package var guidelines: String
        /// What else the operator tells the model; empty for nothing.
        package var context = JSONObject()
        /// From 0 to 1; below it the fallback counts.
        package var threshold: Double
        package var fallback: Fallback

        package init(
            model: String? = nil,
            guidelines: String = "",
            threshold: Double = 0.8,
            fallback: Fallback = .escalate
        ) {
            self.model = model
            self.guidelines = guidelines
            self.threshold = threshold
            self.fallback = fallback
        }
    }

    /// More people agree on nothing.
    package static let quorumRange = 1...10
    /// From the time it takes to read a message to a day.
    package static let timeoutRange = 30...86_400
    /// Nobody remembers for longer than a day what they said yes to.
    package static let rememberedRange = 0...86_400
    /// Names of one workflow; a team's.
    package static let maximumNames = 100

    /// Unique in the account.
    package var name: String
    package var summary: String?
    /// Names of users; empty for whoever may decide approvals.
    package var approvers: [String] = []
    /// Names of users who are asked too when nobody has answered in time.
    package var escalation: [String] = []
    /// So many have to approve; one who declines is enough.
    package var quorum = 1
    /// For how long one waits, and once more after the escalation.
    package var timeoutSeconds = 300
    package var requiresReason = false
    /// Whether callers get a handle at once in place of waiting.
    package var isAsynchronous = false
    /// Whether people may approve calls that were made in their own name; nil for
    /// ``permitsSelfApproval`` to say.
    package var allowsSelfApproval: Bool?
    /// For how long an approver may say yes to the same call again; 0 for this call alone.
    package var rememberedSeconds = 0
    /// Whether an approver may say yes to the same call for as long as its session lasts.
    package var remembersSession = false
    package var judge: Judge?
    /// The workflow by which people are asked where a model is not sure.
    package var escalationWorkflow: String?
    /// Where requests are told of, as the policy has it: `{"slack": {"webhook_url": …}}`.
    package var channels = JSONObject()

    package init(name: String) {
        self.name = name
    }

    /// The workflow of an account that has none: whoever may decide is asked, for five minutes.
    package static let standard = ApprovalWorkflow(name: "default")

    /// Whether whoever made a call may approve it.
    ///
    /// Where nobody is named and one is enough, a call of somebody's agent asks that somebody;
    /// where approvers are named or several are needed, four eyes are meant.
    package var permitsSelfApproval: Bool {
        allowsSelfApproval ?? (approvers.isEmpty && quorum == 1)
    }

    /// Whether whoever follows a link that was sent to a channel may decide.
    ///
    /// Such a link shows no person: two that follow it could not be told apart, nor could whoever
    /// made the call be told from others.
    package var permitsChannelLinks: Bool {
        approvers.isEmpty && quorum == 1 && permitsSelfApproval
    }

    /// The same where others have to approve as well: more than one person is meant then, unless
    /// the workflow itself says that one's own calls may be approved.
    var besideOthers: ApprovalWorkflow {
        var copy = self
        copy.allowsSelfApproval = allowsSelfApproval ?? false
        return copy
    }

    /// Checks what no workflow may be like.
    package func validate() throws(ApprovalError) {
        func demand(_ isRight: Bool, _ field: String, _ rule: String) throws(ApprovalError) {
            guard isRight else { throw .invalidWorkflow(field: field, rule: rule) }
        }
        try demand(!name.isEmpty && name.utf8.count <= 200, "name", "has 1 to 200 bytes")
        try demand(Self.quorumRange.contains(quorum), "approvals_required", "is from 1 to 10")
        try demand(
            Self.timeoutRange.contains(timeoutSeconds),
            "timeout_seconds",
            "is from 30 to 86400"
        )
        try demand(
            Self.rememberedRange.contains(rememberedSeconds),
            "remember_seconds",
            "is from 0 to 86400"
        )
        try demand(
            approvers.count + escalation.count <= Self.maximumNames,
            "approver_users",
            "has at most \(Self.maximumNames) names"
        )
        let people = Set(approvers + escalation).count
        try demand(
            approvers.isEmpty || people >= quorum,
            "approvals_required",
            "is at most the number of approvers, or nobody could approve"
        )
        if let judge {
            try demand(
                (0...1).contains(judge.threshold),
                "ai_confidence_threshold",
                "is from 0 to 1"
            )
        }
    }
}
