/// Turns expressions into nodes: names become places, calls find their functions, and what is the
/// same for all bindings is computed at once.
struct Planner {
    private let environment: CELEnvironment
    private let library = FunctionLibrary.standard
    /// Names that macros bind, innermost last.
    private var scope: [(name: String, node: any Node)] = []
    /// Places for such names that have been given out; none is used twice, since a lazy name may
    /// be computed in the middle of another macro.
    private(set) var localCount = 0

    /// Constants that cost more are computed anew each time, so compiling stays cheap.
    private static let foldingBudget = 1_000

    init(_ environment: CELEnvironment) {
        self.environment = environment
    }

    /// The node of an expression.
    mutating func node(_ expression: Expression) -> any Node {
        let node = plain(expression)
        return isFoldable(expression) ? folded(node) : node
    }

    // MARK: - Kinds

    private mutating func plain(_ expression: Expression) -> any Node {
        let position = expression.position
        switch expression.kind {
        case .literal(let value): return ConstantNode(value)
        case .identifier(let name, let isAbsolute):
            return identifier(name, isAbsolute: isAbsolute, position)
        case .select(let operand, let field, let isOptional):
            return selection(expression, operand, field, isOptional: isOptional)
        case .presence(let operand, let field):
            return PresenceNode(node(operand), field, position)
        case .call(let name, let target, let arguments):
            return call(name, target, arguments, position)
        case .and(let operands): return logic(operands, decisive: false, position)
        case .or(let operands): return logic(operands, decisive: true, position)
        case .conditional(let condition, let left, let right):
            return ConditionalNode(node(condition), node(left), node(right), position)
        case .list(let elements): return list(elements)
        case .map(let entries): return map(entries)
        case .message(let name): return FailureNode(unknownFunction(name, position))
        case .comprehension(let each): return comprehension(each, position)
        case .bind(let name, let value, let body): return bind([(name, value)], body)
        case .block(let values, let body):
            let named = values.enumerated().map { ("@index\($0.offset)", $0.element) }
            return bind(named, body)
        case .optionalMap(let target, let variable, let body, let isFlat):
            let target = node(target)
            let place = newPlace()
            let body = scoped([(variable, LocalNode(place: place))], body)
            return OptionalMapNode(target, place: place, body, isFlat: isFlat, position)
        }
    }

    private mutating func logic(
        _ operands: [Expression],
        decisive: Bool,
        _ position: SourcePosition
    ) -> any Node {
        var nodes: [any Node] = []
        for operand in operands { nodes.append(node(operand)) }
        return LogicNode(nodes, decisive: decisive, position)
    }

    private mutating func list(_ elements: [Expression.Element]) -> any Node {
        var nodes: [ListNode.Element] = []
        for element in elements {
            nodes.append(
                ListNode.Element(
                    value: node(element.value),
                    isOptional: element.isOptional,
                    position: element.value.position
                )
            )
        }
        return ListNode(nodes)
    }

    private mutating func map(_ entries: [Expression.Entry]) -> any Node {
        var nodes: [MapNode.Entry] = []
        for entry in entries {
            nodes.append(
                MapNode.Entry(
                    key: node(entry.key),
                    value: node(entry.value),
                    isOptional: entry.isOptional,
                    position: entry.key.position
                )
            )
        }
        return MapNode(nodes)
    }

    // MARK: - Names

    private func identifier(
        _ name: String,
        isAbsolute: Bool,
        _ position: SourcePosition
    ) -> any Node {
        if !isAbsolute, let local = scope.last(where: { $0.name == name }) { return local.node }
        return resolved(name, isAbsolute: isAbsolute, position)
            ?? FailureNode(EvaluationError(.unknownVariable(name)).at(position))
    }

    private func resolved(
        _ name: String,
        isAbsolute: Bool,
        _ position: SourcePosition
    ) -> (any Node)? {
        guard let found = environment.resolve(name, isAbsolute: isAbsolute) else { return nil }
        switch found.meaning {
        case .typeName(let name): return ConstantNode(.type(name))
        case .variable(let place):
            return PathNode(place: place, name: name, fields: [], position)
        }
    }

    private mutating func selection(
        _ expression: Expression,
        _ operand: Expression,
        _ field: String,
        isOptional: Bool
    ) -> any Node {
        if let qualified = expression.qualifiedName, !isLocal(qualified),
            let found = resolved(
                qualified.name,
                isAbsolute: qualified.isAbsolute,
                expression.position
            )
        {
            return found
        }
        let operand = node(operand)
        if let path = operand as? PathNode, !isOptional {
            return path.appending(PathNode.Field(name: field, position: expression.position))
        }
        return SelectNode(operand, field, isOptional: isOptional, expression.position)
    }

    private func isLocal(_ qualified: (name: String, isAbsolute: Bool)) -> Bool {
        guard !qualified.isAbsolute else { return false }
        let first = qualified.name.prefix { $0 != "." }
        return scope.contains { $0.name == first }
    }

    // MARK: - Macros

    private mutating func newPlace() -> Int {
        localCount += 1
        return localCount - 1
    }

    private mutating func scoped(
        _ names: [(name: String, node: any Node)],
        _ body: Expression
    ) -> any Node {
        scope += names
        defer { scope.removeLast(names.count) }
        return node(body)
    }

    private mutating func bind(
        _ values: [(name: String, value: Expression)],
        _ body: Expression
    ) -> any Node {
        var places: [Int] = []
        for (name, value) in values {
            let value = node(value)
            let place = newPlace()
            places.append(place)
            // A constant needs no place of its own.
            let local: any Node =
                value is ConstantNode ? value : LazyLocalNode(place: place, value: value)
            scope.append((name, local))
        }
        defer { scope.removeLast(values.count) }
        return BindNode(places: places, body: node(body))
    }

    private mutating func comprehension(
        _ each: Expression.Comprehension,
        _ position: SourcePosition
    ) -> any Node {
        let range = node(each.range)
        let first = newPlace()
        let second = each.second.map { _ in newPlace() }
        var names: [(String, any Node)] = [(each.first, LocalNode(place: first))]
        if let name = each.second, let second { names.append((name, LocalNode(place: second))) }
        let filter = each.filter.map { scoped(names, $0) }
        let body = scoped(names, each.body)
        return ComprehensionNode(
            each,
            range: range,
            places: (first, second),
            filter: filter,
            body: body,
            position
        )
    }

    // MARK: - Calls

    private mutating func call(
        _ name: String,
        _ target: Expression?,
        _ arguments: [Expression],
        _ position: SourcePosition
    ) -> any Node {
        var nodes: [any Node] = []
        for argument in arguments { nodes.append(node(argument)) }
        guard let target else {
            if let node = Self.operatorNode(name, nodes, position) { return node }
            let isAbsolute = name.hasPrefix(".")
            let plain = isAbsolute ? String(name.dropFirst()) : name
            guard let found = environment.function(plain, isAbsolute: isAbsolute) else {
                return FailureNode(unknownFunction(plain, position))
            }
            return invocation(found.name, isMember: false, nodes, position)
        }
        if let qualified = target.qualifiedName, !isLocal(qualified),
            let found = environment.function(
                "\(qualified.name).\(name)",
                isAbsolute: qualified.isAbsolute
            )
        {
            return invocation(found.name, isMember: false, nodes, position)
        }
        guard environment.overloads(named: name) != nil else {
            return FailureNode(unknownFunction(name, position))
        }
        return invocation(name, isMember: true, [node(target)] + nodes, position)
    }

    private func unknownFunction(_ name: String, _ position: SourcePosition) -> EvaluationError {
        EvaluationError(.unknownFunction(name)).at(position)
    }

    private func invocation(
        _ name: String,
        isMember: Bool,
        _ arguments: [any Node],
        _ position: SourcePosition
    ) -> any Node {
        if let node = Self.specialised(name, isMember: isMember, arguments, position) {
            return node
        }
        let shape = FunctionLibrary.Shape(name: name, isMember: isMember, count: arguments.count)
        switch library.implementations[shape] {
        case .unary(let function):
            return UnaryNode(name, function, arguments[0], position)
        case .binary(let function):
            return BinaryNode(name, function, arguments[0], arguments[1], position)
        case .variadic(_, let function):
            return VariadicNode(name, function, arguments, position)
        case nil:
            return FailureNode(EvaluationError(.noSuchOverload).at(position, in: name))
        }
    }

    private static func operatorNode(
        _ name: String,
        _ nodes: [any Node],
        _ position: SourcePosition
    ) -> (any Node)? {
        switch name {
        case "!_": return NotNode(nodes[0], position)
        case "_==_", "_!=_": return equality(nodes[0], nodes[1], isNegated: name == "_!=_")
        case "_<_": return OrderNode(nodes[0], nodes[1], .less, position)
        case "_<=_": return OrderNode(nodes[0], nodes[1], .lessOrEqual, position)
        case "_>_": return OrderNode(nodes[0], nodes[1], .greater, position)
        case "_>=_": return OrderNode(nodes[0], nodes[1], .greaterOrEqual, position)
        case "@in": return membership(nodes[0], nodes[1], position)
        case "_[_]": return IndexNode(nodes[0], nodes[1], isOptional: false, position)
        case "_[?_]": return IndexNode(nodes[0], nodes[1], isOptional: true, position)
        default: return nil
        }
    }

    private static func equality(
        _ left: any Node,
        _ right: any Node,
        isNegated: Bool
    ) -> any Node {
        if let text = text(right) { return TextEqualityNode(left, text, isNegated: isNegated) }
        if let text = text(left) { return TextEqualityNode(right, text, isNegated: isNegated) }
        return EqualityNode(left, right, isNegated: isNegated)
    }

    private static func membership(
        _ element: any Node,
        _ collection: any Node,
        _ position: SourcePosition
    ) -> any Node {
        if let constant = collection as? ConstantNode,
            case .list(.values(let values)) = constant.value
        {
            let texts = values.compactMap { value -> String? in
                guard case .string(let text) = value else { return nil }
                return text
            }
            if texts.count == values.count { return TextMembershipNode(element, texts) }
        }
        return MembershipNode(element, collection, position)
    }

    private static func text(_ node: any Node) -> String? {
        guard let constant = node as? ConstantNode, case .string(let text) = constant.value else {
            return nil
        }
        return text
    }

    private static func specialised(
        _ name: String,
        isMember: Bool,
        _ arguments: [any Node],
        _ position: SourcePosition
    ) -> (any Node)? {
        guard arguments.count == 2 else { return nil }
        if isMember, name == "or" || name == "orValue" {
            return AlternativeNode(
                arguments[0],
                arguments[1],
                unwraps: name == "orValue",
                position
            )
        }
        guard let text = text(arguments[1]) else { return nil }
        if isMember, let test = TextTestNode.Test(rawValue: name) {
            return TextTestNode(arguments[0], text, test, position)
        }
        // A pattern that is none stays a call, which fails when it is reached.
        if name == "matches", let regex = try? RegexCache.regex(text) {
            return PatternNode(arguments[0], regex, position)
        }
        return nil
    }

    // MARK: - Folding

    /// Whether the value can only depend on constants among the operands.
    private func isFoldable(_ expression: Expression) -> Bool {
        func isConstant(_ operand: Expression) -> Bool {
            switch operand.kind {
            case .literal: true
            case .list(let elements): elements.allSatisfy { isConstant($0.value) }
            case .map(let entries):
                entries.allSatisfy { isConstant($0.key) && isConstant($0.value) }
            case .call(_, let target, let arguments):
                (target.map(isConstant) ?? true) && arguments.allSatisfy(isConstant)
            default: false
            }
        }
        switch expression.kind {
        case .call, .list, .map: return isConstant(expression)
        default: return false
        }
    }

    /// The node's value in its place; the node itself when it fails, so that it fails when it is
    /// reached and not before.
    private func folded(_ node: any Node) -> any Node {
        var frame = Frame(bindings: [], locals: [], budget: Budget(Self.foldingBudget))
        guard let value = try? node.evaluate(&frame) else { return node }
        return ConstantNode(value)
    }
}
