/// `string.format` (cel-spec, doc/extensions/strings.md).
enum TextFormat {
    private static let defaultPrecision = 6

    @Sendable static func format(
        _ pattern: CELValue,
        _ arguments: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        guard case .string(let pattern) = pattern, case .list(let arguments) = arguments else {
            throw EvaluationError(.noSuchOverload)
        }
        try budget.charge(bytes: pattern.utf8.count)
        var result: [UInt8] = []
        var used = 0
        var bytes = pattern.utf8[...]
        while let byte = bytes.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                result.append(byte)
                continue
            }
            if bytes.first == UInt8(ascii: "%") {
                bytes.removeFirst()
                result.append(byte)
                continue
            }
            let precision = try precision(&bytes)
            guard let verb = bytes.popFirst() else { throw failure("unexpected end of format") }
            guard used < arguments.count else { throw failure("index \(used) out of range") }
            let text = try clause(verb, precision, arguments[used], &budget)
            used += 1
            try budget.charge(1 + text.utf8.count / 16)
            result += text.utf8
        }
        return .string(String(decoding: result, as: UTF8.self))
    }

    private static func precision(
        _ bytes: inout Substring.UTF8View
    ) throws(EvaluationError) -> Int? {
        guard bytes.first == UInt8(ascii: ".") else { return nil }
        bytes.removeFirst()
        var value = 0
        var count = 0
        while let digit = bytes.first, (48...57).contains(digit) {
            value = min(value * 10 + Int(digit - 48), NumberText.maximumPrecision + 1)
            count += 1
            bytes.removeFirst()
        }
        guard count > 0 else { throw failure("a precision without digits") }
        guard value <= NumberText.maximumPrecision else { throw failure("too large a precision") }
        return value
    }

    private static func clause(
        _ verb: UInt8,
        _ precision: Int?,
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> String {
        switch verb {
        case UInt8(ascii: "s"): return try text(value, &budget)
        case UInt8(ascii: "d"): return try decimal(value)
        case UInt8(ascii: "f"):
            return try fixed(value, precision, isScientific: false, "fixed-point")
        case UInt8(ascii: "e"):
            return try fixed(value, precision, isScientific: true, "scientific")
        case UInt8(ascii: "x"): return try hexadecimal(value, isUppercase: false, &budget)
        case UInt8(ascii: "X"): return try hexadecimal(value, isUppercase: true, &budget)
        case UInt8(ascii: "o"):
            guard let text = integer(value, radix: 8) else {
                throw failure("octal clause can only be used on integers", value)
            }
            return text
        case UInt8(ascii: "b"):
            if case .bool(let flag) = value { return flag ? "1" : "0" }
            guard let text = integer(value, radix: 2) else {
                throw failure("only integers and bools can be formatted as binary", value)
            }
            return text
        default:
            let name = String(decoding: [verb], as: UTF8.self)
            throw failure("unrecognized formatting clause \"\(name)\"")
        }
    }

    // MARK: - Numbers

    private static func integer(_ value: CELValue, radix: Int) -> String? {
        switch value {
        case .int(let value): String(value, radix: radix)
        case .uint(let value): String(value, radix: radix)
        default: nil
        }
    }

    private static func decimal(_ value: CELValue) throws(EvaluationError) -> String {
        if case .double(let number) = value { return NumberText.plain(number) }
        guard let text = integer(value, radix: 10) else {
            throw failure("decimal clause can only be used on integers", value)
        }
        return text
    }

    private static func fixed(
        _ value: CELValue,
        _ precision: Int?,
        isScientific: Bool,
        _ name: String
    ) throws(EvaluationError) -> String {
        let number: Double
        switch value {
        case .double(let value): number = value
        case .int(let value): number = Double(value)
        case .uint(let value): number = Double(value)
        default: throw failure("\(name) clause can only be used on doubles", value)
        }
        return NumberText.fixed(
            number,
            decimals: precision ?? defaultPrecision,
            isScientific: isScientific
        )
    }

    private static func hexadecimal(
        _ value: CELValue,
        isUppercase: Bool,
        _ budget: inout Budget
    ) throws(EvaluationError) -> String {
        switch value {
        case .int(let value): return String(value, radix: 16, uppercase: isUppercase)
        case .uint(let value): return String(value, radix: 16, uppercase: isUppercase)
        case .string(let text): return try pairs(Array(text.utf8), isUppercase, &budget)
        case .bytes(let bytes): return try pairs(bytes, isUppercase, &budget)
        default:
            throw failure(
                "only integers, byte buffers, and strings can be formatted as hex",
                value
            )
        }
    }

    private static func pairs(
        _ bytes: [UInt8],
        _ isUppercase: Bool,
        _ budget: inout Budget
    ) throws(EvaluationError) -> String {
        try budget.charge(bytes: bytes.count * 2)
        let digits = Array((isUppercase ? "0123456789ABCDEF" : "0123456789abcdef").utf8)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    // MARK: - Text

    /// A value as `%s` writes it.
    private static func text(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> String {
        switch value {
        case .string(let text): return text
        case .bool(let value): return value ? "true" : "false"
        case .null: return "null"
        case .int(let value): return String(value)
        case .uint(let value): return String(value)
        case .double(let value): return NumberText.plain(value)
        case .bytes(let bytes):
            try budget.charge(bytes: bytes.count)
            return replacingInvalid(bytes)
        case .timestamp(let time): return time.description
        case .duration(let span): return span.description
        case .type(let name): return name
        case .address(let address): return address.description
        case .network(let network): return network.description
        case .list(let list):
            var parts: [String] = []
            for index in 0..<list.count {
                let part = try text(list[index], &budget)
                try budget.charge(1 + part.utf8.count / 16)
                parts.append(part)
            }
            return "[\(parts.joined(separator: ", "))]"
        case .map(let map): return try text(map, &budget)
        case .optional: throw failure("an optional cannot be formatted")
        }
    }

    private static func text(
        _ map: CELMap,
        _ budget: inout Budget
    ) throws(EvaluationError) -> String {
        try budget.charge(map.readingCost)
        let entries = map.entries
        var parts: [(key: String, text: String)] = []
        for index in entries.keys.indices {
            let key = try text(entries.keys[index], &budget)
            let part = try text(entries.values[index], &budget)
            try budget.charge(1 + (key.utf8.count + part.utf8.count) / 16)
            parts.append((key, "\(key): \(part)"))
        }
        parts.sort { $0.key.byteOrder(to: $1.key) < 0 }
        return "{\(parts.map(\.text).joined(separator: ", "))}"
    }

    /// Bytes as text; neighbouring bytes that are no UTF-8 become one U+FFFD.
    private static func replacingInvalid(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        var result = String.UnicodeScalarView()
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var wasInvalid = false
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar):
                result.append(scalar)
                wasInvalid = false
            case .error:
                if !wasInvalid { result.append("\u{FFFD}") }
                wasInvalid = true
            case .emptyInput: return String(result)
            }
        }
    }

    private static func failure(_ message: String) -> EvaluationError {
        EvaluationError(.invalidArgument("error during formatting: \(message)"))
    }

    private static func failure(_ message: String, _ value: CELValue) -> EvaluationError {
        failure("\(message), was given \(value.typeName)")
    }
}
