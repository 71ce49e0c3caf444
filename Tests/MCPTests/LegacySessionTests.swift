import Domain
import MCP
import TestSupport
import Testing

/// Revisions with a handshake.
struct LegacySessionTests {
    @Test(arguments: ["2025-11-25", "2025-06-18", "2025-03-26"])
    func `initialize agrees on a known revision`(_ version: String) {
        var talk = Conversation()
        let result = talk.initialize(version)[0]["result"]
        #expect(result?["protocolVersion"] == .string(version))
        #expect(result?["serverInfo"]?["name"] == "test")
        #expect(result?["serverInfo"]?["version"] == "1.0")
        #expect(result?["capabilities"]?["tools"] != nil)
        #expect(result?["capabilities"]?["logging"] != nil)
        #expect(result?["instructions"] == "be kind")
        #expect(result?["resultType"] == nil)
    }

    @Test(arguments: ["2024-11-05", "2026-07-28", "1999-01-01", "nonsense"])
    func `another revision is answered with the latest that has sessions`(_ version: String) {
        var talk = Conversation()
        #expect(talk.initialize(version)[0]["result"]?["protocolVersion"] == "2025-11-25")
    }

    @Test(arguments: [
        "{}", #"{"protocolVersion":"2025-11-25"}"#, #"{"protocolVersion":1,"capabilities":{}}"#,
        #"{"protocolVersion":"2025-11-25","capabilities":[]}"#,
    ])
    func `initialize without its parameters is -32602`(_ parameters: String) {
        var talk = Conversation()
        let answer = talk.say(
            #"{"jsonrpc":"2.0","id":1,"method":"initialize","params":\#(parameters)}"#
        )
        #expect(answer[0]["error"]?["code"] == -32602)
        #expect(talk.session.negotiatedVersion == nil)
    }

    @Test func `a session begins once`() {
        var talk = Conversation()
        talk.initialize()
        #expect(talk.initialize()[0]["error"]?["code"] == -32600)
    }

    @Test func `ping is answered before and after the handshake`() {
        var talk = Conversation()
        let ping = #"{"jsonrpc":"2.0","id":5,"method":"ping"}"#
        #expect(talk.say(ping) == [["jsonrpc": "2.0", "id": 5, "result": .object(JSONObject())]])
        talk.initialize()
        #expect(talk.say(ping)[0]["result"] == .object(JSONObject()))
    }

    @Test func `nothing else is served before the handshake`() {
        var talk = Conversation()
        let list = talk.say(#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        #expect(list[0]["error"]?["code"] == -32602)
        #expect(list[0]["error"]?["message"]?.string?.contains("initialize") == true)
        let unknown = talk.say(#"{"jsonrpc":"2.0","id":2,"method":"prompts/list"}"#)
        #expect(unknown[0]["error"]?["code"] == -32601)
    }

    @Test func `requests may follow initialize without waiting for its answer`() {
        var talk = Conversation()
        talk.say(
            """
            {"jsonrpc":"2.0","id":1,"method":"initialize","params":\
            {"protocolVersion":"2025-06-18","capabilities":{}}}
            """
        )
        talk.say(#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#)
        #expect(talk.started.count == 1)
    }

    @Test func `results have what their revision has`() {
        for (version, isStructured) in [("2025-03-26", false), ("2025-06-18", true)] {
            var talk = Conversation()
            talk.initialize(version)
            talk.say(#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#)
            let result = talk.finish(talk.started[0].id)[0]["result"]
            #expect((result?["structuredContent"] != nil) == isStructured)
            #expect(result?["content"]?[0]?["type"] == "text")
            #expect(result?["resultType"] == nil && result?["_meta"] == nil)
            talk.say(#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#)
            let list = talk.apply(
                talk.session.finish(
                    talk.started[1].id,
                    .success(.tools([Conversation.tool("a")]))
                )
            )[0]["result"]
            #expect((list?["tools"]?[0]?["outputSchema"] != nil) == isStructured)
            #expect((list?["tools"]?[0]?["title"] != nil) == isStructured)
            #expect(list?["cacheScope"] == nil)
        }
    }

    @Test func `a long list comes in pages`() {
        var limits = ServerSession.Limits()
        limits.page = 2
        var talk = Conversation(limits: limits)
        talk.initialize()
        let tools = ["a", "b", "c"].map(Conversation.tool)
        func list(_ id: Int, _ cursor: String?) -> JSONValue? {
            let parameters = cursor.map { #","params":{"cursor":"\#($0)"}"# } ?? ""
            talk.say(#"{"jsonrpc":"2.0","id":\#(id),"method":"tools/list"\#(parameters)}"#)
            let job = talk.started[id - 1].id
            return talk.apply(talk.session.finish(job, .success(.tools(tools))))[0]
        }
        let first = list(1, nil)?["result"]
        #expect(first?["tools"]?.array?.map { $0["name"] } == ["a", "b"])
        let second = list(2, first?["nextCursor"]?.string)?["result"]
        #expect(second?["tools"]?.array?.map { $0["name"] } == ["c"])
        #expect(second?["nextCursor"] == nil)
        #expect(list(3, "gone")?["error"]?["code"] == -32602)
    }

    @Test func `the log level is that of logging/setLevel, warning before`() {
        var talk = Conversation()
        talk.initialize()
        talk.say(#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#)
        let job = talk.started[0].id
        #expect(talk.apply(talk.session.log(job, .notice, "x")).isEmpty)
        #expect(talk.apply(talk.session.log(job, .warning, "x")).count == 1)
        talk.say(
            #"{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"debug"}}"#
        )
        let message = talk.apply(talk.session.log(job, .debug, "text"))
        #expect(message[0]["method"] == "notifications/message")
        #expect(message[0]["params"]?["data"] == "text")
        let wrong = talk.say(
            #"{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"loud"}}"#
        )
        #expect(wrong[0]["error"]?["code"] == -32602)
    }

    @Test func `a client is asked during a call, and its answer taken once`() throws {
        var talk = Conversation()
        talk.initialize()
        talk.say(#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#)
        let job = talk.started[0].id
        let question = JSONObject([("message", "who?")])
        let first = talk.session.ask(job, "elicitation/create", question)
        let (ask, actions) = try #require(first)
        let sent = talk.apply(actions)
        #expect(sent[0]["method"] == "elicitation/create")
        #expect(sent[0]["params"]?["message"] == "who?")
        let id = try #require(sent[0]["id"]?.string)
        talk.say(#"{"jsonrpc":"2.0","id":"other","result":{"action":"accept"}}"#)
        #expect(talk.answers.isEmpty)
        talk.say(#"{"jsonrpc":"2.0","id":"\#(id)","result":{"action":"decline"}}"#)
        #expect(try talk.answers[ask]?.get()["action"] == "decline")
        // What is still open when the call ends is taken back.
        let other = talk.session.ask(job, "roots/list", JSONObject())
        let (_, again) = try #require(other)
        let second = talk.apply(again)[0]["id"]
        let end = talk.finish(job)
        #expect(end[0]["method"] == "notifications/cancelled")
        #expect(end[0]["params"]?["requestId"] == second)
        let late = talk.session.ask(job, "roots/list", JSONObject())
        #expect(late == nil)
    }

    @Test func `changes of the list are told once`() {
        var talk = Conversation()
        #expect(talk.apply(talk.session.listsChanged(.tools)).isEmpty)
        talk.initialize()
        let told = talk.apply(talk.session.listsChanged(.tools))
        #expect(told == [["jsonrpc": "2.0", "method": "notifications/tools/list_changed"]])
    }

    @Test func `both eras are served beside each other`() {
        var talk = Conversation()
        #expect(talk.ask("1", "server/discover")[0]["result"] != nil)
        #expect(talk.initialize()[0]["result"] != nil)
        #expect(talk.ask("2", "server/discover")[0]["result"]?["resultType"] == "complete")
        talk.say(#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a"}}"#)
        #expect(talk.started.last?.context.version == .november2025)
    }

    @Test func `initialize is legacy whatever metadata it carries`() {
        var talk = Conversation()
        let answer = talk.ask(
            "1",
            "initialize",
            #""protocolVersion":"2025-06-18","capabilities":{}"#
        )
        #expect(answer[0]["result"]?["protocolVersion"] == "2025-06-18")
    }

    // MARK: - Batches

    @Test func `a batch is answered by one array when all of it is done`() {
        var talk = Conversation()
        talk.initialize("2025-03-26")
        let sent = talk.say(
            """
            [{"jsonrpc":"2.0","id":1,"method":"ping"},
             {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"}},
             {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}},
             {"jsonrpc":"2.0","id":3,"method":"nonsense"}, 5,
             {"jsonrpc":"2.0","id":4,"method":"initialize","params":{}}]
            """
        )
        #expect(sent.isEmpty)
        let answer = talk.finish(talk.started[0].id)[0].array
        #expect(answer?.count == 5)
        #expect(answer?.first { $0["id"] == 3 }?["error"]?["code"] == -32601)
        #expect(answer?.first { $0["id"] == 4 }?["error"]?["code"] == -32600)
        #expect(answer?.first { $0["id"] == .null }?["error"]?["code"] == -32600)
        #expect(answer?.first { $0["id"] == 2 }?["result"] != nil)
    }

    @Test func `a batch whose last call is cancelled is answered without it`() {
        var talk = Conversation()
        talk.initialize("2025-03-26")
        talk.say(
            """
            [{"jsonrpc":"2.0","id":1,"method":"ping"},
             {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"}}]
            """
        )
        let sent = talk.say(
            #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#
        )
        #expect(sent.count == 1)
        #expect(sent[0].array?.count == 1)
    }

    @Test(arguments: ["2025-06-18", "2025-11-25", ""])
    func `other revisions have no batches`(_ version: String) {
        var talk = Conversation()
        if !version.isEmpty { talk.initialize(version) }
        let sent = talk.say(#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#)
        #expect(sent.map { $0["error"]?["code"] } == [-32600])
        #expect(sent[0]["id"] == .null)
    }

    // MARK: - Limits

    @Test func `sixteen calls run, more wait in their order, too many are refused`() {
        var limits = ServerSession.Limits()
        limits.waiting = 3
        var talk = Conversation(limits: limits)
        for id in 1...19 { talk.ask("\(id)", "tools/call", #""name":"n\#(id)""#) }
        #expect(talk.started.count == 16)
        #expect(talk.sent.isEmpty)
        let refused = talk.ask("20", "tools/call", #""name":"a""#)
        #expect(refused[0]["result"]?["isError"] == true)
        #expect(talk.ask("21", "tools/list")[0]["error"]?["code"] == -32603)
        talk.finish(talk.started[4].id)
        #expect(talk.started.count == 17)
        #expect(talk.started[16].work == .callTool(name: "n17", arguments: JSONObject()))
        // One that waits is cancelled without ever having run.
        talk.say(
            #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":18}}"#
        )
        #expect(talk.cancelled.isEmpty)
        talk.finish(talk.started[0].id)
        #expect(talk.started.last?.work == .callTool(name: "n19", arguments: JSONObject()))
    }

    @Test func `an id in use is refused`() {
        var talk = Conversation()
        talk.ask("1", "tools/call", #""name":"a""#)
        #expect(talk.ask("1", "tools/call", #""name":"a""#)[0]["error"]?["code"] == -32600)
        #expect(talk.started.count == 1)
    }

    @Test func `the end stops all work and accepts nothing more`() {
        var talk = Conversation()
        for id in 1...3 { talk.ask("\(id)", "tools/call", #""name":"a""#) }
        talk.apply(talk.session.end())
        #expect(talk.cancelled.count == 3)
        for job in talk.started { talk.finish(job.id) }
        talk.ask("4", "tools/call", #""name":"a""#)
        #expect(talk.sent.isEmpty && talk.started.count == 3)
        #expect(!talk.session.isBusy)
    }

    @Test func `a response from the client is passed over`() {
        var talk = Conversation()
        talk.initialize()
        #expect(talk.say(#"{"jsonrpc":"2.0","id":1,"result":{}}"#).isEmpty)
    }

    /// A model beside the session: whatever is said in whatever order, every request gets one
    /// response at most, and exactly one unless it was cancelled or the session ended.
    @Test(arguments: 0..<40)
    func `every request is answered once`(_ seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var limits = ServerSession.Limits()
        (limits.running, limits.waiting) = (3, 4)
        var talk = Conversation(limits: limits)
        if seed % 2 == 0 { talk.initialize("2025-03-26") }
        let before = talk.sent.count
        var finished: Set<Int> = []
        var cancelledRequests: Set<Int> = []
        var asked = 0
        for _ in 0..<200 {
            switch random.next() % 4 {
            case 0, 1:
                asked += 1
                talk.ask("\(asked)", "tools/call", #""name":"a""#)
            case 2:
                let open = talk.started.filter { !finished.contains($0.id) }
                guard let job = open.randomElement(using: &random) else { continue }
                finished.insert(job.id)
                talk.finish(job.id)
            default:
                guard asked > 0 else { continue }
                let id = Int(random.next() % UInt64(asked)) + 1
                cancelledRequests.insert(id)
                talk.cancel("\(id)")
            }
        }
        while let job = talk.started.first(where: { !finished.contains($0.id) }) {
            finished.insert(job.id)
            talk.finish(job.id)
        }
        var counts: [Int64: Int] = [:]
        for message in talk.sent.dropFirst(before) {
            if let id = message["id"]?.integer { counts[id, default: 0] += 1 }
        }
        #expect(counts.values.allSatisfy { $0 == 1 }, "seed \(seed)")
        for id in 1...max(1, asked) where !cancelledRequests.contains(id) && asked > 0 {
            #expect(counts[Int64(id)] == 1, "seed \(seed), request \(id)")
        }
        #expect(!talk.session.isBusy, "seed \(seed)")
        #expect(Set(talk.endedExchanges).count == talk.endedExchanges.count, "seed \(seed)")
    }
}
