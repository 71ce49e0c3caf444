import Domain
import Firewall
import MCP
import Store
import Synchronization
import Testing

@testable import Gateway

/// Rules about what should not pass, applied round a call.
struct SensitiveValuesTests {
    private func run(
        _ rules: [RedactionPolicy.Rule],
        _ arguments: JSONValue,
        _ journal: FakeJournal
    ) async throws -> ToolResult {
        let redactor = try AuditKeys.testing(AccountID(1)).redactor
        let tool = FakeTool(body: { arguments, _ in
            journal.note("run \(arguments.text("text"))")
            return ["said": .string(arguments.text("text"))]
        })
        let calls = GuardedCall(
            tools: ToolSet([tool]),
            policy: FakePolicy(),
            journal: journal,
            sensitive: SensitiveValues(redactor: redactor) { RedactionPolicy(rules: rules) }
        )
        let request = GuardedCall.Request(tool: "fake", arguments: arguments.object ?? JSONObject())
        return try await calls.run(request, by: caller)
    }

    private func rule(
        _ side: RedactionPolicy.Side,
        _ action: RedactionPolicy.Action,
        _ kinds: Set<SensitiveKind> = [.email]
    ) -> RedactionPolicy.Rule {
        RedactionPolicy.Rule(id: "no-mail", side: side, kinds: kinds, action: action)
    }

    private static let mail: JSONValue = ["text": "to ann@example.org"]

    @Test(arguments: [RedactionPolicy.Action.deny, .requireApproval])
    func `a call with what must not go out does not run`(
        _ action: RedactionPolicy.Action
    ) async throws {
        let journal = FakeJournal()
        let result = try await run([rule(.arguments, action)], Self.mail, journal)
        #expect(result.isError && result.text.contains("email (no-mail)"))
        #expect(!result.text.contains("example.org"))
        #expect(journal.events.withLock { $0 } == ["begin denied"])
        let call = journal.calls.withLock { $0[0] }
        #expect(call.decision == .deny && call.rule == "no-mail")
    }

    @Test func `arguments reach the tool redacted, or as they are with a note`() async throws {
        var journal = FakeJournal()
        let redacted = try await run([rule(.arguments, .redact)], Self.mail, journal)
        #expect(redacted.text.contains("to [redacted:email:"))
        #expect(journal.calls.withLock { $0[0].reason } == "redacted: email (no-mail)")
        journal = FakeJournal()
        let noted = try await run([rule(.arguments, .notify)], Self.mail, journal)
        #expect(noted.structured == ["said": "to ann@example.org"])
        #expect(journal.calls.withLock { $0[0].reason } == "noted: email (no-mail)")
        journal = FakeJournal()
        let other = try await run([rule(.arguments, .deny, [.card])], Self.mail, journal)
        #expect(!other.isError && journal.calls.withLock { $0[0].reason } == nil)
    }

    @Test func `arguments that are not right when they are redacted do not reach the tool`()
        async throws
    {
        let journal = FakeJournal()
        let card: JSONValue = ["text": "pay", "count": 4_111_111_111_111_111]
        let result = try await run([rule(.arguments, .redact, [.card])], card, journal)
        #expect(result.isError)
        #expect(journal.events.withLock { $0 } == ["begin denied"])
    }

    @Test func `of another server's answer every block is looked through`() async throws {
        let redactor = try AuditKeys.testing(AccountID(1)).redactor
        let rules = [rule(.result, .redact)]
        let calls = GuardedCall(
            tools: ToolSet([FakeTool()]),
            policy: FakePolicy(),
            journal: FakeJournal(),
            sensitive: SensitiveValues(redactor: redactor) { RedactionPolicy(rules: rules) }
        )
        // The structured content is clean, the text beside it is not.
        let given: JSONValue = [
            "content": [["type": "text", "text": "to ann@example.org"]],
            "structuredContent": ["n": 1], "isError": false,
        ]
        let result = ToolResult(original: given.object ?? JSONObject())
        let screened = await calls.screenResult(result, of: AuditTests.call("a"))
        #expect(screened.note == "redacted in the answer: email (no-mail)")
        #expect(screened.result.text.hasPrefix("to [redacted:email:"))
        #expect(screened.result.structured == ["n": 1] && !screened.result.isError)
        let other: JSONValue = ["content": [], "structuredContent": ["n": 1]]
        let clean = ToolResult(original: other.object ?? JSONObject())
        #expect(await calls.screenResult(clean, of: AuditTests.call("b")).result == clean)
    }

    @Test func `answers are redacted or withheld, and the record says so`() async throws {
        var journal = FakeJournal()
        let redacted = try await run([rule(.result, .redact)], Self.mail, journal)
        #expect(redacted.structured?["said"]?.string?.hasPrefix("to [redacted:email:") == true)
        #expect(!redacted.text.contains("example.org") && !redacted.isError)
        let end = journal.calls.withLock { $0[0].end }
        #expect(end?.reason == "redacted in the answer: email (no-mail)")
        journal = FakeJournal()
        let withheld = try await run([rule(.result, .deny)], Self.mail, journal)
        #expect(withheld.isError && withheld.text.contains("withheld"))
        #expect(!withheld.text.contains("example.org"))
        #expect(journal.events.withLock { $0.last } == "end succeeded")
    }
}
