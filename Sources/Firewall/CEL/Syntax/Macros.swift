/// The macros: calls that are rewritten when they are parsed, because they bind names.
enum Macros {
    /// What a call stands for; nil when it is an ordinary call.
    static func expand(
        _ name: String,
        target: Expression?,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression? {
        guard let target else {
            guard name == "has", arguments.count == 1 else { return nil }
            return try presence(arguments[0], position)
        }
        if case .identifier(let space, _) = target.kind {
            switch space {
            case "cel":
                if let expanded = try cel(name, arguments, position) { return expanded }
            case "math":
                if let expanded = try extreme(name, arguments, position) { return expanded }
            default: break
            }
        }
        switch (name, arguments.count) {
        case ("optMap", 2), ("optFlatMap", 2):
            return Expression(
                .optionalMap(
                    target,
                    variable: try variable(arguments[0]),
                    body: arguments[1],
                    isFlat: name == "optFlatMap"
                ),
                position
            )
        default:
            return try comprehension(name, target, arguments, position)
        }
    }

    private static func presence(
        _ argument: Expression,
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression {
        guard case .select(let operand, let field, false) = argument.kind else {
            throw failure("`has` needs a field selection, as in `has(a.b)`", argument.position)
        }
        return Expression(.presence(operand, field: field), position)
    }

    // MARK: - Comprehensions

    private static func comprehension(
        _ name: String,
        _ range: Expression,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression? {
        guard let shape = shape(of: name, count: arguments.count) else { return nil }
        let first = try variable(arguments[0])
        var second: String?
        if shape.isTwoVariable {
            second = try variable(arguments[1])
            if second == first {
                throw failure("`\(first)` is bound twice", arguments[1].position)
            }
        }
        let rest = arguments.dropFirst(shape.isTwoVariable ? 2 : 1)
        guard let body = rest.last else { return nil }
        let each = Expression.Comprehension(
            kind: shape.kind,
            range: range,
            first: first,
            second: second,
            filter: rest.count > 1 ? rest.first : nil,
            body: body
        )
        return Expression(.comprehension(each), position)
    }

    private static func shape(
        of name: String,
        count: Int
    ) -> (kind: Expression.Comprehension.Kind, isTwoVariable: Bool)? {
        switch (name, count) {
        case ("all", 2): (.all, false)
        case ("exists", 2): (.exists, false)
        case ("exists_one", 2), ("existsOne", 2): (.existsOne, false)
        case ("map", 2), ("map", 3): (.map, false)
        case ("filter", 2): (.filter, false)
        case ("all", 3): (.all, true)
        case ("exists", 3): (.exists, true)
        case ("exists_one", 3), ("existsOne", 3): (.existsOne, true)
        case ("transformList", 3), ("transformList", 4): (.transformList, true)
        case ("transformMap", 3), ("transformMap", 4): (.transformMap, true)
        case ("transformMapEntry", 3), ("transformMapEntry", 4): (.transformMapEntry, true)
        default: nil
        }
    }

    private static func variable(_ argument: Expression) throws(CompilationError) -> String {
        guard case .identifier(let name, false) = argument.kind else {
            throw failure("a variable of a macro must be a simple name", argument.position)
        }
        return name
    }

    // MARK: - Namespaces

    /// `cel.bind`, and the forms of `cel.block` that common subexpressions are written as.
    private static func cel(
        _ name: String,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression? {
        switch (name, arguments.count) {
        case ("bind", 3):
            let name = try variable(arguments[0])
            return Expression(.bind(name, value: arguments[1], body: arguments[2]), position)
        case ("block", 2):
            guard case .list(let elements) = arguments[0].kind,
                elements.allSatisfy({ !$0.isOptional })
            else { throw failure("`cel.block` needs a list literal", arguments[0].position) }
            return Expression(.block(elements.map(\.value), body: arguments[1]), position)
        case ("index", 1):
            let place = try number(arguments[0])
            return Expression(.identifier("@index\(place)", isAbsolute: false), position)
        case ("iterVar", 2), ("accuVar", 2):
            let depth = try number(arguments[0])
            let place = try number(arguments[1])
            let mark = name == "iterVar" ? "@it" : "@ac"
            return Expression(.identifier("\(mark):\(depth):\(place)", isAbsolute: false), position)
        default: return nil
        }
    }

    private static func number(_ argument: Expression) throws(CompilationError) -> Int64 {
        guard case .literal(.int(let value)) = argument.kind, value >= 0 else {
            throw failure("a place must be a literal number", argument.position)
        }
        return value
    }

    /// `math.greatest` and `math.least` take any number of arguments.
    private static func extreme(
        _ name: String,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) throws(CompilationError) -> Expression? {
        guard name == "greatest" || name == "least" else { return nil }
        guard !arguments.isEmpty else {
            throw failure("`math.\(name)` needs an argument", position)
        }
        for argument in arguments { try requireNumber(argument, alone: arguments.count == 1) }
        let function = name == "greatest" ? "math.@max" : "math.@min"
        let passed: [Expression]
        if arguments.count > 2 {
            let elements = arguments.map { Expression.Element(value: $0, isOptional: false) }
            passed = [Expression(.list(elements), position)]
        } else {
            passed = arguments
        }
        return Expression(.call(function, target: nil, arguments: passed), position)
    }

    /// Refuses literals that are no numbers; the rest is for the checker.
    private static func requireNumber(
        _ argument: Expression,
        alone: Bool
    ) throws(CompilationError) {
        switch argument.kind {
        case .literal(.int), .literal(.uint), .literal(.double): return
        case .list(let elements) where alone:
            guard !elements.isEmpty else {
                throw failure("a greatest or least of nothing", argument.position)
            }
            for element in elements { try requireNumber(element.value, alone: false) }
        case .literal, .list, .map, .message:
            throw failure("an argument that is no number", argument.position)
        default: return
        }
    }

    private static func failure(
        _ message: String,
        _ position: SourcePosition
    ) -> CompilationError {
        CompilationError(step: .parsing, position: position, message: message)
    }
}
