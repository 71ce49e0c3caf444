/// A recursive-descent parser with one function for all binary operators.
///
/// The grammar is that of cel-spec, doc/langdef.md, "Syntax". Operators are functions with the
/// names of the specification: `_+_`.
struct Parser {
    /// Expressions of people fit a hundred times; more is an attack or a program's mistake.
    package static let maximumBytes = 64 << 10
    /// The specification asks for 32, and other implementations take 250.
    ///
    /// At this height parsing, checking, evaluating and writing fit a stack of 640 KiB, optimised
    /// or not; threads have two MiB even where their stack is called unlimited.
    package static let maximumHeight = 200
    /// Macros copy nothing, so the source's length bounds the tree already; this says how far.
    package static let maximumElements = 10_000

    private let tokens: [Token]
    private var index = 0
    private var depth = 0
    private let expandsMacros: Bool

    private init(_ tokens: [Token], expandsMacros: Bool) {
        self.tokens = tokens
        self.expandsMacros = expandsMacros
    }

    /// Parses one expression.
    ///
    /// - Throws: ``CompilationError`` with the place of the first thing that is wrong.
    static func parse(
        _ source: String,
        expandsMacros: Bool = true
    ) throws(CompilationError) -> Expression {
        let start = SourcePosition(line: 1, column: 1)
        guard source.utf8.count <= maximumBytes else {
            throw CompilationError(
                step: .parsing,
                position: start,
                message: "an expression of more than \(maximumBytes) bytes"
            )
        }
        var parser = Parser(try Lexer.tokens(of: source), expandsMacros: expandsMacros)
        let expression = try parser.expression()
        guard parser.token.kind == .end else { throw parser.unexpected() }
        try NestingDepth.check(expression)
        return expression
    }

    // MARK: - Operators

    mutating func expression() throws(CompilationError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumHeight else { throw tooDeep(token.position) }
        let condition = try binary(0)
        let position = token.position
        guard take(.question) else { return condition }
        let left = try binary(0)
        try expect(.colon)
        let right = try expression()
        return try make(.conditional(condition, left, right), position)
    }

    /// Operators by how loosely they bind; each level is left-associative.
    private static let levels: [[Token.Symbol]] = [
        [.or], [.and],
        [.equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual],
        [.plus, .minus], [.times, .divide, .remainder],
    ]

    private mutating func binary(_ level: Int) throws(CompilationError) -> Expression {
        guard level < Self.levels.count else { return try unary() }
        if level < 2 { return try logical(level) }
        var left = try binary(level + 1)
        while let name = binaryOperator(at: level) {
            let position = token.position
            index += 1
            let right = try binary(level + 1)
            left = try make(.call(name, target: nil, arguments: [left, right]), position)
        }
        return left
    }

    private func binaryOperator(at level: Int) -> String? {
        switch token.kind {
        case .symbol(let symbol) where Self.levels[level].contains(symbol): "_\(symbol.rawValue)_"
        // `in` is a relation.
        case .word(.in) where level == 2: "@in"
        default: nil
        }
    }

    /// A chain of one logical operator is one expression, however long.
    private mutating func logical(_ level: Int) throws(CompilationError) -> Expression {
        var operands = [try binary(level + 1)]
        let position = token.position
        while take(level == 0 ? .or : .and) { operands.append(try binary(level + 1)) }
        guard operands.count > 1 else { return operands[0] }
        return try make(level == 0 ? .or(operands) : .and(operands), position)
    }

    private mutating func unary() throws(CompilationError) -> Expression {
        let position = token.position
        if take(.not) {
            var isOdd = true
            while take(.not) { isOdd.toggle() }
            return try negated("!_", isOdd: isOdd, position)
        }
        guard token.kind == .symbol(.minus) else { return try member(try primary()) }
        // A sign before a number is part of the number, so that the least integer can be written.
        if let literal = negativeLiteral() {
            index += 2
            return try member(Expression(.literal(literal), position))
        }
        var isOdd = false
        while take(.minus) { isOdd.toggle() }
        return try negated("-_", isOdd: isOdd, position)
    }

    private mutating func negated(
        _ name: String,
        isOdd: Bool,
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression {
        let operand = try member(try primary())
        guard isOdd else { return operand }
        return try make(.call(name, target: nil, arguments: [operand]), position)
    }

    private func negativeLiteral() -> CELValue? {
        switch tokens[min(index + 1, tokens.count - 1)].kind {
        case .int(let magnitude):
            if magnitude == 1 << 63 { return .int(.min) }
            return Int64(exactly: magnitude).map { .int(-$0) }
        case .double(let value): return .double(-value)
        default: return nil
        }
    }

    // MARK: - Members

    private mutating func member(_ start: Expression) throws(CompilationError) -> Expression {
        var operand = start
        while true {
            let position = token.position
            if take(.dot) {
                operand = try selection(of: operand, position)
            } else if take(.openBracket) {
                let isOptional = take(.question)
                let place = try expression()
                try expect(.closeBracket)
                let name = isOptional ? "_[?_]" : "_[_]"
                operand = try make(
                    .call(name, target: nil, arguments: [operand, place]),
                    position
                )
            } else if token.kind == .symbol(.openBrace), let name = operand.qualifiedName {
                index += 1
                try messageFields()
                operand = try make(.message(name.name), operand.position)
            } else {
                return operand
            }
        }
    }

    private mutating func selection(
        of operand: Expression,
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression {
        let isOptional = take(.question)
        let namePosition = token.position
        guard let (field, isQuoted) = fieldName() else { throw unexpected() }
        index += 1
        guard !isOptional, !isQuoted, take(.openParenthesis) else {
            return try make(.select(operand, field: field, isOptional: isOptional), position)
        }
        let arguments = try expressions(until: .closeParenthesis)
        return try call(field, target: operand, arguments, namePosition)
    }

    private func fieldName() -> (name: String, isQuoted: Bool)? {
        switch token.kind {
        case .identifier(let name), .reserved(let name): (name, false)
        case .quoted(let name): (name, true)
        default: nil
        }
    }

    private mutating func messageFields() throws(CompilationError) {
        while !take(.closeBrace) {
            _ = take(.question)
            guard fieldName() != nil else { throw unexpected() }
            index += 1
            try expect(.colon)
            _ = try expression()
            if !take(.comma), token.kind != .symbol(.closeBrace) { throw unexpected() }
        }
    }

    // MARK: - Primaries

    private mutating func primary() throws(CompilationError) -> Expression {
        let position = token.position
        switch token.kind {
        case .symbol(.openParenthesis):
            index += 1
            let inner = try expression()
            try expect(.closeParenthesis)
            return inner
        case .symbol(.openBracket):
            index += 1
            return try list(position)
        case .symbol(.openBrace):
            index += 1
            return try map(position)
        case .symbol(.dot):
            index += 1
            guard case .identifier(let name) = token.kind else { throw unexpected() }
            index += 1
            return try named(name, isAbsolute: true, position)
        case .identifier(let name):
            index += 1
            return try named(name, isAbsolute: false, position)
        default:
            let value = try literal()
            index += 1
            return Expression(.literal(value), position)
        }
    }

    private func literal() throws(CompilationError) -> CELValue {
        switch token.kind {
        case .int(let magnitude):
            guard let value = Int64(exactly: magnitude) else {
                throw failure("a number that does not fit 64 bits", token.position)
            }
            return .int(value)
        case .uint(let value): return .uint(value)
        case .double(let value): return .double(value)
        case .string(let value): return .string(value)
        case .bytes(let value): return .bytes(value)
        case .word(.true): return .bool(true)
        case .word(.false): return .bool(false)
        case .word(.null): return .null
        default: throw unexpected()
        }
    }

    private mutating func named(
        _ name: String,
        isAbsolute: Bool,
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression {
        guard take(.openParenthesis) else {
            return Expression(.identifier(name, isAbsolute: isAbsolute), position)
        }
        let arguments = try expressions(until: .closeParenthesis)
        return try call(isAbsolute ? ".\(name)" : name, target: nil, arguments, position)
    }

    private mutating func list(_ position: SourcePosition) throws(CompilationError) -> Expression {
        var elements: [Expression.Element] = []
        while !take(.closeBracket) {
            let isOptional = take(.question)
            elements.append(Expression.Element(value: try expression(), isOptional: isOptional))
            if !take(.comma), token.kind != .symbol(.closeBracket) { throw unexpected() }
        }
        try limit(elements.count, position)
        return try make(.list(elements), position)
    }

    private mutating func map(_ position: SourcePosition) throws(CompilationError) -> Expression {
        var entries: [Expression.Entry] = []
        while !take(.closeBrace) {
            let isOptional = take(.question)
            let key = try expression()
            try expect(.colon)
            let value = try expression()
            entries.append(Expression.Entry(key: key, value: value, isOptional: isOptional))
            if !take(.comma), token.kind != .symbol(.closeBrace) { throw unexpected() }
        }
        try limit(entries.count, position)
        return try make(.map(entries), position)
    }

    private mutating func expressions(
        until end: Token.Symbol
    ) throws(CompilationError) -> [Expression] {
        var list: [Expression] = []
        if take(end) { return list }
        while true {
            list.append(try expression())
            if take(end) { return list }
            try expect(.comma)
        }
    }

    private func call(
        _ name: String,
        target: Expression?,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression {
        if expandsMacros,
            let expanded = try Macros.expand(name, target: target, arguments, position)
        {
            return try bounded(expanded)
        }
        return try make(.call(name, target: target, arguments: arguments), position)
    }

    // MARK: - Tokens

    private var token: Token { tokens[index] }

    private mutating func take(_ symbol: Token.Symbol) -> Bool {
        guard token.kind == .symbol(symbol) else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ symbol: Token.Symbol) throws(CompilationError) {
        guard take(symbol) else {
            throw failure("expected `\(symbol.rawValue)`, found \(token.name)", token.position)
        }
    }

    private func make(
        _ kind: Expression.Kind,
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression {
        try bounded(Expression(kind, position))
    }

    private func bounded(_ expression: Expression) throws(CompilationError) -> Expression {
        guard expression.height <= Self.maximumHeight else { throw tooDeep(expression.position) }
        return expression
    }

    private func limit(_ count: Int, _ position: SourcePosition) throws(CompilationError) {
        guard count <= Self.maximumElements else {
            throw failure("more than \(Self.maximumElements) elements", position)
        }
    }

    private func tooDeep(_ position: SourcePosition) -> CompilationError {
        failure("expressions nested more than \(Self.maximumHeight) deep", position)
    }

    private func unexpected() -> CompilationError {
        failure("unexpected \(token.name)", token.position)
    }

    private func failure(_ message: String, _ position: SourcePosition) -> CompilationError {
        CompilationError(step: .parsing, position: position, message: message)
    }
}
