import Firewall
import Testing

struct RegexTests {
    private func matches(_ pattern: String, _ text: String) -> String {
        evaluated("text.matches(pattern)", ["text": .string(text), "pattern": .string(pattern)])
    }

    @Test(arguments: [
        ("", "", true), ("a", "cat", true), ("^a", "cat", false), ("t$", "cat", true),
        ("c.t", "c\nt", false), ("(?s)c.t", "c\nt", true), ("a{2,3}b", "aab", true),
        ("^a{2,3}$", "aaaa", false), ("a|b|", "z", true), ("[^a-c]", "abc", false),
        ("[]a]", "]", true), ("[a-]", "-", true), ("\\d+\\.\\d+", "v1.25", true),
        ("\\bfoo\\b", "a foo b", true), ("\\bfoo\\b", "afoob", false), ("\\Boo", "foo", true),
        ("(?i)straße", "STRAßE", true), ("(?i)k", "\u{212A}", true), ("(?i:A)b", "ab", true),
        ("(?m)^b$", "a\nb\nc", true), ("^b$", "a\nb\nc", false), ("\\pL+", "日本", true),
        ("^\\p{Greek}+$", "αβγ", true), ("^\\p{Greek}+$", "abc", false), ("\\P{Lu}", "ABC", false),
        ("[[:alpha:]_]+[[:digit:]]", "a_1", true), ("\\x41\\x{1F600}", "A😀", true),
        ("\\Qa.b\\E+", "a.bb", true), ("\\Qa.b\\E", "axb", false), ("^.$", "é", true),
        ("^\\C\\C$", "é", true), ("(a|😀){2}", "😀😀", true), ("a{,2}", "a{,2}", true),
        ("x{", "x{", true), ("(?P<n>a)(?<m>b)", "ab", true), ("a*?b+?", "aab", true),
        ("[\\d\\s]+$", "1 2", true), ("\\A\\z", "", true), ("$^", "", true),
        ("[^\\n]", "\n", false),
        ("^(a*)*$", "aaaa", true), ("(?i)[^k]", "k", false), ("\\101", "A", true),
        ("é|ü", "grün", true),
    ])
    func `patterns match as in RE2`(pattern: String, text: String, isMatch: Bool) {
        #expect(matches(pattern, text) == "\(isMatch)")
    }

    @Test(arguments: [
        "(", ")", "[", "a**", "*a", "a{1001}", "(?=a)", "(?!a)", "(?<=a)", "\\1", "(?P=n)", "\\",
        "[b-a]", "[a-\\d]", "\\pX", "\\p{Nope}", "(?P<n>a)(?P<n>b)", "(?z)", "\\8", "\\x{110000}",
        "[[:nope:]]", "(a{100}){100}", "(((a{20}){20}){20}", "x{2}{3}", "a{3,1}", "\\Z",
        // The product of these counts does not fit 64 bits, which once stopped the server.
        "(((((((a{1000}){1000}){1000}){1000}){1000}){1000}){1000})",
    ])
    func `what is no pattern is an error`(pattern: String) {
        #expect(matches(pattern, "a").hasPrefix("error: 1:"), "\(matches(pattern, "a"))")
    }

    /// Patterns that take other engines exponential or quadratic time.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "(a+)+$", "(a|aa)+$", "(a*)*b", "(.*a){20}b", "^(([a-z])+.)+[A-Z]([a-z])+$",
            "(x+x+)+y", "a?{0}(a?){30}a{30}b",
        ]
    )
    func `no pattern takes long`(pattern: String) {
        let text = String(repeating: "a", count: 20_000)
        let result = matches(pattern, text)
        #expect(result == "false" || result.hasPrefix("true") || result.hasPrefix("error"))
    }

    @Test(.timeLimit(.minutes(1)))
    func `a pattern with very many states is bounded by its cost`() {
        var text = ""
        for index in 0..<40_000 { text += index * 7919 % 13 < 6 ? "a" : "b" }
        let result = matches("(a|b)*a(a|b){200}c", text)
        #expect(result == "false" || result.contains("costs more"))
        #expect(matches("(\\pL{30}){30}", text).contains("too large"))
    }

    /// Sets against their definition, for every code point of the planes that are in use.
    @Test func `UTF-8 sequences stand for exactly their code points`() throws {
        let program = try CELProgram.compile(
            "text.matches('^[\\u00e0-\\u07ff\\u0800-\\ufffe\\U00010000-\\U0001F600x]$')",
            in: CELEnvironment(variables: [.init("text", .string)])
        )
        var bindings = CELBindings(for: CELEnvironment(variables: [.init("text", .string)]))
        var wrong: [UInt32] = []
        for value in stride(from: UInt32(0), through: 0x10FFFF, by: 1) {
            guard let scalar = Unicode.Scalar(value), value < 0x3000 || value % 97 == 0 else {
                continue
            }
            bindings[0] = .string(String(Character(scalar)))
            let expected =
                (0xE0...0xFFFE).contains(value) || (0x10000...0x1F600).contains(value)
                || value == 0x78
            if try program.truth(bindings) != expected { wrong.append(value) }
        }
        #expect(wrong == [])
    }
}
