import Domain
import MCP
import Testing

/// Revision 2026-07-28: every request for itself.
struct ModernSessionTests {
    private static let version = "io.modelcontextprotocol/protocolVersion"
    private static let capabilities = "io.modelcontextprotocol/clientCapabilities"

    @Test func `discovery needs no session and tells all revisions`() {
        var talk = Conversation()
        let answer = talk.ask("1", "server/discover")[0]
        let result = answer["result"]
        #expect(answer["id"] == 1)
        #expect(
            result?["supportedVersions"]
                == ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"]
        )
        #expect(result?["resultType"] == "complete")
        #expect(result?["capabilities"]?["tools"]?["listChanged"] == true)
        #expect(result?["instructions"] == "be kind")
        #expect(result?["cacheScope"] == "private")
        #expect(result?["ttlMs"]?.integer ?? 0 > 0)
        #expect(result?["_meta"]?["io.modelcontextprotocol/serverInfo"]?["name"] == "test")
    }

    @Test(arguments: [
        (#""clientCapabilities":{}"#, "protocolVersion"),
        (#""protocolVersion":"2026-07-28""#, "clientCapabilities"),
        (#""protocolVersion":1,"clientCapabilities":{}"#, "must be a text"),
        (#""protocolVersion":"2026-07-28","clientCapabilities":[]"#, "must be an object"),
        (
            #""protocolVersion":"2026-07-28","clientCapabilities":{},"clientInfo":{"name":"x"}"#,
            "clientInfo"
        ),
        (
            #""protocolVersion":"2026-07-28","clientCapabilities":{},"logLevel":"loud""#,
            "logLevel"
        ),
    ])
    func `missing or malformed metadata is -32602`(_ short: String, _ word: String) {
        var meta = short
        for key in ["protocolVersion", "clientCapabilities", "clientInfo", "logLevel"] {
            meta = meta.replacing("\"\(key)\"", with: "\"io.modelcontextprotocol/\(key)\"")
        }
        var talk = Conversation()
        let answer = talk.say(
            #"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{\#(meta)}}}"#
        )
        #expect(answer[0]["error"]?["code"] == -32602)
        #expect(answer[0]["error"]?["message"]?.string?.contains(word) == true)
        #expect(talk.started.isEmpty)
    }

    @Test func `a progress token that is none is -32602`() {
        var talk = Conversation()
        let answer = talk.ask("1", "tools/list", meta: #""progressToken":[1]"#)
        #expect(answer[0]["error"]?["code"] == -32602)
    }

    @Test func `discovery forgives what is optional`() {
        var talk = Conversation()
        let meta = #""io.modelcontextprotocol/clientInfo":{"name":"sloppy"}"#
        #expect(talk.ask("1", "server/discover", meta: meta)[0]["result"] != nil)
    }

    @Test func `a client need not say who it is`() {
        var talk = Conversation()
        talk.ask("1", "tools/list")
        #expect(talk.started.count == 1)
        #expect(talk.started[0].context.client == nil)
    }

    @Test(arguments: ["1999-01-01", "2099-12-31", "2025-11-25", ""])
    func `an unsupported revision is -32022 with those that are`(_ version: String) {
        var talk = Conversation()
        let error = talk.ask("7", "tools/list", version: version)[0]["error"]
        #expect(error?["code"] == -32022)
        #expect(error?["data"]?["requested"] == .string(version))
        #expect(error?["data"]?["supported"]?[0] == "2026-07-28")
    }

    @Test(arguments: [
        "ping", "logging/setLevel", "resources/list", "resources/subscribe", "prompts/get",
        "completion/complete", "nonsense", "roots/list", "tasks/get",
    ])
    func `a method that does not exist is -32601`(_ method: String) {
        var talk = Conversation()
        #expect(talk.ask("1", method)[0]["error"]?["code"] == -32601)
    }

    @Test func `a list is cacheable for its caller alone and in the given order`() {
        var talk = Conversation()
        talk.ask("1", "tools/list")
        let tools = ["a", "b", "c"].map(Conversation.tool)
        let result = talk.apply(
            talk.session.finish(talk.started[0].id, .success(.tools(tools)))
        )[0]["result"]
        #expect(result?["tools"]?.array?.map { $0["name"] } == ["a", "b", "c"])
        #expect(result?["cacheScope"] == "private")
        #expect(result?["ttlMs"] == 60_000)
        #expect(result?["resultType"] == "complete")
        #expect(result?["nextCursor"] == nil)
        #expect(result?["tools"]?[0]?["outputSchema"] != nil)
        #expect(result?["tools"]?[0]?["annotations"]?["readOnlyHint"] == true)
    }

    @Test func `a long list comes in pages`() {
        var limits = ServerSession.Limits()
        limits.page = 2
        var talk = Conversation(limits: limits)
        let tools = ["a", "b", "c", "d", "e"].map(Conversation.tool)
        var names: [String] = []
        var cursor = ""
        for round in 1...3 {
            talk.ask("\(round)", "tools/list", cursor)
            let result = talk.apply(
                talk.session.finish(talk.started[round - 1].id, .success(.tools(tools)))
            )[0]["result"]
            names += result?["tools"]?.array?.compactMap { $0["name"]?.string } ?? []
            cursor = #""cursor":"\#(result?["nextCursor"]?.string ?? "")""#
        }
        #expect(names == ["a", "b", "c", "d", "e"])
        talk.ask("9", "tools/list", #""cursor":"gone""#)
        let answer = talk.apply(
            talk.session.finish(talk.started[3].id, .success(.tools(tools)))
        )[0]
        #expect(answer["error"]?["code"] == -32602)
        #expect(talk.ask("10", "tools/list", #""cursor":5"#)[0]["error"]?["code"] == -32602)
    }

    @Test func `a call gives structured content and the same as text`() {
        var talk = Conversation()
        talk.ask(#""x""#, "tools/call", #""name":"echo","arguments":{"a":1}"#)
        let job = talk.started[0]
        guard case .callTool("echo", let arguments) = job.work else {
            Testing.Issue.record("\(job.work)")
            return
        }
        #expect(arguments["a"] == 1)
        let answer = talk.finish(job.id, "hi")[0]
        #expect(answer["id"] == "x")
        let result = answer["result"]
        #expect(result?["structuredContent"] == ["said": "hi"])
        #expect(result?["content"]?[0]?["text"] == #"{"said":"hi"}"#)
        #expect(result?["isError"] == false)
        #expect(result?["resultType"] == "complete")
        #expect(talk.endedExchanges == [1])
    }

    @Test(arguments: [
        #""arguments":{}"#, #""name":5"#, #""name":"a","arguments":[]"#,
        #""name":"a","arguments":"x""#,
    ])
    func `a call without name or with arguments that are no object is -32602`(_ text: String) {
        var talk = Conversation()
        #expect(talk.ask("1", "tools/call", text)[0]["error"]?["code"] == -32602)
        #expect(talk.started.isEmpty)
    }

    @Test func `a cancelled call is stopped and nothing more is sent for it`() {
        var talk = Conversation()
        talk.ask("1", "tools/call", #""name":"slow""#, meta: #""progressToken":"t""#)
        let job = talk.started[0].id
        talk.say(
            #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#
        )
        #expect(talk.cancelled == [job])
        let before = talk.sent.count
        talk.apply(talk.session.progress(job, .init(done: 1)))
        talk.apply(talk.session.log(job, .error, "x"))
        talk.finish(job)
        #expect(talk.sent.count == before)
        // Its place and its id are free again.
        talk.ask("1", "tools/call", #""name":"slow""#)
        #expect(talk.started.count == 2)
    }

    @Test(arguments: [#"{"requestId":77}"#, #"{}"#, #"{"requestId":null}"#])
    func `cancelling what is not there does nothing`(_ parameters: String) {
        var talk = Conversation()
        talk.ask("1", "tools/call", #""name":"slow""#)
        let sent = talk.say(
            #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":\#(parameters)}"#
        )
        #expect(sent.isEmpty && talk.cancelled.isEmpty)
    }

    @Test func `progress is told to who asked, and only grows`() {
        var talk = Conversation()
        talk.ask("1", "tools/call", #""name":"a""#, meta: #""progressToken":7"#)
        talk.ask("2", "tools/call", #""name":"a""#)
        let (first, second) = (talk.started[0].id, talk.started[1].id)
        for done in [1.0, 2, 2, 1, .nan, .infinity, 3] {
            talk.apply(talk.session.progress(first, .init(done: done, total: 3, message: "m")))
            talk.apply(talk.session.progress(second, .init(done: done)))
        }
        #expect(talk.sent.map { $0["params"]?["progress"]?.double } == [1, 2, 3])
        #expect(talk.sent[0]["params"]?["progressToken"] == 7)
        #expect(talk.sent[0]["params"]?["message"] == "m")
        talk.finish(first)
        #expect(talk.apply(talk.session.progress(first, .init(done: 9))).isEmpty)
    }

    @Test func `log messages come only from the level on that the request names`() {
        var talk = Conversation()
        talk.ask("1", "tools/call", #""name":"a""#)
        let meta = #""io.modelcontextprotocol/logLevel":"warning""#
        talk.ask("2", "tools/call", #""name":"a""#, meta: meta)
        for job in talk.started {
            for level in LogLevel.allCases { talk.apply(talk.session.log(job.id, level, "m")) }
        }
        let levels = talk.sent.compactMap { $0["params"]?["level"]?.string }
        #expect(levels == ["warning", "error", "critical", "alert", "emergency"])
    }

    @Test func `a subscription is acknowledged first, tagged, and ended with a result`() {
        var talk = Conversation()
        let filter = """
            "notifications":{"toolsListChanged":true,"promptsListChanged":true,\
            "resourceSubscriptions":["file:///a"]}
            """
        let first = talk.ask(#""sub""#, "subscriptions/listen", filter)
        #expect(first.count == 1)
        #expect(first[0]["method"] == "notifications/subscriptions/acknowledged")
        // Only what there is is honoured.
        #expect(first[0]["params"]?["notifications"] == ["toolsListChanged": true])
        let tag = "io.modelcontextprotocol/subscriptionId"
        #expect(first[0]["params"]?["_meta"]?[tag] == "sub")
        let told = talk.apply(talk.session.listsChanged(.tools))
        #expect(told.map { $0["method"] } == ["notifications/tools/list_changed"])
        #expect(told[0]["params"]?["_meta"]?[tag] == "sub")
        let last = talk.apply(talk.session.end())
        #expect(last[0]["id"] == "sub")
        #expect(last[0]["result"]?["resultType"] == "complete")
        #expect(last[0]["result"]?["_meta"]?[tag] == "sub")
    }

    @Test func `who does not ask for notifications gets none`() {
        var talk = Conversation()
        talk.ask("1", "subscriptions/listen", #""notifications":{}"#)
        #expect(talk.apply(talk.session.listsChanged(.tools)).isEmpty)
        #expect(talk.ask("2", "subscriptions/listen")[0]["error"]?["code"] == -32602)
    }

    @Test func `a cancelled subscription ends without a word`() {
        var talk = Conversation()
        talk.ask("1", "subscriptions/listen", #""notifications":{"toolsListChanged":true}"#)
        let sent = talk.say(
            #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#
        )
        #expect(sent.isEmpty)
        #expect(talk.endedExchanges.contains(1))
        #expect(talk.apply(talk.session.listsChanged(.tools)).isEmpty)
        #expect(talk.apply(talk.session.end()).isEmpty)
    }

    @Test func `subscriptions have a limit`() {
        var talk = Conversation()
        for id in 1...8 { talk.ask("\(id)", "subscriptions/listen", #""notifications":{}"#) }
        let refused = talk.ask("9", "subscriptions/listen", #""notifications":{}"#)
        #expect(refused[0]["error"]?["code"] == -32600)
    }

    @Test func `a request says nothing about the next one`() {
        var talk = Conversation()
        talk.ask("1", "tools/list", meta: #""io.modelcontextprotocol/logLevel":"debug""#)
        // Without metadata of its own it is of no era at all.
        let answer = talk.say(#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#)
        #expect(answer[0]["error"]?["code"] == -32602)
    }

    @Test func `trace context is handed on`() {
        var talk = Conversation()
        let trace = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
        let members = #""traceparent":"\#(trace)","tracestate":"a=1","baggage":"b=2","x/y":3"#
        talk.ask("1", "tools/call", #""name":"a""#, meta: members)
        let meta = talk.started[0].context.meta
        #expect(meta.traceParent == trace && meta.traceState == "a=1" && meta.baggage == "b=2")
        // Whoever is asked next stands elsewhere in the trace.
        #expect(meta.other == JSONObject([("x/y", 3)]))
    }

    private static var tasking: ServerDescription {
        var server = Conversation.server
        server.offersTasks = true
        return server
    }

    private static func taskRequest(
        _ method: String,
        _ capabilities: String,
        _ id: String
    ) -> String {
        #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"taskId":\#(id),"_meta":{"#
            + #""\#(Self.version)":"2026-07-28","\#(Self.capabilities)":\#(capabilities)}}}"#
    }

    @Test func `tasks are offered, and served to clients that declare them`() {
        var talk = Conversation(server: Self.tasking)
        let discovery = talk.ask("1", "server/discover")[0]["result"]
        let name = "io.modelcontextprotocol/tasks"
        #expect(discovery?["capabilities"]?["extensions"]?[name] == [:])
        let declared = #"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#
        for method in ServerSession.TaskMethod.allCases {
            var talk = Conversation(server: Self.tasking)
            let undeclared = talk.say(Self.taskRequest(method.rawValue, "{}", #""t""#))[0]["error"]
            #expect(undeclared?["code"] == -32021)
            let required = undeclared?["data"]?["requiredCapabilities"]
            #expect(required?["extensions"]?[name] == [:])
            #expect(talk.started.isEmpty)
            let bad = talk.say(Self.taskRequest(method.rawValue, declared, "7"))[0]["error"]
            #expect(bad?["code"] == -32602)
            talk.say(Self.taskRequest(method.rawValue, declared, #""t""#))
            #expect(talk.started.map(\.work) == [.task(id: "t", method)])
            #expect(talk.started.first?.context.takesTasks == true)
        }
        // What the extension has taken away.
        for method in ["tasks/result", "tasks/list"] {
            let gone = talk.say(Self.taskRequest(method, declared, #""t""#))[0]["error"]
            #expect(gone?["code"] == -32601)
        }
    }
}
