import Domain
import Synchronization

/// What a policy says about a call.
package struct PolicyRuling: Sendable, Equatable {
    /// What is done with the call.
    package enum Outcome: Sendable, Equatable {
        case allow
        case deny(reason: String)
        case requireApproval(ApprovalDemand)
    }

    package var outcome: Outcome
    /// The rule that decided; nil when the policy's defaults did.
    package var rule: RuleIdentity?
    /// Rules that would have decided, were they enforced.
    package var noted: [(rule: RuleIdentity, action: PolicyDocument.Action)] = []
    /// Why a rule could not be evaluated, when that decided.
    package var failure: String?

    /// Whether two rulings say the same.
    package static func == (left: PolicyRuling, right: PolicyRuling) -> Bool {
        left.outcome == right.outcome && left.rule == right.rule && left.failure == right.failure
            && left.noted.elementsEqual(right.noted) { $0 == $1 }
    }

    /// The action, without its details.
    package var action: PolicyDocument.Action {
        switch outcome {
        case .allow: .allow
        case .deny: .deny
        case .requireApproval: .requireApproval
        }
    }
}

/// A policy that has been compiled: decides about calls, from any number of threads.
///
/// What concerns a tool is found when it is first asked for and kept. Nothing is read, written or
/// waited for.
package final class CompiledPolicy: Sendable {
    /// What it was compiled from.
    package let document: PolicyDocument
    package let version: Int64
    /// What is done about sensitive values.
    package let redaction: RedactionPolicy
    let surroundings: PolicySurroundings
    /// Tools that were there when the policy was applied, as `server/name`; nil when nobody knows.
    private let knownTools: Set<ByteText>?
    private let entries: [Entry]
    private let lists = Mutex<[ByteText: DecisionList]>([:])

    /// An entry of the document.
    struct Entry: Sendable {
        let selector: ToolSelector
        let tool: PolicyDocument.Tool
        let rules: [CompiledRule]

        /// Whether it makes the tools known that it is for.
        ///
        /// One with conditions for whatever a source has is a guard: what it lets pass is what the
        /// defaults say, for it names nothing.
        var namesTools: Bool {
            rules.isEmpty ? !selector.isForAll : !selector.isForAnyName
        }
    }

    /// More tools than an account has; beyond it the lists are made anew.
    private static let maximumLists = 8_192
    /// What one decision may cost over all rules that decide, and once more over those that only
    /// tell: some tens of milliseconds at the very worst.
    static let cost = 1_000_000

    /// Compiles a document.
    ///
    /// - Parameters:
    ///   - document: What to decide by.
    ///   - version: Its number, for the record.
    ///   - surroundings: What the account has besides.
    ///   - knownTools: Tools that are not new, as `server/name`; nil when all are.
    /// - Throws: ``PolicyProblem`` when an expression cannot be used.
    package init(
        _ document: PolicyDocument,
        version: Int64,
        surroundings: PolicySurroundings = PolicySurroundings(),
        knownTools: [String]? = nil
    ) throws(PolicyProblem) {
        self.document = document
        self.version = version
        redaction = document.redaction
        self.surroundings = surroundings
        self.knownTools = knownTools.map { Set($0.map(ByteText.init)) }
        var entries: [Entry] = []
        for (place, tool) in document.tools.enumerated() {
            let selector = ToolSelector(name: tool.name, source: tool.source)
            var rules: [CompiledRule] = []
            for (index, rule) in tool.rules.enumerated() {
                do throws(ConditionProblem) {
                    rules.append(try CompiledRule(rule, index, tool, document))
                } catch {
                    throw PolicyProblem(
                        error.description,
                        path: "$.tools.\(place).conditions.\(index)"
                    )
                }
            }
            if tool.approvalWorkflow != nil, !rules.contains(where: \.decides) {
                rules.append(CompiledRule(approvalFor: tool))
            }
            entries.append(Entry(selector: selector, tool: tool, rules: rules))
        }
        self.entries = entries
    }

    // MARK: - Deciding

    /// Decides about a call: the first rule that holds, by priority, else what holds without rules.
    package func decide(_ context: PolicyContext) -> PolicyRuling {
        let list = list(for: context.tool)
        guard list.isEnabled else {
            let reason = "the tool is disabled by the policy"
            return PolicyRuling(outcome: .deny(reason: reason))
        }
        guard !list.rules.isEmpty else { return PolicyRuling(outcome: list.fallback) }
        var noted: [(rule: RuleIdentity, action: PolicyDocument.Action)] = []
        var budget = Budget(Self.cost)
        // What rules cost that only tell must not make one fail that decides.
        var spare = Budget(Self.cost)
        let bindings = PolicyExpression.bindings(context)
        for rule in list.rules {
            do throws(EvaluationError) {
                let holds =
                    try rule.isEnforced
                    ? rule.holds(bindings, &budget) : rule.holds(bindings, &spare)
                guard holds else { continue }
            } catch {
                // A rule that only tells must not decide by failing either.
                guard rule.isEnforced else { continue }
                return failed(rule, error, noted)
            }
            guard rule.isEnforced else {
                noted.append((rule.identity, rule.action))
                continue
            }
            return PolicyRuling(outcome: outcome(of: rule), rule: rule.identity, noted: noted)
        }
        return PolicyRuling(outcome: list.fallback, noted: noted)
    }

    /// Whether a tool is there for a caller.
    ///
    /// False when every call of it would be denied, whatever its arguments, which `context` lacks.
    package func isVisible(_ context: PolicyContext) -> Bool {
        let list = list(for: context.tool)
        guard list.isEnabled else { return false }
        var budget = Budget(Self.cost)
        let bindings = PolicyExpression.bindings(context)
        for rule in list.rules where rule.isEnforced {
            if rule.dependsOnCall {
                guard rule.action == .deny else { return true }
                // It may fail, and what fails may be approved where somebody can.
                if workflow(for: rule) != nil || surroundings.hasDefaultWorkflow { return true }
                continue
            }
            do throws(EvaluationError) {
                guard try rule.holds(bindings, &budget) else { continue }
                return rule.action != .deny
            } catch {
                return isApprovable(rule)
            }
        }
        if case .deny = list.fallback { return false }
        return true
    }

    private func outcome(of rule: CompiledRule) -> PolicyRuling.Outcome {
        switch rule.action {
        case .allow: .allow
        case .deny: .deny(reason: rule.words ?? "\(rule) denies it")
        case .requireApproval:
            .requireApproval(
                ApprovalDemand(
                    workflow: workflow(for: rule),
                    rule: rule.identity,
                    policyVersion: version,
                    message: rule.words
                )
            )
        }
    }

    /// What cannot be evaluated is not allowed: somebody may approve it where that is possible.
    private func failed(
        _ rule: CompiledRule,
        _ error: EvaluationError,
        _ noted: [(rule: RuleIdentity, action: PolicyDocument.Action)]
    ) -> PolicyRuling {
        let reason = "\(rule) cannot be evaluated: \(rule.words(of: error))"
        let outcome: PolicyRuling.Outcome =
            isApprovable(rule)
            ? .requireApproval(
                ApprovalDemand(
                    workflow: workflow(for: rule),
                    rule: rule.identity,
                    policyVersion: version,
                    message: reason
                )
            ) : .deny(reason: reason)
        return PolicyRuling(outcome: outcome, rule: rule.identity, noted: noted, failure: reason)
    }

    func workflow(for rule: CompiledRule) -> String? { rule.workflow ?? document.defaultWorkflow }

    /// Whether somebody could approve what the rule holds back.
    func isApprovable(_ rule: CompiledRule) -> Bool {
        workflow(for: rule) != nil || surroundings.hasDefaultWorkflow
    }

    // MARK: - What concerns a tool

    /// What is decided about one tool without looking at a call.
    struct DecisionList: Sendable {
        let isEnabled: Bool
        /// Those in force, in the order of asking.
        let rules: [CompiledRule]
        /// When no rule holds.
        let fallback: PolicyRuling.Outcome
        /// Whether the policy names the tool.
        let isKnown: Bool
    }

    /// What concerns a tool, from the first question on.
    func list(for tool: ToolIdentity) -> DecisionList {
        // With the length, so that no slash in a name makes one tool another.
        let length = tool.server.map { "\($0.utf8.count)" } ?? ""
        let key = ByteText("\(length):\(tool.server ?? "")\(tool.name)")
        if let known = lists.withLock({ $0[key] }) { return known }
        let made = makeList(for: tool)
        lists.withLock { lists in
            if lists.count >= Self.maximumLists { lists.removeAll(keepingCapacity: true) }
            lists[key] = made
        }
        return made
    }

    private func makeList(for tool: ToolIdentity) -> DecisionList {
        let fitting = entries.filter { $0.selector.matches(tool) }
        let closest = fitting.enumerated().sorted { left, right in
            (-left.element.selector.closeness, left.offset)
                < (-right.element.selector.closeness, right.offset)
        }.map(\.element)
        let ordered = closest.flatMap(\.rules).filter(\.isEnabled).enumerated()
            .sorted { left, right in
                (left.element.identity.priority, left.offset)
                    < (right.element.identity.priority, right.offset)
            }.map(\.element)
        let isKnown = fitting.contains(where: \.namesTools)
        return DecisionList(
            isEnabled: closest.lazy.compactMap(\.tool.isEnabled).first ?? true,
            rules: ordered,
            fallback: isKnown ? .allow : fallback(for: tool),
            isKnown: isKnown
        )
    }

    /// Whether callers of a tool are asked why; the closest entry that says so counts.
    package func justification(for tool: ToolIdentity) -> JustificationMode? {
        let saying = entries.filter { $0.selector.matches(tool) && $0.tool.justification != nil }
        let closest = saying.max { $0.selector.closeness < $1.selector.closeness }
        return closest?.tool.justification.flatMap { JustificationMode(rawValue: $0.rawValue) }
    }

    /// What callers read of a tool in place of its own description; nil where nothing is said.
    ///
    /// The closest entry that says so and names the tool counts: one text for all tools that fit a
    /// pattern would tell none of them from another.
    package func summary(of tool: ToolIdentity) -> String? {
        let saying = entries.filter {
            $0.selector.name.isExact && $0.selector.matches(tool) && $0.tool.hasDescription
        }
        return saying.max { $0.selector.closeness < $1.selector.closeness }?.tool.description
    }

    /// What happens to a tool that the policy does not name.
    private func fallback(for tool: ToolIdentity) -> PolicyRuling.Outcome {
        let isNew = !(knownTools?.contains(ByteText(tool.description)) ?? false)
        var action = document.defaults.unknownTools ?? .allow
        var reason = "the policy does not know the tool `\(tool)`"
        if action == .allow, document.defaults.requiresApprovalForNewTools == true, isNew {
            action = .requireApproval
            reason = "the tool `\(tool)` is newer than the policy"
        }
        switch action {
        case .allow: return .allow
        case .deny: return .deny(reason: reason)
        case .requireApproval:
            return .requireApproval(
                ApprovalDemand(
                    workflow: document.defaultWorkflow,
                    policyVersion: version,
                    message: reason
                )
            )
        }
    }
}

/// A rule that has been compiled.
final class CompiledRule: Sendable, CustomStringConvertible {
    let identity: RuleIdentity
    let rule: PolicyDocument.Rule
    let action: PolicyDocument.Action
    let isEnforced: Bool
    let isEnabled: Bool
    /// The rule's own, else its tool's; nil for the policy's default.
    let workflow: String?
    let words: String?
    /// Nil when it holds for every call.
    let program: CELProgram?
    let expression: Expression?
    /// Whether it needs more than the tool and the caller.
    let dependsOnCall: Bool
    /// Variables and other names in its condition.
    let names: Set<String>

    init(
        _ rule: PolicyDocument.Rule,
        _ index: Int,
        _ tool: PolicyDocument.Tool,
        _ document: PolicyDocument
    ) throws(ConditionProblem) {
        identity = RuleIdentity(
            selector: tool.selectorText,
            index: index,
            priority: rule.effectivePriority,
            description: rule.description
        )
        self.rule = rule
        action = rule.effectiveAction
        isEnforced = rule.isEnforced
        isEnabled = rule.isEnabled ?? true
        workflow = rule.approvalWorkflow ?? tool.approvalWorkflow
        words = rule.words
        let compiled = try PolicyExpression.compile(rule)
        program = compiled?.program
        expression = compiled?.expression
        names = compiled?.expression.names ?? []
        dependsOnCall = !names.isSubset(of: PolicyExpression.known)
    }

    /// Whether it may decide about a call.
    var decides: Bool { isEnforced && isEnabled }

    /// What an entry with a workflow and no rule that decides means: every call needs an approval.
    init(approvalFor tool: PolicyDocument.Tool) {
        rule = PolicyDocument.Rule(.requireApproval)
        identity = RuleIdentity(
            selector: tool.selectorText,
            index: tool.rules.count,
            priority: PolicyDocument.Rule.standardPriority,
            description: nil
        )
        action = .requireApproval
        (isEnforced, isEnabled, dependsOnCall) = (true, true, false)
        workflow = tool.approvalWorkflow
        (words, program, expression, names) = (nil, nil, nil, [])
    }

    /// Whether its condition holds; what is not a truth value is an error.
    func holds(
        _ bindings: CELBindings,
        _ budget: inout Budget
    ) throws(EvaluationError) -> Bool {
        guard let program else { return true }
        guard let holds = try program.evaluate(bindings, budget: &budget).bool else {
            throw EvaluationError(.invalidArgument("the expression gives no truth value"))
        }
        return holds
    }

    /// Why its condition has no value, for people.
    func words(of error: EvaluationError) -> String {
        guard case .expression(let text, let own)? = rule.condition,
            own ?? rule.language ?? .simple == .simple, error.reason != .costLimit
        else { return error.words }
        // The place would be one in the translation.
        return "`\(text)` compares no such value"
    }

    /// The rule as it is named in answers.
    var description: String { identity.name }
}
