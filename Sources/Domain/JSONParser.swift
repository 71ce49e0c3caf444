/// A recursive-descent JSON reader over bytes (RFC 8259), strict in grammar, lenient in Unicode.
///
/// Unpaired surrogate escapes and invalid UTF-8 become U+FFFD, because the text of an issue is data
/// we must keep, not a protocol we may reject. Depth is limited, so hostile input cannot exhaust
/// the stack.
package struct JSONParser {
    /// Deeper than any tracker's answer, shallower than the stack: ADF nests about 40 levels.
    package static let maximumDepth = 256

    private let bytes: [UInt8]
    private var position = 0

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Parses one document; white space may stand around it.
    ///
    /// - Throws: ``JSONError`` when the bytes are not one JSON document.
    /// - Complexity: O(n) in the number of bytes.
    package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        var parser = JSONParser(bytes)
        // A byte order mark is not JSON, but some proxies put one in front.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { parser.position = 3 }
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.position == bytes.count else { throw .unexpected(offset: parser.position) }
        return value
    }

    /// Parses one document held in a string.
    ///
    /// - Throws: ``JSONError`` when the text is not one JSON document.
    package static func parse(_ text: String) throws(JSONError) -> JSONValue {
        try parse(Array(text.utf8))
    }

    /// The byte ranges of the elements of the array at `path`, so that each can be parsed, and
    /// quarantined, by itself.
    ///
    /// - Parameters:
    ///   - bytes: One document, or a prefix of one: the array must be complete, what follows is
    ///     not read.
    ///   - path: Object keys from the root to the array; empty when the root is the array.
    /// - Returns: Ranges into `bytes` in document order, without surrounding white space.
    /// - Throws: ``JSONError`` when there is no complete array there.
    package static func elementRanges(
        in bytes: [UInt8],
        at path: [String] = []
    ) throws(JSONError) -> [Range<Int>] {
        var parser = JSONParser(bytes)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { parser.position = 3 }
        for key in path {
            guard try parser.descend(to: key) else { throw .noArray(path: path) }
        }
        parser.skipSpace()
        guard parser.peek() == UInt8(ascii: "[") else { throw .noArray(path: path) }
        return try parser.ranges()
    }

    // MARK: - Values

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= Self.maximumDepth else {
            throw .tooDeep(offset: position, limit: Self.maximumDepth)
        }
        skipSpace()
        guard let first = peek() else { throw .truncated(offset: position) }
        switch first {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            try literal("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try literal("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try literal("null")
            return .null
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        position += 1
        var object = JSONObject()
        skipSpace()
        if take("}") { return object }
        while true {
            skipSpace()
            guard peek() == UInt8(ascii: "\"") else { throw unexpected() }
            let key = try string()
            skipSpace()
            guard take(":") else { throw unexpected() }
            object.append(key: key, value: try value(depth: depth + 1))
            skipSpace()
            if take("}") { return object }
            guard take(",") else { throw unexpected() }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return elements }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return elements }
            guard take(",") else { throw unexpected() }
        }
    }

    private mutating func literal(_ word: StaticString) throws(JSONError) {
        for index in 0..<word.utf8CodeUnitCount {
            guard let byte = peek() else { throw .truncated(offset: position) }
            guard unsafe byte == word.utf8Start[index] else { throw unexpected() }
            position += 1
        }
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        var isInteger = true
        _ = take("-")
        let integerStart = position
        try digits()
        // A leading zero stands alone.
        if bytes[integerStart] == UInt8(ascii: "0"), position - integerStart > 1 {
            throw .unexpected(offset: integerStart + 1)
        }
        if take(".") {
            isInteger = false
            try digits()
        }
        if take("e") || take("E") {
            isInteger = false
            _ = take("+") || take("-")
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text) else { throw .unexpected(offset: start) }
        return .double(value)
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while let byte = peek(), (48...57).contains(byte) { position += 1 }
        guard position > start else { throw unexpected() }
    }

    // MARK: - Strings

    private mutating func string() throws(JSONError) -> String {
        position += 1
        let start = position
        while let byte = peek() {
            if byte == UInt8(ascii: "\"") {
                position += 1
                return String(decoding: bytes[start..<position - 1], as: UTF8.self)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw unexpected() }
            position += 1
        }
        throw .truncated(offset: position)
    }

    /// Continues a string at its first escape; what precedes it is copied.
    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var text = Array(bytes[start..<position])
        while let byte = peek() {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try appendEscape(to: &text)
            case 0..<0x20: throw .unexpected(offset: position - 1)
            default: text.append(byte)
            }
        }
        throw .truncated(offset: position)
    }

    private mutating func appendEscape(to text: inout [UInt8]) throws(JSONError) {
        guard let byte = peek() else { throw .truncated(offset: position) }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            let scalar = try unicodeEscape()
            text.append(contentsOf: String(Character(scalar)).utf8)
        default: throw .unexpected(offset: position - 1)
        }
    }

    /// Reads the digits after `\u`, and the second half when they are a high surrogate.
    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let unit = try hexadecimal()
        guard (0xD800...0xDBFF).contains(unit) else {
            // A lone low surrogate is no scalar.
            return Unicode.Scalar(unit) ?? "\u{FFFD}"
        }
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
            bytes[position + 1] == UInt8(ascii: "u")
        else { return "\u{FFFD}" }
        let mark = position
        position += 2
        let low = try hexadecimal()
        guard (0xDC00...0xDFFF).contains(low) else {
            // The second escape is a character of its own: read it again.
            position = mark
            return "\u{FFFD}"
        }
        return Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)) ?? "\u{FFFD}"
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek() else { throw .truncated(offset: position) }
            let digit: UInt8
            switch byte {
            case 48...57: digit = byte - 48
            case 65...70: digit = byte - 55
            case 97...102: digit = byte - 87
            default: throw unexpected()
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    // MARK: - Skipping

    /// Moves to the value of `key` of the object that starts here; false when it has none.
    private mutating func descend(to key: String) throws(JSONError) -> Bool {
        skipSpace()
        guard take("{") else { return false }
        skipSpace()
        if take("}") { return false }
        while true {
            skipSpace()
            guard peek() == UInt8(ascii: "\"") else { throw unexpected() }
            let found = try string()
            skipSpace()
            guard take(":") else { throw unexpected() }
            if found == key { return true }
            _ = try skipValue()
            skipSpace()
            if take("}") { return false }
            guard take(",") else { throw unexpected() }
        }
    }

    private mutating func ranges() throws(JSONError) -> [Range<Int>] {
        position += 1
        var ranges: [Range<Int>] = []
        skipSpace()
        if take("]") { return ranges }
        while true {
            ranges.append(try skipValue())
            skipSpace()
            if take("]") { return ranges }
            guard take(",") else { throw unexpected() }
        }
    }

    /// Passes over one value by brackets and quotes alone, without checking its grammar, so that
    /// one bad element does not hide its neighbours.
    private mutating func skipValue() throws(JSONError) -> Range<Int> {
        skipSpace()
        let start = position
        var depth = 0
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "\""): try skipString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return try range(from: start) }
                depth -= 1
                position += 1
                if depth == 0 { return start..<position }
            case UInt8(ascii: ","):
                if depth == 0 { return try range(from: start) }
                position += 1
            default: position += 1
            }
        }
        throw .truncated(offset: position)
    }

    private func range(from start: Int) throws(JSONError) -> Range<Int> {
        var end = position
        while end > start, Self.isSpace(bytes[end - 1]) { end -= 1 }
        guard end > start else { throw .unexpected(offset: start) }
        return start..<end
    }

    private mutating func skipString() throws(JSONError) {
        position += 1
        while let byte = peek() {
            position += byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { return }
        }
        throw .truncated(offset: bytes.count)
    }

    // MARK: - Bytes

    private func peek() -> UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let byte = peek(), UInt32(byte) == character.value else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek(), Self.isSpace(byte) { position += 1 }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    private func unexpected() -> JSONError {
        position < bytes.count ? .unexpected(offset: position) : .truncated(offset: position)
    }
}
