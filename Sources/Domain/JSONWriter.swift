extension JSONValue {
    /// The document in UTF-8: compact, keys in their order, or sorted by bytes when asked.
    ///
    /// Infinite and not-a-number doubles, which JSON cannot write, become `null`.
    package func serialized(sortedKeys: Bool = false) -> [UInt8] {
        var writer = JSONWriter(sortsKeys: sortedKeys)
        writer.write(self)
        return writer.bytes
    }

    /// The document as a string; see ``serialized(sortedKeys:)``.
    package func serializedText(sortedKeys: Bool = false) -> String {
        String(decoding: serialized(sortedKeys: sortedKeys), as: UTF8.self)
    }
}

private struct JSONWriter {
    var bytes: [UInt8] = []
    let sortsKeys: Bool

    init(sortsKeys: Bool) {
        self.sortsKeys = sortsKeys
    }

    mutating func write(_ value: JSONValue) {
        switch value {
        case .null: append("null")
        case .bool(let value): append(value ? "true" : "false")
        case .integer(let value): append(String(value))
        case .double(let value): append(value.isFinite ? String(value) : "null")
        case .string(let value): write(value)
        case .array(let elements): write(elements)
        case .object(let object): write(object)
        }
    }

    private mutating func write(_ elements: [JSONValue]) {
        append("[")
        for (index, element) in elements.enumerated() {
            if index > 0 { append(",") }
            write(element)
        }
        append("]")
    }

    private mutating func write(_ object: JSONObject) {
        var members = object.members
        if sortsKeys {
            members.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        }
        append("{")
        for (index, member) in members.enumerated() {
            if index > 0 { append(",") }
            write(member.key)
            append(":")
            write(member.value)
        }
        append("}")
    }

    private mutating func write(_ text: String) {
        append("\"")
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\\"): append("\\\\")
            case 0x0A: append("\\n")
            case 0x0D: append("\\r")
            case 0x09: append("\\t")
            case 0..<0x20: append(byte < 0x10 ? "\\u000" : "\\u001"); append(hexadecimal(byte))
            default: bytes.append(byte)
            }
        }
        append("\"")
    }

    private func hexadecimal(_ byte: UInt8) -> String {
        String(byte & 0x0F, radix: 16)
    }

    private mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }
}
