/// What a policy would say about a call of which not everything is known any more.
package enum PolicyReplay: Sendable, Equatable {
    /// It would be this, whatever is not known.
    case decided(PolicyDocument.Action)
    /// It depends on these rules, which ask for what is not known.
    case depends(on: [RuleIdentity])
}

/// The same with what stood in the arguments of the call counted.
package struct RecordedRuling: Sendable, Equatable {
    /// What would be decided; nil when it depends on what is not known.
    package var action: PolicyDocument.Action?
    /// The rules for tools that it depends on.
    package var rules: [RuleIdentity] = []
    /// The rules about sensitive values that it depends on.
    package var sensitiveRules: [String] = []
}

extension CompiledPolicy {
    /// Decides again about a recorded call as calls are decided: what must not be in arguments
    /// refuses it before a rule for tools is asked, and the stronger of the two counts.
    ///
    /// - Parameters:
    ///   - context: What the record tells.
    ///   - knowsArguments: Whether the arguments are among that.
    ///   - traces: What was found in them.
    ///   - caller: The principal, such as `user:ann`.
    /// - Returns: The action, or what it depends on.
    package func replay(
        _ context: PolicyContext,
        knowsArguments: Bool,
        _ traces: SensitiveTraces,
        by caller: String
    ) -> RecordedRuling {
        guard list(for: context.tool).isEnabled else { return RecordedRuling(action: .deny) }
        let found = redaction.recollect(
            traces,
            on: .arguments,
            of: RedactionPolicy.Subject(context, caller: caller)
        )
        if found.action == .deny { return RecordedRuling(action: .deny) }
        let least: PolicyDocument.Action
        switch replay(context, knowsArguments: knowsArguments) {
        case .depends(let rules):
            let open = found.open.filter { $0.action.decision != .allow }
            return RecordedRuling(rules: rules, sensitiveRules: open.map(\.id))
        case .decided(let action):
            least = action.orStronger(found.action?.decision ?? .allow)
        }
        let open = found.open.filter { least.orStronger($0.action.decision) != least }
        guard open.isEmpty else { return RecordedRuling(sensitiveRules: open.map(\.id)) }
        return RecordedRuling(action: least)
    }

    /// Decides again about a recorded call.
    ///
    /// - Parameters:
    ///   - context: What the record tells.
    ///   - knowsArguments: Whether the arguments are among that.
    /// - Returns: The action, or the rules that would have to be asked for what the record lacks.
    package func replay(_ context: PolicyContext, knowsArguments: Bool = false) -> PolicyReplay {
        let list = list(for: context.tool)
        guard list.isEnabled else { return .decided(.deny) }
        var known = PolicyExpression.recorded
        if knowsArguments { known.insert("args") }
        var open: [CompiledRule] = []
        var budget = Budget(Self.cost)
        let bindings = PolicyExpression.bindings(context)
        for rule in list.rules where rule.isEnforced {
            guard rule.names.isSubset(of: known) else {
                open.append(rule)
                continue
            }
            let isMet: Bool
            do throws(EvaluationError) {
                isMet = try rule.holds(bindings, &budget)
            } catch {
                return verdict(isApprovable(rule) ? .requireApproval : .deny, open)
            }
            if isMet { return verdict(rule.action, open) }
        }
        return verdict(PolicyRuling(outcome: list.fallback).action, open)
    }

    /// The action, when the rules that could not be asked would have said the same.
    private func verdict(
        _ action: PolicyDocument.Action,
        _ open: [CompiledRule]
    ) -> PolicyReplay {
        // A condition that fails denies, or asks where it can: no action but these is sure.
        let isSure = open.allSatisfy { rule in
            rule.action == action
                && action == (isApprovable(rule) ? .requireApproval : .deny)
        }
        return isSure ? .decided(action) : .depends(on: open.map(\.identity))
    }
}
