package import Domain

/// What a call is judged by: the values of the variables in conditions.
package struct PolicyContext: Sendable {
    package var tool: ToolIdentity
    package var title = ""
    package var isReadOnly = false
    package var isDestructive = true
    package var isIdempotent = false
    package var isOpenWorld = true
    package var arguments = JSONObject()
    package var user = ""
    package var role = ""
    package var mayWrite = false
    /// What the client says of itself; nobody has verified it.
    package var agent = ""
    package var agentVersion = ""
    package var session = ""
    package var channel = ""
    package var traceParent = ""
    package var now: Timestamp

    package init(tool: ToolIdentity, now: Timestamp) {
        self.tool = tool
        self.now = now
    }
}

/// Expressions in conditions: what they may refer to, and how they are put together.
enum PolicyExpression {
    /// Variables in the order of their bindings.
    static let environment = CELEnvironment(variables: [
        .init("args", .map(.string, .dyn)),
        .init("tool", .string), .init("tool.name", .string), .init("tool.title", .string),
        .init("tool.read_only", .bool), .init("tool.destructive", .bool),
        .init("tool.idempotent", .bool), .init("tool.open_world", .bool),
        .init("server", .string), .init("server.name", .string),
        .init("user", .string), .init("user.name", .string), .init("user.role", .string),
        .init("user.may_write", .bool),
        .init("agent", .string), .init("agent.name", .string), .init("agent.version", .string),
        .init("session", .string), .init("session.id", .string),
        .init("request.channel", .string), .init("request.trace_parent", .string),
        .init("now", .timestamp),
    ])

    /// Variables that are known when tools are listed, before there is a call.
    static let known = Set(
        environment.variables.map(\.name).filter { name in
            ["tool", "server", "user"].contains { name == $0 || name.hasPrefix("\($0).") }
        }
    )

    /// Variables that the record of a call tells.
    static let recorded: Set<String> = [
        "tool", "tool.name", "server", "server.name", "user", "user.name", "agent", "agent.name",
        "agent.version", "session", "session.id", "request.channel", "request.trace_parent", "now",
    ]

    /// Types, which are written as variables are and depend on nothing.
    static let typeNames: Set<String> = [
        "bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type",
    ]

    /// Whether a name is one of the variables.
    static func isVariable(_ name: String?) -> Bool {
        name.map { environment.resolve($0, isAbsolute: true) != nil } ?? false
    }

    /// The values for a context.
    static func bindings(_ context: PolicyContext) -> CELBindings {
        var bindings = CELBindings(for: environment)
        let server = context.tool.server ?? ToolIdentity.builtIn
        let values: [CELValue] = [
            .map(.json(context.arguments)),
            .string(context.tool.name), .string(context.tool.name), .string(context.title),
            .bool(context.isReadOnly), .bool(context.isDestructive), .bool(context.isIdempotent),
            .bool(context.isOpenWorld),
            .string(server), .string(server),
            .string(context.user), .string(context.user), .string(context.role),
            .bool(context.mayWrite),
            .string(context.agent), .string(context.agent), .string(context.agentVersion),
            .string(context.session), .string(context.session),
            .string(context.channel), .string(context.traceParent),
            timestamp(context.now),
        ]
        for (place, value) in values.enumerated() { bindings[place] = value }
        return bindings
    }

    /// An instant beyond what timestamps can be is null, which every comparison refuses.
    private static func timestamp(_ instant: Timestamp) -> CELValue {
        let (seconds, rest) = instant.milliseconds.quotientAndRemainder(dividingBy: 1_000)
        let (whole, left) = rest < 0 ? (seconds - 1, rest + 1_000) : (seconds, rest)
        return CELTimestamp(seconds: whole, nanoseconds: Int32(left) * 1_000_000)
            .map(CELValue.timestamp) ?? .null
    }

    /// Refuses an expression that cannot be used as a condition.
    static func check(
        _ text: String,
        _ language: PolicyDocument.Language
    ) throws(ConditionProblem) {
        let source = language == .cel ? text : try SimpleCondition(text).cel
        let program: CELProgram
        do throws(CompilationError) {
            program = try CELProgram.compile(source, in: environment)
        } catch {
            throw ConditionProblem("\(error.description) in the expression")
        }
        guard program.type == .bool || program.type == .dyn else {
            throw ConditionProblem("the expression gives \(program.type), and must give bool")
        }
    }

    /// A condition in CEL; nil when there is none or an expression cannot be read.
    ///
    /// Each expression has been checked alone, so that none can reach out of its brackets. The line
    /// ends keep a comment at its end from hiding them.
    static func source(
        _ condition: PolicyDocument.Condition,
        _ language: PolicyDocument.Language
    ) throws(ConditionProblem) -> String {
        switch condition {
        case .expression(let text, let own):
            guard (own ?? language) == .simple else { return text }
            return try SimpleCondition(text).cel
        case .all(let parts): return try joined(parts, " && ", language)
        case .any(let parts): return try joined(parts, " || ", language)
        case .none(let parts): return "!(\(try joined(parts, " || ", language)))"
        }
    }

    private static func joined(
        _ parts: [PolicyDocument.Condition],
        _ sign: String,
        _ language: PolicyDocument.Language
    ) throws(ConditionProblem) -> String {
        var sources: [String] = []
        for part in parts {
            let source = try source(part, language)
            sources.append(source.contains("//") ? "(\(source)\n)" : "(\(source))")
        }
        return sources.joined(separator: sign)
    }

    /// A rule's condition, compiled; nil when it holds for every call.
    static func compile(
        _ rule: PolicyDocument.Rule
    ) throws(ConditionProblem) -> (program: CELProgram, expression: Expression)? {
        guard let condition = rule.condition else { return nil }
        let source = try source(condition, rule.language ?? .simple)
        do throws(CompilationError) {
            let expression = try Parser.parse(source, expandsMacros: true)
            let type = try Checker.check(expression, in: environment)
            return (CELProgram(expression, environment, type: type), expression)
        } catch {
            throw ConditionProblem(error.description)
        }
    }
}

extension Expression {
    /// Every variable in it, and every name that a macro binds; none of types.
    var names: Set<String> {
        var names: Set<String> = []
        var waiting: [Expression] = [self]
        while let next = waiting.popLast() {
            if case .identifier(let name, _) = next.kind,
                !PolicyExpression.typeNames.contains(name)
            {
                names.insert(name)
            }
            if case .select = next.kind, let name = next.qualifiedName?.name,
                PolicyExpression.isVariable(name)
            {
                names.insert(name)
                continue
            }
            waiting += Self.children(of: next.kind)
        }
        return names
    }

    /// Its parts outside macros, itself first: those whose values can be told alone.
    var parts: [Expression] {
        let inner: [Expression] =
            switch kind {
            case .select where PolicyExpression.isVariable(qualifiedName?.name): []
            case .comprehension(let each): each.range.parts
            case .bind(_, let value, _): value.parts
            case .optionalMap(let target, _, _, _): target.parts
            case .block: []
            default: Self.children(of: kind).flatMap(\.parts)
            }
        return [self] + inner
    }
}
