/// How deep an expression is when what its names stand for is written in their place.
///
/// `cel.bind(a, [[1]], [a])` makes a value three lists deep, and a name of a name of a list one
/// that is as deep as the source is long; its value, its type and its evaluation would each take a
/// stack to match. A name that a macro binds is therefore as deep as what it is bound to: the value
/// of `cel.bind` and `cel.block`, and what `map`, `all` or `optMap` go over.
///
/// INVARIANT: no value is deeper than its expression is here and the bindings are together. What
/// makes lists, maps and optionals out of values adds one level, and so does its expression;
/// whatever else there is gives values that were there or parts of them.
struct NestingDepth {
    /// How deep what a name stands for is.
    private var named: [String: Int] = [:]
    /// What the names in scope hide, innermost last.
    private var hidden: [(name: String, depth: Int?)] = []

    /// Refuses an expression that is deeper than ``Parser/maximumHeight``.
    ///
    /// - Throws: ``CompilationError`` with the place of an expression that is too deep.
    static func check(_ expression: Expression) throws(CompilationError) {
        var depth = NestingDepth()
        _ = try depth.of(expression)
    }

    private mutating func of(_ expression: Expression) throws(CompilationError) -> Int {
        let inner: Int
        switch expression.kind {
        case .identifier(let name, isAbsolute: false): return named[name] ?? 1
        case .bind(let name, let value, let body):
            let depth = try of(value)
            inner = max(depth, try deepest([body], where: [name], are: depth))
        case .block(let values, let body): inner = try block(values, body)
        case .comprehension(let each):
            let depth = try of(each.range)
            let names = [each.first] + (each.second.map { [$0] } ?? [])
            let parts = [each.body] + (each.filter.map { [$0] } ?? [])
            inner = max(depth, try deepest(parts, where: names, are: depth))
        case .optionalMap(let target, let variable, let body, _):
            let depth = try of(target)
            inner = max(depth, try deepest([body], where: [variable], are: depth))
        default: inner = try deepest(Expression.children(of: expression.kind))
        }
        guard inner < Parser.maximumHeight else {
            throw CompilationError(
                step: .parsing,
                position: expression.position,
                message: "expressions nested more than \(Parser.maximumHeight) deep, "
                    + "with what names stand for in their place"
            )
        }
        return inner + 1
    }

    /// Each value of `cel.block` may name those before it.
    private mutating func block(
        _ values: [Expression],
        _ body: Expression
    ) throws(CompilationError) -> Int {
        var inner = 0
        for (place, value) in values.enumerated() {
            let depth = try of(value)
            inner = max(inner, depth)
            bind("@index\(place)", to: depth)
        }
        inner = max(inner, try of(body))
        unbind(values.count)
        return inner
    }

    private mutating func deepest(
        _ expressions: [Expression],
        where names: [String] = [],
        are depth: Int = 0
    ) throws(CompilationError) -> Int {
        for name in names { bind(name, to: depth) }
        var deepest = 0
        for expression in expressions { deepest = max(deepest, try of(expression)) }
        unbind(names.count)
        return deepest
    }

    private mutating func bind(_ name: String, to depth: Int) {
        hidden.append((name, named.updateValue(depth, forKey: name)))
    }

    private mutating func unbind(_ count: Int) {
        for _ in 0..<count {
            let (name, depth) = hidden.removeLast()
            named[name] = depth
        }
    }
}
