import Glibc

/// Numbers as text.
enum NumberText {
    /// Decimals that `format` may be asked for.
    static let maximumPrecision = 1_000

    /// The shortest text that reads back as the number; with an exponent below 1e-4 and from 1e+06
    /// on, as the implementations in Go and C++ write it.
    static func shortest(_ value: Double) -> String {
        guard value.isFinite else { return special(value) }
        let (digits, exponent) = decimal(value)
        let sign = value.sign == .minus ? "-" : ""
        guard exponent < -4 || exponent >= 6 else {
            return sign + positional(digits, exponent)
        }
        let rest = digits.dropFirst()
        let fraction = rest.isEmpty ? "" : "." + String(decoding: rest, as: UTF8.self)
        let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
        let first = String(decoding: digits.prefix(1), as: UTF8.self)
        return "\(sign)\(first)\(fraction)e\(exponent < 0 ? "-" : "+")\(power)"
    }

    /// The shortest text that reads back as the number, without an exponent.
    static func plain(_ value: Double) -> String {
        guard value.isFinite else { return formatted(special: value) }
        let (digits, exponent) = decimal(value)
        return (value.sign == .minus ? "-" : "") + positional(digits, exponent)
    }

    /// The number with so many decimals, rounded half to even; or with an exponent of two digits.
    static func fixed(_ value: Double, decimals: Int, isScientific: Bool) -> String {
        guard value.isFinite else { return formatted(special: value) }
        // The longest double has 309 digits before its point.
        var buffer = [CChar](repeating: 0, count: decimals + 330)
        let count = unsafe withVaList([Int32(decimals), value]) { arguments in
            unsafe vsnprintf(&buffer, buffer.count, isScientific ? "%.*e" : "%.*f", arguments)
        }
        return String(
            decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
    }

    /// How `format` writes numbers that are none.
    static func formatted(special value: Double) -> String {
        value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
    }

    private static func special(_ value: Double) -> String {
        value.isNaN ? "NaN" : value < 0 ? "-Inf" : "+Inf"
    }

    /// The shortest digits of a finite number and the power of ten of the first.
    static func decimal(_ value: Double) -> (digits: [UInt8], exponent: Int) {
        var digits: [UInt8] = []
        var exponent = 0
        var pointSeen = false
        var written = value.magnitude.description.utf8[...]
        if let mark = written.firstIndex(of: UInt8(ascii: "e")) {
            let power = written[written.index(after: mark)...]
            exponent = Int(String(decoding: power, as: UTF8.self)) ?? 0
            written = written[..<mark]
        }
        var integerDigits = 0
        for byte in written {
            if byte == UInt8(ascii: ".") {
                pointSeen = true
            } else {
                digits.append(byte)
                if !pointSeen { integerDigits += 1 }
            }
        }
        exponent += integerDigits - 1
        let zeros = digits.prefix { $0 == 48 }.count
        guard zeros < digits.count else { return ([48], 0) }
        digits.removeFirst(zeros)
        exponent -= zeros
        while digits.count > 1, digits.last == 48 { digits.removeLast() }
        return (digits, exponent)
    }

    static func positional(_ digits: [UInt8], _ exponent: Int) -> String {
        var text = digits
        if exponent < 0 {
            text = Array(repeating: 48, count: -exponent) + text
            text.insert(UInt8(ascii: "."), at: 1)
        } else if exponent >= digits.count - 1 {
            text += Array(repeating: 48, count: exponent - digits.count + 1)
        } else {
            text.insert(UInt8(ascii: "."), at: exponent + 1)
        }
        return String(decoding: text, as: UTF8.self)
    }
}
