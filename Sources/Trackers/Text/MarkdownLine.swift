/// One line of Markdown, looked at from its start.
struct MarkdownLine {
    /// Columns of white space before the text; a tab goes to the next multiple of four.
    let indent: Int
    /// Without the white space before it.
    let text: ArraySlice<UInt8>

    init(_ line: ArraySlice<UInt8>) {
        var columns = 0
        var rest = line
        while let byte = rest.first, byte == 0x20 || byte == 0x09 {
            columns += byte == 0x09 ? 4 - columns % 4 : 1
            rest.removeFirst()
        }
        indent = columns
        text = rest
    }

    var isBlank: Bool { text.isEmpty }

    /// Without white space at either end.
    var trimmed: ArraySlice<UInt8> {
        guard let last = text.lastIndex(where: { !isMarkdownSpace($0) }) else { return [] }
        return text[...last]
    }

    /// The line with at most `width` columns of its indentation taken away.
    func withoutIndent(_ width: Int) -> ArraySlice<UInt8> {
        guard indent > width else { return text }
        return ([UInt8](repeating: 0x20, count: indent - width) + text)[...]
    }

    // MARK: - Leaves

    /// A line of backticks or tildes that begins or ends code.
    struct Fence {
        var byte: UInt8
        var count: Int
        /// What stands behind it.
        var info: String
    }

    var fence: Fence? {
        guard let first = text.first, first == UInt8(ascii: "`") || first == UInt8(ascii: "~")
        else { return nil }
        let count = text.prefix { $0 == first }.count
        let info = text.dropFirst(count)
        guard count >= 3, first == UInt8(ascii: "~") || !info.contains(first) else { return nil }
        let trimmed = MarkdownLine(info).trimmed
        return Fence(byte: first, count: count, info: String(decoding: trimmed, as: UTF8.self))
    }

    /// Level and text of `## heading ##`.
    var heading: (level: Int, text: ArraySlice<UInt8>)? {
        let hash = UInt8(ascii: "#")
        let level = text.prefix { $0 == hash }.count
        let rest = text.dropFirst(level)
        guard (1...6).contains(level), rest.first.map(isMarkdownSpace) ?? true else { return nil }
        var title = MarkdownLine(rest).trimmed
        let closing = title.reversed().prefix { $0 == hash }.count
        if closing > 0, title.dropLast(closing).last.map(isMarkdownSpace) ?? true {
            title = MarkdownLine(title.dropLast(closing)).trimmed
        }
        return (level, title)
    }

    /// The level that a line of `=` or `-` gives the paragraph above it.
    var underline: Int? {
        let text = trimmed
        guard indent < 4, let first = text.first, text.allSatisfy({ $0 == first }) else {
            return nil
        }
        return first == UInt8(ascii: "=") ? 1 : first == UInt8(ascii: "-") ? 2 : nil
    }

    var isRule: Bool {
        guard let first = text.first, "-*_".utf8.contains(first) else { return false }
        let marks = text.filter { !isMarkdownSpace($0) }
        return marks.count >= 3 && marks.allSatisfy { $0 == first }
    }

    /// Whether the line is the `| --- | :-: |` under a table's header.
    var isTableRule: Bool {
        text.contains(UInt8(ascii: "-")) && text.contains(UInt8(ascii: "|"))
            && text.allSatisfy { isMarkdownSpace($0) || "|-:".utf8.contains($0) }
    }

    // MARK: - Containers

    /// The start of a list item.
    struct Marker {
        /// The bullet, or the `.` or `)` after a number.
        var byte: UInt8
        /// Nil for bullets.
        var number: Int?
        /// Columns from the line's start to the item's text.
        var width: Int
        var isEmpty: Bool

        /// Only a list that begins at 1 may follow a paragraph's line without a blank one.
        var interruptsParagraph: Bool { !isEmpty && (number ?? 1) == 1 }

        func isLike(_ other: Marker) -> Bool {
            byte == other.byte && (number == nil) == (other.number == nil)
        }
    }

    var marker: Marker? {
        guard let first = text.first else { return nil }
        var length = 1
        var number: Int?
        if (48...57).contains(first) {
            let digits = text.prefix { (48...57).contains($0) }
            guard digits.count <= 9, let end = text.dropFirst(digits.count).first,
                end == UInt8(ascii: ".") || end == UInt8(ascii: ")")
            else { return nil }
            number = Int(String(decoding: digits, as: UTF8.self))
            length = digits.count + 1
        } else if !"-*+".utf8.contains(first) {
            return nil
        }
        let rest = text.dropFirst(length)
        guard rest.first.map(isMarkdownSpace) ?? true else { return nil }
        let spaces = rest.prefix { $0 == 0x20 }.count
        let isEmpty = rest.allSatisfy(isMarkdownSpace)
        // Five spaces and more are one space and indented code.
        let gap = isEmpty || spaces > 4 ? 1 : max(spaces, 1)
        let byte = number == nil ? first : text[text.startIndex + length - 1]
        return Marker(byte: byte, number: number, width: indent + length + gap, isEmpty: isEmpty)
    }

    /// Whether the text begins with a task's box, and whether it is ticked.
    var isDoneBox: Bool? {
        let box = Array(text.prefix(4))
        guard box.count == 4, box[0] == UInt8(ascii: "["), box[2] == UInt8(ascii: "]"),
            isMarkdownSpace(box[3])
        else { return nil }
        switch box[1] {
        case 0x20: return false
        case UInt8(ascii: "x"), UInt8(ascii: "X"): return true
        default: return nil
        }
    }

    /// The line behind its `>`.
    var withoutQuoteMark: MarkdownLine {
        let rest = text.dropFirst()
        return MarkdownLine(rest.first == 0x20 ? rest.dropFirst() : rest)
    }

    /// Whether the line is something else than the next line of a paragraph.
    var startsBlock: Bool {
        guard indent < 4 else { return false }
        return isBlank || fence != nil || heading != nil || isRule
            || text.first == UInt8(ascii: ">") || marker?.interruptsParagraph == true
    }

    /// Whether a paragraph that ends with this line may go on below without its container's mark.
    var canGoOn: Bool {
        !isBlank && indent < 4 && fence == nil && heading == nil && !isRule
    }
}
