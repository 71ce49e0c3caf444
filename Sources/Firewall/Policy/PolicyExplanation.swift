package import Domain

/// Why a policy decides as it does about one call.
package struct PolicyExplanation: Sendable {
    /// A rule in the order of asking.
    package struct Rule: Sendable {
        /// What became of it.
        package enum State: String, Sendable {
            /// It decided.
            case decided
            /// It holds, and only tells so.
            case noted
            case doesNotHold = "does_not_hold"
            case failed
            /// Another one had decided before.
            case notReached = "not_reached"
        }

        package var identity: RuleIdentity
        package var action: PolicyDocument.Action
        package var state: State
        package var isEnforced: Bool
        /// As the policy writes it; nil when it holds for every call.
        package var expression: String?
        /// Whether it holds, also when it was not reached; nil when it fails.
        package var holds: Bool?
        package var failure: String?
        /// Parts of the expression with their values, outer ones first.
        package var values: [(part: String, value: String)]
        /// The arguments that the expression names, in its order.
        package var arguments: [String] = []
    }

    package var ruling: PolicyRuling
    package var tool: ToolIdentity
    package var policyVersion: Int64
    package var isKnown: Bool
    package var isEnabled: Bool
    package var isVisible: Bool
    package var rules: [Rule]
    /// Whether there is such a tool now; nil where nobody has looked.
    package var exists: Bool?
    /// What was found in the arguments; nil when there is nothing to do about them.
    package var screening: PolicyScreening?
    /// Whether it is one of the gateway's own tools, about which no rule for tools is asked.
    package var isExempt = false

    /// Whether what was found in the arguments decides, alone or with a rule.
    package var isScreened: Bool {
        guard let screening, ruling.action != .allow else { return false }
        return screening.action.decision == ruling.action
            || isExempt && screening.action == .requireApproval
    }
}

extension CompiledPolicy {
    /// Decides about a call, and tells of each rule and each part of it, and of what stands in the
    /// arguments.
    package func explain(_ context: PolicyContext) -> PolicyExplanation {
        if context.tool.isOfGateway { return explainExempt(context) }
        let list = list(for: context.tool)
        // A tool that is disabled is not there, and nothing is looked through.
        let screening = list.isEnabled ? screening(of: context) : nil
        var context = context
        if let screening { context.arguments = screening.arguments }
        let ruling = decide(context, after: screening)
        var isDecided = !list.isEnabled || screening?.action == .deny
        var rules: [PolicyExplanation.Rule] = []
        for rule in list.rules {
            var told = explain(rule, context)
            if isDecided {
                told.state = .notReached
            } else if told.failure != nil {
                told.state = .failed
                isDecided = rule.isEnforced
            } else if told.holds == true {
                told.state = rule.isEnforced ? .decided : .noted
                isDecided = rule.isEnforced
            }
            rules.append(told)
        }
        return PolicyExplanation(
            ruling: ruling,
            tool: context.tool,
            policyVersion: version,
            isKnown: list.isKnown,
            isEnabled: list.isEnabled,
            isVisible: isVisible(context),
            rules: rules,
            screening: screening
        )
    }

    /// The same for a tool of the gateway: every caller has it, and only its arguments are looked
    /// through.
    private func explainExempt(_ context: PolicyContext) -> PolicyExplanation {
        let screening = screening(of: context)
        return PolicyExplanation(
            ruling: decide(context, after: screening),
            tool: context.tool,
            policyVersion: version,
            isKnown: true,
            isEnabled: true,
            isVisible: true,
            rules: [],
            screening: screening,
            isExempt: true
        )
    }

    private func explain(
        _ rule: CompiledRule,
        _ context: PolicyContext
    ) -> PolicyExplanation.Rule {
        let bindings = PolicyExpression.bindings(context)
        var told = PolicyExplanation.Rule(
            identity: rule.identity,
            action: rule.action,
            state: .doesNotHold,
            isEnforced: rule.isEnforced,
            expression: rule.rule.condition?.text,
            holds: nil,
            failure: nil,
            values: []
        )
        var budget = Budget(Self.cost)
        do throws(EvaluationError) {
            told.holds = try rule.holds(bindings, &budget)
        } catch {
            told.failure = rule.words(of: error)
        }
        guard let condition = rule.rule.condition else { return told }
        var values = PartValues(bindings: bindings, budget: budget)
        values.add(condition, rule.rule.language ?? .simple)
        told.values = values.values
        told.arguments = values.arguments
        return told
    }
}

/// Values of the parts of a condition.
private struct PartValues {
    /// More parts than this are noise.
    private static let maximumCount = 60

    let bindings: CELBindings
    var budget: Budget
    var values: [(part: String, value: String)] = []
    /// The arguments that are named.
    var arguments: [String] = []
    private var seen: Set<String> = []

    init(bindings: CELBindings, budget: Budget) {
        self.bindings = bindings
        self.budget = budget
    }

    mutating func add(
        _ condition: PolicyDocument.Condition,
        _ language: PolicyDocument.Language
    ) {
        switch condition {
        case .all(let parts), .any(let parts), .none(let parts):
            for part in parts { add(part, language) }
        case .expression(let text, let own):
            if own ?? language == .cel {
                addCEL(text)
            } else {
                addSimple(text)
            }
        }
    }

    /// The comparison as it is written, and what is compared.
    private mutating func addSimple(_ text: String) {
        // What is in force has been read before.
        guard let simple = try? SimpleCondition(text),
            let whole = try? Parser.parse(simple.cel, expandsMacros: true)
        else { return }
        note(whole)
        add(text, whole)
        guard let (name, value) = simple.subject,
            let compared = try? Parser.parse(value, expandsMacros: true)
        else { return }
        add(name, compared)
    }

    private mutating func addCEL(_ text: String) {
        guard let expression = try? Parser.parse(text, expandsMacros: true) else { return }
        note(expression)
        for part in expression.parts {
            switch part.kind {
            case .literal: continue
            // All arguments at once are what was asked about.
            case .identifier("args", _): continue
            default: add(CELText.text(part), part)
            }
        }
    }

    /// Remembers which arguments an expression names, those within macros too.
    private mutating func note(_ expression: Expression) {
        var waiting = [expression]
        while let next = waiting.popLast() {
            if let name = next.argumentName,
                !arguments.contains(where: { haveEqualBytes($0, name) })
            {
                arguments.append(name)
            }
            waiting += Expression.children(of: next.kind).reversed()
        }
    }

    private mutating func add(_ text: String, _ expression: Expression) {
        let environment = PolicyExpression.environment
        guard values.count < Self.maximumCount, seen.insert(text).inserted,
            !PolicyExpression.typeNames.contains(text),
            // Parts of a name, such as `request`, are nothing by themselves.
            (try? Checker.check(expression, in: environment)) != nil
        else { return }
        let program = CELProgram(expression, environment, type: .dyn)
        do throws(EvaluationError) {
            values.append((text, CELText.text(try program.evaluate(bindings, budget: &budget))))
        } catch {
            let isMissing = if case .noSuchKey = error.reason { true } else { false }
            values.append((text, isMissing ? "missing" : "error: \(error.words)"))
        }
    }
}

extension Expression {
    /// The argument that it asks for: `args.a`, `has(args.a)`, `args["a"]`, `"a" in args`.
    fileprivate var argumentName: String? {
        switch kind {
        case .select(let operand, let field, _), .presence(let operand, let field):
            return operand.isArguments ? field : nil
        case .call(let name, nil, let operands) where operands.count == 2:
            let places = ["_[_]": (0, 1), "_[?_]": (0, 1), "@in": (1, 0)]
            guard let (holder, key) = places[name], operands[holder].isArguments,
                case .literal(.string(let text)) = operands[key].kind
            else { return nil }
            return text
        default: return nil
        }
    }

    private var isArguments: Bool {
        if case .identifier("args", _) = kind { true } else { false }
    }
}

extension PolicyExplanation {
    /// As answers have it.
    package var json: JSONValue {
        [
            "tool": .string(tool.description), "policy_version": .integer(policyVersion),
            "action": .string(ruling.action.rawValue), "reason": JSONValue(ruling.reason),
            "workflow": JSONValue(ruling.workflow),
            "workflows": .array(ruling.workflows.map { JSONValue($0) }),
            "rule": ruling.rule?.json ?? .null,
            "exists": exists.map(JSONValue.bool) ?? .null,
            "is_known": .bool(isKnown), "is_enabled": .bool(isEnabled),
            "is_visible": .bool(isVisible), "is_exempt": .bool(isExempt),
            "sensitive_data": screening?.json ?? .null, "rules": .array(rules.map(\.json)),
        ]
    }
}

extension PolicyExplanation.Rule {
    fileprivate var json: JSONValue {
        [
            "rule": identity.json, "action": .string(action.rawValue),
            "state": .string(state.rawValue), "is_enforced": .bool(isEnforced),
            "expression": JSONValue(expression), "holds": holds.map(JSONValue.bool) ?? .null,
            "failure": JSONValue(failure),
            "values": .array(
                values.map { ["part": .string($0.part), "value": .string($0.value)] }
            ),
            "arguments": JSONValue(arguments),
        ]
    }
}

extension RuleIdentity {
    /// As answers have it.
    package var json: JSONValue {
        [
            "selector": .string(selector), "index": .integer(Int64(index)),
            "priority": .integer(Int64(priority)), "description": JSONValue(description),
        ]
    }
}

extension PolicyRuling {
    /// What is told besides the action; nil when there is nothing to tell.
    package var reason: String? {
        switch outcome {
        case .allow: nil
        case .deny(let reason): reason
        case .requireApproval(let demand): demand.message
        }
    }

    /// Who is to approve first; nil for the default workflow, or when nobody has to.
    package var workflow: String? { workflows.first ?? nil }

    /// All who have to approve, in the order they are asked, nil for the default workflow; empty
    /// when nobody has to.
    package var workflows: [String?] {
        guard case .requireApproval(let demand) = outcome else { return [] }
        return demand.workflows
    }
}
