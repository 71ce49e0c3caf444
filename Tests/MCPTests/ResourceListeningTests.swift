import Domain
import MCP
import Testing

/// Subscriptions to resources, as sessions of both eras carry them.
struct ResourceListeningTests {
    private static var server: ServerDescription {
        var server = Conversation.server
        server.forwarded = [.resources, .subscriptions]
        return server
    }

    private static let tag = "io.modelcontextprotocol/subscriptionId"
    private static let filter = """
        "notifications":{"toolsListChanged":true,\
        "resourceSubscriptions":["file:///a","file:///b","file:///a"]}
        """

    @Test func `changes of prompts and resources are told to whom they were promised`() {
        var server = Self.server
        server.forwarded.insert(.prompts)
        var talk = Conversation(server: server)
        let capabilities = talk.initialize()[0]["result"]?["capabilities"]
        #expect(capabilities?["prompts"] == ["listChanged": true])
        #expect(capabilities?["resources"] == ["subscribe": true, "listChanged": true])
        talk.ask("1", "subscriptions/listen", #""notifications":{"promptsListChanged":true}"#)
        let told = talk.apply(talk.session.listsChanged([.prompts, .resources]))
        #expect(
            told.map { $0["method"] } == [
                // The session of the older era hears of all, the stream of what it has asked for.
                "notifications/prompts/list_changed", "notifications/resources/list_changed",
                "notifications/prompts/list_changed",
            ]
        )
        #expect(told.map { $0["params"]?["_meta"]?[Self.tag] } == [nil, nil, 1])
        // Without servers that have any, nothing is promised.
        var bare = Conversation()
        #expect(bare.initialize()[0]["result"]?["capabilities"]?["prompts"] == nil)
        #expect(bare.apply(bare.session.listsChanged([.prompts, .resources])).isEmpty)
    }

    @Test func `a stream begins when it is known what it tells of`() {
        var talk = Conversation(server: Self.server)
        #expect(talk.ask(#""sub""#, "subscriptions/listen", Self.filter).isEmpty)
        #expect(talk.started.map(\.work) == [.listen(resources: ["file:///a", "file:///b"])])
        let job = talk.started[0].id
        // Before that nothing is told.
        #expect(talk.apply(talk.session.resourceUpdated("file:///a", for: job)).isEmpty)
        #expect(talk.apply(talk.session.listsChanged(.tools)).isEmpty)
        #expect(!talk.session.isListening(job))
        let outcome = ServerSession.Outcome.listening(resources: ["file:///a"])
        let first = talk.apply(talk.session.finish(job, .success(outcome)))
        #expect(first.map { $0["method"] } == ["notifications/subscriptions/acknowledged"])
        #expect(
            first[0]["params"]?["notifications"]
                == ["toolsListChanged": true, "resourceSubscriptions": ["file:///a"]]
        )
        #expect(talk.session.isListening(job))
        let told = talk.apply(talk.session.resourceUpdated("file:///a", for: job))
        #expect(told.map { $0["method"] } == ["notifications/resources/updated"])
        #expect(told[0]["params"]?["uri"] == "file:///a")
        #expect(told[0]["params"]?["_meta"]?[Self.tag] == "sub")
        #expect(talk.apply(talk.session.listsChanged(.tools)).count == 1)
        // Its place is free for others, and its end is told by a cancellation.
        #expect(!talk.session.isBusy)
        #expect(talk.cancel(#""sub""#).isEmpty)
        #expect(talk.cancelled == [job])
        #expect(talk.apply(talk.session.resourceUpdated("file:///a", for: job)).isEmpty)
    }

    @Test func `a stream ends with the session, and its work is told`() {
        var talk = Conversation(server: Self.server)
        talk.ask("1", "subscriptions/listen", Self.filter)
        let job = talk.started[0].id
        let outcome = ServerSession.Outcome.listening(resources: ["file:///b"])
        talk.apply(talk.session.finish(job, .success(outcome)))
        let last = talk.apply(talk.session.end())
        #expect(last.map { $0["result"]?["resultType"] } == ["complete"])
        #expect(talk.cancelled == [job])
    }

    @Test func `a stream that is given up before it has begun says nothing`() {
        var talk = Conversation(server: Self.server)
        talk.ask("1", "subscriptions/listen", Self.filter)
        let job = talk.started[0].id
        talk.cancel("1")
        #expect(talk.cancelled == [job])
        let outcome = ServerSession.Outcome.listening(resources: ["file:///a"])
        #expect(talk.apply(talk.session.finish(job, .success(outcome))).isEmpty)
        #expect(!talk.session.isListening(job) && !talk.session.isBusy)
    }

    @Test(arguments: [
        #""resourceSubscriptions":"file:///a""#, #""resourceSubscriptions":[1]"#,
        #""resourceSubscriptions":[""]"#,
    ])
    func `what is no list of resources is -32602`(_ filter: String) {
        var talk = Conversation(server: Self.server)
        let answer = talk.ask("1", "subscriptions/listen", #""notifications":{\#(filter)}"#)
        #expect(answer[0]["error"]?["code"] == -32602)
        #expect(talk.started.isEmpty)
    }

    @Test func `streams that have not begun count among those there may be`() {
        var talk = Conversation(server: Self.server)
        for id in 1...8 { talk.ask("\(id)", "subscriptions/listen", Self.filter) }
        let refused = talk.ask("9", "subscriptions/listen", Self.filter)
        #expect(refused[0]["error"]?["code"] == -32600)
    }

    @Test func `a session of an older revision subscribes by methods of its own`() {
        var talk = Conversation(server: Self.server)
        let begun = talk.initialize()
        let offered = begun[0]["result"]?["capabilities"]?["resources"]
        #expect(offered == ["subscribe": true, "listChanged": true])
        for method in ["resources/subscribe", "resources/unsubscribe"] {
            talk.say(
                """
                {"jsonrpc":"2.0","id":"\(method)","method":"\(method)","params":{"uri":"x:a"}}
                """
            )
            let parameters = JSONObject([("uri", "x:a")])
            #expect(talk.started.last?.work == .forward(method: method, parameters: parameters))
        }
        let told = talk.apply(talk.session.resourceUpdated("x:a", for: nil))
        #expect(told.map { $0["params"] } == [["uri": "x:a"]])
        // Requests of the newer era have no such methods.
        #expect(talk.ask("7", "resources/subscribe")[0]["error"]?["code"] == -32601)
    }

    @Test func `a resource that nobody has is told by the code of the era`() {
        var talk = Conversation(server: Self.server)
        talk.initialize()
        let asked = #""uri":"file:///none""#
        talk.ask("1", "resources/read", asked)
        talk.say(
            #"{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{\#(asked)}}"#
        )
        let codes = talk.started.map(\.id).map { job in
            let failure = RPCError(-32_002, "there is none", data: ["uri": "file:///none"])
            let error = talk.apply(talk.session.finish(job, .failure(failure)))[0]["error"]
            #expect(error?["message"] == "there is none")
            #expect(error?["data"]?["uri"] == "file:///none")
            return error?["code"]
        }
        #expect(codes == [-32602, -32002])
    }

    @Test func `without a server that offers it nobody subscribes`() {
        var server = Conversation.server
        server.forwarded = [.resources]
        var talk = Conversation(server: server)
        let begun = talk.initialize()
        let offered = begun[0]["result"]?["capabilities"]?["resources"]
        #expect(offered == ["listChanged": true])
        let answer = talk.say(
            #"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x:a"}}"#
        )
        #expect(answer[0]["error"]?["code"] == -32601)
    }
}
