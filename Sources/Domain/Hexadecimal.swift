/// Bytes as hexadecimal digits: two for each, in lower case.
package func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits: StaticString = "0123456789abcdef"
    return digits.withUTF8Buffer { digits in
        var text: [UInt8] = []
        text.reserveCapacity(2 * bytes.underestimatedCount)
        for byte in bytes {
            unsafe text.append(digits[Int(byte >> 4)])
            unsafe text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// A number as hexadecimal digits in lower case, with zeros in front to at least `count`.
package func hexadecimal(_ number: some UnsignedInteger, digits count: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
}

/// The bytes that hexadecimal digits of either case stand for; nil when they are no such digits,
/// or not two for each byte.
package func decodedHexadecimal(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2)
    var high: UInt8?
    for digit in text {
        let value: UInt8
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - 48
        case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - 55
        case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - 87
        default: return nil
        }
        if let first = high {
            bytes.append(first << 4 | value)
            high = nil
        } else {
            high = value
        }
    }
    return bytes
}
