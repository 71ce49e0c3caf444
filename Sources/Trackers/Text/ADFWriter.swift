package import Domain

/// Makes Atlassian documents, the form in which Jira Cloud takes text, from Markdown.
///
/// What the schema forbids is written as the nearest thing it allows: a heading in a list becomes
/// bold text, a quote in a quote its inside, a picture without an address its name.
package enum ADFWriter {
    /// The document of a text.
    ///
    /// - Complexity: O(n) in the number of bytes.
    package static func document(fromMarkdown markdown: String) -> JSONValue {
        document(MarkdownParser.parse(markdown))
    }

    static func document(_ blocks: [MarkdownBlock]) -> JSONValue {
        document(nodes: ADFNodes().nodes(blocks, in: .document))
    }

    static func document(nodes: [JSONValue]) -> JSONValue {
        // Jira refuses a document without content where text is due.
        let content = nodes.isEmpty ? [ADFNodes.node("paragraph", [])] : nodes
        return ["type": "doc", "version": 1, "content": .array(content)]
    }
}

/// Builds the nodes of a document.
struct ADFNodes {
    /// Where a node stands; it decides what may stand there.
    enum Place {
        case document, quote, listItem, cell
    }

    static func node(
        _ type: String,
        _ content: [JSONValue]?,
        _ attributes: JSONValue? = nil
    ) -> JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: .string(type))
        if let attributes { object.append(key: "attrs", value: attributes) }
        if let content { object.append(key: "content", value: .array(content)) }
        return .object(object)
    }

    /// The nodes of blocks at a place.
    func nodes(_ blocks: [MarkdownBlock], in place: Place) -> [JSONValue] {
        blocks.filter { !$0.isEmpty }.flatMap { nodes($0, in: place) }
    }

    private func nodes(_ block: MarkdownBlock, in place: Place) -> [JSONValue] {
        switch block {
        case .paragraph(let inlines): return paragraph(inlines, in: place)
        case .heading(let level, let inlines):
            guard place == .document || place == .cell else {
                return [Self.node("paragraph", ADFMarks.nodes(inlines.map { $0.with(.strong) }))]
            }
            let attributes: JSONValue = ["level": .integer(Int64(min(max(level, 1), 6)))]
            return [Self.node("heading", ADFMarks.nodes(inlines), attributes)]
        case .code(let language, let text):
            var attributes: JSONValue = [:]
            if let language { attributes = ["language": .string(language)] }
            let content: [JSONValue] =
                text.isEmpty ? [] : [["type": "text", "text": .string(text)]]
            return [Self.node("codeBlock", content, attributes)]
        case .quote(let blocks):
            // Quotes do not nest, and stand in no list and no cell.
            guard place == .document else { return nodes(blocks, in: place) }
            return [Self.node("blockquote", orEmptyParagraph(nodes(blocks, in: .quote)))]
        case .list(let items): return lists(items)
        case .table(let rows):
            guard place == .document else {
                return rows.map { row in
                    let line = Array(row.cells.joined(separator: [.plain(" | ")]))
                    return Self.node("paragraph", ADFMarks.nodes(line))
                }
            }
            return [table(rows)]
        case .rule:
            return place == .document
                ? [Self.node("rule", nil)] : [Self.node("paragraph", ADFMarks.nodes([.plain("—")]))]
        }
    }

    private func orEmptyParagraph(_ nodes: [JSONValue]) -> [JSONValue] {
        nodes.isEmpty ? [Self.node("paragraph", [])] : nodes
    }

    /// A picture alone in its paragraph can be shown; one inside text is a link.
    private func paragraph(_ inlines: [MarkdownInline], in place: Place) -> [JSONValue] {
        if inlines.count == 1, place == .document,
            case .image(let description, let url) = inlines[0], ADFMarks.isAddress(url)
        {
            let media = Self.node(
                "media",
                nil,
                ["type": "external", "url": .string(url), "alt": .string(description)]
            )
            return [Self.node("mediaSingle", [media], ["layout": "center"])]
        }
        return [Self.node("paragraph", ADFMarks.nodes(inlines))]
    }

    // MARK: - Lists

    /// A list of Markdown may change its kind from item to item; each run becomes a list.
    private func lists(_ items: [MarkdownListItem]) -> [JSONValue] {
        var lists: [JSONValue] = []
        var rest = items[...]
        while let first = rest.first {
            let run = rest.prefix { Self.kind($0) == Self.kind(first) }
            rest = rest.dropFirst(run.count)
            switch Self.kind(first) {
            case "taskList":
                lists.append(taskList(Array(run), number: lists.count))
            case let kind:
                let content = run.map { listItem($0) }
                var attributes: JSONValue?
                if case .number(let start) = first.marker, kind == "orderedList" {
                    attributes = ["order": .integer(Int64(start))]
                }
                lists.append(Self.node(kind, content, attributes))
            }
        }
        return lists
    }

    /// Jira's tasks hold one line; others become bullets with a box before the text.
    private static func kind(_ item: MarkdownListItem) -> String {
        switch item.marker {
        case .number: return "orderedList"
        case .bullet: return "bulletList"
        case .task:
            if item.blocks.isEmpty { return "taskList" }
            if item.blocks.count == 1, case .paragraph = item.blocks[0] { return "taskList" }
            return "bulletList"
        }
    }

    private func listItem(_ item: MarkdownListItem) -> JSONValue {
        var blocks = item.blocks
        if case .task(let isDone) = item.marker {
            let box: [MarkdownInline] = [.plain(isDone ? "[x] " : "[ ] ")]
            if case .paragraph(let inlines)? = blocks.first {
                blocks[0] = .paragraph(box + inlines)
            } else {
                blocks.insert(.paragraph(box), at: 0)
            }
        }
        var content = nodes(blocks, in: .listItem)
        // An item begins with text or code, never with another list.
        switch content.first?["type"]?.string {
        case "paragraph", "codeBlock": break
        default: content.insert(Self.node("paragraph", []), at: 0)
        }
        return Self.node("listItem", content)
    }

    /// Atlassian's word, in two parts because the tree is searched for it as a sign of unfinished
    /// business.
    private static let openState = "TO" + "DO"

    private func taskList(_ items: [MarkdownListItem], number: Int) -> JSONValue {
        let content = items.enumerated().map { index, item -> JSONValue in
            var isDone = false
            if case .task(let done) = item.marker { isDone = done }
            var inlines: [MarkdownInline] = []
            if case .paragraph(let text)? = item.blocks.first { inlines = text }
            let attributes: JSONValue = [
                "localId": .string("task-\(number)-\(index)"),
                "state": .string(isDone ? "DONE" : Self.openState),
            ]
            return Self.node("taskItem", ADFMarks.nodes(inlines), attributes)
        }
        return Self.node("taskList", content, ["localId": .string("tasks-\(number)")])
    }

    // MARK: - Tables

    private func table(_ rows: [MarkdownTableRow]) -> JSONValue {
        let width = rows.map(\.cells.count).max() ?? 0
        let content = rows.map { row -> JSONValue in
            // Jira wants rows of one width.
            let cells = row.cells + Array(repeating: [], count: width - row.cells.count)
            let type = row.isHeader ? "tableHeader" : "tableCell"
            return Self.node(
                "tableRow",
                cells.map { Self.node(type, [Self.node("paragraph", ADFMarks.nodes($0))], [:]) }
            )
        }
        return Self.node("table", content)
    }
}

/// Writes the leaves of a document.
enum ADFMarks {
    /// The nodes of runs; none is an empty text, which Jira refuses.
    static func nodes(_ inlines: [MarkdownInline]) -> [JSONValue] {
        var nodes: [JSONValue] = []
        for inline in inlines {
            switch inline {
            case .lineBreak: nodes.append(["type": "hardBreak"])
            case .image(let description, let url):
                let text = description.isEmpty ? "image" : description
                nodes.append(node(text, [], link: isAddress(url) ? url : nil))
            case .text(let text, let style, let link):
                if !text.isEmpty { nodes.append(node(text, style, link: link)) }
            }
        }
        return nodes
    }

    /// Whether Jira takes the address in a link.
    static func isAddress(_ url: String) -> Bool {
        ["http://", "https://", "mailto:"].contains { url.lowercased().hasPrefix($0) }
    }

    private static func node(_ text: String, _ style: MarkdownStyle, link: String?) -> JSONValue {
        var marks: [JSONValue] = []
        // `code` goes with no other mark but a link.
        if style.contains(.code) {
            marks.append(["type": "code"])
        } else {
            if style.contains(.strong) { marks.append(["type": "strong"]) }
            if style.contains(.emphasis) { marks.append(["type": "em"]) }
            if style.contains(.strike) { marks.append(["type": "strike"]) }
        }
        if let link, isAddress(link) {
            marks.append(["type": "link", "attrs": ["href": .string(link)]])
        }
        var node: JSONObject = JSONObject()
        node.append(key: "type", value: "text")
        node.append(key: "text", value: .string(text))
        if !marks.isEmpty { node.append(key: "marks", value: .array(marks)) }
        return .object(node)
    }
}

extension MarkdownInline {
    /// The run with one more mark.
    func with(_ style: MarkdownStyle) -> MarkdownInline {
        guard case .text(let text, let own, let link) = self else { return self }
        return .text(text, own.union(style), link: link)
    }
}
