package import Domain

/// Turns Atlassian Document Format, the tree in which Jira Cloud keeps text, into Markdown.
///
/// The way is one way: mentions, panels, colours and cards lose what Markdown cannot say, so a
/// converted text is never written back. Nodes of unknown type are replaced by their children, so
/// that a new type costs its frame and not its text.
package enum ADFConverter {
    /// The Markdown of a document node, a bare node, or an array of nodes; empty for anything else.
    ///
    /// - Complexity: O(n) in the size of the tree.
    package static func markdown(from document: JSONValue) -> String {
        MarkdownRenderer.render(ADFReader().blocks(of: [document], depth: 0))
    }
}

/// Walks the tree and builds the document.
struct ADFReader {
    /// A node takes two levels of JSON, so a parsed document cannot be deeper than half the
    /// parser's limit; a tree made otherwise is cut here instead of at the end of the stack.
    static let maximumDepth = JSONParser.maximumDepth / 2 + 2

    /// The blocks of a sequence of nodes; neighbouring inline nodes become one paragraph.
    func blocks(of nodes: [JSONValue], depth: Int) -> [MarkdownBlock] {
        guard depth < Self.maximumDepth else { return [] }
        var blocks: [MarkdownBlock] = []
        var line: [MarkdownInline] = []
        func flush() {
            if !line.isEmpty { blocks.append(.paragraph(line)) }
            line = []
        }
        for node in nodes {
            if let inlines = ADFInline.read(node) {
                line += inlines
            } else {
                flush()
                blocks += block(node, depth: depth)
            }
        }
        flush()
        return blocks
    }

    /// The blocks of one node that is not inline.
    private func block(_ node: JSONValue, depth: Int) -> [MarkdownBlock] {
        let children = node["content"]?.array ?? []
        switch node["type"]?.string {
        case "paragraph", "caption": return blocks(of: children, depth: depth + 1)
        case "heading":
            let level = Int(clamping: node["attrs"]?["level"]?.integer ?? 1)
            return [.heading(level: level, inlines(of: children, depth: depth))]
        case "bulletList", "decisionList":
            return [.list(items(children, depth: depth) { _, _ in .bullet })]
        case "orderedList":
            let first = Int(clamping: node["attrs"]?["order"]?.integer ?? 1)
            // Nine digits are the most a list marker may have.
            let start = (0...99_999_999).contains(first) ? first : 1
            return [.list(items(children, depth: depth) { _, index in .number(start + index) })]
        case "taskList":
            return [
                .list(
                    items(children, depth: depth) { item, _ in
                        .task(isDone: item["attrs"]?["state"]?.string == "DONE")
                    }
                )
            ]
        case "codeBlock":
            let text = children.compactMap { $0["text"]?.string }.joined()
            return code(withLineFeeds(text), language: node["attrs"]?["language"]?.string)
        case "blockquote", "panel": return [.quote(blocks(of: children, depth: depth + 1))]
        case "expand", "nestedExpand":
            let title = node["attrs"]?["title"]?.string ?? ""
            return [.paragraph([.text(title, .strong, link: nil)])]
                + blocks(of: children, depth: depth + 1)
        case "rule": return [.rule]
        case "table": return [.table(children.map { row($0, depth: depth + 1) })]
        case "mediaSingle", "mediaGroup": return media(children, depth: depth + 1)
        case "blockCard", "embedCard": return [.paragraph(ADFInline.card(node))]
        default: return other(node, children, depth: depth)
        }
    }

    /// A code block; a language that is none, such as an importer's title, stands above it.
    private func code(_ text: String, language: String?) -> [MarkdownBlock] {
        guard let language, !MarkdownRenderer.isLanguage(language) else {
            return [.code(language: language, text: text)]
        }
        return [
            .paragraph([.text(language, .strong, link: nil)]), .code(language: nil, text: text),
        ]
    }

    /// An unknown node: its children, or the text it carries for readers that do not know it.
    private func other(
        _ node: JSONValue,
        _ children: [JSONValue],
        depth: Int
    ) -> [MarkdownBlock] {
        if case .array(let nodes) = node { return blocks(of: nodes, depth: depth + 1) }
        if !children.isEmpty { return blocks(of: children, depth: depth + 1) }
        guard let text = node["attrs"]?["text"]?.string ?? node["text"]?.string else { return [] }
        return [.paragraph([.plain(withLineFeeds(text))])]
    }

    private func items(
        _ nodes: [JSONValue],
        depth: Int,
        marker: (_ item: JSONValue, _ index: Int) -> MarkdownListItem.Marker
    ) -> [MarkdownListItem] {
        var items: [MarkdownListItem] = []
        for node in nodes {
            let type = node["type"]?.string ?? ""
            let isList = type.hasSuffix("List")
            let inner = isList ? [node] : node["content"]?.array ?? []
            let blocks = blocks(of: inner, depth: depth + 1)
            // Task lists nest as siblings of their items: what follows belongs to the item before.
            if isList, !items.isEmpty {
                items[items.count - 1].blocks += blocks
            } else {
                items.append(MarkdownListItem(marker: marker(node, items.count), blocks: blocks))
            }
        }
        return items
    }

    private func row(_ node: JSONValue, depth: Int) -> MarkdownTableRow {
        let cells = node["content"]?.array ?? []
        let isHeader = !cells.isEmpty && cells.allSatisfy { $0["type"]?.string == "tableHeader" }
        let texts = cells.map { cell in
            blocks(of: cell["content"]?.array ?? [], depth: depth + 1).flattened
        }
        return MarkdownTableRow(isHeader: isHeader, cells: texts)
    }

    private func media(_ nodes: [JSONValue], depth: Int) -> [MarkdownBlock] {
        var line: [MarkdownInline] = []
        var blocks: [MarkdownBlock] = []
        for node in nodes {
            guard node["type"]?.string == "media" else {
                blocks += self.blocks(of: [node], depth: depth)
                continue
            }
            if !line.isEmpty { line.append(.plain(" ")) }
            line.append(ADFInline.image(node))
        }
        return (line.isEmpty ? [] : [.paragraph(line)]) + blocks
    }

    /// The runs of nodes where no block may stand.
    private func inlines(of nodes: [JSONValue], depth: Int) -> [MarkdownInline] {
        blocks(of: nodes, depth: depth + 1).flattened
    }
}

/// CR LF and CR become LF.
func withLineFeeds(_ text: String) -> String {
    guard text.utf8.contains(0x0D) else { return text }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    var previous: UInt8 = 0
    for byte in text.utf8 {
        if !(byte == 0x0A && previous == 0x0D) { bytes.append(byte == 0x0D ? 0x0A : byte) }
        previous = byte
    }
    return String(decoding: bytes, as: UTF8.self)
}
