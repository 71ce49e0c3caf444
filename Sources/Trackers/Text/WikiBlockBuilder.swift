/// Gathers lines of wiki markup into blocks.
///
/// At most one of paragraph, list and table is open. Blocks and lines that follow a list item
/// without an empty line between belong to the item, as in Jira.
struct WikiBlockBuilder {
    /// `######### x` is a joke, not a list of nine levels; it must not become a deep tree either.
    private static let maximumListDepth = 12

    private var blocks: [MarkdownBlock] = []
    private var paragraph: [MarkdownInline] = []
    private var list = WikiList()
    private var rows: [MarkdownTableRow] = []
    /// The last row had no `|` at its end: the next line goes on with its last cell.
    private var isRowOpen = false

    /// Closes what is open.
    ///
    /// - Returns: All blocks in order.
    mutating func finish() -> [MarkdownBlock] {
        close()
        return blocks
    }

    /// Adds the blocks of a macro.
    mutating func add(_ added: [MarkdownBlock]) {
        if list.isEmpty {
            close()
            blocks += added
        } else {
            for block in added { list.append(block) }
        }
    }

    /// Adds one line without its line feed.
    mutating func add(line: ArraySlice<UInt8>) {
        let text = trimmed(line)
        guard let first = text.first else { return close() }
        if let level = headingLevel(text) {
            close()
            blocks.append(.heading(level: level, inlines(text.dropFirst(3))))
        } else if text.count >= 4, text.allSatisfy({ $0 == UInt8(ascii: "-") }) {
            close()
            blocks.append(.rule)
        } else if text.starts(with: "bq. ".utf8) {
            close()
            blocks.append(.quote([.paragraph(inlines(text.dropFirst(4)))]))
        } else if let marker = listMarker(text) {
            closeParagraph()
            closeTable()
            let content = trimmed(text.dropFirst(marker.count))
            let levels = marker.suffix(Self.maximumListDepth).map { $0 == UInt8(ascii: "#") }
            list.append(inlines(content), isOrdered: levels)
        } else if first == UInt8(ascii: "|") {
            closeParagraph()
            closeList()
            addRow(text)
        } else if isRowOpen, !rows.isEmpty {
            continueRow(text)
        } else if !list.isEmpty {
            list.append(line: inlines(text))
        } else {
            closeTable()
            if !paragraph.isEmpty { paragraph.append(.lineBreak) }
            paragraph += inlines(line)
        }
    }

    // MARK: - Closing

    private mutating func close() {
        closeParagraph()
        closeList()
        closeTable()
    }

    private mutating func closeParagraph() {
        if !paragraph.isEmpty { blocks.append(.paragraph(paragraph)) }
        paragraph = []
    }

    private mutating func closeList() {
        if !list.isEmpty { blocks.append(contentsOf: list.finish()) }
        list = WikiList()
    }

    private mutating func closeTable() {
        if !rows.isEmpty { blocks.append(.table(rows)) }
        rows = []
        isRowOpen = false
    }

    // MARK: - Lines

    /// 1 to 6 for `h1. ` to `h6. `.
    private func headingLevel(_ text: ArraySlice<UInt8>) -> Int? {
        let start = Array(text.prefix(4))
        guard start.count == 4, start[0] == UInt8(ascii: "h"), (49...54).contains(start[1]),
            start[2] == UInt8(ascii: "."), isMarkdownSpace(start[3])
        else { return nil }
        return Int(start[1]) - 48
    }

    /// The run of `*`, `#` and `-` before an item's text.
    private func listMarker(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        let marker = text.prefix { "*#-".utf8.contains($0) }
        let rest = text[marker.endIndex...]
        guard !marker.isEmpty, let space = rest.first, isMarkdownSpace(space) else { return nil }
        return marker
    }

    private mutating func addRow(_ text: ArraySlice<UInt8>) {
        let cells = WikiTableRow.cells(of: text)
        guard cells.contains(where: { !$0.text.isEmpty }) else { return }
        let isHeader = cells.allSatisfy(\.isHeader)
        rows.append(MarkdownTableRow(isHeader: isHeader, cells: cells.map { inlines($0.text) }))
        isRowOpen = text.last != UInt8(ascii: "|")
    }

    private mutating func continueRow(_ text: ArraySlice<UInt8>) {
        let row = rows.count - 1
        let cell = rows[row].cells.count - 1
        guard cell >= 0 else { return }
        let end = text.last == UInt8(ascii: "|")
        rows[row].cells[cell].append(.lineBreak)
        rows[row].cells[cell] += inlines(end ? text.dropLast() : text)
        isRowOpen = !end
    }

    private func inlines(_ text: ArraySlice<UInt8>) -> [MarkdownInline] {
        WikiInlineParser.parse(text)
    }

    private func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let last = line.lastIndex(where: { !isMarkdownSpace($0) }) else { return [] }
        return line[...last].drop(while: isMarkdownSpace)
    }
}

/// A list under construction: the items of each open level.
struct WikiList {
    private var levels: [[MarkdownListItem]] = []
    /// Lists of another kind that came before at the first level.
    private var finished: [MarkdownBlock] = []

    var isEmpty: Bool { levels.isEmpty && finished.isEmpty }

    /// Starts an item; `isOrdered` tells for each level down to the item's whether it is numbered.
    mutating func append(_ text: [MarkdownInline], isOrdered: [Bool]) {
        let depth = isOrdered.count
        closeLevels(above: depth)
        if let first = levels.last?.first, depth == levels.count,
            first.isOrdered != isOrdered.last
        {
            // `*` after `#` at one depth is another list.
            closeLevels(above: depth - 1)
        }
        while levels.count < depth {
            // A jump from one to three levels goes through an empty item.
            if let last = levels.indices.last, levels[last].isEmpty {
                levels[last].append(item([], level: last, isOrdered: isOrdered))
            }
            levels.append([])
        }
        levels[depth - 1].append(
            item([.paragraph(text)], level: depth - 1, isOrdered: isOrdered)
        )
    }

    private func item(
        _ blocks: [MarkdownBlock],
        level: Int,
        isOrdered: [Bool]
    ) -> MarkdownListItem {
        let marker: MarkdownListItem.Marker =
            isOrdered[level] ? .number(levels[level].count + 1) : .bullet
        return MarkdownListItem(marker: marker, blocks: blocks)
    }

    /// Adds a line to the last item.
    mutating func append(line: [MarkdownInline]) {
        guard let level = levels.indices.last, let item = levels[level].indices.last else { return }
        let last = levels[level][item].blocks.count - 1
        if last >= 0, case .paragraph(var text) = levels[level][item].blocks[last] {
            // The old copy must go first, or each line would copy all lines before it.
            levels[level][item].blocks.removeLast()
            text.append(.lineBreak)
            text += line
            levels[level][item].blocks.append(.paragraph(text))
        } else {
            levels[level][item].blocks.append(.paragraph(line))
        }
    }

    /// Adds a block to the last item.
    mutating func append(_ block: MarkdownBlock) {
        guard let level = levels.indices.last, let item = levels[level].indices.last else { return }
        levels[level][item].blocks.append(block)
    }

    /// The lists; more than one where bullets and numbers alternate at the first level.
    mutating func finish() -> [MarkdownBlock] {
        closeLevels(above: 0)
        return finished
    }

    private mutating func closeLevels(above depth: Int) {
        while levels.count > depth, let items = levels.popLast() {
            if levels.isEmpty {
                finished.append(.list(items))
            } else {
                let parent = levels.count - 1
                // INVARIANT: a level below another was opened from an item of it.
                levels[parent][levels[parent].count - 1].blocks.append(.list(items))
            }
        }
    }
}

extension MarkdownListItem {
    fileprivate var isOrdered: Bool {
        if case .number = marker { true } else { false }
    }
}

/// Cuts a table row into its cells.
enum WikiTableRow {
    /// The text of each cell and whether `||` stood before it.
    static func cells(of row: ArraySlice<UInt8>) -> [(text: ArraySlice<UInt8>, isHeader: Bool)] {
        let bar = UInt8(ascii: "|")
        var cells: [(text: ArraySlice<UInt8>, isHeader: Bool)] = []
        var scanner = WikiInlineParser(row)
        var position = row.startIndex
        while position < row.endIndex {
            let bars = row[position...].prefix(2).prefix { $0 == bar }.count
            let start = position + bars
            // A bar at the end closes the last cell and opens none.
            if start >= row.endIndex { break }
            position = start
            while position < row.endIndex, row[position] != bar {
                position = scanner.endOfUnit(at: position) ?? position + 1
            }
            cells.append((trimmed(row[start..<position]), bars == 2))
        }
        return cells
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let last = text.lastIndex(where: { !isMarkdownSpace($0) }) else { return [] }
        return text[...last].drop(while: isMarkdownSpace)
    }
}
