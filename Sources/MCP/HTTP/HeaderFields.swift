/// Header lines of a request, names compared without regard to case.
package struct HeaderFields: Sendable, Equatable {
    /// One line.
    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    /// In the order received.
    package private(set) var fields: [Field]

    package init(_ fields: KeyValuePairs<String, String> = [:]) {
        self.fields = fields.map { Field(name: $0.key, value: $0.value) }
    }

    /// Adds a line.
    package mutating func append(_ name: String, _ value: String) {
        fields.append(Field(name: name, value: value))
    }

    /// Every value of `name`, in order.
    package func values(of name: String) -> [String] {
        fields.filter { Self.areSame($0.name, name) }.map(\.value)
    }

    /// The first value of `name`.
    package subscript(name: String) -> String? {
        fields.first { Self.areSame($0.name, name) }?.value
    }

    /// Names have no letters but those of ASCII (RFC 9110, section 5.1).
    static func areSame(_ one: String, _ other: String) -> Bool {
        one.utf8.count == other.utf8.count && begins(one, with: other)
    }

    /// Whether a name begins with another one, as names are compared.
    static func begins(_ name: String, with beginning: String) -> Bool {
        name.utf8.count >= beginning.utf8.count
            && zip(name.utf8, beginning.utf8).allSatisfy { small($0) == small($1) }
    }

    private static func small(_ byte: UInt8) -> UInt8 {
        (65...90).contains(byte) ? byte | 32 : byte
    }
}

/// Values that need not be plain ASCII, as 2026-07-28 puts them into headers.
package enum HeaderValue {
    private static let opening = "=?base64?"
    private static let closing = "?="

    /// The text of a header value; nil when it is not one that a client may send.
    package static func decoded(_ value: String) -> String? {
        let bytes = Array(value.utf8)
        guard bytes.starts(with: opening.utf8), value.hasSuffix(closing),
            bytes.count >= opening.utf8.count + closing.utf8.count
        else {
            let isPlain = bytes.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x09 }
            return isPlain ? value : nil
        }
        let inner = bytes.dropFirst(opening.utf8.count).dropLast(closing.utf8.count)
        guard let decoded = base64(inner) else { return nil }
        return String(validating: decoded, as: UTF8.self)
    }

    /// Strict Base64 of RFC 4648 with padding.
    private static func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        let padding = text.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        guard padding <= 2 else { return nil }
        var bytes: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for character in text.dropLast(padding) {
            guard let digit = digit(character) else { return nil }
            bits = bits << 6 | digit
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
                bits &= (1 << UInt32(count)) - 1
            }
        }
        // Bits behind the last byte are zero, or two texts would mean the same.
        return bits == 0 ? bytes : nil
    }

    private static func digit(_ character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}

extension HeaderValue {
    /// A text as a header value; as it is where it is plain, in Base64 else.
    package static func encoded(_ text: String) -> String {
        let bytes = Array(text.utf8)
        let isPlain = bytes.allSatisfy { (0x20...0x7E).contains($0) }
        let isBare = bytes.first != 0x20 && bytes.last != 0x20 && !bytes.isEmpty
        guard !isPlain || !isBare || text.hasPrefix(opening) else { return text }
        return opening + base64(bytes) + closing
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.enumerated().reduce(UInt32(0)) { bits, entry in
                bits | UInt32(entry.element) << UInt32(16 - 8 * entry.offset)
            }
            for place in 0..<4 {
                let digit = digits[Int(bits >> UInt32(18 - 6 * place) & 63)]
                text.append(place <= group.count ? digit : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
