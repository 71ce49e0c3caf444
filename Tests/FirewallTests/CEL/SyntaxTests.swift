import Firewall
import Testing

struct SyntaxTests {
    @Test(arguments: [
        ("1 +", "1:4: unexpected the end"), ("(1", "1:3: expected `)`, found the end"),
        ("a.\n  1", "2:3: unexpected a number"), ("'abc", "1:1: a string that does not end"),
        ("é", "1:1: a character that no expression can have here"),
        ("'é' + #", "1:7: a character that no expression can have here"),
        ("'\\q'", "1:2: an escape sequence that cannot be read"),
        ("for", "1:1: unexpected `for`"), ("1 1", "1:3: unexpected a number"),
        ("99999999999999999999", "1:21: a number that does not fit 64 bits"),
        ("9223372036854775808", "1:1: a number that does not fit 64 bits"),
        ("[1, 2", "1:6: unexpected the end"), ("{1: 2", "1:6: unexpected the end"),
        ("has(a)", "1:5: `has` needs a field selection, as in `has(a.b)`"),
        ("[1].map(1, 2)", "1:9: a variable of a macro must be a simple name"),
        ("[1].all(a, a, a)", "1:12: `a` is bound twice"),
        ("math.greatest('a')", "1:15: an argument that is no number"),
        ("'a\nb'", "1:3: a string that does not end on its line"),
        ("a.`b", "1:5: an unfinished quoted name"), ("`a`", "1:1: unexpected `a`"),
        ("// only this", "1:13: unexpected the end"), ("", "1:1: unexpected the end"),
    ])
    func `what is wrong is told with its place`(source: String, message: String) {
        #expect(evaluated(source, ["a": .int(1)]) == "refused: \(message)")
    }

    @Test(arguments: [
        (#""\x41\u00e9\U0001F600\101""#, "\"Aé😀A\""), (#"r'\n'"#, #""\\n""#),
        ("'''a\r\nb'''", #""a\nb""#), ("''''a'''", "\"'a\""), (#"b'\xff'"#, "bytes \"/w==\""),
        ("1 // one\n + 1", "2"), (#"R"\"#, "refused: 1:2: a string that does not end"),
        (#"r'\'"#, #""\\""#),
        (#"'\ud800'"#, "refused: 1:2: an escape sequence that cannot be read"),
        (#"{'a-b': 1}.`a-b`"#, "1"), ("{'in': 1, 'as': 2}.as", "2"), ("1.0.size()", "?"),
    ])
    func `literals are read as the specification says`(source: String, value: String) {
        let result = evaluated(source)
        #expect(value == "?" ? result.hasPrefix("refused") : result == value)
    }

    @Test func `nesting, length and elements have limits`() {
        let deep = String(repeating: "(", count: 5_000) + "1" + String(repeating: ")", count: 5_000)
        #expect(evaluated(deep).contains("nested more than"))
        #expect(evaluated(String(repeating: "[", count: 60_000)).contains("nested more than"))
        #expect(evaluated("1" + String(repeating: " + 1", count: 5_000)).contains("nested"))
        #expect(
            evaluated("a" + String(repeating: ".a", count: 9_000), ["a": .null]).contains("nested")
        )
        #expect(evaluated(String(repeating: " ", count: 70_000)).contains("bytes"))
        let many = "[" + String(repeating: "1,", count: 11_000) + "]"
        #expect(evaluated(many).contains("elements"))
        // A chain of one logical operator is flat.
        #expect(evaluated("false" + String(repeating: " || false", count: 5_000)) == "false")
        #expect(evaluated(String(repeating: "-", count: 10_000) + "1") == "1")
    }
}
