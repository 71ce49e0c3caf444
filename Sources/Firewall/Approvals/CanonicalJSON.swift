package import Domain

/// Why a document has no canonical form.
package enum CanonicalJSONError: Error, Equatable, Sendable {
    /// An object has a key twice: readers differ in which one counts.
    case repeatedKey(key: String)
    /// Infinite, or no number.
    case notFinite
    /// Deeper than ``CanonicalJSON/maximumDepth``.
    case tooDeep
}

extension CanonicalJSONError: CustomStringConvertible {
    /// One line for whoever sent the document.
    package var description: String {
        switch self {
        case .repeatedKey(let key): "the key `\(sanitized(key))` stands twice in an object"
        case .notFinite: "a number is infinite, or is none"
        case .tooDeep: "values are nested deeper than \(CanonicalJSON.maximumDepth) levels"
        }
    }
}

/// The canonical form of RFC 8785 (JCS): one text for all ways to write a document.
///
/// Departs from it in one place: a 64-bit integer beyond 2^53 keeps all its digits, where the RFC
/// would round it to the nearest double. Two calls that differ in such a number would otherwise
/// have one digest.
package enum CanonicalJSON {
    /// The parser lets no document through that is deeper.
    package static let maximumDepth = 512

    /// The canonical form in UTF-8.
    package static func bytes(of value: JSONValue) throws(CanonicalJSONError) -> [UInt8] {
        var bytes: [UInt8] = []
        try write(value, to: &bytes, depth: 0)
        return bytes
    }

    private static func write(
        _ value: JSONValue,
        to bytes: inout [UInt8],
        depth: Int
    ) throws(CanonicalJSONError) {
        guard depth <= maximumDepth else { throw .tooDeep }
        switch value {
        case .null: bytes += "null".utf8
        case .bool(let flag): bytes += (flag ? "true" : "false").utf8
        case .integer(let number): bytes += String(number).utf8
        case .double(let number): bytes += try text(of: number).utf8
        case .string(let text): write(text, to: &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                try write(element, to: &bytes, depth: depth + 1)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object): try write(object, to: &bytes, depth: depth)
        }
    }

    /// Section 3.2.3: members in the order of their keys' UTF-16 code units.
    private static func write(
        _ object: JSONObject,
        to bytes: inout [UInt8],
        depth: Int
    ) throws(CanonicalJSONError) {
        let members = object.members
            .map { (units: Array($0.key.utf16), member: $0) }
            .sorted { $0.units.lexicographicallyPrecedes($1.units) }
        bytes.append(UInt8(ascii: "{"))
        for (index, entry) in members.enumerated() {
            if index > 0 {
                guard members[index - 1].units != entry.units else {
                    throw .repeatedKey(key: entry.member.key)
                }
                bytes.append(UInt8(ascii: ","))
            }
            write(entry.member.key, to: &bytes)
            bytes.append(UInt8(ascii: ":"))
            try write(entry.member.value, to: &bytes, depth: depth + 1)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// Section 3.2.2.2: the two-character escapes where there are some, no others but those of
    /// control characters, in lower case.
    private static func write(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += "\\\"".utf8
            case UInt8(ascii: "\\"): bytes += "\\\\".utf8
            case 0x08: bytes += "\\b".utf8
            case 0x09: bytes += "\\t".utf8
            case 0x0A: bytes += "\\n".utf8
            case 0x0C: bytes += "\\f".utf8
            case 0x0D: bytes += "\\r".utf8
            case 0..<0x20:
                bytes += (byte < 0x10 ? "\\u000" : "\\u001").utf8
                bytes += String(byte & 0x0F, radix: 16).utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Section 3.2.2.3: as ECMAScript's Number::toString writes it.
    static func text(of number: Double) throws(CanonicalJSONError) -> String {
        guard number.isFinite else { throw .notFinite }
        guard number != 0 else { return "0" }
        let (digits, exponent) = NumberText.decimal(number)
        let sign = number < 0 ? "-" : ""
        // ECMA-262, Number::toString, steps 6 to 8, with n = exponent + 1.
        guard exponent < -6 || exponent > 20 else {
            return sign + NumberText.positional(digits, exponent)
        }
        let rest = digits.dropFirst()
        let fraction = rest.isEmpty ? "" : "." + String(decoding: rest, as: UTF8.self)
        let first = String(decoding: digits.prefix(1), as: UTF8.self)
        return "\(sign)\(first)\(fraction)e\(exponent < 0 ? "-" : "+")\(exponent.magnitude)"
    }
}
