package import Domain

/// What happens when something sensitive stands in the arguments or the result of a call.
///
/// A value that says nothing about documents: rules come from the policy, and the gateway acts on
/// the verdict.
package struct RedactionPolicy: Sendable, Equatable {
    /// What a rule asks for, the mildest first.
    package enum Action: String, Sendable, CaseIterable {
        /// The finding is on record, and nothing else happens.
        case notify
        /// Marks stand in the place of what was found.
        case redact
        /// Somebody has to allow it.
        case requireApproval = "require_approval"
        case deny

        var strength: Int {
            switch self {
            case .notify: 0
            case .redact: 1
            case .requireApproval: 2
            case .deny: 3
            }
        }
    }

    /// On which way.
    package enum Side: String, Sendable, CaseIterable {
        case arguments = "tool.args"
        case result = "tool.result"
    }

    /// Whose calls of what; an empty list means all.
    ///
    /// Patterns in which `*` stands for any characters.
    package struct Scope: Sendable, Equatable {
        package var tools: [String] = []
        package var servers: [String] = []
        package var callers: [String] = []
        /// Of what clients call themselves, which nobody has verified.
        package var agents: [String] = []

        package init() {}
    }

    /// One rule.
    package struct Rule: Sendable, Equatable {
        package var id: String
        package var side: Side
        package var scope = Scope()
        package var kinds: Set<SensitiveKind>
        package var action: Action
        /// Who is asked; nil for the standard one.
        package var workflow: String?

        package init(id: String, side: Side, kinds: Set<SensitiveKind>, action: Action) {
            self.id = id
            self.side = side
            self.kinds = kinds
            self.action = action
        }
    }

    /// Which call it is about.
    package struct Subject: Sendable, Equatable {
        /// Its name at its server.
        package var tool: String
        /// `builtin` for built-in tools.
        package var server: String
        package var caller: String
        /// What the client calls itself; empty when it says nothing.
        package var agent: String

        package init(
            tool: String,
            server: String = ToolIdentity.builtIn,
            caller: String,
            agent: String = ""
        ) {
            self.tool = tool
            self.server = server
            self.caller = caller
            self.agent = agent
        }
    }

    /// What is to be done about a value.
    package struct Verdict: Sendable, Equatable {
        /// The strongest action of all rules that found something; nil when none did.
        package var action: Action?
        /// The value, redacted where rules ask for that.
        package var value: JSONValue
        /// What was found.
        package var findings: [SensitiveFinding]
        /// The rules that found something, in their order.
        package var rules: [String]
        /// Of the rules that ask for approval, each once, in their order; nil for the standard one.
        ///
        /// Each of them has to approve: what one rule asks for is not had by another one's word.
        package var workflows: [String?] = []

        /// What was found, for whoever is told: `email, github_token`.
        package var summary: String {
            Set(findings.map(\.kind.rawValue)).sorted().joined(separator: ", ")
        }
    }

    package var rules: [Rule]

    package init(rules: [Rule] = []) {
        self.rules = rules
    }

    /// Looks through a value.
    package func evaluate(
        _ value: JSONValue,
        on side: Side,
        of subject: Subject,
        with redactor: Redactor
    ) -> Verdict {
        var verdict = Verdict(action: nil, value: value, findings: [], rules: [])
        for rule in rules where rule.side == side && rule.scope.has(subject) {
            // Each rule sees what was given, not what another one has left of it.
            let found = redactor.redact(value, kinds: rule.kinds).findings
            guard !found.isEmpty else { continue }
            verdict.rules.append(rule.id)
            verdict.findings += found.filter { !verdict.findings.contains($0) }
            if rule.action.strength >= verdict.action?.strength ?? 0 {
                verdict.action = rule.action
            }
            if rule.action == .requireApproval { verdict.workflows.add(workflow: rule.workflow) }
            if rule.action == .redact {
                verdict.value = redactor.redact(verdict.value, kinds: rule.kinds).value
            }
        }
        return verdict
    }
}

extension RedactionPolicy.Scope {
    /// Whether a call is meant.
    package func has(_ subject: RedactionPolicy.Subject) -> Bool {
        Self.isMatch(tools, subject.tool) && Self.isMatch(servers, subject.server)
            && Self.isMatch(callers, subject.caller) && Self.isMatch(agents, subject.agent)
    }

    private static func isMatch(_ patterns: [String], _ text: String) -> Bool {
        patterns.isEmpty || patterns.contains { isMatch(Array($0.utf8), Array(text.utf8)) }
    }

    /// Whether a text has the form of a pattern, in time of their product at most.
    private static func isMatch(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
        var (place, position) = (0, 0)
        // Where the last star was, and what it has taken so far.
        var (star, taken): (Int?, Int) = (nil, 0)
        while position < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                (star, taken) = (place, position)
                place += 1
            } else if place < pattern.count, pattern[place] == text[position] {
                place += 1
                position += 1
            } else if let star {
                taken += 1
                (place, position) = (star + 1, taken)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
