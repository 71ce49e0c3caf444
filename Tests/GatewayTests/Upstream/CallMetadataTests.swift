import Crypto
import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// What a client says in `_meta` to the server of a tool, by the rules for arguments.
///
/// It reached the server unseen: no rule looked at it, no record had it, no approval held for it,
/// and a call that ran later lost it.
@Suite struct CallMetadataTests {
    private static let token = "ghp_" + String(repeating: "aB3dE6", count: 6)
    private static let held = """
        [{name: up/write, conditions: [{action: require_approval}]},
         {name: up/resources/read, conditions: [{action: require_approval}]}]
        """

    private func rule(_ action: String) -> String {
        "sensitive_data: {rules: [{id: none-out, on: tool.args, types: [secrets], "
            + "action: \(action)}]}"
    }

    private func request(
        _ meta: JSONValue,
        _ arguments: JSONValue = ["text": "hi"]
    ) -> GuardedCall.Request {
        var request = GuardedCall.Request(tool: "write", arguments: object(arguments))
        request.extras.meta = object(meta)
        return request
    }

    private func sent(_ world: ProxiedWorld) -> [JSONValue?] {
        world.upstream.state.withLock { $0.calls.map { $0["_meta"] } }
    }

    @Test func `a secret in it is denied as one in the arguments is`() async throws {
        let world = try await ProxiedWorld(more: rule("deny"))
        for request in [
            request(["x.example/note": ["deep": [.string(Self.token)]]]),
            request(["x.example/\(Self.token)": 1]), request([:], ["text": .string(Self.token)]),
        ] {
            let denied = try await world.calls.run(request, by: caller)
            #expect(denied.kind == .denied && denied.text.contains("github_token (none-out)"))
        }
        #expect(world.upstream.texts.isEmpty)
        #expect(try await !world.calls.run(request(["x.example/note": 1]), by: caller).isError)
        #expect(sent(world) == [["x.example/note": 1]])
    }

    @Test func `it reaches the server redacted, beside arguments as they are`() async throws {
        let world = try await ProxiedWorld(more: rule("redact"))
        var asked = request(["x.example/note": .string("is \(Self.token)"), "y": 1])
        asked.extras.inputs = object(["requestState": "opaque"])
        #expect(try await !world.calls.run(asked, by: caller).isError)
        let call = try #require(world.upstream.state.withLock { $0.calls.first })
        #expect(call["arguments"] == ["text": "hi"] && call["requestState"] == "opaque")
        let note = call["_meta"]?["x.example/note"]?.string
        #expect(note?.hasPrefix("is [redacted:github_token:") == true && call["_meta"]?["y"] == 1)
        #expect(try await world.records()[0].reason?.contains("redacted: github_token") == true)
    }

    /// With a name like that of what is kept beside arguments, an argument was not looked at.
    @Test func `an argument of such a name is looked at, too`() async throws {
        let world = try await ProxiedWorld(more: rule("deny"))
        for key in ["preloop:meta", "preloop:answers"] {
            var asked = request(["x.example/note": 1], ["text": "hi"])
            asked.arguments[key] = .string(Self.token)
            asked.extras.inputs = object(["requestState": "opaque"])
            #expect(try await world.calls.run(asked, by: caller).kind == .denied, "\(key)")
        }
        #expect(world.upstream.texts.isEmpty)
    }

    @Test(arguments: Engine.all)
    func `it is on record without its secrets, and part of the digest`(
        _ engine: Engine
    ) async throws {
        let world = try await ProxiedWorld(engine: engine)
        for meta in [[:], ["x.example/note": .string(Self.token)]] as [JSONValue] {
            _ = try await world.calls.run(request(meta), by: caller)
        }
        let records = try await world.records()
        #expect(records.map(\.outcome) == [.succeeded, .succeeded])
        let noted = records[0].arguments?["preloop:meta"]?["x.example/note"]?.string
        #expect(noted?.hasPrefix("[redacted:github_token:") == true)
        #expect(records[0].argumentsDigest != records[1].argumentsDigest)
        #expect(records[1].arguments == ["text": "hi"])
        // Replayed, it is none of the arguments.
        let decided = records[0].arguments.map(RecordedArguments.decided)
        #expect(decided == ["text": "hi"])
    }

    @Test func `calls without it have the digests and records that they had`() async throws {
        let world = try await ProxiedWorld()
        var plain = request([:])
        plain.extras.baggage = "user=ann"
        let call = world.calls.record(of: plain, by: caller)
        #expect(call.arguments == ["text": "hi"])
        #expect(call.argumentsDigest == Array(SHA256.hash(data: Array(#"{"text":"hi"}"#.utf8))))
        // Our own tools are told nothing of it.
        let journal = FakeJournal()
        let calls = GuardedCall(
            tools: ToolSet([FakeTool()]),
            policy: FakePolicy(),
            journal: journal
        )
        var own = request(["x.example/note": .string(Self.token)])
        own.tool = "fake"
        _ = try await calls.run(own, by: caller)
        #expect(journal.calls.withLock { $0[0].arguments } == ["text": "hi"])
    }

    @Test func `it belongs to what is approved, and goes with the call that runs later`()
        async throws
    {
        let world = try await ProxiedWorld(Self.held)
        func handle(_ meta: JSONValue) async throws -> String {
            let result = try await world.calls.run(request(meta), by: caller)
            return try #require(result.structured?["request_id"]?.string)
        }
        let id = try await handle(["x.example/note": "one"])
        let shown = try await world.approvals.find(id).row.request.shown
        #expect(shown["preloop:meta"] == ["x.example/note": "one"])
        #expect(try await handle(["x.example/note": "one"]) == id)
        // With another one, and without, it is another call.
        let others = [try await handle(["x.example/note": "two"]), try await world.handle()]
        #expect(Set(others + [id]).count == 3)
        #expect(try await world.approve(id)["status"] == "approved")
        #expect(try await world.approve(others[1])["status"] == "approved")
        #expect(sent(world) == [["x.example/note": "one"], nil])
        let record = try await world.records().first { $0.approvalID == id }
        #expect(record?.arguments?["preloop:meta"] == ["x.example/note": "one"])
    }

    @Test func `a rule that came while the call was held counts for it`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let asked = request(["x.example/note": .string(Self.token)])
        let result = try await world.calls.run(asked, by: caller)
        let id = try #require(result.structured?["request_id"]?.string)
        try await world.apply(Self.held, more: rule("deny"))
        let answer = try await world.approve(id)
        #expect(
            answer["tool_execution_error"]?.string?.contains("github_token") == true,
            "\(answer)"
        )
        #expect(world.upstream.texts.isEmpty)
    }

    @Test func `requests that are handed on go the same way`() async throws {
        let world = try await ProxiedWorld(more: rule("deny"))
        func read(_ meta: JSONValue) async throws {
            var forward = GuardedCall.Forward(
                method: "resources/read",
                parameters: object(["uri": "memo://one"])
            )
            forward.extras.meta = object(meta)
            _ = try await world.calls.forward(forward, by: caller)
        }
        await #expect(throws: RPCError.self) {
            try await read(["x.example/note": .string(Self.token)])
        }
        #expect(world.upstream.state.withLock { $0.reads.isEmpty })
        try await read(["x.example/note": "one"])
        #expect(world.upstream.state.withLock { $0.reads[0]["_meta"] } == ["x.example/note": "one"])
        let records = try await world.records()
        #expect(records.map(\.outcome) == [.succeeded, .denied])
        #expect(records[0].arguments?["preloop:meta"] == ["x.example/note": "one"])
        try await world.apply(Self.held)
        await #expect(throws: RPCError.self) { try await read(["x.example/note": "two"]) }
        let id = try #require(try await world.approvals.list(status: .pending, limit: 1).first?.id)
        #expect(try await world.approve(id)["status"] == "approved")
        #expect(world.upstream.state.withLock { $0.reads[1]["_meta"] } == ["x.example/note": "two"])
    }

    /// What is no part of the call is no reason to refuse it, and no way round the rules either.
    @Test(arguments: ["deny", "redact", "require_approval"])
    func `what rules find in the trace and in capabilities is not handed on`(
        _ action: String
    ) async throws {
        let world = try await ProxiedWorld(more: rule(action))
        let secret = "vendor=\(Self.token)"
        for (state, baggage) in [("vendor=1", "user=ann"), (secret, secret)] {
            let place = try #require(
                TraceContext(
                    parent: "00-\(String(repeating: "a", count: 32))-1234567890abcdef-01",
                    state: state
                )
            )
            var asked = request([:])
            asked.extras.baggage = baggage
            asked.extras.capabilities = object(["experimental": ["x": .string(baggage)]])
            let result = try await Trace.$current.withValue(Trace(place, record: nil)) {
                try await world.calls.run(asked, by: caller)
            }
            #expect(!result.isError, "\(result.text)")
        }
        let metas = sent(world)
        #expect(metas[0]?["tracestate"] == "vendor=1" && metas[0]?["baggage"] == "user=ann")
        #expect(metas[1]?["traceparent"] != nil)
        #expect(metas[1]?["tracestate"] == nil && metas[1]?["baggage"] == nil)
        let noted = try await world.records()[0].reason
        #expect(noted?.contains("baggage") == true && noted?.contains("capabilities") == true)
    }
}
