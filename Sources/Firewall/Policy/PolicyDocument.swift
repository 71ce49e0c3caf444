package import Domain

/// A policy as its file says it: what is not written is nil, so that it is written back as it was.
///
/// The meaning of what is missing is in the computed properties.
package struct PolicyDocument: Sendable, Equatable {
    /// Who made it and what it is called.
    package struct Metadata: Sendable, Equatable {
        package var name: String
        package var description: String?
        package var author: String?
        /// RFC 3339.
        package var createdAt: String?
        package var tags: [String]?
    }

    /// An upstream MCP server.
    package struct Server: Sendable, Equatable {
        package var name: String
        package var url: String
        package var transport: Transport?
        package var authentication: Authentication?
        /// Credentials stand in it as `${NAME}`, never themselves.
        package var authenticationSettings: JSONValue?

        /// How it is reached.
        package enum Transport: String, Sendable, CaseIterable {
            case streamableHTTP = "streamable-http"
            case httpStreaming = "http-streaming"
            case sse, stdio
        }

        /// How it is shown who asks.
        package enum Authentication: String, Sendable, CaseIterable {
            case none, bearer, oauth
            case apiKey = "api_key"
        }
    }

    /// Who approves, and how.
    package struct Workflow: Sendable, Equatable {
        package var name: String
        package var description: String?
        package var timeoutSeconds: Int?
        package var requiresReason: Bool?
        package var isDefault: Bool?
        package var kind: Kind?
        package var approvalsRequired: Int?
        package var approverUsers: [String]?
        package var approverTeams: [String]?
        package var escalationUsers: [String]?
        package var escalationTeams: [String]?
        package var channels: JSONValue?
        package var approvalKind: ApprovalKind?
        package var model: String?
        package var guidelines: String?
        package var modelContext: JSONValue?
        package var confidenceThreshold: Double?
        package var fallback: Fallback?
        package var escalationWorkflow: String?
        package var isAsynchronous: Bool?
        /// Whether whoever asks may approve.
        package var allowsSelfApproval: Bool?
        /// How long an approval holds for calls of the same shape.
        package var rememberSeconds: Int?
        /// Whether an approval may hold for the session that asked for it.
        package var remembersSession: Bool?

        /// How the approvers are asked.
        package enum Kind: String, Sendable, CaseIterable {
            case simple, consensus
            case multiStage = "multi_stage"
        }

        /// Whether people or a model decide.
        package enum ApprovalKind: String, Sendable, CaseIterable {
            case standard
            case byModel = "ai_driven"
        }

        /// What a model does that is unsure.
        package enum Fallback: String, Sendable, CaseIterable {
            case escalate, approve, deny
        }

        package init(name: String) {
            self.name = name
        }
    }

    /// What is said about a tool, or about all tools that a pattern names.
    package struct Tool: Sendable, Equatable {
        package var name: String
        /// `builtin`, `mcp`, or the name of a server; nil for any.
        package var source: String?
        package var isEnabled: Bool?
        package var approvalWorkflow: String?
        /// Shown to callers in place of the tool's own, where the name is no pattern.
        package var description: String?
        package var justification: Justification?
        package var settings: JSONValue?
        package var rules: [Rule]

        /// Whether callers say why.
        package enum Justification: String, Sendable, CaseIterable {
            case optional, required
        }

        /// Whether the description says anything.
        var hasDescription: Bool {
            description?.contains { !$0.isWhitespace } ?? false
        }

        package init(name: String, source: String? = nil, rules: [Rule] = []) {
            self.name = name
            self.source = source
            self.rules = rules
        }
    }

    /// What is done with a call that a condition holds for.
    package struct Rule: Sendable, Equatable {
        /// Given when rules are edited one by one, so that they can be named.
        package var id: String?
        /// Nil for every call.
        package var condition: Condition?
        package var action: Action?
        /// How the expressions of the condition are written that do not say so themselves.
        package var language: Language?
        /// For people; the answer to a denied caller when there is no message.
        package var description: String?
        /// What a denied caller, or whoever approves, is told.
        package var message: String?
        package var approvalWorkflow: String?
        package var mode: Mode?
        /// Lower is asked first.
        package var priority: Int?
        package var isEnabled: Bool?

        /// Whether it decides, or only tells what it would.
        package enum Mode: String, Sendable, CaseIterable {
            case enforce
            case logOnly = "log_only"
        }

        package init(_ action: Action? = nil, when condition: Condition? = nil) {
            self.action = action
            self.condition = condition
        }
    }

    /// What is done with a call.
    package enum Action: String, Sendable, CaseIterable {
        case allow, deny
        case requireApproval = "require_approval"
    }

    /// How an expression is written.
    package enum Language: String, Sendable, CaseIterable {
        case simple, cel
    }

    /// Expressions, and how they are put together.
    package indirect enum Condition: Sendable, Equatable {
        /// An expression; nil for the language of the rule.
        case expression(String, Language?)
        case all([Condition])
        case any([Condition])
        case none([Condition])
    }

    /// What is done where something sensitive stands in the arguments or the answer of a call.
    package struct SensitiveRule: Sendable, Equatable {
        /// Names it in records and answers.
        package var id: String
        package var isEnabled: Bool?
        package var side: RedactionPolicy.Side
        /// Words of ``SensitiveKind/kinds(named:)``.
        package var types: [String]
        package var action: RedactionPolicy.Action
        /// Patterns of tools' names; nil for all, as below.
        package var tools: [String]?
        package var servers: [String]?
        /// Of principals, such as `user:ann`.
        package var callers: [String]?
        /// Of what clients call themselves, which nobody has verified.
        package var agents: [String]?
        package var approvalWorkflow: String?

        package init(
            id: String,
            on side: RedactionPolicy.Side,
            types: [String],
            action: RedactionPolicy.Action
        ) {
            self.id = id
            self.side = side
            self.types = types
            self.action = action
        }
    }

    /// What holds where no tool is named.
    package struct Defaults: Sendable, Equatable {
        package var unknownTools: Action?
        package var requiresApprovalForNewTools: Bool?
        package var approvalWorkflow: String?
        /// Taken for the sake of older files; there is nothing to inherit from.
        package var inheritsFromParent: Bool?

        package init() {}

        /// Whether nothing is said.
        var isEmpty: Bool { self == Defaults() }
    }

    package var metadata: Metadata
    package var servers: [Server] = []
    package var workflows: [Workflow] = []
    package var tools: [Tool] = []
    package var sensitiveRules: [SensitiveRule] = []
    package var defaults = Defaults()

    /// A policy that says nothing: every call is allowed.
    package init(name: String) {
        metadata = Metadata(name: name)
    }
}

extension PolicyDocument {
    /// The workflow for demands that name none: the default's, else the one that says it is.
    package var defaultWorkflow: String? {
        defaults.approvalWorkflow ?? workflows.first { $0.isDefault == true }?.name
    }
}

extension PolicyDocument.Workflow {
    /// What the workflow asks for and nothing here does, in words of the file.
    ///
    /// All of it narrows who approves, or how: a workflow that asks for it must not be used as if
    /// it did not.
    package var unsupportedParts: [String] {
        var parts: [String] = []
        if let kind, kind != .simple { parts.append("`workflow_type: \(kind.rawValue)`") }
        if approverTeams?.isEmpty == false { parts.append("`approver_teams`") }
        if escalationTeams?.isEmpty == false { parts.append("`escalation_teams`") }
        return parts
    }
}

extension PolicyDocument {
    /// What is done about sensitive values, as calls are looked through.
    package var redaction: RedactionPolicy {
        RedactionPolicy(
            rules: sensitiveRules.filter { $0.isEnabled ?? true }.map { given in
                let kinds = given.types.compactMap(SensitiveKind.kinds(named:))
                var rule = RedactionPolicy.Rule(
                    id: given.id,
                    side: given.side,
                    kinds: kinds.reduce(into: []) { $0.formUnion($1) },
                    action: given.action
                )
                rule.scope.tools = given.tools ?? []
                rule.scope.servers = given.servers ?? []
                rule.scope.callers = given.callers ?? []
                rule.scope.agents = given.agents ?? []
                rule.workflow = given.approvalWorkflow
                return rule
            }
        )
    }
}

extension PolicyDocument.Rule {
    /// What priority a rule has that names none; there is room on both sides.
    package static let standardPriority = 100

    package var effectiveAction: PolicyDocument.Action { action ?? .requireApproval }
    package var effectivePriority: Int { priority ?? Self.standardPriority }
    package var isEnforced: Bool { mode != .logOnly }

    /// What a denied caller is told.
    package var words: String? { message ?? description }
}

extension PolicyDocument.Tool {
    /// The tools as a pattern with its server, the way rules are reported.
    package var selectorText: String {
        source.map { "\($0)/\(name)" } ?? name
    }
}

/// The greatest policy, each number far beyond what people write.
enum PolicyLimits {
    static let servers = 500
    static let workflows = 500
    static let tools = 5_000
    /// In one tool; all of them are asked for every call when none holds.
    static let rules = 200
    /// In all tools; those beyond are not read.
    static let allRules = 10_000
    /// All of them look through every call in their scope.
    static let sensitiveRules = 100
    static let textBytes = 4_096
    /// Of what a model is told besides its guidelines, which may be as long.
    static let modelContextBytes = 16 << 10
    static let nameBytes = 256
    /// An expression that people can still read is far shorter; parsing it takes a millisecond.
    static let expressionBytes = 16 << 10
    /// Of all expressions: four times what a text can say without aliases; compiling them takes
    /// a quarter of a second.
    static let allExpressionBytes = 4 << 20
    /// Expressions of one rule.
    static let expressions = 64
    /// Lists of conditions in one another.
    static let conditionDepth = 8
    static let listLength = 200
    static let priorities = -1_000_000...1_000_000
}
