/// Puts a backslash before the characters of plain text that Markdown would take for markup, and
/// before no others: most text stays as it was written.
///
/// List markers at the start of a line are left alone on purpose: `- a` and `1. a` look to a reader
/// of the Markdown as they looked in the tracker.
struct MarkdownEscaper {
    /// Whether a lone `*` or backtick could find a partner in this block.
    private let hasStars: Bool
    private let hasTicks: Bool
    private let hasUnderscores: Bool
    /// White space since the start of the line; nil once text has been written.
    private var indent: Int? = 0

    /// Looks over the block once.
    init(_ inlines: [MarkdownInline]) {
        var stars = 0
        var ticks = 0
        var underscores = 0
        for case .text(let text, let style, _) in inlines {
            if style.contains(.code) {
                ticks += 2
                continue
            }
            if !style.isDisjoint(with: [.strong, .emphasis]) { stars += 2 }
            for byte in text.utf8 {
                switch byte {
                case UInt8(ascii: "*"): stars += 1
                case UInt8(ascii: "`"): ticks += 1
                case UInt8(ascii: "_"): underscores += 1
                default: break
                }
            }
        }
        (hasStars, hasTicks, hasUnderscores) = (stars > 1, ticks > 1, underscores > 1)
    }

    /// Something that is no plain text was written.
    mutating func passed() {
        indent = nil
    }

    /// White space was written.
    mutating func passed(spaces: Int) {
        indent = indent.map { $0 + spaces }
    }

    /// A line feed and `indent` spaces were written.
    mutating func startLine(indent: Int) {
        self.indent = indent
    }

    /// Appends one line of text.
    ///
    /// - Parameters:
    ///   - line: Text without line feeds.
    ///   - following: The byte that comes after it on the same line, nil at the line's end.
    ///   - isLinked: Whether it stands between the brackets of a link.
    ///   - output: Where the line goes.
    mutating func escape(
        _ line: ArraySlice<UInt8>,
        following: UInt8?,
        isLinked: Bool,
        into output: inout [UInt8]
    ) {
        guard !line.isEmpty else { return }
        // Four spaces and more make code only where no paragraph is open.
        let isLineStart = (indent ?? 4) < 4
        var previous: UInt8? = indent == nil ? output.last : nil
        let startsWithBracket = isLineStart && line.first == UInt8(ascii: "[")
        for index in line.indices {
            let byte = line[index]
            let next = index + 1 < line.endIndex ? line[index + 1] : following
            let isEscaped =
                index == line.startIndex && isLineStart && startsBlock(line)
                || needsEscape(byte, line, index, previous, next)
                || isBracketToEscape(
                    byte,
                    next: next,
                    isLinked: isLinked,
                    startsLine: startsWithBracket
                )
            if isEscaped { output.append(UInt8(ascii: "\\")) }
            output.append(byte)
            previous = byte
        }
        indent = nil
    }

    /// Whether the line would start a heading, quote, rule, fence or underline a heading.
    private func startsBlock(_ line: ArraySlice<UInt8>) -> Bool {
        guard let first = line.first else { return false }
        let run = line.prefix { $0 == first }.count
        switch first {
        case UInt8(ascii: "#"):
            return run <= 6 && (run == line.count || isMarkdownSpace(line[line.startIndex + run]))
        case UInt8(ascii: ">"): return true
        case UInt8(ascii: "`"): return run >= 3
        case UInt8(ascii: "-"), UInt8(ascii: "="), UInt8(ascii: "*"), UInt8(ascii: "_"):
            return line.allSatisfy { $0 == first || isMarkdownSpace($0) }
        default: return false
        }
    }

    private func needsEscape(
        _ byte: UInt8,
        _ line: ArraySlice<UInt8>,
        _ index: Int,
        _ previous: UInt8?,
        _ next: UInt8?
    ) -> Bool {
        let isAlone =
            (previous.map(isMarkdownSpace) ?? true) && (next.map(isMarkdownSpace) ?? true)
        switch byte {
        case UInt8(ascii: "\\"): return next.map(isMarkdownPunctuation) ?? true
        case UInt8(ascii: "`"): return hasTicks
        case UInt8(ascii: "*"): return hasStars && !isAlone
        case UInt8(ascii: "_"):
            let isInside =
                (previous.map(isMarkdownWord) ?? false) && next.map(isMarkdownWord) ?? false
            return hasUnderscores && !isAlone && !isInside
        case UInt8(ascii: "~"): return previous == byte || next == byte
        case UInt8(ascii: "<"):
            guard let next else { return false }
            return isMarkdownWord(next) && next >= 65 && next < 0x80 || "/!?".utf8.contains(next)
        case UInt8(ascii: "&"): return isEntity(line[(index + 1)...])
        default: return false
        }
    }

    private func isBracketToEscape(
        _ byte: UInt8,
        next: UInt8?,
        isLinked: Bool,
        startsLine: Bool
    ) -> Bool {
        switch byte {
        case UInt8(ascii: "["): return isLinked
        case UInt8(ascii: "]"):
            return isLinked || next == UInt8(ascii: "(") || startsLine && next == UInt8(ascii: ":")
        default: return false
        }
    }

    /// Whether the bytes after `&` complete a character reference; the longest name has 31 letters.
    private func isEntity(_ rest: ArraySlice<UInt8>) -> Bool {
        var length = 0
        for byte in rest.prefix(33) {
            if byte == UInt8(ascii: ";") { return length > 0 }
            guard byte < 0x80, isMarkdownWord(byte) || byte == UInt8(ascii: "#") else {
                return false
            }
            length += 1
        }
        return false
    }
}

/// Addresses and labels of links.
enum MarkdownURL {
    /// The address as it may stand between the parentheses of a link; nil when it runs code in a
    /// browser or is empty.
    static func destination(_ url: String) -> String? {
        let bytes = url.utf8.drop(while: isMarkdownSpace)
        guard !bytes.isEmpty, !isDangerous(bytes) else { return nil }
        var result: [UInt8] = []
        for byte in bytes {
            switch byte {
            case 0...0x20, 0x7F, UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "<"),
                UInt8(ascii: ">"), UInt8(ascii: "\\"):
                result += [UInt8(ascii: "%"), digit(byte >> 4), digit(byte & 15)]
            default: result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Whether the address can stand in the text as it is and is still read as a link.
    static func isPlain(_ url: String) -> Bool {
        (url.hasPrefix("http://") || url.hasPrefix("https://"))
            && !url.utf8.contains { isMarkdownSpace($0) || "*<>`\\~".utf8.contains($0) }
    }

    /// A picture's description: brackets and line feeds become spaces.
    static func label(_ text: String) -> String {
        let bytes = text.utf8.map { byte -> UInt8 in
            isMarkdownSpace(byte) || "[]\\`<".utf8.contains(byte) ? 0x20 : byte
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isDangerous(_ bytes: Substring.UTF8View) -> Bool {
        // Browsers skip control characters inside a scheme.
        let start = bytes.lazy.filter { $0 > 0x20 }.prefix(12)
        let scheme = String(decoding: Array(start), as: UTF8.self).lowercased()
        return ["javascript:", "vbscript:", "data:"].contains { scheme.hasPrefix($0) }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? value + 48 : value + 55
    }
}
