import Domain
import TestSupport
import Testing

@testable import Trackers

struct TextADFConverterTests {
    private func markdown(_ json: String) throws -> String {
        ADFConverter.markdown(from: try JSONParser.parse(json))
    }

    private func text(_ text: String, _ marks: String = "") -> String {
        let escaped = JSONValue.string(text).serializedText()
        return #"{"type":"text","text":\#(escaped),"marks":[\#(marks)]}"#
    }

    private func doc(_ content: String) -> String {
        #"{"type":"doc","version":1,"content":[\#(content)]}"#
    }

    private func paragraph(_ content: String) -> String {
        #"{"type":"paragraph","content":[\#(content)]}"#
    }

    @Test(arguments: [
        ("strong", "**x**"), ("em", "*x*"), ("code", "`x`"), ("strike", "~~x~~"),
        ("underline", "x"), ("subsup", "x"), ("textColor", "x"), ("nobody knows", "x"),
    ])
    func `marks become Markdown or nothing`(_ pair: (mark: String, markdown: String)) throws {
        let node = text("x", #"{"type":"\#(pair.mark)"}"#)
        #expect(try markdown(doc(paragraph(node))) == pair.markdown)
    }

    @Test func `marks nest, and white space at their edges moves out`() throws {
        let strong = #"{"type":"strong"}"#
        let both = #"{"type":"strong"},{"type":"em"}"#
        let content = [text("a "), text(" b ", strong), text("c", both), text(" d")]
        let found = try markdown(doc(paragraph(content.joined(separator: ","))))
        #expect(found == "a  **b *c*** d")
    }

    @Test func `links carry their text, and scripts are no links`() throws {
        func link(_ url: String) -> String { #"{"type":"link","attrs":{"href":"\#(url)"}}"# }
        let content = [
            text("site", link("https://a.example/(x)")), text(" "),
            text("https://b.example/y_z", link("https://b.example/y_z")), text(" "),
            text("bad", link("java\\tscript:alert(1)")),
        ]
        let found = try markdown(doc(paragraph(content.joined(separator: ","))))
        #expect(found == "[site](https://a.example/%28x%29) https://b.example/y_z bad")
    }

    @Test(arguments: [
        (#"{"type":"heading","attrs":{"level":2},"content":[{"type":"text","text":"T"}]}"#, "## T"),
        (#"{"type":"rule"}"#, "---"),
        (
            #"{"type":"codeBlock","attrs":{"language":"swift"},"content":["#
                + #"{"type":"text","text":"a\n```\nb"}]}"#,
            "````swift\na\n```\nb\n````"
        ),
        (
            #"{"type":"panel","attrs":{"panelType":"info"},"content":["#
                + #"{"type":"paragraph","content":[{"type":"text","text":"p"}]}]}"#,
            "> p"
        ),
        (
            #"{"type":"expand","attrs":{"title":"More"},"content":["#
                + #"{"type":"paragraph","content":[{"type":"text","text":"p"}]}]}"#,
            "**More**\n\np"
        ),
        (#"{"type":"blockCard","attrs":{"url":"https://a.example/1"}}"#, "https://a.example/1"),
        (
            #"{"type":"mediaSingle","content":["#
                + #"{"type":"media","attrs":{"type":"file","id":"1","alt":"a.png"}},"#
                + #"{"type":"caption","content":[{"type":"text","text":"c"}]}]}"#,
            "![a.png]()\n\nc"
        ),
        (
            #"{"type":"nobody knows","content":["#
                + #"{"type":"paragraph","content":[{"type":"text","text":"kept"}]}]}"#,
            "kept"
        ),
        (
            #"{"type":"taskList","content":["#
                + #"{"type":"taskItem","attrs":{"state":"DONE"},"#
                + #""content":[{"type":"text","text":"a"}]},"#
                + #"{"type":"taskList","content":[{"type":"taskItem","attrs":{"state":"TODO"},"#
                + #""content":[{"type":"text","text":"b"}]}]}]}"#,
            "- [x] a\n  - [ ] b"
        ),
    ])
    func `block nodes become Markdown`(_ pair: (json: String, markdown: String)) throws {
        #expect(try markdown(doc(pair.json)) == pair.markdown)
    }

    @Test(arguments: [
        (#"{"type":"mention","attrs":{"id":"1","text":"@Jo"}}"#, "@Jo"),
        (#"{"type":"mention","attrs":{"id":"1","text":"Jo"}}"#, "@Jo"),
        (#"{"type":"mention","attrs":{"id":"557:1"}}"#, "@557:1"),
        (#"{"type":"emoji","attrs":{"shortName":":smile:","text":"😄"}}"#, "😄"),
        (#"{"type":"emoji","attrs":{"shortName":":tada:"}}"#, ":tada:"),
        (#"{"type":"date","attrs":{"timestamp":"1732838400000"}}"#, "2024-11-29"),
        (#"{"type":"date","attrs":{"timestamp":"99999999999999999"}}"#, "99999999999999999"),
        (#"{"type":"status","attrs":{"text":"DONE"}}"#, "DONE"),
        (#"{"type":"inlineCard","attrs":{"url":"https://a.example/"}}"#, "https://a.example/"),
    ])
    func `inline nodes become text`(_ pair: (json: String, markdown: String)) throws {
        #expect(try markdown(doc(paragraph(pair.json))) == pair.markdown)
    }

    @Test func `lists nest under the text of their item`() throws {
        func item(_ content: String) -> String { #"{"type":"listItem","content":[\#(content)]}"# }
        let inner =
            #"{"type":"bulletList","content":[\#(item(paragraph(text("b"))))]}"#
        let code = #"{"type":"codeBlock","content":[{"type":"text","text":"x\n\ny"}]}"#
        let list = [
            item(paragraph(text("a")) + "," + inner), item(paragraph(text("c")) + "," + code),
        ]
        let items = list.joined(separator: ",")
        let json = #"{"type":"orderedList","attrs":{"order":3},"content":[\#(items)]}"#
        let expected = "3. a\n   - b\n4. c\n\n   ```\n   x\n\n   y\n   ```"
        #expect(try markdown(doc(json)) == expected)
    }

    @Test func `tables flatten what cells hold`() throws {
        func cell(_ type: String, _ content: String) -> String {
            #"{"type":"\#(type)","content":[\#(content)]}"#
        }
        let head = cell("tableHeader", paragraph(text("A|B")))
        let body = cell("tableCell", paragraph(text("1")) + "," + paragraph(text("2")))
        let json = """
            {"type":"table","content":[{"type":"tableRow","content":[\(head)]},
            {"type":"tableRow","content":[\(body)]}]}
            """
        #expect(try markdown(doc(json)) == "| A\\|B |\n| --- |\n| 1<br>2 |")
    }

    @Test(arguments: [
        ("# no heading", "\\# no heading"), ("> no quote", "\\> no quote"),
        ("*not* _this_", "\\*not\\* \\_this\\_"), ("a * b", "a * b"), ("5*3", "5*3"),
        ("List<T> &amp;", "List\\<T> \\&amp;"), ("[a](b)", "[a\\](b)"), ("---", "\\---"),
        ("~~x~~", "\\~\\~x\\~\\~"), ("`x`", "\\`x\\`"), ("it's `", "it's `"), ("===", "\\==="),
        ("[x]: y", "[x\\]: y"), ("a\\*b", "a\\\\*b"),
    ])
    func `text that looks like markup is escaped, and only that`(
        _ pair: (text: String, markdown: String)
    ) throws {
        #expect(try markdown(doc(paragraph(text(pair.text)))) == pair.markdown)
    }

    @Test func `a tree as deep as the parser allows is read and its text kept`() throws {
        let depth = JSONParser.maximumDepth / 2 - 4
        var json = paragraph(text("kept"))
        for level in 0..<depth {
            let type = ["blockquote", "bulletList", "listItem", "layoutSection"][level % 4]
            json = #"{"type":"\#(type)","content":[\#(json)]}"#
        }
        let found = try markdown(doc(json))
        #expect(found.hasSuffix("kept"))
        #expect(found.utf8.count < 1000)
    }

    @Test func `random trees never trap`() throws {
        let types = [
            "doc", "paragraph", "text", "heading", "bulletList", "orderedList", "listItem",
            "codeBlock", "blockquote", "table", "tableRow", "tableCell", "tableHeader", "media",
            "mediaSingle", "mention", "emoji", "taskList", "taskItem", "date", "hardBreak", "rule",
            "expand", "inlineCard", "", "x",
        ]
        var random = SeededGenerator(seed: 42)
        func value(_ depth: Int) -> JSONValue {
            switch Int.random(in: 0...9, using: &random) {
            case 0: return .null
            case 1: return .integer(Int64.random(in: .min ... .max, using: &random))
            case 2: return .string("* _a_ `b`\n# |\\")
            case 3: return .array(depth > 6 ? [] : (0..<3).map { _ in value(depth + 1) })
            default:
                var node = JSONObject()
                node["type"] = .string(types.randomElement(using: &random) ?? "")
                node["text"] = depth > 4 ? .string("t") : value(8)
                node["attrs"] = depth > 6 ? .null : value(depth + 3)
                node["marks"] = depth > 6 ? .null : value(depth + 3)
                let count = depth > 6 ? 0 : Int.random(in: 0...4, using: &random)
                node["content"] = .array((0..<count).map { _ in value(depth + 1) })
                return .object(node)
            }
        }
        for _ in 0..<300 { _ = ADFConverter.markdown(from: value(0)) }
    }

    @Test func `what is no document is empty`() throws {
        for json in ["null", "1", #""text""#, "[]", "{}", #"{"type":"doc"}"#] {
            #expect(try markdown(json) == "")
        }
    }
}
