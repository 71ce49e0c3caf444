import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Testing

@testable import Gateway

/// Calls on record, of which some were refused or held for what stood in their arguments.
struct RecordedCallTests {
    private static let sensitive = """
        metadata: {name: x}
        approval_workflows: [{name: leads, is_default: true}]
        sensitive_data:
          rules:
          - {id: no-cards, on: tool.args, types: [card], action: deny}
          - {id: mail, on: tool.args, types: [email], action: require_approval}
          - {id: phones, on: tool.args, types: [phone], action: notify}
        tools: [{name: fake}]
        """

    /// What is called by a policy in a store, and looked through as it says.
    private struct Recorded {
        let book: PolicyBook
        let journal: StoreJournal
        let calls: GuardedCall

        init(_ store: Store, _ policy: String) async throws {
            let book = PolicyBook(store: store)
            let keys = try AuditKeys.testing(store.account)
            self.book = book
            journal = StoreJournal(store: store, keys: keys)
            var tool = FakeTool()
            tool.inputSchema = [
                "type": "object",
                "properties": ["text": ["type": "string"], "count": ["type": "integer"]],
            ]
            calls = GuardedCall(
                tools: ToolSet([tool]),
                policy: book,
                journal: journal,
                sensitive: SensitiveValues(redactor: keys.redactor) { try await book.redaction() }
            )
            try await apply(policy)
        }

        func apply(_ text: String) async throws {
            _ = try await book.apply(text, .init(author: "local:ann", prunes: true))
        }

        func call(_ arguments: JSONValue, state: String? = nil) async throws {
            var request = GuardedCall.Request(tool: "fake", arguments: object(arguments))
            if let state { request.extras.inputs["requestState"] = .string(state) }
            _ = try await calls.run(request, by: caller)
        }

        /// What another policy, or the one in force, says about the calls.
        func replay(_ text: String? = nil) async throws -> JSONValue {
            try await book.replay(text, calls: calls, limit: 100).json
        }
    }

    /// Only rules for tools were asked again, so that the policy that had refused calls was said
    /// to allow them.
    @Test func `what stood in arguments decides about calls on record as it did, and by new rules`()
        async throws
    {
        let scratch = try await Engine.current.store()
        let recorded = try await Recorded(scratch.store, Self.sensitive)
        for text in ["4111 1111 1111 1111", "to ann@example.org", "+49 30 901820", "plain"] {
            try await recorded.call(["text": .string(text)])
        }
        let same = try await recorded.replay()
        #expect(same["total"] == 4 && same["changes"] == [] && same["undecided"] == 0, "\(same)")
        func change(_ before: String, _ after: String) -> JSONValue {
            [
                "tool": "fake", "before": .string(before), "after": .string(after), "count": 1,
            ]
        }
        // The latest are asked first.
        let bare = "metadata: {name: x}"
        let without = try await recorded.replay(bare)
        #expect(
            without["changes"] == [change("require_approval", "allow"), change("deny", "allow")]
        )
        let stricter = Self.sensitive.replacing("notify", with: "deny")
        let plan = try await recorded.book.plan(
            stricter,
            prunes: true,
            calls: recorded.calls,
            limit: 100
        )
        #expect(plan.calls.json["changes"] == [change("allow", "deny")])
    }

    @Test func `a password may hide what a rule asks for, and the call is left undecided`()
        async throws
    {
        let scratch = try await Engine.current.store()
        let recorded = try await Recorded(scratch.store, Self.sensitive)
        try await recorded.call(["password": "to ann@example.org"])
        let same = try await recorded.replay()
        #expect(same["changes"] == [] && same["undecided"] == 1, "\(same)")
        #expect(same["undecided_by_sensitive_data"] == ["no-cards", "mail"])
        #expect(same["undecided_by"] == [] && same["undecided_for"] == [])
        let all = Self.sensitive.replacing("types: [card]", with: "types: [any]")
        let strict = try await recorded.replay(all)["changes"]?[0]
        #expect(strict?["after"] == "deny", "\(String(describing: strict))")
    }

    @Test func `refusals that no rule decides are told apart with their reasons`() async throws {
        let scratch = try await Engine.current.store()
        let redacting = Self.sensitive.replacing("action: deny", with: "action: redact")
        let recorded = try await Recorded(scratch.store, redacting)
        // The second has something noted before.
        for text in ["plain", "+49 30 901820"] {
            try await recorded.call(["text": .string(text)], state: "preloop-approval-none")
        }
        // A mark is no number.
        try await recorded.call(["count": 4_111_111_111_111_111])
        let told = try await recorded.replay()
        #expect(told["total"] == 3 && told["changes"] == [] && told["undecided"] == 3, "\(told)")
        let state = "`requestState` is not one that was given here"
        #expect(
            told["undecided_for"] == [
                [
                    "reason": "the arguments without card (no-cards) are not right", "count": 1,
                ],
                ["reason": .string("noted: phone (phones); \(state)"), "count": 1],
                ["reason": .string(state), "count": 1],
            ],
            "\(told)"
        )
    }

    @Test func `calls of the gateway's own tools are not decided again`() async throws {
        let scratch = try await Engine.current.store()
        let own = BuiltInTools(store: scratch.store, scanLease: "scan") { _ in
            throw ToolFailure("there is no index here")
        }
        let names = own.make().entries.filter(\.tool.isOfGateway).map(\.definition.name)
        #expect(names == ToolIdentity.namesOfGateway)
        let recorded = try await Recorded(scratch.store, Self.sensitive)
        for name in ["fake", names[0]] {
            var call = ToolCallTable.Call(
                id: name,
                tool: name,
                caller: "local:ann",
                channel: "stdio",
                argumentsDigest: [1],
                startedAt: Timestamp(milliseconds: 1)
            )
            call.decision = .allow
            call.arguments = .object(JSONObject())
            try await recorded.journal.begin(call)
        }
        let told = try await recorded.replay(
            "metadata: {name: x}\ndefaults: {unknown_tools: deny}"
        )
        #expect(told["total"] == 1 && told["unknown_tools"] == 0, "\(told)")
        #expect(told["changes"]?.array?.compactMap { $0["tool"]?.string } == ["fake"])
    }
}
