import Domain

/// Writes JSON as YAML that people like to read: blocks, and quotes only where they are needed.
enum YAMLWriter {
    /// The text of a value; the same each time.
    static func text(_ value: JSONValue) -> String {
        var writer = Output()
        writer.block(value, indent: 0)
        return writer.text
    }

    private struct Output {
        var text = ""

        /// A value that begins a line.
        mutating func block(_ value: JSONValue, indent: Int) {
            let space = String(repeating: " ", count: indent)
            switch value {
            case .object(let object) where !object.members.isEmpty:
                for (index, member) in object.members.enumerated() {
                    if index > 0 { text += space }
                    text += "\(YAMLWriter.scalar(member.key)):"
                    inner(member.value, indent: indent)
                }
            case .array(let elements) where !elements.isEmpty:
                for (index, element) in elements.enumerated() {
                    if index > 0 { text += space }
                    text += "- "
                    block(element, indent: indent + 2)
                }
            default: text += YAMLWriter.line(value) + "\n"
            }
        }

        /// A value behind its key.
        private mutating func inner(_ value: JSONValue, indent: Int) {
            let isBlock =
                switch value {
                case .object(let object): !object.members.isEmpty
                case .array(let elements): !elements.isEmpty
                default: false
                }
            guard isBlock else {
                text += " \(YAMLWriter.line(value))\n"
                return
            }
            text += "\n" + String(repeating: " ", count: indent + 2)
            block(value, indent: indent + 2)
        }
    }

    private static func line(_ value: JSONValue) -> String {
        switch value {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): "\(value)"
        case .double(let value): CELText.literal(value)
        case .string(let text): scalar(text)
        case .array: "[]"
        case .object: "{}"
        }
    }

    /// Words that some reader takes for something else than a text.
    private static let reserved: Set<String> = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ]

    /// A text as it stands when nothing can mistake it, else in quotes.
    private static func scalar(_ text: String) -> String {
        isPlain(text) ? text : quoted(text)
    }

    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last,
            first == 0x5F || (0x41...0x5A).contains(first) || (0x61...0x7A).contains(first),
            last != UInt8(ascii: ":"), last != 0x20,
            text.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
        else { return false }
        return !text.contains(": ") && !text.contains(" #")
            && !reserved.contains(text.lowercased())
    }

    private static func quoted(_ text: String) -> String {
        var written = "\""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22: written += "\\\""
            case 0x5C: written += "\\\\"
            case 0x0A: written += "\\n"
            case 0x0D: written += "\\r"
            case 0x09: written += "\\t"
            case 0x20...0x7E, 0xA0...0x2027, 0x2030...0xFEFE, 0xFF00...0xFFFD:
                written.unicodeScalars.append(scalar)
            case 0x1_0000...: written.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16)
                written += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            }
        }
        return written + "\""
    }
}
