/// A span of time, to the nanosecond; both parts have the same sign.
package struct CELDuration: Hashable, Sendable {
    package let seconds: Int64
    package let nanoseconds: Int32

    /// About ten thousand years (google.protobuf.Duration).
    private static let maximumSeconds: Int64 = 315_576_000_000

    /// A span; nil when it is out of range.
    ///
    /// One that `isComputed` is the result of arithmetic, which must be less than 2^63 nanoseconds
    /// as in the other implementations; what is written down may be longer.
    package init?(seconds: Int64, nanoseconds: Int64 = 0, isComputed: Bool = false) {
        let sum = seconds.addingReportingOverflow(nanoseconds / 1_000_000_000)
        guard !sum.overflow else { return nil }
        var whole = sum.partialValue
        var rest = nanoseconds % 1_000_000_000
        if whole > 0, rest < 0 {
            whole -= 1
            rest += 1_000_000_000
        } else if whole < 0, rest > 0 {
            whole += 1
            rest -= 1_000_000_000
        }
        guard whole.magnitude <= Self.maximumSeconds else { return nil }
        if isComputed {
            let (scaled, overflow) = whole.multipliedReportingOverflow(by: 1_000_000_000)
            guard !overflow, !scaled.addingReportingOverflow(rest).overflow else { return nil }
        }
        self.seconds = whole
        self.nanoseconds = Int32(rest)
    }

    /// The sum; nil when it is out of range.
    func adding(_ other: CELDuration) -> CELDuration? {
        CELDuration(
            seconds: seconds + other.seconds,
            nanoseconds: Int64(nanoseconds) + Int64(other.nanoseconds),
            isComputed: true
        )
    }

    /// The same span backwards.
    var negated: CELDuration {
        // The range is symmetric.
        CELDuration(seconds: -seconds, nanoseconds: -Int64(nanoseconds)) ?? self
    }

    /// Whole milliseconds beyond the whole seconds.
    var milliseconds: Int64 { Int64(nanoseconds) / 1_000_000 }
}

extension CELDuration {
    /// Reads `1h30m`, `-1.5s`, `250ms`: decimal numbers with units after at most one sign, or `0`.
    package init?(_ text: String) {
        var bytes = Array(text.utf8)[...]
        var isNegative = false
        if let sign = bytes.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            isNegative = sign == UInt8(ascii: "-")
            bytes.removeFirst()
        }
        if bytes.elementsEqual([UInt8(ascii: "0")]) {
            self.init(seconds: 0)
            return
        }
        guard !bytes.isEmpty else { return nil }
        var total: Int128 = 0
        while !bytes.isEmpty {
            guard let part = Self.part(&bytes) else { return nil }
            total += part
            guard total < Int128(1) << 96 else { return nil }
        }
        if isNegative { total = -total }
        let (seconds, rest) = total.quotientAndRemainder(dividingBy: 1_000_000_000)
        // Not `abs`: the least integer has no positive counterpart.
        guard let seconds = Int64(exactly: seconds), seconds.magnitude <= Self.maximumSeconds else {
            return nil
        }
        self.init(seconds: seconds, nanoseconds: Int64(rest))
    }

    /// Takes one number with its unit; in nanoseconds, cut off.
    private static func part(_ bytes: inout ArraySlice<UInt8>) -> Int128? {
        var whole: Int128 = 0
        var digits = 0
        while let digit = bytes.first, (48...57).contains(digit) {
            // More digits than any span in range has; leading zeros count too.
            guard digits < 30 else { return nil }
            whole = whole * 10 + Int128(digit - 48)
            digits += 1
            bytes.removeFirst()
        }
        var fraction: Int128 = 0
        var scale: Int128 = 1
        if bytes.first == UInt8(ascii: ".") {
            bytes.removeFirst()
            while let digit = bytes.first, (48...57).contains(digit) {
                // Beyond 18 places nothing is a nanosecond of an hour.
                if scale < 1_000_000_000_000_000_000 {
                    fraction = fraction * 10 + Int128(digit - 48)
                    scale *= 10
                }
                digits += 1
                bytes.removeFirst()
            }
        }
        guard digits > 0 else { return nil }
        let name = bytes.prefix { !(48...57).contains($0) && $0 != UInt8(ascii: ".") }
        bytes.removeFirst(name.count)
        guard let unit = unit(String(decoding: name, as: UTF8.self)),
            whole < Int128(1) << 80
        else { return nil }
        return whole * unit + fraction * unit / scale
    }

    private static func unit(_ name: String) -> Int128? {
        switch name {
        case "h": 3_600_000_000_000
        case "m": 60_000_000_000
        case "s": 1_000_000_000
        case "ms": 1_000_000
        case "us", "\u{B5}s", "\u{3BC}s": 1_000
        case "ns": 1
        default: nil
        }
    }
}

extension CELDuration: CustomStringConvertible {
    /// Seconds with as many decimals as are needed: `1.5s`.
    package var description: String {
        let sign = seconds < 0 || nanoseconds < 0 ? "-" : ""
        return "\(sign)\(seconds.magnitude)\(fractionText(nanoseconds.magnitude))s"
    }
}

/// A fraction of a second as `.5`, without zeros at its end; nothing for none.
func fractionText(_ nanoseconds: UInt32) -> String {
    guard nanoseconds != 0 else { return "" }
    var digits = String(nanoseconds)
    digits = String(repeating: "0", count: 9 - digits.utf8.count) + digits
    while digits.utf8.last == UInt8(ascii: "0") { digits.removeLast() }
    return "." + digits
}
