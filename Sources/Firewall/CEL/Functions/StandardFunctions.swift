/// `size`, `contains` and their like (cel-spec, "List of Standard Definitions").
enum StandardFunctions {
    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            size(string): int
            size(bytes): int
            size(list(A)): int
            size(map(A, B)): int
            string.size(): int
            bytes.size(): int
            list(A).size(): int
            map(A, B).size(): int
            string.contains(string): bool
            string.startsWith(string): bool
            string.endsWith(string): bool
            matches(string, string): bool
            string.matches(string): bool
            type(A): type(A)
            dyn(A): dyn
            """
        )
        library.function("size", .unary(size))
        library.method("size", .unary(size))
        library.method("contains", .binary(contains))
        library.method("startsWith", .binary(startsWith))
        library.method("endsWith", .binary(endsWith))
        library.function("matches", .binary(matches))
        library.method("matches", .binary(matches))
        library.function("type", .unary { value, _ in .type(value.typeName) })
        library.function("dyn", .unary { value, _ in value })
    }

    @Sendable static func size(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .string(let text):
            try budget.charge(bytes: text.utf8.count)
            return .int(Int64(text.unicodeScalars.count))
        case .bytes(let bytes): return .int(Int64(bytes.count))
        case .list(let list): return .int(Int64(list.count))
        case .map(.entries(let entries)): return .int(Int64(entries.keys.count))
        case .map(let map):
            // Repeated keys of a JSON object count once.
            try budget.charge(map.readingCost)
            return .int(Int64(map.entries.keys.count))
        default: throw EvaluationError(.noSuchOverload)
        }
    }

    @Sendable static func contains(
        _ value: CELValue,
        _ part: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let (text, part) = try strings(value, part)
        try budget.charge(bytes: text.utf8.count)
        return .bool(text.containsBytes(of: part))
    }

    @Sendable static func startsWith(
        _ value: CELValue,
        _ part: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let (text, part) = try strings(value, part)
        try budget.charge(bytes: part.utf8.count)
        return .bool(text.startsWithBytes(of: part))
    }

    @Sendable static func endsWith(
        _ value: CELValue,
        _ part: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let (text, part) = try strings(value, part)
        try budget.charge(bytes: part.utf8.count)
        return .bool(text.endsWithBytes(of: part))
    }

    @Sendable static func matches(
        _ value: CELValue,
        _ pattern: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let (text, pattern) = try strings(value, pattern)
        try budget.charge(bytes: pattern.utf8.count)
        return .bool(try matches(text, try regex(pattern), &budget))
    }

    /// Whether a compiled pattern matches; a text costs what it would if no state were known yet.
    static func matches(
        _ text: String,
        _ regex: LinearRegex,
        _ budget: inout Budget
    ) throws(EvaluationError) -> Bool {
        try budget.charge(bytes: text.utf8.count * (1 + regex.size / 8))
        return regex.matches(text)
    }

    /// The compiled pattern.
    static func regex(_ pattern: String) throws(EvaluationError) -> LinearRegex {
        do throws(RegexError) {
            return try RegexCache.regex(pattern)
        } catch {
            throw EvaluationError(
                .invalidArgument("invalid regular expression: \(error.message)")
            )
        }
    }

    static func strings(
        _ left: CELValue,
        _ right: CELValue
    ) throws(EvaluationError) -> (String, String) {
        guard case .string(let left) = left, case .string(let right) = right else {
            throw EvaluationError(.noSuchOverload)
        }
        return (left, right)
    }
}
