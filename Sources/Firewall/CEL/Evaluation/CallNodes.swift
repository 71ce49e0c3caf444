/// A call of a function with one argument.
final class UnaryNode: Node {
    private let name: String
    private let function: Implementation.Unary
    private let argument: any Node
    private let position: SourcePosition

    init(
        _ name: String,
        _ function: @escaping Implementation.Unary,
        _ argument: any Node,
        _ position: SourcePosition
    ) {
        self.name = name
        self.function = function
        self.argument = argument
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let argument = try self.argument.evaluate(&frame)
        do throws(EvaluationError) {
            return try function(argument, &frame.budget)
        } catch {
            throw error.at(position, in: name)
        }
    }
}

/// A call of a function with two arguments.
final class BinaryNode: Node {
    private let name: String
    private let function: Implementation.Binary
    private let left: any Node
    private let right: any Node
    private let position: SourcePosition

    init(
        _ name: String,
        _ function: @escaping Implementation.Binary,
        _ left: any Node,
        _ right: any Node,
        _ position: SourcePosition
    ) {
        self.name = name
        self.function = function
        self.left = left
        self.right = right
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let left = try self.left.evaluate(&frame)
        let right = try self.right.evaluate(&frame)
        do throws(EvaluationError) {
            return try function(left, right, &frame.budget)
        } catch {
            throw error.at(position, in: name)
        }
    }
}

/// A call of a function with any number of arguments.
final class VariadicNode: Node {
    private let name: String
    private let function: Implementation.Variadic
    private let arguments: [any Node]
    private let position: SourcePosition

    init(
        _ name: String,
        _ function: @escaping Implementation.Variadic,
        _ arguments: [any Node],
        _ position: SourcePosition
    ) {
        self.name = name
        self.function = function
        self.arguments = arguments
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        var values: [CELValue] = []
        values.reserveCapacity(arguments.count)
        for argument in arguments { values.append(try argument.evaluate(&frame)) }
        do throws(EvaluationError) {
            return try function(values, &frame.budget)
        } catch {
            throw error.at(position, in: name)
        }
    }
}

/// `contains`, `startsWith`, `endsWith` of a text that is written in the expression.
final class TextTestNode: Node {
    enum Test: String, Sendable {
        case contains, startsWith, endsWith
    }

    private let operand: any Node
    private let part: String
    private let test: Test
    private let position: SourcePosition

    init(_ operand: any Node, _ part: String, _ test: Test, _ position: SourcePosition) {
        self.operand = operand
        self.part = part
        self.test = test
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        guard case .string(let text) = try operand.evaluate(&frame) else {
            throw EvaluationError(.noSuchOverload).at(position, in: test.rawValue)
        }
        switch test {
        case .contains:
            try frame.budget.charge(bytes: text.utf8.count)
            return text.containsBytes(of: part)
        case .startsWith: return text.startsWithBytes(of: part)
        case .endsWith: return text.endsWithBytes(of: part)
        }
    }
}

/// `matches` with a pattern that is written in the expression.
final class PatternNode: Node {
    private let operand: any Node
    private let regex: LinearRegex
    private let position: SourcePosition

    init(_ operand: any Node, _ regex: LinearRegex, _ position: SourcePosition) {
        self.operand = operand
        self.regex = regex
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        .bool(try truth(&frame))
    }

    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        let value = try operand.evaluate(&frame)
        do throws(EvaluationError) {
            guard case .string(let text) = value else { throw EvaluationError(.noSuchOverload) }
            return try StandardFunctions.matches(text, regex, &frame.budget)
        } catch {
            throw error.at(position, in: "matches")
        }
    }
}

/// `or` and `orValue`: what stands in for a missing value is computed only when it is missing.
final class AlternativeNode: Node {
    private let optional: any Node
    private let alternative: any Node
    /// Whether the value itself is wanted, as `orValue` gives it.
    private let unwraps: Bool
    private let position: SourcePosition

    init(
        _ optional: any Node,
        _ alternative: any Node,
        unwraps: Bool,
        _ position: SourcePosition
    ) {
        self.optional = optional
        self.alternative = alternative
        self.unwraps = unwraps
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let value = try optional.evaluate(&frame)
        do throws(EvaluationError) {
            if let held = try OptionalFunctions.optional(value).value {
                return unwraps ? held : value
            }
            let other = try alternative.evaluate(&frame)
            if !unwraps { _ = try OptionalFunctions.optional(other) }
            return other
        } catch {
            throw error.at(position, in: unwraps ? "orValue" : "or")
        }
    }
}

/// `optMap` and `optFlatMap`.
final class OptionalMapNode: Node {
    private let target: any Node
    private let place: Int
    private let body: any Node
    private let isFlat: Bool
    private let position: SourcePosition

    init(
        _ target: any Node,
        place: Int,
        _ body: any Node,
        isFlat: Bool,
        _ position: SourcePosition
    ) {
        self.target = target
        self.place = place
        self.body = body
        self.isFlat = isFlat
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let value = try target.evaluate(&frame)
        do throws(EvaluationError) {
            guard let held = try OptionalFunctions.optional(value).value else { return value }
            frame.locals[place] = .value(held)
            let result = try body.evaluate(&frame)
            guard isFlat else { return .optional(CELOptional(result)) }
            _ = try OptionalFunctions.optional(result)
            return result
        } catch {
            throw error.at(position, in: isFlat ? "optFlatMap" : "optMap")
        }
    }
}
