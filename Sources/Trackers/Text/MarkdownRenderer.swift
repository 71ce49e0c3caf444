/// Writes GitHub's flavour of Markdown, in which a line feed inside a paragraph is a break.
///
/// One pass over the tree; a line prefix grows with quotes and lists instead of re-indenting
/// finished text, so the cost is linear in what is written.
struct MarkdownRenderer {
    /// Quotes and lists nested deeper are written at this depth: nobody reads them, and each level
    /// repeats its prefix on every line.
    static let maximumDepth = 24
    /// Eight times the largest body seen; a hostile tree must not become gigabytes of prefixes.
    static let maximumByteCount = 8 << 20

    private var output: [UInt8] = []
    private var prefix: [UInt8] = []
    private var depth = 0

    /// The document as text without white space at its ends.
    static func render(_ blocks: [MarkdownBlock]) -> String {
        var renderer = MarkdownRenderer()
        renderer.write(blocks, isTight: false)
        return String(decoding: renderer.output, as: UTF8.self)
    }

    /// Whether the text can stand behind a fence as the name of a language.
    static func isLanguage(_ text: String) -> Bool {
        text.utf8.count <= 40
            && text.utf8.allSatisfy { byte in
                isMarkdownWord(byte) && byte < 0x80 || "+#._-".utf8.contains(byte)
            }
    }

    private var isFull: Bool { output.count >= Self.maximumByteCount }

    private mutating func write(_ blocks: [MarkdownBlock], isTight: Bool) {
        var isFirst = true
        for block in blocks where !block.isEmpty && !isFull {
            if !isFirst {
                // A list follows its item's text directly, all else after a blank line.
                var isList = false
                if case .list = block { isList = true }
                if !(isTight && isList) { newLine(isBlank: true) }
                newLine()
            }
            isFirst = false
            write(block)
        }
    }

    private mutating func write(_ block: MarkdownBlock) {
        switch block {
        case .paragraph(let inlines):
            append(MarkdownInlineWriter.write(inlines, form: .paragraph))
        case .heading(let level, let inlines):
            append(Array(repeating: UInt8(ascii: "#"), count: min(max(level, 1), 6)))
            append([0x20])
            append(MarkdownInlineWriter.write(inlines, form: .heading))
        case .code(let language, let text): writeCode(text, language: language)
        case .quote(let blocks):
            nested(under: Array("> ".utf8)) { $0.write(blocks, isTight: false) }
        case .list(let items): write(items)
        case .table(let rows): write(rows)
        case .rule: append(Array("---".utf8))
        }
    }

    private mutating func write(_ items: [MarkdownListItem]) {
        for (index, item) in items.enumerated() where !isFull {
            if index > 0 { newLine() }
            let marker = Array(item.marker.text.utf8)
            append(marker)
            // A task's box belongs to the text, what follows is indented under the dash.
            var width = marker.count
            if case .task = item.marker { width = 2 }
            let indent = [UInt8](repeating: 0x20, count: width)
            nested(under: indent, isWritten: true) { $0.write(item.blocks, isTight: true) }
        }
    }

    /// Runs `body` with a longer prefix, unless the document is too deep already.
    private mutating func nested(
        under addition: [UInt8],
        isWritten: Bool = false,
        body: (inout MarkdownRenderer) -> Void
    ) {
        guard depth < Self.maximumDepth else { return body(&self) }
        depth += 1
        let length = prefix.count
        prefix += addition
        if !isWritten { append(addition) }
        body(&self)
        prefix.removeSubrange(length...)
        depth -= 1
    }

    private mutating func writeCode(_ text: String, language: String?) {
        let bytes = Array(text.utf8)
        let length = max(3, longestRun(of: UInt8(ascii: "`"), in: bytes) + 1)
        let fence = [UInt8](repeating: UInt8(ascii: "`"), count: length)
        append(fence)
        if let language, Self.isLanguage(language) { append(Array(language.utf8)) }
        newLine()
        append(bytes)
        newLine()
        append(fence)
    }

    private mutating func write(_ rows: [MarkdownTableRow]) {
        let width = rows.map(\.cells.count).max() ?? 0
        var body = rows[...]
        // A table without a header row gets an empty one, because the flavour demands it.
        var header: [[MarkdownInline]] = []
        if let first = rows.first, first.isHeader { header = body.removeFirst().cells }
        header += Array(repeating: [], count: max(0, width - header.count))
        writeRow(header)
        newLine()
        append([UInt8(ascii: "|")])
        for _ in 0..<width { append(Array(" --- |".utf8)) }
        // Short rows are not filled up: one wide row among many would cost width times height.
        for row in body where !isFull {
            newLine()
            writeRow(row.cells)
        }
    }

    private mutating func writeRow(_ cells: [[MarkdownInline]]) {
        append([UInt8(ascii: "|")])
        for cell in cells {
            append([0x20])
            append(MarkdownInlineWriter.write(cell, form: .cell))
            append(Array(" |".utf8))
        }
    }

    /// Adds text whose line feeds are followed by the prefix.
    private mutating func append(_ bytes: [UInt8]) {
        guard !prefix.isEmpty, bytes.contains(0x0A) else { return output += bytes }
        var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)[...]
        if let first = lines.popFirst() { output += first }
        for line in lines where !isFull {
            newLine(isBlank: line.isEmpty)
            output += line
        }
    }

    private mutating func newLine(isBlank: Bool = false) {
        output.append(0x0A)
        guard isBlank else { return output += prefix }
        let end = prefix.lastIndex { $0 != 0x20 } ?? -1
        output += prefix[..<(end + 1)]
    }
}

/// The length of the longest run of `byte`.
func longestRun(of byte: UInt8, in bytes: [UInt8]) -> Int {
    var longest = 0
    var current = 0
    for next in bytes {
        current = next == byte ? current + 1 : 0
        longest = max(longest, current)
    }
    return longest
}
