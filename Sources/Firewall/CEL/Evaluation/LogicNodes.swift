/// Chains of `&&` or `||`; an error is no error when another operand decides.
final class LogicNode: Node {
    private let operands: [any Node]
    /// The value of an operand that decides: false for `&&`.
    private let decisive: Bool
    private let position: SourcePosition

    init(_ operands: [any Node], decisive: Bool, _ position: SourcePosition) {
        self.operands = operands
        self.decisive = decisive
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        for index in operands.indices {
            do throws(EvaluationError) {
                if try operands[index].truth(&frame) == decisive { return decisive }
            } catch {
                return try decide(after: error, at: index, &frame)
            }
        }
        return !decisive
    }

    /// Looks for an operand that decides behind one that failed.
    private func decide(
        after failure: EvaluationError,
        at index: Int,
        _ frame: inout Frame
    ) throws(EvaluationError) -> Bool {
        guard failure.isAbsorbable else { throw failure }
        for next in operands.indices.dropFirst(index + 1) {
            do throws(EvaluationError) {
                if try operands[next].truth(&frame) == decisive { return decisive }
            } catch {
                guard error.isAbsorbable else { throw error }
            }
        }
        throw failure.at(position, in: decisive ? "||" : "&&")
    }
}

/// `!`.
final class NotNode: Node {
    private let operand: any Node
    private let position: SourcePosition

    init(_ operand: any Node, _ position: SourcePosition) {
        self.operand = operand
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        do throws(EvaluationError) {
            return try !operand.truth(&frame)
        } catch {
            throw error.at(position, in: "!")
        }
    }
}

/// `condition ? left : right`.
final class ConditionalNode: Node {
    private let condition: any Node
    private let left: any Node
    private let right: any Node
    private let position: SourcePosition

    init(_ condition: any Node, _ left: any Node, _ right: any Node, _ position: SourcePosition) {
        self.condition = condition
        self.left = left
        self.right = right
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let isTrue: Bool
        do throws(EvaluationError) {
            isTrue = try condition.truth(&frame)
        } catch {
            throw error.at(position, in: "?:")
        }
        return try isTrue ? left.evaluate(&frame) : right.evaluate(&frame)
    }
}

/// `==` and `!=`.
final class EqualityNode: Node {
    private let left: any Node
    private let right: any Node
    private let isNegated: Bool

    init(_ left: any Node, _ right: any Node, isNegated: Bool) {
        self.left = left
        self.right = right
        self.isNegated = isNegated
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        let left = try self.left.evaluate(&frame)
        let right = try self.right.evaluate(&frame)
        return try left.equals(right, &frame.budget) != isNegated
    }
}

/// `==` and `!=` with a text that is written in the expression.
final class TextEqualityNode: Node {
    private let operand: any Node
    private let text: String
    private let isNegated: Bool

    init(_ operand: any Node, _ text: String, isNegated: Bool) {
        self.operand = operand
        self.text = text
        self.isNegated = isNegated
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        guard case .string(let value) = try operand.evaluate(&frame) else { return isNegated }
        return value.hasBytes(of: text) != isNegated
    }
}

/// `<`, `<=`, `>`, `>=`.
final class OrderNode: Node {
    enum Relation: Sendable {
        case less, lessOrEqual, greater, greaterOrEqual
    }

    private let left: any Node
    private let right: any Node
    private let relation: Relation
    private let position: SourcePosition

    init(_ left: any Node, _ right: any Node, _ relation: Relation, _ position: SourcePosition) {
        self.left = left
        self.right = right
        self.relation = relation
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        let left = try self.left.evaluate(&frame)
        let right = try self.right.evaluate(&frame)
        guard let order = try left.order(to: right, &frame.budget) else {
            throw EvaluationError(.noSuchOverload).at(position, in: name)
        }
        switch relation {
        case .less: return order == .less
        case .lessOrEqual: return order == .less || order == .equal
        case .greater: return order == .greater
        case .greaterOrEqual: return order == .greater || order == .equal
        }
    }

    private var name: String {
        switch relation {
        case .less: "<"
        case .lessOrEqual: "<="
        case .greater: ">"
        case .greaterOrEqual: ">="
        }
    }
}

/// `in`.
final class MembershipNode: Node {
    private let element: any Node
    private let collection: any Node
    private let position: SourcePosition

    init(_ element: any Node, _ collection: any Node, _ position: SourcePosition) {
        self.element = element
        self.collection = collection
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        let element = try self.element.evaluate(&frame)
        switch try collection.evaluate(&frame) {
        case .list(let list): return try list.contains(element, &frame.budget)
        case .map(let map):
            try frame.budget.charge(map.lookupCost + element.hashingCost)
            return map.value(of: element) != nil
        default: throw EvaluationError(.noSuchOverload).at(position, in: "in")
        }
    }
}

/// `in` with a list of texts that is written in the expression.
final class TextMembershipNode: Node {
    private let element: any Node
    private let texts: [String]
    /// The texts when there are too many to look through.
    private let index: Set<ByteText>?

    /// A hash costs about as much as eight comparisons.
    private static let linearLimit = 8

    init(_ element: any Node, _ texts: [String]) {
        self.element = element
        self.texts = texts
        index = texts.count > Self.linearLimit ? Set(texts.map(ByteText.init)) : nil
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        guard case .string(let value) = try element.evaluate(&frame) else { return false }
        if let index {
            try frame.budget.charge(bytes: value.utf8.count)
            return index.contains(ByteText(value))
        }
        for place in texts.indices where texts[place].hasBytes(of: value) { return true }
        return false
    }
}
