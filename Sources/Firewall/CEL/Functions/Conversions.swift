import Glibc

/// Functions with the name of a type, which convert to it.
enum Conversions {
    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            int(int): int
            int(uint): int
            int(double): int
            int(string): int
            int(timestamp): int
            uint(uint): uint
            uint(int): uint
            uint(double): uint
            uint(string): uint
            double(double): double
            double(int): double
            double(uint): double
            double(string): double
            string(string): string
            string(bool): string
            string(int): string
            string(uint): string
            string(double): string
            string(bytes): string
            string(timestamp): string
            string(duration): string
            string(IP): string
            string(CIDR): string
            bytes(bytes): bytes
            bytes(string): bytes
            bool(bool): bool
            bool(string): bool
            timestamp(timestamp): timestamp
            timestamp(string): timestamp
            timestamp(int): timestamp
            duration(duration): duration
            duration(string): duration
            """
        )
        library.function("int", .unary(int))
        library.function("uint", .unary(uint))
        library.function("double", .unary(double))
        library.function("string", .unary(string))
        library.function("bytes", .unary(bytes))
        library.function("bool", .unary(bool))
        library.function("timestamp", .unary(timestamp))
        library.function("duration", .unary(duration))
    }

    @Sendable private static func int(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .int: return value
        case .uint(let value):
            guard let result = Int64(exactly: value) else { throw outOfRange("an int") }
            return .int(result)
        case .double(let value):
            // The nearest double to the largest int is one more than it, and the specification
            // leaves out the least int too, which a double rounded to it cannot be told from.
            guard value > -0x1p63, value < 0x1p63 else { throw outOfRange("an int") }
            return .int(Int64(value))
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            guard let result = Int64(text) else { throw notA("number", text) }
            return .int(result)
        case .timestamp(let time): return .int(time.seconds)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func uint(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .uint: return value
        case .int(let value):
            guard let result = UInt64(exactly: value) else { throw outOfRange("a uint") }
            return .uint(result)
        case .double(let value):
            guard value >= 0, value < 0x1p64 else { throw outOfRange("a uint") }
            return .uint(UInt64(value))
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            // Swift takes "-0" for a number without a sign.
            guard text.utf8.first != UInt8(ascii: "-"), let result = UInt64(text) else {
                throw notA("number", text)
            }
            return .uint(result)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func double(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .double: return value
        case .int(let value): return .double(Double(value))
        case .uint(let value): return .double(Double(value))
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            return .double(try double(text))
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    /// A decimal number, an infinity or not-a-number.
    private static func double(_ text: String) throws(EvaluationError) -> Double {
        var isNegative = false
        var digits = text.utf8[...]
        if let sign = digits.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            isNegative = sign == UInt8(ascii: "-")
            digits = digits.dropFirst()
        }
        switch String(decoding: digits, as: UTF8.self).lowercased() {
        case "inf", "infinity": return isNegative ? -.infinity : .infinity
        case "nan": return .nan
        default: break
        }
        // Swift reads hexadecimal numbers too, which are none here.
        let isDecimal = digits.allSatisfy { byte in
            (48...57).contains(byte) || byte == UInt8(ascii: ".") || byte | 0x20 == 0x65
                || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
        }
        guard isDecimal, let value = Double(text) else { throw notA("number", text) }
        guard value.isFinite else { throw outOfRange("a double") }
        return value
    }

    @Sendable private static func string(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .string: return value
        case .bool(let value): return .string(value ? "true" : "false")
        case .int(let value): return .string(String(value))
        case .uint(let value): return .string(String(value))
        case .double(let value): return .string(NumberText.shortest(value))
        case .bytes(let bytes):
            try budget.charge(bytes: bytes.count)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw EvaluationError(.invalidArgument("invalid UTF-8 in bytes"))
            }
            return .string(text)
        case .timestamp(let time): return .string(time.description)
        case .duration(let span): return .string(span.description)
        case .address(let address): return .string(address.description)
        case .network(let network): return .string(network.description)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func bytes(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .bytes: return value
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            return .bytes(Array(text.utf8))
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func bool(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .bool: return value
        case .string(let text):
            switch text {
            case "1", "t", "T", "true", "TRUE", "True": return .bool(true)
            case "0", "f", "F", "false", "FALSE", "False": return .bool(false)
            default: throw notA("truth value", text)
            }
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func timestamp(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .timestamp: return value
        case .int(let seconds):
            guard let time = CELTimestamp(seconds: seconds) else { throw outOfRange("a timestamp") }
            return .timestamp(time)
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            guard let time = CELTimestamp(text) else {
                throw notA("timestamp between the years 1 and 9999", text)
            }
            return .timestamp(time)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable private static func duration(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .duration: return value
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            guard let span = CELDuration(text) else { throw notA("duration in range", text) }
            return .duration(span)
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    private static func outOfRange(_ what: String) -> EvaluationError {
        EvaluationError(.outOfRange(what))
    }

    /// Texts may be long, so a message shows their beginning.
    private static func notA(_ what: String, _ text: String) -> EvaluationError {
        EvaluationError(.invalidArgument("`\(text.prefix(40))` is no \(what)"))
    }
}
