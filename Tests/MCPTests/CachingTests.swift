import Domain
import MCP
import Testing

/// For how long and for whom results of 2026-07-28 may be kept, whoever they are from.
struct CachingTests {
    private static var server: ServerDescription {
        var server = Conversation.server
        server.forwarded = [.resources, .prompts, .completions]
        return server
    }

    private static let hints: Set<String> = ["ttlMs", "cacheScope"]

    /// What a modern client gets of what another server gave.
    private func answer(
        _ method: String,
        _ given: JSONValue,
        _ parameters: String = ""
    ) -> JSONObject {
        var talk = Conversation(server: Self.server)
        talk.ask("1", method, parameters)
        guard let job = talk.started.first else { return JSONObject() }
        let outcome = ServerSession.Outcome.forwarded(given.object ?? JSONObject())
        return talk.apply(talk.session.finish(job.id, .success(outcome))).first?["result"]?.object
            ?? JSONObject()
    }

    private func hints(of result: JSONObject) -> [String] {
        result.members.map(\.key).filter(Self.hints.contains)
    }

    @Test(arguments: ["prompts/list", "resources/list", "resources/templates/list"])
    func `every list that is handed on is its caller's alone, as long as the list of tools`(
        _ method: String
    ) {
        let result = answer(method, [:])
        #expect(result["ttlMs"] == 60_000 && result["cacheScope"] == "private")
        #expect(hints(of: result).sorted() == ["cacheScope", "ttlMs"])
        #expect(result["resultType"] == "complete")
    }

    @Test func `a resource whose server promises nothing is not kept`() {
        let result = answer("resources/read", ["contents": []])
        #expect(result["ttlMs"] == 0 && result["cacheScope"] == "private")
        #expect(result["resultType"] == "complete")
    }

    /// A second `cacheScope` stood behind the server's own, which clients that take the first one
    /// gave to other callers.
    @Test(arguments: [
        "prompts/list", "resources/list", "resources/templates/list", "resources/read",
    ])
    func `what another server gives to all is its caller's alone, said once`(_ method: String) {
        for given: JSONValue in [
            ["cacheScope": "public"], ["ttlMs": 5, "cacheScope": "public"],
            ["cacheScope": "public", "cacheScope": "public", "ttlMs": 5, "ttlMs": 6],
            ["cacheScope": 1],
        ] {
            let result = answer(method, given)
            #expect(result["cacheScope"] == "private", "\(given)")
            #expect(hints(of: result).sorted() == ["cacheScope", "ttlMs"], "\(given)")
        }
    }

    @Test(
        arguments: [
            (0, 0), (5, 5), (5.0, 5), (60_000, 60_000), (60_001, 60_000),
            (9_223_372_036_854_775_807, 60_000), (-1, 0), (1.5, 0), ("5", 0), (nil, 0), (1e300, 0),
        ] as [(JSONValue, JSONValue)]
    )
    func `a server's own time counts where it is one, up to ours`(
        _ said: JSONValue,
        _ told: JSONValue
    ) {
        #expect(answer("resources/read", ["ttlMs": said])["ttlMs"] == told)
    }

    @Test func `a question is not kept`() {
        let question: JSONValue = [
            "resultType": "input_required", "ttlMs": 5, "cacheScope": "public",
        ]
        let result = answer("resources/read", question)
        #expect(hints(of: result).isEmpty && result["resultType"] == "input_required")
    }

    /// What came of answers of the client is no answer to the same request without them.
    @Test(arguments: [#""requestState":"s""#, #""inputResponses":{}"#])
    func `a resource that was read with answers is not kept`(_ inputs: String) {
        let given: JSONValue = ["contents": [], "ttlMs": 5, "cacheScope": "public"]
        let result = answer("resources/read", given, #""uri":"x","# + inputs)
        #expect(result["ttlMs"] == 0 && result["cacheScope"] == "private")
        #expect(hints(of: result).sorted() == ["cacheScope", "ttlMs"])
    }

    @Test(arguments: ["prompts/get", "completion/complete"])
    func `what no client keeps says nothing about it`(_ method: String) {
        for given: JSONValue in [
            ["x": 1], ["x": 1, "ttlMs": 5, "cacheScope": "public", "ttlMs": 6],
            ["x": 1, "resultType": "input_required", "ttlMs": 5, "cacheScope": "private"],
        ] {
            let result = answer(method, given)
            #expect(hints(of: result).isEmpty && result["x"] == 1, "\(given)")
        }
    }

    /// What a modern client gets of what another server gave for a call.
    private func called(_ given: JSONValue) -> JSONObject {
        var talk = Conversation(server: Self.server)
        talk.ask("1", "tools/call", #""name":"a""#)
        let result = ToolResult(original: given.object ?? JSONObject())
        let outcome = ServerSession.Outcome.result(result)
        let sent = talk.apply(talk.session.finish(talk.started[0].id, .success(outcome)))
        return sent.first?["result"]?.object ?? JSONObject()
    }

    @Test func `the result of a call says nothing about it`() {
        for kind in ["complete", "input_required"] {
            let result = called([
                "content": [], "resultType": .string(kind), "ttlMs": 5, "cacheScope": "public",
                "ttlMs": 6,
            ])
            #expect(hints(of: result).isEmpty && result["resultType"] == .string(kind))
        }
        #expect(hints(of: called(["content": [], "ttlMs": 5, "cacheScope": "public"])).isEmpty)
    }

    /// The member says for how long there is a task; clients would think that it is over.
    @Test(arguments: ["task", "vendor.example/job"])
    func `a kind of its own keeps the time that is its own`(_ kind: String) {
        let result = called(["resultType": .string(kind), "ttlMs": 5, "cacheScope": "public"])
        #expect(result["ttlMs"] == 5 && hints(of: result) == ["ttlMs"])
    }

    @Test func `a task keeps its time, and the result in it says nothing`() {
        var server = Self.server
        server.offersTasks = true
        var talk = Conversation(server: server)
        talk.say(
            """
            {"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t","_meta":{\
            "io.modelcontextprotocol/protocolVersion":"2026-07-28",\
            "io.modelcontextprotocol/clientCapabilities":{"extensions":{\
            "io.modelcontextprotocol/tasks":{}}}}}}
            """
        )
        let given: JSONValue = ["content": [], "ttlMs": 5, "cacheScope": "public"]
        let task = JSONObject([("taskId", "t"), ("ttlMs", 7), ("result", given)])
        let outcome = ServerSession.Outcome.forwarded(task)
        let sent = talk.apply(talk.session.finish(talk.started[0].id, .success(outcome)))
        #expect(sent[0]["result"]?["ttlMs"] == 7)
        #expect(sent[0]["result"]?["result"] == ["content": []])
    }

    @Test(arguments: ["resources/list", "resources/read", "prompts/get"])
    func `older revisions have no such members`(_ method: String) {
        var talk = Conversation(server: Self.server)
        talk.initialize()
        talk.say(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)"}"#)
        let given = JSONObject([("x", []), ("ttlMs", 5), ("cacheScope", "public")])
        let outcome = ServerSession.Outcome.forwarded(given)
        let sent = talk.apply(talk.session.finish(talk.started[0].id, .success(outcome)))
        #expect(sent[0]["result"] == ["x": []])
    }

    @Test func `the result of a call has none in older revisions`() {
        var talk = Conversation(server: Self.server)
        talk.initialize()
        talk.say(#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#)
        let given = JSONObject([("content", []), ("ttlMs", 5), ("cacheScope", "public")])
        let outcome = ServerSession.Outcome.result(ToolResult(original: given))
        let sent = talk.apply(talk.session.finish(talk.started[0].id, .success(outcome)))
        #expect(sent[0]["result"] == ["content": []])
    }
}
