/// The encoders extension: base 64 (RFC 4648).
enum EncoderFunctions {
    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            base64::encode(bytes): string
            base64::decode(string): bytes
            """
        )
        library.function(
            "base64.encode",
            .unary { value, budget throws(EvaluationError) in
                guard case .bytes(let bytes) = value else { throw EvaluationError(.noSuchOverload) }
                try budget.charge(bytes: bytes.count * 2)
                return .string(Base64.encode(bytes))
            }
        )
        library.function(
            "base64.decode",
            .unary { value, budget throws(EvaluationError) in
                guard case .string(let text) = value else { throw EvaluationError(.noSuchOverload) }
                try budget.charge(bytes: text.utf8.count * 2)
                guard let bytes = Base64.decode(text) else {
                    throw EvaluationError(.invalidArgument("invalid base64"))
                }
                return .bytes(bytes)
            }
        )
    }
}

/// Base 64 with the standard alphabet.
package enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )

    /// The bytes as text, padded.
    package static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let count = min(3, bytes.count - index)
            var group: UInt32 = 0
            for place in 0..<3 {
                group = group << 8 | (place < count ? UInt32(bytes[index + place]) : 0)
            }
            for place in 0..<4 {
                let digit = alphabet[Int(group >> UInt32(18 - 6 * place)) & 63]
                text.append(place <= count ? digit : UInt8(ascii: "="))
            }
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of a text, padded or not; nil when it is no base 64.
    package static func decode(_ text: String) -> [UInt8]? {
        var digits = text.utf8[...]
        var padding = 0
        while padding < 2, digits.last == UInt8(ascii: "=") {
            digits = digits.dropLast()
            padding += 1
        }
        let count = digits.count
        guard count % 4 != 1, padding == 0 || (count + padding) % 4 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * 3 / 4)
        var group: UInt32 = 0
        var bits = 0
        for digit in digits {
            guard let value = value(of: digit) else { return nil }
            group = group << 6 | value
            bits += 6
            guard bits >= 8 else { continue }
            bits -= 8
            bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
        }
        return bytes
    }

    private static func value(of digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
