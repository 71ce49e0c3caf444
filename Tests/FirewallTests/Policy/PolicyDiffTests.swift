import Domain
import Testing

@testable import Firewall

struct PolicyDiffTests {
    private func document(_ text: String) throws -> PolicyDocument {
        try #require(PolicyDocument.read("metadata: {name: x}\n" + text).document)
    }

    @Test func `a merge replaces what has the same name and keeps the rest`() throws {
        let base = try document(
            """
            approval_workflows: [{name: a, is_default: true}, {name: b}]
            tools: [{name: one}, {name: two, enabled: false}]
            defaults: {unknown_tools: deny}
            """
        )
        let file = try document(
            """
            approval_workflows: [{name: b, is_default: true}]
            tools: [{name: two}, {name: three}, {name: two, source: mcp}]
            """
        )
        let merged = base.merged(with: file)
        #expect(merged.tools.map(\.selectorText) == ["one", "two", "three", "mcp/two"])
        #expect(merged.tools[1].isEnabled == nil)
        #expect(merged.workflows.map(\.isDefault) == [nil, true])
        #expect(merged.defaults.unknownTools == .deny)
        #expect(merged.merged(with: file) == merged)
        #expect(PolicyDocument.read(merged.text).document == merged)
    }

    @Test func `changes are told with their place`() throws {
        let old = try document(
            "tools: [{name: a, enabled: true}, {name: b}]\ndefaults: {unknown_tools: deny}"
        )
        let new = try document(
            "tools: [{name: c}, {name: a, enabled: false, conditions: [{action: deny}]}]"
        )
        let changes = old.changes(to: new).map { "\($0.operation.rawValue) \($0.path)" }
        #expect(
            changes == [
                "add tools[c]", "modify tools[a].enabled", "add tools[a].conditions",
                "remove tools[b]", "remove defaults.unknown_tools",
            ]
        )
        #expect(old.changes(to: old).isEmpty)
        let one = try document("tools: [{name: a}, {name: b}]")
        let two = try document("tools: [{name: b}, {name: a}]")
        #expect(one.changes(to: two).map(\.path) == ["tools"])
    }

    /// Texts that a careless writer would turn into something else.
    @Test(arguments: [
        "true", "~", "null", "1.0", "0x1F", "- a", "a: b", "a #b", "'", "\"", "\\", "é\u{301}",
        "line\nbreak", "tab\there", " x ", "*a", "&a", "!x", "%x", "@x", "`x", "{a}", "[a]", ">",
        "|", "\u{85}", "\u{2028}", "\u{FEFF}", "\u{7F}", "😀", "x:", "NO", "=", "\u{0}", "<<",
    ])
    func `every text is written so that it is read again`(text: String) throws {
        var problems: [PolicyProblem] = []
        let value: JSONValue = ["k": .string(text), "list": [.string(text)], "m": ["x": [:]]]
        let written = YAMLWriter.text(value)
        let node = try YAMLNode.parse(written, problems: &problems)
        #expect(node?.json == value, "\(written)")
        #expect(node?.json.serializedText() == value.serializedText())
        #expect(problems.isEmpty)
    }
}
