import Domain

extension CELMap {
    /// What looking for a key costs: JSON objects have no index.
    var lookupCost: Int {
        switch self {
        case .entries: 1
        case .json(let object): object.members.count / 16
        }
    }

    /// What going over all entries costs; the keys of a JSON object are hashed for that.
    var readingCost: Int {
        switch self {
        case .entries(let entries): entries.keys.count
        case .json(let object): object.members.reduce(0) { $0 + 1 + $1.key.utf8.count / 16 }
        }
    }
}

extension CELValue {
    /// The field of a map, or of the map in an optional as an optional; nil when it has none.
    func field(
        _ name: String,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue? {
        switch self {
        case .map(let map):
            try budget.charge(map.lookupCost)
            return map.value(named: name)
        case .optional(let optional):
            guard let held = optional.value, let found = try held.field(name, &budget) else {
                return .optional(.none)
            }
            if case .optional = held { return found }
            return .optional(CELOptional(found))
        default: throw EvaluationError(.noFieldSelection(typeName: typeName))
        }
    }

    /// The element of a list or map; nil when it has none.
    func element(
        _ place: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue? {
        switch self {
        case .list(let list):
            guard let index = try place.listIndex(), index < UInt64(list.count) else { return nil }
            return list[Int(index)]
        case .map(let map):
            try budget.charge(map.lookupCost + place.hashingCost)
            return map.value(of: place)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    /// The value as a list's index; nil for numbers below zero.
    private func listIndex() throws(EvaluationError) -> UInt64? {
        switch self {
        case .int(let value): return UInt64(exactly: value)
        case .uint(let value): return value
        case .double(let value):
            if let whole = UInt64(exactly: value) { return whole }
            guard value < 0, value == value.rounded() else {
                throw EvaluationError(.invalidArgument("a list's index must be whole"))
            }
            return nil
        default: throw EvaluationError(.invalidArgument("a list's index must be a number"))
        }
    }

    /// What hashing the value as a key costs.
    var hashingCost: Int {
        guard case .string(let text) = self else { return 0 }
        return text.utf8.count / 16
    }

    /// The value as a message shows it, cut.
    var keyText: String {
        switch self {
        case .string(let text): "'\(text.prefix(40))'"
        case .int(let value): String(value)
        case .uint(let value): "\(value)u"
        case .double(let value): NumberText.shortest(value)
        case .bool(let value): value ? "true" : "false"
        default: "a value of type \(typeName)"
        }
    }
}

/// A variable, or fields of one: `args.path`, walked through JSON without converting what lies on
/// the way.
final class PathNode: Node {
    /// A field with its place in the source.
    struct Field: Sendable {
        let name: String
        let position: SourcePosition
    }

    private let place: Int
    private let name: String
    private let fields: [Field]
    private let position: SourcePosition

    init(place: Int, name: String, fields: [Field], _ position: SourcePosition) {
        self.place = place
        self.name = name
        self.fields = fields
        self.position = position
    }

    /// The path to a field of this path's value.
    func appending(_ field: Field) -> PathNode {
        PathNode(place: place, name: name, fields: fields + [field], position)
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        guard let root = frame.bindings[place] else {
            throw EvaluationError(.unknownVariable(name)).at(position)
        }
        guard case .map(.json(let object)) = root, !fields.isEmpty else {
            return try select(root, from: 0, &frame.budget)
        }
        return try select(object, from: 0, &frame.budget)
    }

    private func select(
        _ object: JSONObject,
        from index: Int,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        try budget.charge(object.members.count / 16)
        guard let value = object.value(named: fields[index].name) else {
            throw EvaluationError(.noSuchKey("'\(fields[index].name)'"))
                .at(fields[index].position)
        }
        guard index + 1 < fields.count else { return CELValue(value) }
        if case .object(let inner) = value { return try select(inner, from: index + 1, &budget) }
        return try select(CELValue(value), from: index + 1, &budget)
    }

    private func select(
        _ value: CELValue,
        from index: Int,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        var value = value
        for field in fields[index...] {
            do throws(EvaluationError) {
                guard let next = try value.field(field.name, &budget) else {
                    throw EvaluationError(.noSuchKey("'\(field.name)'"))
                }
                value = next
            } catch {
                throw error.at(field.position)
            }
        }
        return value
    }
}

/// `operand.field`, and `operand.?field` when it is optional.
final class SelectNode: Node {
    private let operand: any Node
    private let field: String
    private let isOptional: Bool
    private let position: SourcePosition

    init(_ operand: any Node, _ field: String, isOptional: Bool, _ position: SourcePosition) {
        self.operand = operand
        self.field = field
        self.isOptional = isOptional
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let value = try operand.evaluate(&frame)
        do throws(EvaluationError) {
            let found = try value.field(field, &frame.budget)
            if isOptional {
                // A field of an optional is an optional already.
                if case .optional = value { return found ?? .optional(.none) }
                return .optional(found.map { CELOptional($0) } ?? .none)
            }
            guard let found else { throw EvaluationError(.noSuchKey("'\(field)'")) }
            return found
        } catch {
            throw error.at(position)
        }
    }
}

/// `has(operand.field)`.
final class PresenceNode: Node {
    private let operand: any Node
    private let field: String
    private let position: SourcePosition

    init(_ operand: any Node, _ field: String, _ position: SourcePosition) {
        self.operand = operand
        self.field = field
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        let value = try operand.evaluate(&frame)
        do throws(EvaluationError) {
            guard let found = try value.field(field, &frame.budget) else { return false }
            if case .optional = value, case .optional(let inner) = found {
                return inner.value != nil
            }
            return true
        } catch {
            throw error.at(position, in: "has")
        }
    }
}

/// `operand[place]`, and `operand[?place]` when it is optional.
final class IndexNode: Node {
    private let operand: any Node
    private let place: any Node
    private let isOptional: Bool
    private let position: SourcePosition

    init(_ operand: any Node, _ place: any Node, isOptional: Bool, _ position: SourcePosition) {
        self.operand = operand
        self.place = place
        self.isOptional = isOptional
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        var operand = try self.operand.evaluate(&frame)
        let place = try self.place.evaluate(&frame)
        var isOptional = isOptional
        if case .optional(let optional) = operand {
            guard let held = optional.value else { return .optional(.none) }
            operand = held
            isOptional = true
        }
        do throws(EvaluationError) {
            let found = try operand.element(place, &frame.budget)
            if isOptional { return .optional(found.map { CELOptional($0) } ?? .none) }
            if let found { return found }
            if case .list = operand { throw EvaluationError(.indexOutOfRange(place.keyText)) }
            throw EvaluationError(.noSuchKey(place.keyText))
        } catch {
            throw error.at(position, in: "[]")
        }
    }
}
