/// Makes Jira's wiki markup, the form in which Jira Server takes text, from Markdown.
///
/// What the markup cannot say is written as the nearest thing it can: a quote in a quote is its
/// inside, a table in a list its rows, a task a bullet with a box.
package enum WikiWriter {
    /// The markup of a text.
    ///
    /// - Complexity: O(n) in the number of bytes.
    package static func wiki(fromMarkdown markdown: String) -> String {
        wiki(MarkdownParser.parse(markdown))
    }

    static func wiki(_ blocks: [MarkdownBlock]) -> String {
        var writer = WikiBlockWriter()
        writer.write(blocks)
        return writer.output
    }
}

/// Writes the blocks of a text.
struct WikiBlockWriter {
    private(set) var output = ""
    /// Quotes do not nest.
    private var isInQuote = false

    mutating func write(_ blocks: [MarkdownBlock]) {
        var previous: MarkdownBlock?
        for block in blocks where !block.isEmpty {
            if previous != nil { output += "\n\n" }
            // Two lists in a row would be one: an empty line does not part them in Jira.
            write(block)
            previous = block
        }
    }

    private mutating func write(_ block: MarkdownBlock) {
        switch block {
        case .paragraph(let inlines): output += WikiInlineWriter.write(inlines, form: .paragraph)
        case .heading(let level, let inlines):
            output += "h\(min(max(level, 1), 6)). "
            output += WikiInlineWriter.write(inlines, form: .line)
        case .code(let language, let text): output += Self.code(text, language)
        case .quote(let blocks): writeQuote(blocks)
        case .list(let items): writeList(items, prefix: "")
        case .table(let rows): output += rows.map(Self.row).joined(separator: "\n")
        case .rule: output += "----"
        }
    }

    static func code(_ text: String, _ language: String?) -> String {
        var text = text
        if let language, MarkdownRenderer.isLanguage(language), !text.contains("{code") {
            return "{code:\(language)}\n\(text)\n{code}"
        }
        if !text.contains("{code") { return "{code}\n\(text)\n{code}" }
        // Neither macro can hold its own end; a space that is not seen parts it.
        text = text.replacing("{noformat", with: "{\u{200B}noformat")
        return "{noformat}\n\(text)\n{noformat}"
    }

    private mutating func writeQuote(_ blocks: [MarkdownBlock]) {
        guard !isInQuote else { return write(blocks) }
        isInQuote = true
        output += "{quote}\n"
        write(blocks)
        output += "\n{quote}"
        isInQuote = false
    }

    private mutating func writeList(_ items: [MarkdownListItem], prefix: String) {
        for (index, item) in items.enumerated() {
            if index > 0 { output += "\n" }
            var mark = "*"
            var box: [MarkdownInline] = []
            switch item.marker {
            case .number: mark = "#"
            case .bullet: break
            case .task(let isDone): box = [.plain(isDone ? "[x] " : "[ ] ")]
            }
            output += "\(prefix)\(mark) "
            writeItem(item.blocks, box: box, prefix: prefix + mark)
        }
    }

    /// Blocks that follow without an empty line belong to the item.
    private mutating func writeItem(
        _ blocks: [MarkdownBlock],
        box: [MarkdownInline],
        prefix: String
    ) {
        var hasText = false
        if !box.isEmpty {
            var text = box
            var rest = blocks[...]
            if case .paragraph(let inlines)? = rest.first {
                text += inlines
                rest.removeFirst()
            }
            output += WikiInlineWriter.write(text, form: .item)
            return writeRest(rest, hasText: true, prefix: prefix)
        }
        if case .paragraph(let inlines)? = blocks.first {
            output += WikiInlineWriter.write(inlines, form: .item)
            hasText = true
        }
        writeRest(blocks.dropFirst(hasText ? 1 : 0), hasText: hasText, prefix: prefix)
    }

    private mutating func writeRest(
        _ blocks: ArraySlice<MarkdownBlock>,
        hasText: Bool,
        prefix: String
    ) {
        for block in blocks where !block.isEmpty {
            output += "\n"
            switch block {
            case .list(let items): writeList(items, prefix: prefix)
            case .code(let language, let text): output += Self.code(text, language)
            case .quote(let inner): writeQuote(inner)
            case .paragraph, .heading, .table, .rule:
                output += WikiInlineWriter.write([block].flattened, form: .item)
            }
        }
    }

    private static func row(_ row: MarkdownTableRow) -> String {
        let bar = row.isHeader ? "||" : "|"
        let cells = row.cells.map { cell -> String in
            let text = WikiInlineWriter.write(cell, form: .cell)
            // An empty cell would make two bars, which is a header.
            return text.isEmpty ? " " : text
        }
        return bar + cells.joined(separator: bar) + bar
    }
}

/// Writes the runs of one block.
struct WikiInlineWriter {
    /// Where the text stands.
    enum Form {
        case paragraph
        /// One line: a heading.
        case line
        /// A list item, in which an empty line would end the list.
        case item
        /// A table's cell, which `|` ends.
        case cell
    }

    private var output: [UInt8] = []
    /// Marks the text stands between; inside them each of their kind would be the end.
    private var enclosing: [UInt8] = []
    private let form: Form

    /// The markup of `inlines`.
    static func write(_ inlines: [MarkdownInline], form: Form) -> String {
        var writer = WikiInlineWriter(form: form)
        for (index, inline) in inlines.enumerated() {
            let next = index + 1 < inlines.count ? inlines[index + 1] : nil
            writer.write(inline, next: next)
        }
        return String(decoding: writer.output, as: UTF8.self)
    }

    private init(form: Form) {
        self.form = form
    }

    private mutating func write(_ inline: MarkdownInline, next: MarkdownInline?) {
        switch inline {
        case .lineBreak:
            if form == .line || output.isEmpty {
                output.append(0x20)
            } else {
                output += form == .cell ? Array("\\\\ ".utf8) : [0x0A]
            }
        case .image(let description, let url):
            if ADFMarks.isAddress(url), !url.utf8.contains(where: { "!|\n ".utf8.contains($0) }) {
                output += Array("!\(url)!".utf8)
            } else {
                writePlain(Array(description.utf8)[...])
            }
        case .text(let text, let style, let link):
            write(Array(text.utf8), style, link: link, next: next)
        }
    }

    private mutating func write(
        _ bytes: [UInt8],
        _ style: MarkdownStyle,
        link: String?,
        next: MarkdownInline?
    ) {
        guard let start = bytes.firstIndex(where: { !isMarkdownSpace($0) }),
            let last = bytes.lastIndex(where: { !isMarkdownSpace($0) })
        else {
            output += bytes
            return
        }
        output += bytes[..<start]
        let inner = bytes[start...last]
        if let link, ADFMarks.isAddress(link),
            !link.utf8.contains(where: { isMarkdownSpace($0) || "|[]".utf8.contains($0) })
        {
            let following = last + 1 < bytes.count ? nil : next
            writeMarked(inner, style.subtracting(.code), next: following) {
                let isSame = link.utf8.elementsEqual(inner)
                return Array("[".utf8)
                    + (isSame ? [] : Self.linkText(inner) + [UInt8(ascii: "|")])
                    + Array("\(link)]".utf8)
            }
        } else if style.contains(.code) {
            writeMarked(inner, style.subtracting(.code), next: next) {
                Array("{{".utf8) + Self.escapedInMonospace(inner) + Array("}}".utf8)
            }
        } else if style.isEmpty {
            writePlain(inner)
        } else {
            let form = form
            writeMarked(inner, style, next: last + 1 < bytes.count ? nil : next) {
                var plain = WikiInlineWriter(form: form)
                plain.output = [UInt8(ascii: "x")]
                plain.enclosing = Self.marks(of: style)
                plain.writePlain(inner)
                return Array(plain.output.dropFirst())
            }
        }
        output += bytes[(last + 1)...]
    }

    /// Puts the marks round a text; inside a word they stand in braces.
    private mutating func writeMarked(
        _ bytes: ArraySlice<UInt8>,
        _ style: MarkdownStyle,
        next: MarkdownInline?,
        body: () -> [UInt8]
    ) {
        let marks = Self.marks(of: style)
        var following: UInt8?
        if case .text(let text, _, _)? = next { following = text.utf8.first }
        let touches =
            (output.last.map { !isMarkdownSpace($0) } ?? false)
            || (following.map { !isMarkdownSpace($0) } ?? false)
        func mark(_ byte: UInt8) -> [UInt8] {
            touches ? [UInt8(ascii: "{"), byte, UInt8(ascii: "}")] : [byte]
        }
        for byte in marks { output += mark(byte) }
        output += body()
        for byte in marks.reversed() { output += mark(byte) }
    }

    private static func marks(of style: MarkdownStyle) -> [UInt8] {
        var marks: [UInt8] = []
        if style.contains(.strike) { marks.append(UInt8(ascii: "-")) }
        if style.contains(.strong) { marks.append(UInt8(ascii: "*")) }
        if style.contains(.emphasis) { marks.append(UInt8(ascii: "_")) }
        return marks
    }

    // MARK: - Text

    /// Characters that begin or end a mark wherever they stand.
    private static let marks: Set<UInt8> = Set("*_-+^~".utf8)
    private static let brackets: Set<UInt8> = Set("{}[]!".utf8)

    private mutating func writePlain(_ bytes: ArraySlice<UInt8>) {
        for index in bytes.indices {
            let byte = bytes[index]
            let next = index + 1 < bytes.endIndex ? bytes[index + 1] : nil
            if needsEscape(byte, next: next) { output.append(UInt8(ascii: "\\")) }
            output.append(byte == 0x0A && form != .paragraph && form != .item ? 0x20 : byte)
        }
    }

    private func needsEscape(_ byte: UInt8, next: UInt8?) -> Bool {
        let previous = output.last
        let isLineStart = output.isEmpty && form != .cell || previous == 0x0A
        switch byte {
        case _ where Self.brackets.contains(byte): return true
        case UInt8(ascii: "|"): return form == .cell || isLineStart
        case UInt8(ascii: "#"): return isLineStart
        case _ where Self.marks.contains(byte):
            if isLineStart || enclosing.contains(byte) { return true }
            let isBefore = previous.map(isMarkdownWord) ?? false
            let isAfter = next.map(isMarkdownWord) ?? false
            // Between letters, or between spaces, it is no mark.
            if isBefore && isAfter { return false }
            let isFree =
                (previous.map(isMarkdownSpace) ?? true) && (next.map(isMarkdownSpace) ?? true)
            return !isFree
        default: return false
        }
    }

    /// The text of a link may hold neither bars nor brackets.
    private static func linkText(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        bytes.map { "|[]\n".utf8.contains($0) ? 0x20 : $0 }
    }

    private static func escapedInMonospace(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        bytes.map { $0 == 0x0A ? 0x20 : $0 }
    }
}
