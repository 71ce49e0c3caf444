import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// What the protocol's revisions say about a server, statement by statement, over HTTP.
@Suite struct MCPStatementTests {
    private static let path = "/mcp/v1"
    private static let accept = ("Accept", "application/json, text/event-stream")
    /// Where people reach the pages of approvals.
    private static let origin = "https://preloop.example.com"

    /// A session of an older revision.
    private struct Session {
        let server: RunningServer
        let key: String
        let id: String
        let version: String

        /// Begins one; the server must agree to the revision.
        init(_ server: RunningServer, _ key: String, _ version: String) async throws {
            (self.server, self.key, self.version) = (server, key, version)
            let begun = try await server.initialize(token: key, version)
            #expect(try begun.json["result"]?["protocolVersion"] == .string(version))
            id = try #require(begun.headers["Mcp-Session-Id"])
            let noted = try await post(
                ["jsonrpc": "2.0", "method": "notifications/initialized"],
                header: version
            )
            #expect(noted.status == 202)
        }

        func post(_ message: JSONValue, header: String) async throws -> RunningServer.Answer {
            try await server.send(
                "POST",
                MCPStatementTests.path,
                message,
                token: key,
                headers: [
                    MCPStatementTests.accept, ("Mcp-Session-Id", id),
                    ("MCP-Protocol-Version", header),
                ]
            )
        }

        func ask(
            _ method: String,
            _ parameters: JSONValue = [:],
            header: String? = nil
        ) async throws -> RunningServer.Answer {
            try await post(
                ["jsonrpc": "2.0", "id": 7, "method": .string(method), "params": parameters],
                header: header ?? version
            )
        }
    }

    private func server(
        _ change: (inout RunningServer.Setup) -> Void = { _ in }
    ) async throws -> (RunningServer, String) {
        var setup = RunningServer.Setup()
        change(&setup)
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .editor)
        return (server, try await server.key("ann"))
    }

    // MARK: - Revisions

    @Test func `an unknown revision is told with those that are spoken`() async throws {
        let (server, key) = try await server()
        let unknown = "2031-01-01"
        var headers = ModernRequest.headers("tools/list")
        headers[2].1 = unknown
        let meta: KeyValuePairs<String, JSONValue> = [
            "io.modelcontextprotocol/protocolVersion": .string(unknown)
        ]
        for message in [
            ModernRequest.message("tools/list"), ModernRequest.message("tools/list", meta: meta),
        ] {
            let answer = try await server.send(
                "POST",
                Self.path,
                message,
                token: key,
                headers: headers
            )
            #expect(answer.status == 400)
            let error = try answer.json["error"]
            #expect(error?["code"] == -32022)
            #expect(error?["data"]?["requested"] == .string(unknown))
            let supported = error?["data"]?["supported"]?.array?.compactMap(\.string)
            #expect(supported?.contains("2026-07-28") == true)
            #expect(try answer.json["id"] == 1)
        }
        try await server.stop()
    }

    @Test(arguments: ["2025-11-25", "2025-06-18", "2025-03-26"])
    func `an older client lists and calls in its own revision`(_ version: String) async throws {
        let (server, key) = try await server()
        let session = try await Session(server, key, version)
        let listed = try await session.ask("tools/list")
        #expect(try listed.json["result"]?["tools"]?[0]?["name"] == "echo")
        // What only the modern era has would be unknown members to its parser.
        #expect(try listed.json["result"]?["resultType"] == nil)
        #expect(try listed.json["result"]?["cacheScope"] == nil)
        let called = try await session.ask(
            "tools/call",
            ["name": "echo", "arguments": ["text": "hello"]]
        )
        let result = try called.json["result"]
        #expect(result?["content"]?[0]?["text"]?.string?.contains("hello") == true)
        #expect((result?["structuredContent"] != nil) == (version >= "2025-06-18"))
        let wrong = try await session.ask("tools/call", ["name": "echo", "arguments": [:]])
        #expect(try wrong.json["result"]?["isError"] == true)
        try await server.stop()
    }

    @Test(arguments: ["2025-11-25", "2025-06-18", "2025-03-26"])
    func `a session has no methods that it has not announced`(_ version: String) async throws {
        let (server, key) = try await server()
        let session = try await Session(server, key, version)
        for method in [
            "resources/list", "resources/templates/list", "resources/read", "resources/subscribe",
            "prompts/list", "prompts/get", "completion/complete", "tasks/list", "tasks/get",
            "tasks/result", "tasks/cancel", "tasks/update", "nothing/here",
        ] {
            let answer = try await session.ask(method)
            #expect(try answer.json["error"]?["code"] == -32601, "\(method): \(answer.text)")
            #expect(try answer.json["id"] == 7)
        }
        // Nor has it tasks: a call that wants to be one is answered as any other.
        let called = try await session.ask(
            "tools/call",
            ["name": "echo", "arguments": ["text": "hello"], "task": ["ttl": 60_000]]
        )
        #expect(try called.json["result"]?["task"] == nil)
        let text = try called.json["result"]?["content"]?[0]?["text"]?.string
        #expect(text?.contains("hello") == true)
        // The session goes on.
        #expect(try await session.ask("ping").json["result"] == .object(JSONObject()))
        try await server.stop()
    }

    @Test func `the version header of a session's request names a revision that is spoken`()
        async throws
    {
        let (server, key) = try await server()
        let session = try await Session(server, key, "2025-11-25")
        let unknown = try await session.ask("tools/list", header: "2031-01-01")
        #expect(unknown.status == 400)
        #expect(try unknown.json["error"]?["code"] == -32022)
        // Another one with sessions changes nothing: what was agreed on counts.
        let other = try await session.ask(
            "tools/call",
            ["name": "echo", "arguments": ["text": "hello"]],
            header: "2025-03-26"
        )
        #expect(try other.json["result"]?["structuredContent"]?["said"] == "hello")
        // The modern era has no sessions: such a request lacks what all of that era have.
        let modern = try await session.ask("tools/list", header: ModernRequest.version)
        #expect(modern.status == 400)
        #expect(try modern.json["error"]?["code"] == -32602)
        try await server.stop()
    }

    // MARK: - Streams

    /// What comes by a stream until the server lets it go.
    private func resumed(_ session: Session, after event: String?) async throws -> String {
        let headers = [
            Self.accept, ("Mcp-Session-Id", session.id), ("MCP-Protocol-Version", session.version),
        ]
        let answer = try await session.server.send(
            "GET",
            Self.path,
            token: session.key,
            headers: headers + (event.map { [("Last-Event-ID", $0)] } ?? [])
        )
        #expect(answer.status == 200, "\(answer.text)")
        return answer.text
    }

    /// The last event of a stream that was let go: it says nothing but when and where to go on.
    private func place(_ text: String) throws -> String {
        let end = try #require(text.firstMatch(of: /id: (\d+-\d+)\nretry: 1000\ndata: \n\n$/))
        return String(end.1)
    }

    /// Comes back as often as it is let go, until something has been said.
    private func follow(
        _ session: Session,
        after event: String,
        until wanted: String
    ) async throws {
        var event = event
        while true {
            let text = try await resumed(session, after: event)
            guard !text.contains(wanted) else { return }
            event = try place(text)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `streams that are open for long are let go, and taken up again`() async throws {
        let tool = WaitingTool()
        let (server, key) = try await server { setup in
            setup.tools = [tool]
            setup.limits.streamTime = .milliseconds(100)
            setup.callLimits.listInterval = .milliseconds(20)
        }
        _ = try await server.add("olga", .owner)
        let owner = try await server.key("olga")
        let session = try await Session(server, key, "2025-11-25")
        // A call goes on without a connection.
        let begun = try await session.ask("tools/call", ["name": "wait", "arguments": [:]])
        #expect(begun.text.hasPrefix("id: "))
        let called = try place(begun.text)
        tool.mayEnd.open()
        try await follow(session, after: called, until: #""waited":true"#)
        #expect(tool.wasCancelled.value == 0)
        // And what answers nothing is kept.
        _ = try await session.ask("tools/list")
        let listened = try place(try await resumed(session, after: nil))
        let denial = "metadata: {name: a}\ntools: [{name: wait, conditions: [{action: deny}]}]\n"
        let changed = try await server.send(
            "POST",
            "/api/v1/policies/upload",
            ["policy": .string(denial)],
            token: owner
        )
        #expect(changed.status == 200, "\(changed.text)")
        try await follow(session, after: listened, until: "notifications/tools/list_changed")
        try await server.stop()
    }

    /// Says nothing for as long as it is told.
    private struct SilentTool: Tool {
        var definition: ToolDefinition {
            ToolDefinition(
                name: "silent",
                title: "Silent",
                summary: "Waits",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: true)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            try await Task.sleep(for: .milliseconds(arguments.integer("milliseconds", default: 0)))
            return ["waited": true]
        }
    }

    /// Proxies give up on connections on which nothing is said.
    @Test func `a call of the newer era that is silent for long becomes a stream`() async throws {
        let (server, key) = try await server { setup in
            setup.tools = [SilentTool()]
            // The round in which what is silent is looked at.
            setup.limits.streamTime = .milliseconds(100)
        }
        var text = ""
        // A busy machine looks later.
        for pause in [300, 3_000, 30_000] where !text.hasPrefix(": \n\n") {
            let answer = try await server.send(
                "POST",
                Self.path,
                ModernRequest.call("silent", ["milliseconds": .integer(Int64(pause))]),
                token: key,
                headers: ModernRequest.headers("tools/call", "silent")
            )
            text = answer.text
            #expect(answer.status == 200 && text.contains(#""waited":true"#), "\(text)")
        }
        #expect(text.hasPrefix(": \n\n"))
        // One that is fast is answered as JSON.
        let listed = try await server.send(
            "POST",
            Self.path,
            ModernRequest.message("tools/list"),
            token: key,
            headers: ModernRequest.headers("tools/list")
        )
        #expect(try listed.json["result"]?["tools"] != nil, "\(listed.text)")
        try await server.stop()
    }

    // MARK: - Input required

    /// Lets no call of a tool pass without an approval.
    private struct HoldingPolicy: CallPolicy {
        func isVisible(
            _ tool: ToolDefinition,
            _ identity: ToolIdentity,
            to caller: Caller
        ) async -> Bool { true }

        func decide(_ call: ProposedCall) async -> CallRuling {
            CallRuling(.requireApproval(ApprovalDemand(policyVersion: 1, message: "ask first")))
        }
    }

    /// A call by a client that opens pages; the second time with what came back the first time.
    private func call(
        _ server: RunningServer,
        _ key: String,
        _ text: String,
        state: String? = nil
    ) async throws -> JSONValue {
        let capabilities = "io.modelcontextprotocol/clientCapabilities"
        let meta: KeyValuePairs<String, JSONValue> = [capabilities: ["elicitation": ["url": [:]]]]
        let arguments: JSONValue = ["text": .string(text)]
        let message =
            if let state {
                ModernRequest.message(
                    "tools/call",
                    [
                        "name": "write", "arguments": arguments, "requestState": .string(state),
                        "inputResponses": ["approval": ["action": "accept"]],
                    ],
                    meta: meta
                )
            } else {
                ModernRequest.call("write", arguments, meta: meta)
            }
        let answer = try await server.send(
            "POST",
            Self.path,
            message,
            token: key,
            headers: ModernRequest.headers("tools/call", "write")
        )
        return try #require(try answer.json["result"], "\(answer.text)")
    }

    /// The state of a result that asks for somebody to open the request's page, and the request.
    private func state(_ result: JSONValue) throws -> (text: String, request: String) {
        #expect(result["resultType"] == "input_required")
        let state = try #require(result["requestState"]?.string)
        let asked = result["inputRequests"]?["approval"]
        #expect(asked?["method"] == "elicitation/create")
        #expect(asked?["params"]?["mode"] == "url")
        let prefix = "\(Self.origin)/approval/"
        let url = try #require(asked?["params"]?["url"]?.string)
        try #require(url.hasPrefix(prefix))
        return (state, String(url.dropFirst(prefix.count)))
    }

    private func approve(_ id: String, _ server: RunningServer, _ key: String) async throws {
        let path = "/api/v1/approval-requests/\(id)/approve"
        let answer = try await server.send("POST", path, token: key)
        #expect(answer.status == 200, "\(answer.text)")
    }

    @Test func `a call that asks for input runs when it comes back approved, and no other does`()
        async throws
    {
        let tool = WriteTool()
        let (server, ann) = try await server { setup in
            setup.tools = [tool]
            setup.policy = HoldingPolicy()
            setup.pageAddress = Self.origin
        }
        _ = try await server.add("bob", .editor)
        _ = try await server.addAccount(owner: "eve")
        let (bob, eve) = (try await server.key("bob"), try await server.key("eve"))
        let first = try state(try await call(server, ann, "hello"))
        #expect(tool.count.value == 0)
        try await approve(first.request, server, bob)
        // The state is in everybody's hands: it lets nobody else's call run, nor another call.
        for (key, text, reason) in [
            (ann, "changed", "another call"), (bob, "hello", "another caller"),
            (eve, "hello", "not one that was given here"),
        ] {
            let other = try await call(server, key, text, state: first.text)
            let words = other["content"]?[0]?["text"]?.string ?? ""
            #expect(other["isError"] == true && words.contains(reason), "\(words)")
        }
        #expect(tool.count.value == 0)
        let done = try await call(server, ann, "hello", state: first.text)
        #expect(done["resultType"] == "complete")
        #expect(done["structuredContent"]?["calls"] == 1)
        // Once: the same again asks anew.
        let again = try state(try await call(server, ann, "hello", state: first.text))
        #expect(again.request != first.request && tool.count.value == 1)
        try await server.stop()
    }
}
