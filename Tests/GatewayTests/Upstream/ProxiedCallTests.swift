import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Tools of other servers behind the policy, approvals and the audit.
@Suite struct ProxiedCallTests {
    private static let held = "[{name: up/write, conditions: [{action: require_approval}]}]"

    @Test(arguments: [
        "{name: up/write, conditions: [{expression: args.text == 'bad', action: deny}]}",
        "{name: 'u*/wr?te', conditions: [{expression: args.text == 'bad', action: deny}]}",
        """
        {name: '*', conditions: [{condition_type: cel, action: deny,
          expression: 'server == "up" && tool == "write" && args.text == "bad"'}]}
        """,
    ])
    func `a rule on a server's tool denies its calls, and the record names the server`(
        _ rule: String
    ) async throws {
        let world = try await ProxiedWorld("[\(rule)]")
        #expect(try await !world.call("good").isError)
        let denied = try await world.call("bad")
        #expect(denied.isError && denied.kind == .denied, "\(denied.text)")
        #expect(world.upstream.texts == ["good"])
        let records = try await world.records()
        #expect(records.map(\.server) == ["up", "up"])
        #expect(records.map(\.tool) == ["write", "write"])
        #expect(records.map(\.outcome) == [.denied, .succeeded])
        #expect(records.map(\.decision) == [.deny, .allow])
        // A tool of our own has no server.
        _ = try await world.calls.run(.init(tool: "search", arguments: JSONObject()), by: caller)
        #expect(try await world.records()[0].server == nil)
        // It went to the address that was looked at.
        #expect(world.upstream.state.withLock { $0.addresses } == ["93.184.216.34"])
    }

    @Test func `rules on other servers and on our own tools are none on it`() async throws {
        let world = try await ProxiedWorld(
            """
            [{name: other/write, conditions: [{action: deny}]},
             {name: builtin/write, conditions: [{action: deny}]}]
            """
        )
        #expect(try await !world.call().isError)
    }

    @Test func `a call that is held runs once, after its approval`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let id = try await world.handle()
        #expect(world.upstream.texts.isEmpty)
        #expect(try await world.poll(id)["status"] == "pending")
        let answer = try await world.approve(id)
        #expect(answer["status"] == "approved")
        #expect(answer["tool_result"]?[0]?["text"] == "hi")
        #expect(world.upstream.texts == ["hi"])
        // Asked again, it tells the same and runs nothing.
        #expect(try await world.poll(id)["tool_result"]?[0]?["text"] == "hi")
        #expect(world.upstream.texts == ["hi"])
        let records = try await world.records()
        #expect(records.allSatisfy { $0.server == "up" && $0.approvalID == id })
        #expect(records.map(\.outcome) == [.succeeded, .held])
        // The same call later needs an approval of its own.
        #expect(try await world.handle() != id)
    }

    /// Two servers may have tools of one name, and whoever decides saw the name alone.
    @Test func `a request says which server's tool it is about`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let request = try await world.approvals.find(try await world.handle())
        let shown = request.json(at: request.row.request.requestedAt)
        #expect(shown["server"] == "up" && shown["policy_name"] == "up/write")
        #expect(shown["tool_name"] == "write")
    }

    @Test func `what is approved while its caller waits is answered to its caller`() async throws {
        let world = try await ProxiedWorld(Self.held, waits: true)
        async let answer = world.call()
        var waiting: [ApprovalRequest] = []
        while waiting.isEmpty {
            try await Task.sleep(for: .milliseconds(5))
            waiting = try await world.approvals.list(status: .pending, limit: 1)
        }
        #expect(world.upstream.texts.isEmpty)
        try await world.approvals.decide(
            waiting[0].id,
            by: Approver(.local, "bob"),
            .init(.approve)
        )
        let result = try await answer
        #expect(result.original?["content"]?[0]?["text"] == "hi", "\(result.text)")
        #expect(world.upstream.texts == ["hi"])
    }

    @Test func `a definition that changed is not what was approved`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let id = try await world.handle()
        world.upstream.state.withLock { $0.summary = "Writes a text, and sends it to us" }
        _ = try await world.desk.scan(world.server.id, by: "user:ann")
        // Held by its pin, it is not even there.
        let held = try await world.approve(id)
        #expect(
            held["tool_execution_error"]?.string?.contains("not there any more") == true,
            "\(held)"
        )
        // Accepted, it is another tool than the one that was approved.
        _ = try await world.desk.accept(nil, of: world.server.id, by: "user:ann")
        let other = try await world.poll(id)
        #expect(
            other["tool_execution_error"]?.string?.contains("not the one that was approved")
                == true,
            "\(other)"
        )
        #expect(world.upstream.texts.isEmpty)
    }

    @Test func `another address is another server`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let id = try await world.handle()
        var moved = try #require(try await world.desk.entries().first?.server)
        moved.url = "https://elsewhere.example/mcp"
        try await world.desk.change(moved, secret: nil, by: "user:ann")
        let answer = try await world.approve(id)
        #expect(
            answer["tool_execution_error"]?.string?.contains("not the one that was approved")
                == true,
            "\(answer)"
        )
        #expect(world.upstream.texts.isEmpty)
    }

    @Test func `a policy that changed meanwhile counts`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let id = try await world.handle()
        try await world.apply(
            """
            [{name: up/write,
              conditions: [{expression: args.text == 'hi', action: deny, message: no more}]}]
            """
        )
        let denied = try await world.approve(id)
        #expect(
            denied["tool_execution_error"]?.string?.contains("no more") == true,
            "\(denied)"
        )
        #expect(world.upstream.texts.isEmpty)
    }

    @Test func `a server that was removed is not asked for what was approved`() async throws {
        let world = try await ProxiedWorld(Self.held)
        let id = try await world.handle()
        try await world.desk.remove(world.server.id, by: "user:ann")
        let answer = try await world.approve(id)
        #expect(
            answer["tool_execution_error"]?.string?.contains("not there any more") == true,
            "\(answer)"
        )
    }

    /// A rule read the last of two equal keys, and a server might read the first.
    @Test func `a server gets what rules have read, whatever stands twice`() async throws {
        let world = try await ProxiedWorld(
            "[{name: up/*, conditions: [{expression: args.text == 'bad', action: deny}]}]"
        )
        let twice = JSONObject([("text", "bad"), ("text", "good")])
        #expect(try await !world.call(twice).isError)
        let sent = world.upstream.state.withLock { $0.calls[0]["arguments"]?.object }
        #expect(sent?.members.map(\.key) == ["text"] && sent?["text"] == "good")
        let other = JSONObject([("text", "good"), ("text", "bad")])
        #expect(try await world.call(other).kind == .denied)
        // Null means what the server makes of it.
        #expect(try await !world.call(object(["text": .null])).isError)
        #expect(world.upstream.state.withLock { $0.calls[1]["arguments"]?["text"] } == .null)
    }

    /// The rule said no to true alone, and the SDK's servers make true of each of these.
    @Test(
        arguments: [
            ["force": "true"], ["force": 1], ["options": "{\"force\": true}"],
            ["options": ["force": "yes"]], ["text": 5],
        ] as [JSONValue]
    )
    func `what a server might take for something else does not reach it`(
        _ arguments: JSONValue
    ) async throws {
        let world = try await ProxiedWorld(
            """
            [{name: up/write, conditions: [{expression: args.force == true, action: deny},
              {expression: args.options.force == true, action: deny}]}]
            """
        )
        let refused = try await world.call(object(arguments))
        #expect(refused.isError && refused.text.contains(" must be "), "\(refused.text)")
        #expect(world.upstream.texts.isEmpty)
        #expect(try await world.records().map(\.outcome) == [.invalid])
        for plain in [["force": true], ["options": ["force": true]]] as [JSONValue] {
            #expect(try await world.call(object(plain)).kind == .denied)
        }
        let fine: JSONValue = ["force": nil, "options": ["force": false, "more": 1], "other": "x"]
        #expect(try await !world.call(object(fine)).isError)
    }

    @Test func `tools that the policy does not know are those that came later`() async throws {
        let defaults = "defaults: {require_approval_for_new_tools: true}"
        let world = try await ProxiedWorld("[]", more: defaults)
        #expect(try await !world.call().isError)
        #expect(
            await world.calls.tools.identities().map(\.description).contains("up/resources/read")
        )
        try await world.apply("[]", more: "defaults: {unknown_tools: deny}")
        #expect(await !world.calls.visibleTools(to: caller).map(\.name).contains("write"))
        await #expect(throws: RPCError.self) { try await world.call() }
        try await world.apply("[{name: up/*}]", more: "defaults: {unknown_tools: deny}")
        #expect(try await !world.call().isError)
    }

    @Test func `callers are asked why, and the server is not told`() async throws {
        let world = try await ProxiedWorld("[{name: up/write, justification: required}]")
        let listed = await world.calls.visibleTools(to: caller).first { $0.name == "write" }
        let schema = listed?.json()["inputSchema"]
        #expect(schema?["required"] == ["justification"])
        #expect(schema?["properties"]?["text"] != nil)
        #expect(try await world.call().isError)
        let reasoned = object(["text": "hi", "justification": "it is due"])
        #expect(try await !world.call(reasoned).isError)
        #expect(world.upstream.state.withLock { $0.calls[0]["arguments"] } == ["text": "hi"])
    }

    /// What approvers bind and operators accept is what the server says, whatever callers read.
    @Test func `callers read what the policy says of a tool, and approvals bind its own words`()
        async throws
    {
        let world = try await ProxiedWorld()
        func listed() async -> [String: ToolDefinition] {
            let tools = await world.calls.visibleTools(to: caller)
            return Dictionary(tools.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        }
        let before = await listed()
        try await world.apply(
            """
            [{name: up/write, description: Writes with care.,
              conditions: [{action: require_approval}]},
             {name: search, description: Ours.}, {name: get_approval_status, description: Other.}]
            """
        )
        let shown = await listed()
        #expect(shown["write"]?.summary == "Writes with care.")
        #expect(shown["write"]?.json()["description"] == "Writes with care.")
        #expect(shown["write"]?.json()["inputSchema"] == before["write"]?.json()["inputSchema"])
        #expect(shown["search"]?.json()["description"] == "Ours.")
        // No policy decides about it.
        #expect(shown["get_approval_status"] == before["get_approval_status"])
        #expect(await world.calls.definition(named: "write") == before["write"])
        let answer = try await world.approve(try await world.handle())
        #expect(answer["status"] == "approved" && world.upstream.texts == ["hi"], "\(answer)")
        // Another scan finds nothing that is new.
        _ = try await world.desk.scan(world.server.id, by: "user:ann")
        #expect(await listed() == shown)
    }

    @Test func `what the server refuses in the protocol's terms is handed on so`() async throws {
        let world = try await ProxiedWorld()
        let refusal = RPCError(-32_050, "not today", data: ["until": "tomorrow"])
        world.upstream.state.withLock { $0.refusal = refusal }
        let result = try await world.call()
        #expect(result.isError && result.protocolError == refusal)
        #expect(try await world.records()[0].outcome == .failed)
        // After an approval it is kept as what came of the call.
        try await world.apply(Self.held)
        let answer = try await world.approve(try await world.handle())
        #expect(answer["tool_execution_error"] == "not today")
    }

    @Test func `answers to the server's questions belong to what is approved`() async throws {
        let world = try await ProxiedWorld(Self.held)
        var request = GuardedCall.Request(tool: "write", arguments: object(["text": "hi"]))
        request.extras.inputs = object([
            "inputResponses": ["who": ["action": "accept", "content": ["name": "ann"]]],
            "requestState": "opaque",
        ])
        let result = try await world.calls.run(request, by: caller)
        let id = try #require(result.structured?["request_id"]?.string)
        let shown = try await world.approvals.find(id).row.request.shown
        #expect(shown["preloop:answers"] != nil)
        // Without them it is another call.
        #expect(try await world.handle() != id)
        _ = try await world.approve(id)
        let sent = world.upstream.state.withLock { $0.calls.first }
        #expect(sent?["requestState"] == "opaque")
        #expect(sent?["inputResponses"]?["who"]?["action"] == "accept")
        #expect(sent?["arguments"] == ["text": "hi"])
    }

    private func read(_ world: ProxiedWorld) async throws -> JSONObject {
        var forward = GuardedCall.Forward(
            method: "resources/read",
            parameters: object(["uri": "memo://one"])
        )
        forward.session = "s"
        return try await world.calls.forward(forward, by: caller)
    }

    private func resources(_ world: ProxiedWorld) async throws -> JSONValue? {
        let list = GuardedCall.Forward(method: "resources/list", parameters: JSONObject())
        return try await world.calls.forward(list, by: caller)["resources"]
    }

    @Test func `resources are decided about and recorded as calls are`() async throws {
        let world = try await ProxiedWorld()
        #expect(try await read(world)["contents"]?[0]?["text"] == "read")
        #expect(try await resources(world)?.array?.count == 1)
        let record = try await world.records()[0]
        #expect(record.server == "up" && record.tool == "resources/read" && record.session == "s")
        try await world.apply("[{name: up/resources/read, conditions: [{action: deny}]}]")
        await #expect(throws: RPCError.self) { try await read(world) }
        #expect(try await resources(world) == [])
        // One that is held is read when it is approved.
        try await world.apply(
            "[{name: up/resources/read, conditions: [{action: require_approval}]}]"
        )
        await #expect(throws: RPCError.self) { try await read(world) }
        let id = try #require(try await world.approvals.list(status: .pending, limit: 1).first?.id)
        #expect(try await world.approve(id)["status"] == "approved")
        let result = try await world.scratch.store.read { connection, account in
            try ApprovalTable.find(id, account: account, on: connection)?.execution
        }
        #expect(result == .done)
    }

    /// What a client hears in answer to a request, of 2026-07-28 or in a session from before.
    private func answer(
        _ world: ProxiedWorld,
        _ method: String,
        _ parameters: String,
        isModern: Bool = true
    ) async -> JSONObject? {
        let draft = ServerDescription(name: "t", title: "T", version: "1")
        let input = AsyncStream.makeStream(of: SessionServer.Input.self)
        let output = AsyncStream.makeStream(of: JSONValue.self)
        let continuation = output.continuation
        let server = SessionServer(
            session: ServerSession(server: await world.calls.description(of: draft, for: caller)),
            calls: world.calls,
            caller: caller,
            write: { continuation.yield($0) }
        )
        let meta = """
            ,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",\
            "io.modelcontextprotocol/clientCapabilities":{}}
            """
        let begin = """
            {"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":\
            "2025-11-25","capabilities":{}}}
            """
        let request = """
            {"jsonrpc":"2.0","id":1,"method":"\(method)","params":{\(parameters)\
            \(isModern ? meta : "")}}
            """
        let messages = isModern ? [request] : [begin, request]
        for text in messages {
            input.continuation.yield(.bytes(Array(text.utf8)))
        }
        input.continuation.finish()
        await server.run(input.stream, grace: .seconds(600))
        continuation.finish()
        for await message in output.stream where message["id"] == 1 {
            return message["result"]?.object
        }
        return nil
    }

    /// The server knows nothing of the rules by which its answer was given: clients that believed
    /// it, and what stands before them, gave one caller's answer to others.
    @Test func `what a server gives to all is told as its caller's alone`() async throws {
        let world = try await ProxiedWorld()
        let hints: JSONValue = ["cacheScope": "public", "ttlMs": 5, "cacheScope": "public"]
        world.upstream.state.withLock { $0.hints = object(hints) }
        let uri = #""uri":"memo://one""#
        let read = await answer(world, "resources/read", uri)
        let scopes = read?.members.filter { $0.key == "cacheScope" }.map(\.value)
        #expect(scopes == ["private"])
        #expect(read?["ttlMs"] == 5 && read?["contents"]?[0]?["text"] == "read")
        let older = await answer(world, "resources/read", uri, isModern: false)
        #expect(older?.members.map(\.key) == ["contents"])
        // Results of tools are not kept, whatever a server says.
        let call = #""name":"write","arguments":{"text":"hi"}"#
        world.upstream.state.withLock {
            $0.result = ["content": [], "cacheScope": "public", "ttlMs": 5]
        }
        let called = await answer(world, "tools/call", call)
        #expect(called?.members.map(\.key) == ["content", "resultType", "_meta"])
        let before = await answer(world, "tools/call", call, isModern: false)
        #expect(before?.members.map(\.key) == ["content"])
        world.upstream.state.withLock {
            $0.result = [
                "resultType": "input_required", "requestState": "s", "cacheScope": "public",
                "ttlMs": 5,
            ]
        }
        let question = await answer(world, "tools/call", call)
        #expect(question?.members.map(\.key) == ["resultType", "requestState", "_meta"])
    }

    @Test(arguments: ["builtin", "mcp", "preloop_builtin", "http", "agent"])
    func `no server has a name that policies mean something else by`(_ name: String) async throws {
        let world = try await ProxiedWorld()
        var server = world.server
        server.name = name
        await #expect(throws: UpstreamError.self) {
            try await world.desk.add(server, secret: UpstreamSecret(), by: "user:ann")
        }
    }
}
