/// Deduces the type of an expression against what its environment declares, and refuses what could
/// never work: undeclared names, functions without a fitting overload, fields of numbers.
struct Checker {
    private let environment: CELEnvironment
    private var inference = TypeInference()
    /// Names that macros bind, innermost last.
    private var locals: [(name: String, type: CELType)] = []

    private init(_ environment: CELEnvironment) {
        self.environment = environment
    }

    /// The type of an expression.
    ///
    /// - Throws: ``CompilationError`` for the first thing, in reading order of operands, that is
    ///   wrong.
    static func check(
        _ expression: Expression,
        in environment: CELEnvironment
    ) throws(CompilationError) -> CELType {
        var checker = Checker(environment)
        let type = try checker.type(of: expression)
        return checker.inference.resolve(type, closing: true)
    }

    private mutating func type(of expression: Expression) throws(CompilationError) -> CELType {
        switch expression.kind {
        case .literal(let value): return Self.type(ofLiteral: value)
        case .identifier(let name, let isAbsolute):
            return try identifier(name, isAbsolute, expression.position)
        case .select(let operand, let field, let isOptional):
            return try selection(expression, operand, field, isOptional: isOptional)
        case .presence(let operand, let field):
            _ = try fieldType(field, of: try type(of: operand), expression.position)
            return .bool
        case .call(let name, let target, let arguments):
            return try call(name, target, arguments, expression.position)
        case .and(let operands), .or(let operands):
            for operand in operands { try require(.bool, operand) }
            return .bool
        case .conditional(let condition, let left, let right):
            return try conditional(condition, left, right, expression.position)
        case .list(let elements): return try list(elements)
        case .map(let entries): return try map(entries)
        case .message(let name):
            throw failure("undeclared message type `\(name)`", expression.position)
        case .comprehension(let each): return try comprehension(each)
        case .bind(let name, let value, let body):
            let bound = TypeInference.bounded(try type(of: value))
            return try scoped([(name, bound)], body)
        case .block(let values, let body): return try block(values, body)
        case .optionalMap(let target, let variable, let body, let isFlat):
            return try optionalMap(target, variable, body, isFlat: isFlat)
        }
    }

    private static func type(ofLiteral value: CELValue) -> CELType {
        switch value {
        case .null: .null
        case .bool: .bool
        case .int: .int
        case .uint: .uint
        case .double: .double
        case .string: .string
        case .bytes: .bytes
        case .list, .map, .timestamp, .duration, .type, .optional, .address, .network: .dyn
        }
    }

    // MARK: - Names

    private mutating func identifier(
        _ name: String,
        _ isAbsolute: Bool,
        _ position: SourcePosition
    ) throws(CompilationError) -> CELType {
        if !isAbsolute, let local = locals.last(where: { $0.name == name }) { return local.type }
        if let found = environment.resolve(name, isAbsolute: isAbsolute) { return found.type }
        throw undeclared(name, position)
    }

    private mutating func selection(
        _ expression: Expression,
        _ operand: Expression,
        _ field: String,
        isOptional: Bool
    ) throws(CompilationError) -> CELType {
        if !isOptional, let qualified = expression.qualifiedName, !isLocal(qualified),
            let found = environment.resolve(qualified.name, isAbsolute: qualified.isAbsolute)
        {
            return found.type
        }
        let holder = try type(of: operand)
        let result = try fieldType(field, of: holder, expression.position)
        return isOptional ? .optional(result.optionalValue ?? result) : result
    }

    /// Whether the first part of a qualified name is bound by a macro.
    private func isLocal(_ qualified: (name: String, isAbsolute: Bool)) -> Bool {
        guard !qualified.isAbsolute else { return false }
        let first = qualified.name.prefix { $0 != "." }
        return locals.contains { $0.name == first }
    }

    /// The type of a field; of an optional's field an optional.
    private mutating func fieldType(
        _ field: String,
        of holder: CELType,
        _ position: SourcePosition
    ) throws(CompilationError) -> CELType {
        let holder = inference.resolve(holder)
        if let inner = holder.optionalValue {
            return .optional(try fieldType(field, of: inner, position))
        }
        switch holder {
        case .dyn: return .dyn
        case .map(_, let value): return value
        case .variable, .parameter:
            // What it is shows only when the expression runs.
            _ = inference.assign([.dyn], to: [holder])
            return .dyn
        default:
            throw failure(
                "type `\(inference.resolve(holder, closing: true))` has no field `\(field)`",
                position
            )
        }
    }

    // MARK: - Calls

    private mutating func call(
        _ name: String,
        _ target: Expression?,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) throws(CompilationError) -> CELType {
        guard let target else {
            let isAbsolute = name.hasPrefix(".")
            let plain = isAbsolute ? String(name.dropFirst()) : name
            guard let found = environment.function(plain, isAbsolute: isAbsolute) else {
                throw undeclared(plain, position)
            }
            let types = try types(of: arguments)
            return try resolve(found.name, found.overloads, types, isMember: false, position)
        }
        if let qualified = target.qualifiedName, !isLocal(qualified),
            let found = environment.function(
                "\(qualified.name).\(name)",
                isAbsolute: qualified.isAbsolute
            )
        {
            let types = try types(of: arguments)
            return try resolve(found.name, found.overloads, types, isMember: false, position)
        }
        let receiver = try type(of: target)
        guard let overloads = environment.overloads(named: name) else {
            throw undeclared(name, position)
        }
        let types = try types(of: arguments)
        return try resolve(name, overloads, [receiver] + types, isMember: true, position)
    }

    private mutating func types(of arguments: [Expression]) throws(CompilationError) -> [CELType] {
        var types: [CELType] = []
        for argument in arguments { types.append(try type(of: argument)) }
        return types
    }

    /// The result of a call: of all overloads that may fit their common type, or `dyn`.
    private mutating func resolve(
        _ name: String,
        _ overloads: [Overload],
        _ types: [CELType],
        isMember: Bool,
        _ position: SourcePosition
    ) throws(CompilationError) -> CELType {
        var result: CELType?
        for overload in overloads
        where overload.isMember == isMember && overload.arguments.count == types.count {
            let (wanted, given) = inference.instantiate(overload)
            guard inference.assign(types, to: wanted) else { continue }
            let candidate = inference.resolve(given)
            if let present = result {
                if present != .dyn, present != candidate { result = .dyn }
            } else {
                result = candidate
            }
        }
        if let result { return result }
        let passed = types.map { inference.resolve($0, closing: true).description }
        throw failure(
            "no overload of `\(name)` takes (\(passed.joined(separator: ", ")))",
            position
        )
    }

    private mutating func conditional(
        _ condition: Expression,
        _ left: Expression,
        _ right: Expression,
        _ position: SourcePosition
    ) throws(CompilationError) -> CELType {
        try require(.bool, condition)
        let types = [try type(of: left), try type(of: right)]
        let common = inference.fresh()
        guard inference.assign(types, to: [common, common]) else {
            let names = types.map { inference.resolve($0, closing: true).description }
            throw failure("`?:` gives \(names[0]) or \(names[1])", position)
        }
        return inference.resolve(common)
    }

    private mutating func require(
        _ wanted: CELType,
        _ expression: Expression
    ) throws(CompilationError) {
        let found = try type(of: expression)
        guard inference.assign([found], to: [wanted]) else {
            throw failure(
                "needs \(wanted), found \(inference.resolve(found, closing: true))",
                expression.position
            )
        }
    }

    // MARK: - Aggregates

    private mutating func list(
        _ elements: [Expression.Element]
    ) throws(CompilationError) -> CELType {
        var common: CELType?
        for element in elements {
            var type = try type(of: element.value)
            if element.isOptional { type = try unwrapped(type, element.value.position) }
            common = inference.join(common, type)
        }
        return .list(common ?? inference.fresh())
    }

    private mutating func map(_ entries: [Expression.Entry]) throws(CompilationError) -> CELType {
        var keys: CELType?
        var values: CELType?
        for entry in entries {
            keys = inference.join(keys, try type(of: entry.key))
            var value = try type(of: entry.value)
            if entry.isOptional { value = try unwrapped(value, entry.value.position) }
            values = inference.join(values, value)
        }
        return .map(keys ?? inference.fresh(), values ?? inference.fresh())
    }

    /// What an optional holds.
    private mutating func unwrapped(
        _ type: CELType,
        _ position: SourcePosition
    ) throws(CompilationError) -> CELType {
        let value = inference.fresh()
        guard inference.assign([type], to: [.optional(value)]) else {
            throw failure(
                "needs an optional, found \(inference.resolve(type, closing: true))",
                position
            )
        }
        let resolved = inference.resolve(value)
        return resolved.isOpen && inference.resolve(type) == .dyn ? .dyn : resolved
    }

    // MARK: - Scopes

    private mutating func scoped(
        _ names: [(name: String, type: CELType)],
        _ body: Expression
    ) throws(CompilationError) -> CELType {
        locals += names
        defer { locals.removeLast(names.count) }
        return try type(of: body)
    }

    private mutating func block(
        _ values: [Expression],
        _ body: Expression
    ) throws(CompilationError) -> CELType {
        let count = locals.count
        defer { locals.removeLast(locals.count - count) }
        for (place, value) in values.enumerated() {
            let bound = TypeInference.bounded(try type(of: value))
            locals.append(("@index\(place)", bound))
        }
        return try type(of: body)
    }

    private mutating func optionalMap(
        _ target: Expression,
        _ variable: String,
        _ body: Expression,
        isFlat: Bool
    ) throws(CompilationError) -> CELType {
        let value = try unwrapped(try type(of: target), target.position)
        let result = try scoped([(variable, value)], body)
        guard isFlat else { return .optional(result) }
        // Of a choice between it and nothing, as the specification's macro makes it.
        guard inference.resolve(result) != .dyn else { return .dyn }
        return .optional(try unwrapped(result, body.position))
    }

    private mutating func comprehension(
        _ each: Expression.Comprehension
    ) throws(CompilationError) -> CELType {
        let (first, second) = try elements(of: each)
        locals.append((each.first, first))
        if let name = each.second { locals.append((name, second)) }
        defer { locals.removeLast(each.second == nil ? 1 : 2) }
        if let filter = each.filter { try require(.bool, filter) }
        switch each.kind {
        case .all, .exists, .existsOne:
            try require(.bool, each.body)
            return .bool
        case .filter:
            try require(.bool, each.body)
            return .list(first)
        case .map, .transformList:
            return .list(try type(of: each.body))
        case .transformMap:
            return .map(first, try type(of: each.body))
        case .transformMapEntry:
            let entry = try type(of: each.body)
            let (key, value) = (inference.fresh(), inference.fresh())
            guard inference.assign([entry], to: [.map(key, value)]) else {
                throw failure("`transformMapEntry` needs a map", each.body.position)
            }
            return .map(inference.resolve(key), inference.resolve(value))
        }
    }

    /// The types of a comprehension's variables.
    private mutating func elements(
        of each: Expression.Comprehension
    ) throws(CompilationError) -> (first: CELType, second: CELType) {
        let range = inference.resolve(try type(of: each.range))
        switch range {
        case .list(let element): return each.second == nil ? (element, .dyn) : (.int, element)
        case .map(let key, let value): return (key, value)
        case .dyn: return (.dyn, .dyn)
        case .variable, .parameter:
            _ = inference.assign([.dyn], to: [range])
            return (.dyn, .dyn)
        default:
            throw failure(
                "type `\(inference.resolve(range, closing: true))` has no elements",
                each.range.position
            )
        }
    }

    // MARK: - Failures

    private func undeclared(_ name: String, _ position: SourcePosition) -> CompilationError {
        failure(
            "undeclared reference to `\(name)` (in container `\(environment.container)`)",
            position
        )
    }

    private func failure(_ message: String, _ position: SourcePosition) -> CompilationError {
        CompilationError(step: .checking, position: position, message: message)
    }
}
