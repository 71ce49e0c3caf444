import Domain
import Testing

@testable import Trackers

/// Markdown on its way into Jira, and back through the converters a scan uses.
struct TextMarkdownWriterTests {
    private func throughADF(_ markdown: String) -> String {
        ADFConverter.markdown(from: ADFWriter.document(fromMarkdown: markdown))
    }

    private func throughWiki(_ markdown: String) -> String {
        WikiConverter.markdown(from: WikiWriter.wiki(fromMarkdown: markdown))
    }

    @Test(arguments: [
        "plain text", "two\nlines", "**strong** and *em* and ~~gone~~", "`code` here",
        "# Title\n\ntext", "###### Deep", "- one\n- two\n  - three\n- four", "1. one\n2. two",
        "> quoted\n> twice", "```swift\nlet a = 1\n\n  b\n```", "```\n* no list\n```", "---",
        "[text](https://a.example/x)", "see https://a.example/y now",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "- [ ] open\n- [x] done", "a \\*star\\* b", "snake_case_name and 2*3*4",
        "***both***", "a **b** c\n\nd", "- item\n\n  ```\n  code\n  ```", "1 < 2 & 3", "$x ^ y$",
        "- one\n\ntext after", "Größe äöü 漢字 👍", "{braces} [brackets] !bang! |bar|",
        "C:\\dir\\file", "1. a\n   - b\n   - c\n2. d",
    ])
    func `what people write comes back the same from both Jiras`(_ markdown: String) {
        #expect(throughADF(markdown) == markdown)
        #expect(throughWiki(markdown) == markdown)
    }

    @Test(arguments: [
        ("Title\n=====\n\nx", "# Title\n\nx"), ("* a\n* b", "- a\n- b"),
        ("__strong__ _em_", "**strong** *em*"), ("a  \nb", "a\nb"), ("~~~\nx\n~~~", "```\nx\n```"),
        ("<https://a.example>", "https://a.example"), ("a<br>b", "a\nb"),
        ("    indented\n    code", "```\nindented\ncode\n```"), ("&lt;tag&gt;", "\\<tag>"),
        ("[a](https://x.example \"title\")", "[a](https://x.example)"),
        ("1) one\n2) two", "1. one\n2. two"), ("#no heading", "#no heading"),
    ])
    func `other spellings come back in ours`(_ pair: (written: String, read: String)) {
        #expect(throughADF(pair.written) == pair.read)
        #expect(throughWiki(pair.written) == pair.read)
    }

    @Test(arguments: 0..<400)
    func `random documents come back the same from Jira Cloud`(seed: Int) {
        var random = DocumentGenerator(seed: UInt64(seed))
        let markdown = MarkdownRenderer.render(random.blocks(depth: 0))
        #expect(throughADF(markdown) == markdown, "seed \(seed)")
    }

    @Test(arguments: 0..<400)
    func `random documents come back the same from Jira Server`(seed: Int) {
        var random = DocumentGenerator(seed: UInt64(seed) + 10_000)
        random.forWiki = true
        let markdown = MarkdownRenderer.render(random.blocks(depth: 0))
        #expect(throughWiki(markdown) == markdown, "seed \(seed)")
    }

    @Test(arguments: 0..<400)
    func `a document for Jira Cloud keeps to the schema whatever the text`(seed: Int) {
        var random = DocumentGenerator(seed: UInt64(seed) + 20_000)
        let markdown = random.noise(length: 200)
        let document = ADFWriter.document(fromMarkdown: markdown)
        #expect(ADFSchema.complaint(document) == nil, "seed \(seed): \(markdown)")
        // Must not trap either.
        _ = throughWiki(markdown)
    }

    @Test func `hostile text costs no more than its length`() {
        let pieces = ["*a ", "[", "](", "`", "> ", "- ", "_a_*", "![", "<", "&", "~~", "**_"]
        for piece in pieces {
            let text = String(repeating: piece, count: 60_000 / piece.utf8.count)
            let clock = ContinuousClock()
            let time = clock.measure { _ = MarkdownParser.parse(text) }
            // A quadratic step over 60 kB takes minutes in a debug build.
            #expect(time < .seconds(20), "\(piece)")
        }
    }

    @Test func `an edit keeps the blocks that Markdown cannot say`() throws {
        let original = try JSONParser.parse(
            """
            {"type":"doc","version":1,"content":[
            {"type":"panel","attrs":{"panelType":"warning"},"content":[{"type":"paragraph",
            "content":[{"type":"text","text":"Beware"}]}]},
            {"type":"paragraph","content":[{"type":"mention","attrs":{"id":"5b1","text":"@Ann"}},
            {"type":"text","text":" please look"}]},
            {"type":"paragraph","content":[{"type":"text","text":"old end"}]}]}
            """
        )
        let shown = ADFConverter.markdown(from: original)
        #expect(shown == "> Beware\n\n@Ann please look\n\nold end")
        let edited = shown.replacing("old end", with: "new end") + "\n\nand more"
        let patched = ADFPatch.document(fromMarkdown: edited, patching: original)
        #expect(patched["content"]?[0] == original["content"]?[0])
        #expect(patched["content"]?[1] == original["content"]?[1])
        #expect(patched["content"]?.array?.count == 4)
        #expect(ADFConverter.markdown(from: patched) == edited)
    }

    @Test func `the schema's edges are kept`() {
        let list = ADFWriter.document(fromMarkdown: "- # head\n- > quote\n  > > inner\n- ---")
        #expect(ADFSchema.complaint(list) == nil)
        let quote = ADFWriter.document(fromMarkdown: "> # head\n> > inner\n> | a |\n> | --- |")
        #expect(ADFSchema.complaint(quote) == nil)
        let marks = ADFWriter.document(fromMarkdown: "**`a`** [`b`](https://x.example)")
        #expect(ADFSchema.complaint(marks) == nil)
        #expect(ADFSchema.complaint(ADFWriter.document(fromMarkdown: "")) == nil)
        let script = ADFWriter.document(fromMarkdown: "[a](javascript:alert)")
        #expect(!script.serializedText().contains("javascript"))
    }
}

/// The part of Atlassian's schema that texts of ours touch.
enum ADFSchema {
    private static let blocks: Set<String> = [
        "paragraph", "heading", "codeBlock", "blockquote", "bulletList", "orderedList", "taskList",
        "table", "rule", "mediaSingle",
    ]
    private static let children: [String: Set<String>] = [
        "doc": blocks,
        "blockquote": ["paragraph", "bulletList", "orderedList", "codeBlock", "taskList"],
        "listItem": ["paragraph", "bulletList", "orderedList", "codeBlock", "taskList"],
        "bulletList": ["listItem"], "orderedList": ["listItem"], "taskList": ["taskItem"],
        "table": ["tableRow"], "tableRow": ["tableCell", "tableHeader"],
        "tableCell": ["paragraph"], "tableHeader": ["paragraph"],
        "paragraph": ["text", "hardBreak"], "heading": ["text", "hardBreak"],
        "taskItem": ["text", "hardBreak"], "codeBlock": ["text"], "mediaSingle": ["media"],
    ]
    private static let neverEmpty: Set<String> = [
        "doc", "blockquote", "listItem", "bulletList", "orderedList", "taskList", "table",
        "tableRow", "tableCell", "tableHeader",
    ]

    /// What is wrong with a node; nil when nothing is.
    static func complaint(_ node: JSONValue) -> String? {
        guard let type = node["type"]?.string else { return "a node without type" }
        let content = node["content"]?.array ?? []
        if neverEmpty.contains(type), content.isEmpty { return "\(type) is empty" }
        if type == "text" {
            guard let text = node["text"]?.string, !text.isEmpty else { return "an empty text" }
            let marks = (node["marks"]?.array ?? []).compactMap { $0["type"]?.string }
            if marks.contains("code"), !Set(marks).isSubset(of: ["code", "link"]) {
                return "code with \(marks)"
            }
        }
        if type == "listItem", !["paragraph", "codeBlock"].contains(content[0]["type"]?.string) {
            return "a list item that begins with \(content[0]["type"]?.string ?? "?")"
        }
        for child in content {
            let name = child["type"]?.string ?? "?"
            guard children[type]?.contains(name) == true else { return "\(name) in \(type)" }
            if type == "codeBlock", child["marks"] != nil { return "marks in code" }
            if let complaint = complaint(child) { return complaint }
        }
        return nil
    }
}

/// Documents of the kinds both Jiras can hold, from a seed.
struct DocumentGenerator {
    private var state: UInt64
    /// Without what only Atlassian documents can say.
    var forWiki = false

    init(seed: UInt64) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    private mutating func next(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(bound))
    }

    private static let words = [
        "login", "fails", "after", "x_y_z", "2*3", "a-b", "über", "漢字", "C#", "e.g.", "50%", "#12",
        "@ann", "(so)", "v1.2", "it's", "\"q\"", "a/b", "=", "+", "naïve", "👍", "<b>", "&amp;",
    ]

    private mutating func word() -> String { Self.words[next(Self.words.count)] }

    private mutating func text() -> String {
        (0...next(4)).map { _ in word() }.joined(separator: " ")
    }

    private mutating func inlines() -> [MarkdownInline] {
        var runs: [MarkdownInline] = [.plain(plainStart())]
        for _ in 0..<next(4) {
            runs.append(.plain(" "))
            let styles: [MarkdownStyle] = [[], .strong, .emphasis, .strike, .code]
            let style = styles[next(styles.count)]
            if style == .code {
                runs.append(.text("code(\(next(9)))", .code, link: nil))
            } else if style.isEmpty, next(3) == 0 {
                runs.append(.text("link \(next(9))", [], link: "https://x.example/\(next(99))"))
            } else {
                runs.append(.text("word\(next(99)) \(plainStart())", style, link: nil))
            }
            runs.append(.plain(" then"))
            if next(6) == 0 { runs += [.lineBreak, .plain(plainStart())] }
        }
        return runs
    }

    /// A word that begins no block.
    private mutating func plainStart() -> String {
        "Word\(next(99)) \(text()) end"
    }

    mutating func blocks(depth: Int) -> [MarkdownBlock] {
        var blocks: [MarkdownBlock] = []
        var wasList = false
        for _ in 0...next(4) {
            let block = block(depth: depth)
            var isList = false
            if case .list = block { isList = true }
            // Two lists in a row are one.
            if isList, wasList { continue }
            wasList = isList
            blocks.append(block)
        }
        return blocks
    }

    private mutating func block(depth: Int) -> MarkdownBlock {
        switch next(depth == 0 ? 8 : 2) {
        case 0, 1: return .paragraph(inlines())
        case 2: return .heading(level: next(6) + 1, [.plain(plainStart())])
        case 3: return .code(language: ["swift", "c", nil][next(3)], text: "a {\n\n  b * c\n}")
        case 4: return .quote(blocks(depth: depth + 1))
        case 5, 6: return .list(items(level: 0))
        default:
            let width = next(3) + 1
            let rows = (0...next(3)).map { index in
                MarkdownTableRow(
                    isHeader: index == 0,
                    cells: (0..<width).map { _ in [.plain(plainStart())] }
                )
            }
            return .table(rows)
        }
    }

    private mutating func items(level: Int) -> [MarkdownListItem] {
        let kind = next(forWiki ? 2 : 3)
        return (0...next(3)).map { index in
            let marker: MarkdownListItem.Marker =
                kind == 0 ? .bullet : kind == 1 ? .number(index + 1) : .task(isDone: next(2) == 0)
            var blocks: [MarkdownBlock] = [.paragraph(inlines())]
            if level < 2, next(3) == 0, kind < 2 { blocks.append(.list(items(level: level + 1))) }
            return MarkdownListItem(marker: marker, blocks: blocks)
        }
    }

    /// Text that is mostly markup.
    mutating func noise(length: Int) -> String {
        let parts = [
            "*", "_", "~~", "`", "[", "](", ")", "!", "> ", "- ", "1. ", "# ", "\n", "\n\n", "|",
            "---", "```", "    ", "\\", "<", ">", "&", "https://a.b", "word", " ", "{code}",
            "{quote}", "é", "\u{0}", "- [x] ", "\t",
        ]
        return (0..<length).map { _ in parts[next(parts.count)] }.joined()
    }
}
