import Glibc

/// The math extension, in which `greatest` and `least` are macros for `@max` and `@min`.
enum MathFunctions {
    static func register(in library: inout FunctionLibrary) {
        declareExtremes(in: &library)
        library.declare(
            """
            math::ceil(double): double
            math::floor(double): double
            math::round(double): double
            math::trunc(double): double
            math::sqrt(double): double
            math::sqrt(int): double
            math::sqrt(uint): double
            math::isInf(double): bool
            math::isNaN(double): bool
            math::isFinite(double): bool
            math::abs(int): int
            math::abs(uint): uint
            math::abs(double): double
            math::sign(int): int
            math::sign(uint): uint
            math::sign(double): double
            math::bitAnd(int, int): int
            math::bitAnd(uint, uint): uint
            math::bitOr(int, int): int
            math::bitOr(uint, uint): uint
            math::bitXor(int, int): int
            math::bitXor(uint, uint): uint
            math::bitNot(int): int
            math::bitNot(uint): uint
            math::bitShiftLeft(int, int): int
            math::bitShiftLeft(uint, int): uint
            math::bitShiftRight(int, int): int
            math::bitShiftRight(uint, int): uint
            """
        )
        rounding(in: &library)
        bits(in: &library)
        library.function("math.sqrt", .unary(squareRoot))
        library.function("math.abs", .unary(magnitude))
        library.function("math.sign", .unary(sign))
        for (name, wanted) in [("math.@max", Order.greater), ("math.@min", Order.less)] {
            library.function(
                name,
                .unary { value, _ throws(EvaluationError) in
                    guard case .list(let list) = value else {
                        return try extreme([value], wanted)
                    }
                    return try extreme(list.elements, wanted)
                }
            )
            library.function(
                name,
                .binary { left, right, _ throws(EvaluationError) in
                    try extreme([left, right], wanted)
                }
            )
        }
    }

    private static func declareExtremes(in library: inout FunctionLibrary) {
        let types = ["int", "uint", "double"]
        for name in ["math::@max", "math::@min"] {
            for type in types {
                library.declare("\(name)(\(type)): \(type)\n\(name)(list(\(type))): \(type)")
                for other in types {
                    let result = type == other ? type : "dyn"
                    library.declare("\(name)(\(type), \(other)): \(result)")
                }
            }
        }
    }

    /// The first of the values that no other exceeds.
    private static func extreme(
        _ values: [CELValue],
        _ wanted: Order
    ) throws(EvaluationError) -> CELValue {
        guard var best = values.first else {
            throw EvaluationError(.invalidArgument("a greatest or least of nothing"))
        }
        guard best.numericOrder(to: best) != nil else { throw EvaluationError(.noSuchOverload) }
        for value in values.dropFirst() {
            guard let order = value.numericOrder(to: best) else {
                throw EvaluationError(.noSuchOverload)
            }
            if order == wanted { best = value }
        }
        return best
    }

    private static func rounding(in library: inout FunctionLibrary) {
        let functions: [(String, @Sendable (Double) -> Double)] = [
            ("math.ceil", { $0.rounded(.up) }),
            ("math.floor", { $0.rounded(.down) }),
            ("math.round", { $0.rounded(.toNearestOrAwayFromZero) }),
            ("math.trunc", { $0.rounded(.towardZero) }),
        ]
        for (name, function) in functions {
            library.function(
                name,
                .unary { value, _ throws(EvaluationError) in
                    .double(function(try double(value)))
                }
            )
        }
        let tests: [(String, @Sendable (Double) -> Bool)] = [
            ("math.isInf", { $0.isInfinite }),
            ("math.isNaN", { $0.isNaN }),
            ("math.isFinite", { $0.isFinite }),
        ]
        for (name, test) in tests {
            library.function(
                name,
                .unary { value, _ throws(EvaluationError) in
                    .bool(test(try double(value)))
                }
            )
        }
    }

    private static func double(_ value: CELValue) throws(EvaluationError) -> Double {
        guard case .double(let value) = value else { throw EvaluationError(.noSuchOverload) }
        return value
    }

    @Sendable private static func squareRoot(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .double(let value): return .double(value.squareRoot())
        case .int(let value): return .double(Double(value).squareRoot())
        case .uint(let value): return .double(Double(value).squareRoot())
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func magnitude(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .int(let value):
            guard let result = Int64(exactly: value.magnitude) else {
                throw EvaluationError(.overflow)
            }
            return .int(result)
        case .uint: return value
        case .double(let value): return .double(value.magnitude)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func sign(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .int(let value): return .int(value.signum())
        case .uint(let value): return .uint(value == 0 ? 0 : 1)
        case .double(let value):
            return .double(value.isNaN ? value : value == 0 ? 0 : value < 0 ? -1 : 1)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    // MARK: - Bits

    private static func bits(in library: inout FunctionLibrary) {
        let functions: [(String, @Sendable (UInt64, UInt64) -> UInt64)] = [
            ("math.bitAnd", { $0 & $1 }), ("math.bitOr", { $0 | $1 }),
            ("math.bitXor", { $0 ^ $1 }),
        ]
        for (name, function) in functions {
            library.function(
                name,
                .binary { left, right, _ throws(EvaluationError) in
                    switch (left, right) {
                    case (.int(let left), .int(let right)):
                        let result = function(UInt64(bitPattern: left), UInt64(bitPattern: right))
                        return .int(Int64(bitPattern: result))
                    case (.uint(let left), .uint(let right)): return .uint(function(left, right))
                    default: throw EvaluationError(.noSuchOverload)
                    }
                }
            )
        }
        library.function(
            "math.bitNot",
            .unary { value, _ throws(EvaluationError) in
                switch value {
                case .int(let value): return .int(~value)
                case .uint(let value): return .uint(~value)
                default: throw EvaluationError(.noSuchOverload)
                }
            }
        )
        // A shift of 64 or more leaves nothing, and the sign is a bit like the others.
        let shifts: [(String, @Sendable (UInt64, Int64) -> UInt64)] = [
            ("math.bitShiftLeft", { $0 << $1 }), ("math.bitShiftRight", { $0 >> $1 }),
        ]
        for (name, shift) in shifts {
            library.function(
                name,
                .binary { value, places, _ throws(EvaluationError) in
                    try shifted(value, places, shift)
                }
            )
        }
    }

    private static func shifted(
        _ value: CELValue,
        _ places: CELValue,
        _ shift: (UInt64, Int64) -> UInt64
    ) throws(EvaluationError) -> CELValue {
        guard case .int(let places) = places else { throw EvaluationError(.noSuchOverload) }
        let bits: UInt64
        switch value {
        case .int(let value): bits = UInt64(bitPattern: value)
        case .uint(let value): bits = value
        default: throw EvaluationError(.noSuchOverload)
        }
        guard places >= 0 else {
            throw EvaluationError(.invalidArgument("a shift by a negative offset: \(places)"))
        }
        let result = shift(bits, places)
        if case .int = value { return .int(Int64(bitPattern: result)) }
        return .uint(result)
    }
}
