/// Arithmetic; comparisons, logic and indexing are nodes of their own.
enum Operators {
    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            !_(bool): bool
            -_(int): int
            -_(double): double
            _+_(int, int): int
            _+_(uint, uint): uint
            _+_(double, double): double
            _+_(string, string): string
            _+_(bytes, bytes): bytes
            _+_(list(A), list(A)): list(A)
            _+_(timestamp, duration): timestamp
            _+_(duration, timestamp): timestamp
            _+_(duration, duration): duration
            _-_(int, int): int
            _-_(uint, uint): uint
            _-_(double, double): double
            _-_(timestamp, timestamp): duration
            _-_(timestamp, duration): timestamp
            _-_(duration, duration): duration
            _*_(int, int): int
            _*_(uint, uint): uint
            _*_(double, double): double
            _/_(int, int): int
            _/_(uint, uint): uint
            _/_(double, double): double
            _%_(int, int): int
            _%_(uint, uint): uint
            _==_(A, A): bool
            _!=_(A, A): bool
            @in(A, list(A)): bool
            @in(A, map(A, B)): bool
            _[_](list(A), int): A
            _[_](map(A, B), A): B
            _[_](optional(list(A)), int): optional(A)
            _[_](optional(map(A, B)), A): optional(B)
            _[?_](list(A), int): optional(A)
            _[?_](map(A, B), A): optional(B)
            _[?_](optional(list(A)), int): optional(A)
            _[?_](optional(map(A, B)), A): optional(B)
            """
        )
        for name in ["_<_", "_<=_", "_>_", "_>=_"] {
            // The first is what a value of unknown type is taken for: whoever orders has numbers.
            for type in [
                "int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration",
            ] {
                library.declare("\(name)(\(type), \(type)): bool")
            }
        }
        library.function("-_", .unary(negate))
        library.function("_+_", .binary(add))
        library.function("_-_", .binary(subtract))
        library.function("_*_", .binary(multiply))
        library.function("_/_", .binary(divide))
        library.function("_%_", .binary(remainder))
    }

    @Sendable static func negate(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .int(let value):
            let (result, overflow) = Int64(0).subtractingReportingOverflow(value)
            guard !overflow else { throw EvaluationError(.overflow) }
            return .int(result)
        case .double(let value): return .double(-value)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable static func add(
        _ left: CELValue,
        _ right: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch (left, right) {
        case (.int(let left), .int(let right)):
            return .int(try exact(left.addingReportingOverflow(right)))
        case (.uint(let left), .uint(let right)):
            return .uint(try exact(left.addingReportingOverflow(right)))
        case (.double(let left), .double(let right)): return .double(left + right)
        case (.string(let left), .string(let right)):
            try budget.charge(bytes: left.utf8.count + right.utf8.count)
            return .string(left + right)
        case (.bytes(let left), .bytes(let right)):
            try budget.charge(bytes: left.count + right.count)
            return .bytes(left + right)
        case (.list(let left), .list(let right)):
            try budget.charge(left.count + right.count)
            if right.count == 0 { return .list(left) }
            if left.count == 0 { return .list(right) }
            return .list(.values(left.elements + right.elements))
        case (.timestamp(let time), .duration(let span)),
            (.duration(let span), .timestamp(let time)):
            guard let sum = time.adding(span) else { throw outOfRange("a timestamp") }
            return .timestamp(sum)
        case (.duration(let left), .duration(let right)):
            guard let sum = left.adding(right) else { throw outOfRange("a duration") }
            return .duration(sum)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable static func subtract(
        _ left: CELValue,
        _ right: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch (left, right) {
        case (.int(let left), .int(let right)):
            return .int(try exact(left.subtractingReportingOverflow(right)))
        case (.uint(let left), .uint(let right)):
            return .uint(try exact(left.subtractingReportingOverflow(right)))
        case (.double(let left), .double(let right)): return .double(left - right)
        case (.timestamp(let left), .timestamp(let right)):
            guard let span = left.since(right) else { throw outOfRange("a duration") }
            return .duration(span)
        case (.timestamp(let time), .duration(let span)):
            guard let result = time.adding(span.negated) else { throw outOfRange("a timestamp") }
            return .timestamp(result)
        case (.duration(let left), .duration(let right)):
            guard let result = left.adding(right.negated) else { throw outOfRange("a duration") }
            return .duration(result)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable static func multiply(
        _ left: CELValue,
        _ right: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch (left, right) {
        case (.int(let left), .int(let right)):
            return .int(try exact(left.multipliedReportingOverflow(by: right)))
        case (.uint(let left), .uint(let right)):
            return .uint(try exact(left.multipliedReportingOverflow(by: right)))
        case (.double(let left), .double(let right)): return .double(left * right)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable static func divide(
        _ left: CELValue,
        _ right: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch (left, right) {
        case (.int(let left), .int(let right)):
            guard right != 0 else { throw EvaluationError(.divisionByZero) }
            return .int(try exact(left.dividedReportingOverflow(by: right)))
        case (.uint(let left), .uint(let right)):
            guard right != 0 else { throw EvaluationError(.divisionByZero) }
            return .uint(left / right)
        case (.double(let left), .double(let right)): return .double(left / right)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable static func remainder(
        _ left: CELValue,
        _ right: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch (left, right) {
        case (.int(let left), .int(let right)):
            guard right != 0 else { throw EvaluationError(.modulusByZero) }
            return .int(try exact(left.remainderReportingOverflow(dividingBy: right)))
        case (.uint(let left), .uint(let right)):
            guard right != 0 else { throw EvaluationError(.modulusByZero) }
            return .uint(left % right)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    private static func exact<Whole>(
        _ result: (partialValue: Whole, overflow: Bool)
    ) throws(EvaluationError) -> Whole {
        guard !result.overflow else { throw EvaluationError(.overflow) }
        return result.partialValue
    }

    private static func outOfRange(_ what: String) -> EvaluationError {
        EvaluationError(.outOfRange(what))
    }
}
