import Domain
package import Firewall

extension PolicyBook {
    /// The approval workflow of a name, or the account's default for nil.
    ///
    /// The policy's own come first; where it has no default, whoever may decide approvals is asked.
    ///
    /// - Returns: Nil for a name that the policy does not have, for a workflow that asks for what
    ///   nothing here does, such as teams, and where the policy cannot be used.
    /// - Throws: ``StoreError`` when the policy cannot be read; whatever the workflow may not be.
    package func workflow(named name: String?) async throws -> ApprovalWorkflow? {
        switch try await state() {
        case .open: return name == nil ? .standard : nil
        case .unusable: return nil
        case .compiled(let policy, _):
            guard let wanted = name ?? policy.document.defaultWorkflow else { return .standard }
            let found = policy.document.workflows.first { haveEqualBytes($0.name, wanted) }
            // Without its teams it would be decided by whoever may decide approvals.
            guard let given = found, given.unsupportedParts.isEmpty else { return nil }
            let workflow = ApprovalWorkflow(given)
            try workflow.validate()
            return workflow
        }
    }

    /// Whether callers of a tool are asked why they call it, as the policy says.
    ///
    /// - Throws: ``StoreError`` when the policy cannot be read, so that no reason that it requires
    ///   is left out.
    package func justification(for tool: ToolIdentity) async throws -> JustificationMode? {
        guard case .compiled(let policy, _) = try await state() else { return nil }
        return policy.justification(for: tool)
    }

    /// What callers read of a tool in place of its own description, as the policy says.
    ///
    /// - Throws: ``StoreError`` when the policy cannot be read.
    package func summary(of tool: ToolIdentity) async throws -> String? {
        guard case .compiled(let policy, _) = try await state() else { return nil }
        return policy.summary(of: tool)
    }
}

extension ApprovalWorkflow {
    /// A workflow of a policy with what it leaves open filled in.
    fileprivate init(_ given: PolicyDocument.Workflow) {
        self.init(name: given.name)
        summary = given.description
        approvers = given.approverUsers ?? []
        escalation = given.escalationUsers ?? []
        quorum = given.approvalsRequired ?? quorum
        timeoutSeconds = given.timeoutSeconds ?? timeoutSeconds
        requiresReason = given.requiresReason ?? requiresReason
        isAsynchronous = given.isAsynchronous ?? isAsynchronous
        allowsSelfApproval = given.allowsSelfApproval
        rememberedSeconds = given.rememberSeconds ?? rememberedSeconds
        remembersSession = given.remembersSession ?? remembersSession
        escalationWorkflow = given.escalationWorkflow
        if case .object(let members)? = given.channels { channels = members }
        guard given.approvalKind == .byModel else { return }
        judge = Judge(model: given.model, guidelines: given.guidelines ?? "")
        judge?.context = given.modelContext?.object ?? JSONObject()
        if let threshold = given.confidenceThreshold { judge?.threshold = threshold }
        switch given.fallback {
        case .approve?: judge?.fallback = .approve
        case .deny?: judge?.fallback = .deny
        case .escalate?, nil: break
        }
    }
}
