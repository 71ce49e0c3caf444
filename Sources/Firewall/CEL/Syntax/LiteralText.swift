/// The content of a string or bytes literal while it is read.
struct LiteralText {
    private(set) var bytes: [UInt8] = []
    private let isBytes: Bool

    init(isBytes: Bool) {
        self.isBytes = isBytes
    }

    /// The content as text; the source was valid UTF-8, and escapes add whole code points.
    var string: String { String(decoding: bytes, as: UTF8.self) }

    mutating func append(_ byte: UInt8) {
        bytes.append(byte)
    }

    /// Takes the escape sequence that `source` starts with.
    ///
    /// - Returns: How many bytes it has; nil when it is none.
    mutating func appendEscape(_ source: ArraySlice<UInt8>) -> Int? {
        let first = source.startIndex
        guard source.count > 1 else { return nil }
        let mark = source[first + 1]
        if let plain = Self.plain(mark) {
            bytes.append(plain)
            return 2
        }
        let digits: Int
        var start = first + 2
        var radix = 16
        switch mark {
        case UInt8(ascii: "x"), UInt8(ascii: "X"): digits = 2
        case UInt8(ascii: "u") where !isBytes: digits = 4
        case UInt8(ascii: "U") where !isBytes: digits = 8
        case UInt8(ascii: "0")...UInt8(ascii: "3"):
            digits = 3
            radix = 8
            start = first + 1
        default: return nil
        }
        guard source.endIndex - start >= digits else { return nil }
        let text = source[start..<start + digits]
        guard text.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let value = UInt32(String(decoding: text, as: UTF8.self), radix: radix)
        else { return nil }
        if isBytes {
            guard let byte = UInt8(exactly: value) else { return nil }
            bytes.append(byte)
        } else {
            // Surrogates are no code points, alone or in pairs.
            guard let scalar = Unicode.Scalar(value) else { return nil }
            bytes.append(contentsOf: String(Character(scalar)).utf8)
        }
        return start + digits - first
    }

    private static func plain(_ mark: UInt8) -> UInt8? {
        switch mark {
        case UInt8(ascii: "a"): 0x07
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "v"): 0x0B
        case UInt8(ascii: "\\"), UInt8(ascii: "?"), UInt8(ascii: "\""), UInt8(ascii: "'"),
            UInt8(ascii: "`"):
            mark
        default: nil
        }
    }
}
