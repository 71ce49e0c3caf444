import Domain
import Glibc
import TestSupport
import Testing

@testable import Trackers

struct TextWikiConverterTests {
    @Test(arguments: [
        ("h1. Title\ntext", "# Title\n\ntext"),
        ("h6. Deep", "###### Deep"),
        ("h7. No heading", "h7. No heading"),
        ("*bold* and _slanted_ and -gone-", "**bold** and *slanted* and ~~gone~~"),
        ("+under+ ^up^ ~down~", "under up down"),
        ("*_both_*", "***both***"),
        ("a{*}b{*}c", "a**b**c"),
        ("snake_case_name 2*3*4", "snake_case_name 2\\*3\\*4"),
        ("run -Dfoo=bar -Xmx1g now", "run -Dfoo=bar -Xmx1g now"),
        ("{{mono}} x", "`mono` x"),
        ("{{a`b}}", "``a`b``"),
        ("{{${home}}} a{{{}b{}}}c", "`${home}` a`b`c"),
        ("{color:red}red{color} text", "red text"),
        ("[text|https://a.example/x]", "[text](https://a.example/x)"),
        ("[https://a.example/x]", "https://a.example/x"),
        ("see https://a.example/x_y_z.", "see https://a.example/x_y_z."),
        ("[~jdoe] and [~accountid:5:6]", "@jdoe and @5:6"),
        ("[^log.txt] [top|#top]", "log.txt top"),
        ("[no link] array[0]", "[no link] array[0]"),
        ("!shot.png|width=300!", "![shot.png]()"),
        ("wow! great!", "wow! great!"),
        ("!https://a.example/i.png!", "![image](https://a.example/i.png)"),
        ("a\n----\nb", "a\n\n---\n\nb"),
        ("bq. said", "> said"),
        ("\\*not bold\\* \\{code}", "\\*not bold\\* {code}"),
        ("C:\\temp\\new \\\\host\\share", "C:\\temp\\new \\\\\\host\\share"),
        ("one\\\\ two", "one\n two"),
        ("List<String> & &amp;", "List\\<String> & \\&amp;"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\u{A0}\n\n*Steps:*\u{A0}", "**Steps:**\u{A0}"),
    ])
    func `inline and line markup becomes Markdown`(_ pair: (wiki: String, markdown: String)) {
        #expect(WikiConverter.markdown(from: pair.wiki) == pair.markdown)
    }

    @Test(arguments: [
        ("* a\n** b\n* c", "- a\n  - b\n- c"),
        ("# one\n# two\n#* inner\n# three", "1. one\n2. two\n   - inner\n3. three"),
        ("### deep", "1. 1. 1. deep"),
        ("- a\n- b\n\nafter", "- a\n- b\n\nafter"),
        ("* a\nmore of a\n* b", "- a\n  more of a\n- b"),
        ("* a\n# b", "- a\n\n1. b"),
        (
            "# one\n{code:java}\nint a;\n\nint b;\n{code}\n# two",
            "1. one\n\n   ```java\n   int a;\n\n   int b;\n   ```\n2. two"
        ),
    ])
    func `lists keep their levels and what belongs to an item`(
        _ pair: (wiki: String, markdown: String)
    ) {
        #expect(WikiConverter.markdown(from: pair.wiki) == pair.markdown)
    }

    @Test(arguments: [
        ("{code:java}\na *b* _c_ [x|y]\n{code}", "```java\na *b* _c_ [x|y]\n```"),
        ("{code:title=A.java|language=java}x{code}", "**A.java**\n\n```java\nx\n```"),
        ("{noformat}h1. x{noformat}", "```\nh1. x\n```"),
        ("{code}\n```\ninner\n```\n{code}", "````\n```\ninner\n```\n````"),
        ("see {code}x{code} there", "see\n\n```\nx\n```\n\nthere"),
        ("{code}\nnever closed", "```\nnever closed\n```"),
        ("use {code} in text", "use {code} in text"),
        ("{quote}\na\n\n*b*\n{quote}\nc", "> a\n>\n> **b**\n\nc"),
        ("{panel:title=Note|bgColor=#fff}\ntext\n{panel}", "> **Note**\n>\n> text"),
        ("{quote}{code}x{code}{quote}", "> ```\n> x\n> ```"),
    ])
    func `macros hold their text untouched`(_ pair: (wiki: String, markdown: String)) {
        #expect(WikiConverter.markdown(from: pair.wiki) == pair.markdown)
    }

    @Test(arguments: [
        ("||A||B||\n|1|2|", "| A | B |\n| --- | --- |\n| 1 | 2 |"),
        ("|1|2|", "|  |  |\n| --- | --- |\n| 1 | 2 |"),
        (
            "||A||\n|[t|https://a.example] {{x|y}}|",
            "| A |\n| --- |\n| [t](https://a.example) `x\\|y` |"
        ),
        ("||A||\n|one\ntwo|", "| A |\n| --- |\n| one<br>two |"),
    ])
    func `tables keep links and code inside cells`(_ pair: (wiki: String, markdown: String)) {
        #expect(WikiConverter.markdown(from: pair.wiki) == pair.markdown)
    }

    @Test(arguments: [
        "Plain text, with (brackets), 50% and a_name.",
        "First paragraph\nsecond line\n\nSecond paragraph: 1 < 2 > 0 & x",
        "#123 is not a heading; C# neither.",
        "価格は1,000円です。\n\nÜber ä ö",
        "1. first\n2. second",
        "a - b -- c --- d",
        "~/bin and $HOME/*",
    ])
    func `plain text stays what it is, once and twice converted`(_ text: String) {
        #expect(WikiConverter.markdown(from: text) == text)
        let document = paragraph(text)
        #expect(ADFConverter.markdown(from: document) == text)
    }

    /// Each of these made a reader that looks too far ahead take minutes; see the type's promise.
    @Test(arguments: [
        "a", "{", "{code", "{code:", "[", "!a", "*a ", ".-a", "{{a", "|a", "{*}a", "[a|", "_a",
        "{quote}x{panel}", "{color", "(-a", "http://", "\\", "# a\n", "<a",
    ])
    func `hostile repetition costs no more than its length`(_ part: String) {
        func seconds(_ count: Int) -> Double {
            let text = String(repeating: part, count: count / part.utf8.count)
            // Processor time of this thread, so that other work on the machine does not count.
            let tries = (0..<3).map { _ in
                let start = threadSeconds()
                #expect(WikiConverter.markdown(from: text).utf8.count < 10 * count)
                return threadSeconds() - start
            }
            return tries.min() ?? 0
        }
        _ = seconds(1000)
        let small = max(seconds(2000), 0.001)
        // Ten times the text; a quadratic reader would take a hundred times as long.
        #expect(seconds(20_000) < small * 60)
    }

    @Test func `random markup never traps and loses no word`() {
        let parts = [
            "*", "_", "-", "+", "^", "~", "{", "}", "[", "]", "|", "!", "#", "\\", "\n", "\r\n",
            " ", "{code}", "{noformat}", "{quote}", "{panel:title=x}", "{{", "}}", "h1. ", "bq. ",
            "||", "----", "https://e.example/", "[~u]", "!a.png!", "é", "\u{0}", "\u{FFFE}", "word",
            "{color:red}", "{color}", "* ", "## ", "\t", "😀", "`", "<b>", "&lt;",
        ]
        var random = SeededGenerator(seed: 20_261_123)
        for round in 0..<400 {
            var text = ""
            for _ in 0..<Int.random(in: 1...60, using: &random) {
                text += parts[Int.random(in: 0..<parts.count, using: &random)]
            }
            let markdown = WikiConverter.markdown(from: text)
            #expect(!markdown.utf8.contains(0x0D), "seed 20261123, round \(round)")
            let words = text.matchCount("word")
            #expect(markdown.matchCount("word") >= words || text.contains("https"), "\(text)")
        }
    }

    @Test func `random bytes never trap`() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<300 {
            let bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = WikiConverter.markdown(from: String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// A document of one paragraph per empty line and a break per line feed, as Jira's editor makes it.
func paragraph(_ text: String) -> JSONValue {
    var content: [JSONValue] = []
    for (index, line) in text.utf8.split(separator: 10, omittingEmptySubsequences: false)
        .enumerated()
    {
        if index > 0 { content.append(["type": "hardBreak"]) }
        let line = String(Substring(line))
        if !line.isEmpty { content.append(["type": "text", "text": .string(line)]) }
    }
    return [
        "type": "doc", "version": 1,
        "content": [["type": "paragraph", "content": .array(content)]],
    ]
}

/// The processor time the calling thread has used.
private func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

extension String {
    /// How often `word` occurs.
    fileprivate func matchCount(_ word: String) -> Int {
        let bytes = Array(utf8)
        let wanted = Array(word.utf8)
        return bytes.indices.count { bytes[$0...].starts(with: wanted) }
    }
}
