/// Reads Markdown, as people and agents write it, into the document both writers start from.
///
/// The common part of CommonMark and GitHub's flavour: headings, lists, tasks, quotes, fenced and
/// indented code, tables, rules; HTML is text. A line feed inside a paragraph is a break, as in
/// GitHub's comments and as ``MarkdownRenderer`` writes it.
struct MarkdownParser {
    /// Containers nested deeper are text; the renderer writes no deeper either.
    static let maximumDepth = 24

    /// The blocks of a text.
    ///
    /// - Complexity: O(n · d) in the number of bytes and the depth of containers.
    static func parse(_ text: String) -> [MarkdownBlock] {
        let bytes = Array(withLineFeeds(text).utf8)
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            MarkdownLine($0)
        }
        return MarkdownParser().blocks(of: lines[...], depth: 0)
    }

    private func blocks(of lines: ArraySlice<MarkdownLine>, depth: Int) -> [MarkdownBlock] {
        var blocks: [MarkdownBlock] = []
        var paragraph: [ArraySlice<UInt8>] = []
        var rest = lines
        func flush() {
            if !paragraph.isEmpty { blocks.append(.paragraph(Self.inlines(paragraph))) }
            paragraph = []
        }
        while let line = rest.first {
            if line.isBlank {
                flush()
                rest.removeFirst()
            } else if !paragraph.isEmpty, let level = line.underline {
                blocks.append(.heading(level: level, Self.inlines(paragraph)))
                paragraph = []
                rest.removeFirst()
            } else if let block = block(&rest, after: paragraph, depth: depth) {
                flush()
                blocks.append(block)
            } else {
                paragraph.append(line.text)
                rest.removeFirst()
            }
        }
        flush()
        return blocks
    }

    /// Takes a block that is no paragraph off the front; nil when there is none.
    private func block(
        _ lines: inout ArraySlice<MarkdownLine>,
        after paragraph: [ArraySlice<UInt8>],
        depth: Int
    ) -> MarkdownBlock? {
        guard let line = lines.first else { return nil }
        if line.indent >= 4 { return paragraph.isEmpty ? indentedCode(&lines) : nil }
        if let fence = line.fence { return fencedCode(&lines, fence) }
        if let (level, text) = line.heading {
            lines.removeFirst()
            return .heading(level: level, MarkdownInlineParser.parse(text))
        }
        if line.isRule {
            lines.removeFirst()
            return .rule
        }
        guard depth < Self.maximumDepth else { return nil }
        if line.text.first == UInt8(ascii: ">") { return quote(&lines, depth: depth) }
        if let marker = line.marker, paragraph.isEmpty || marker.interruptsParagraph {
            return list(&lines, marker, depth: depth)
        }
        return paragraph.isEmpty ? table(&lines) : nil
    }

    static func inlines(_ lines: [ArraySlice<UInt8>]) -> [MarkdownInline] {
        var text: [UInt8] = []
        for (index, line) in lines.enumerated() {
            if index > 0 { text.append(0x0A) }
            text += line
        }
        return MarkdownInlineParser.parse(text[...])
    }

    // MARK: - Code

    private func indentedCode(_ lines: inout ArraySlice<MarkdownLine>) -> MarkdownBlock {
        var code: [[UInt8]] = []
        var length = 0
        for line in lines {
            guard line.indent >= 4 || line.isBlank else { break }
            code.append(line.isBlank ? [] : Array(line.withoutIndent(4)))
            if !line.isBlank { length = code.count }
        }
        lines = lines.dropFirst(length)
        return .code(language: nil, text: Self.joined(code.prefix(length)))
    }

    private func fencedCode(
        _ lines: inout ArraySlice<MarkdownLine>,
        _ fence: MarkdownLine.Fence
    ) -> MarkdownBlock {
        let indent = lines.removeFirst().indent
        var code: [[UInt8]] = []
        while let line = lines.popFirst() {
            if let end = line.fence, end.byte == fence.byte, end.count >= fence.count,
                end.info.isEmpty, line.indent < 4
            {
                break
            }
            code.append(Array(line.withoutIndent(indent)))
        }
        let language = fence.info.split(whereSeparator: { $0 == " " }).first.map(String.init)
        return .code(language: language, text: Self.joined(code[...]))
    }

    private static func joined(_ lines: some Sequence<[UInt8]>) -> String {
        String(decoding: Array(lines.joined(separator: [0x0A])), as: UTF8.self)
    }

    // MARK: - Containers

    private func quote(
        _ lines: inout ArraySlice<MarkdownLine>,
        depth: Int
    ) -> MarkdownBlock {
        var inner: [MarkdownLine] = []
        while let line = lines.first, !line.isBlank {
            if line.indent < 4, line.text.first == UInt8(ascii: ">") {
                inner.append(line.withoutQuoteMark)
            } else if let last = inner.last, last.canGoOn, !line.startsBlock {
                inner.append(line)
            } else {
                break
            }
            lines.removeFirst()
        }
        return .quote(blocks(of: inner[...], depth: depth + 1))
    }

    private func list(
        _ lines: inout ArraySlice<MarkdownLine>,
        _ first: MarkdownLine.Marker,
        depth: Int
    ) -> MarkdownBlock {
        var items: [MarkdownListItem] = []
        while let line = lines.first, let marker = line.marker, marker.isLike(first),
            line.indent < 4, !line.isRule
        {
            let inner = item(&lines, marker)
            items.append(listItem(inner, marker, number: items.count, depth: depth))
            let blanks = lines.prefix(while: \.isBlank).count
            let next = lines.dropFirst(blanks).first
            if blanks > 0, let next, let marker = next.marker, marker.isLike(first), next.indent < 4
            {
                lines = lines.dropFirst(blanks)
            }
        }
        return .list(items)
    }

    private func listItem(
        _ lines: [MarkdownLine],
        _ marker: MarkdownLine.Marker,
        number: Int,
        depth: Int
    ) -> MarkdownListItem {
        var lines = lines
        var kind: MarkdownListItem.Marker = .bullet
        if let start = marker.number {
            kind = .number(start)
        } else if let first = lines.first, let isDone = first.isDoneBox {
            kind = .task(isDone: isDone)
            lines[0] = MarkdownLine(first.text.dropFirst(4))
        }
        return MarkdownListItem(marker: kind, blocks: blocks(of: lines[...], depth: depth + 1))
    }

    /// The lines of an item without their indentation.
    private func item(
        _ lines: inout ArraySlice<MarkdownLine>,
        _ marker: MarkdownLine.Marker
    ) -> [MarkdownLine] {
        guard let first = lines.popFirst() else { return [] }
        var inner = [MarkdownLine(first.text.dropFirst(marker.width - first.indent))]
        while let line = lines.first {
            if line.isBlank {
                // Blank lines belong to the item when it goes on after them.
                let blanks = lines.prefix(while: \.isBlank).count
                guard let next = lines.dropFirst(blanks).first, next.indent >= marker.width else {
                    break
                }
                inner += Array(repeating: MarkdownLine([]), count: blanks)
                lines = lines.dropFirst(blanks)
            } else if line.indent >= marker.width {
                inner.append(MarkdownLine(line.withoutIndent(marker.width)))
                lines.removeFirst()
            } else if let last = inner.last, last.canGoOn, !line.startsBlock, line.marker == nil {
                inner.append(line)
                lines.removeFirst()
            } else {
                break
            }
        }
        return inner
    }

    // MARK: - Tables

    private func table(_ lines: inout ArraySlice<MarkdownLine>) -> MarkdownBlock? {
        guard let head = lines.first, let rule = lines.dropFirst().first,
            head.text.contains(UInt8(ascii: "|")), rule.isTableRule
        else { return nil }
        let header = Self.cells(head.text)
        guard header.count == Self.cells(rule.text).count else { return nil }
        lines = lines.dropFirst(2)
        var rows: [MarkdownTableRow] = []
        // An empty header is what the renderer writes for a table that has none.
        if header.contains(where: { !$0.isEmpty }) {
            rows.append(MarkdownTableRow(isHeader: true, cells: header))
        }
        while let line = lines.first, !line.isBlank, line.text.contains(UInt8(ascii: "|")) {
            rows.append(MarkdownTableRow(isHeader: false, cells: Self.cells(line.text)))
            lines.removeFirst()
        }
        return .table(rows)
    }

    private static func cells(_ text: ArraySlice<UInt8>) -> [[MarkdownInline]] {
        var cells: [[UInt8]] = [[]]
        var isEscaped = false
        for byte in text {
            if byte == UInt8(ascii: "|"), !isEscaped {
                cells.append([])
            } else {
                if byte == UInt8(ascii: "|"), isEscaped { cells[cells.count - 1].removeLast() }
                cells[cells.count - 1].append(byte)
            }
            isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
        }
        let isBlank: ([UInt8]) -> Bool = { $0.allSatisfy(isMarkdownSpace) }
        if let first = cells.first, isBlank(first) { cells.removeFirst() }
        if let last = cells.last, isBlank(last), cells.count > 1 || !text.isEmpty {
            cells.removeLast()
        }
        return cells.map { MarkdownInlineParser.parse(MarkdownLine($0[...]).trimmed) }
    }
}
