package import Domain

/// What rules about sensitive values say about the arguments of a call.
package struct PolicyScreening: Sendable, Equatable {
    /// The strongest of all that found something.
    package var action: RedactionPolicy.Action
    /// The rules that found something, in their order.
    package var rules: [String]
    /// What was found, for people: `email, github_token`.
    package var found: String
    /// The workflows that are asked, one after the other, where somebody is; nil for the default
    /// one.
    package var workflows: [String?]
    /// The arguments as rules for tools, and the tool, get them.
    package var arguments: JSONObject

    /// What a caller or an approver is told.
    var message: String { "the arguments contain \(found) (\(rules.joined(separator: ", ")))" }

    /// As answers have it; the arguments are known to whoever has asked.
    var json: JSONValue {
        [
            "action": .string(action.rawValue), "found": .string(found),
            "rules": JSONValue(rules), "workflow": JSONValue(workflows.first ?? nil),
            "workflows": .array(workflows.map { JSONValue($0) }),
        ]
    }
}

extension CompiledPolicy {
    /// For marks that whoever gave the values sees, and that are kept nowhere: no account's key.
    private static let redactor = Redactor(key: [UInt8](repeating: 0, count: 32))

    /// What is in the arguments of a call; nil when there is nothing to do about them.
    func screening(of context: PolicyContext) -> PolicyScreening? {
        guard redaction.rules.contains(where: { $0.side == .arguments }) else { return nil }
        let verdict = redaction.evaluate(
            .object(context.arguments),
            on: .arguments,
            of: RedactionPolicy.Subject(context, caller: context.principal),
            with: Self.redactor
        )
        guard let action = verdict.action else { return nil }
        var workflows: [String?] = []
        for name in verdict.workflows { workflows.add(workflow: name ?? document.defaultWorkflow) }
        return PolicyScreening(
            action: action,
            rules: verdict.rules,
            found: verdict.summary,
            workflows: workflows,
            arguments: verdict.value.object ?? context.arguments
        )
    }

    /// What is decided about a call whose arguments were looked through.
    ///
    /// - Parameters:
    ///   - context: The call, with what is left of its arguments.
    ///   - screening: What was in them; nil for nothing.
    /// - Returns: The stronger of both; what is denied for its arguments is not asked about, and
    ///   what both hold needs the approval of both.
    func decide(_ context: PolicyContext, after screening: PolicyScreening?) -> PolicyRuling {
        let isExempt = context.tool.isOfGateway
        var decision = screening?.action.decision ?? .allow
        // Nobody is asked about what one waits with.
        if isExempt, decision == .requireApproval { decision = .deny }
        if decision == .deny, let screening {
            return PolicyRuling(outcome: .deny(reason: screening.message))
        }
        var ruling = isExempt ? PolicyRuling(outcome: .allow) : decide(context)
        guard decision == .requireApproval, let screening else { return ruling }
        switch ruling.outcome {
        case .deny: break
        case .allow:
            let demand = ApprovalDemand(
                workflows: screening.workflows,
                policyVersion: version,
                message: screening.message
            )
            ruling.outcome = .requireApproval(demand)
            ruling.rule = nil
        case .requireApproval(var demand):
            demand.add(screening.workflows, screening.message)
            ruling.outcome = .requireApproval(demand)
        }
        return ruling
    }
}

extension RedactionPolicy.Subject {
    /// The call that a policy is asked about.
    init(_ context: PolicyContext, caller: String) {
        self.init(
            tool: context.tool.name,
            server: context.tool.server ?? ToolIdentity.builtIn,
            caller: caller,
            agent: context.agent
        )
    }
}

extension PolicyContext {
    /// Who calls, as records name them: `user:ann`, and `local:ann` on the machine itself.
    fileprivate var principal: String {
        guard !user.isEmpty else { return "" }
        return ["stdio", "command"].contains(channel) ? "local:\(user)" : "user:\(user)"
    }
}

extension RedactionPolicy.Action {
    /// What is decided about a call for it.
    var decision: PolicyDocument.Action {
        switch self {
        case .notify, .redact: .allow
        case .requireApproval: .requireApproval
        case .deny: .deny
        }
    }
}

extension PolicyDocument.Action {
    /// The one of the two that lets less pass.
    func orStronger(_ other: PolicyDocument.Action) -> PolicyDocument.Action {
        other.strength > strength ? other : self
    }

    private var strength: Int {
        switch self {
        case .allow: 0
        case .requireApproval: 1
        case .deny: 2
        }
    }
}
