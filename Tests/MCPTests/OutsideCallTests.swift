import Domain
import MCP
import Testing

/// What passes outside of calls in sessions of the older revisions.
struct OutsideCallTests {
    private let remark = JSONObject([("level", "notice"), ("data", "a remark")])

    private func setLevel(_ level: String, _ talk: inout Conversation) {
        talk.say(
            #"{"jsonrpc":"2.0","id":7,"method":"logging/setLevel","params":{"level":"\#(level)"}}"#
        )
    }

    @Test func `a session hears messages from its level on, all when it has set none`() {
        var talk = Conversation()
        #expect(talk.session.message(.emergency, remark).isEmpty)
        talk.initialize()
        let told = talk.apply(talk.session.message(.debug, remark))
        #expect(
            told == [
                [
                    "jsonrpc": "2.0", "method": "notifications/message",
                    "params": .object(remark),
                ]
            ]
        )
        setLevel("warning", &talk)
        #expect(talk.session.message(.notice, remark).isEmpty)
        #expect(talk.session.message(.warning, remark).count == 1)
        _ = talk.session.end()
        #expect(talk.session.message(.emergency, remark).isEmpty)
    }

    @Test func `a level that is set is for other servers, too`() {
        var talk = Conversation()
        talk.initialize()
        setLevel("error", &talk)
        setLevel("loud", &talk)
        #expect(talk.announced == [.logLevel(.error)])
    }

    @Test(arguments: [("2025-11-25", 1), ("2025-06-18", 0), ("2025-03-26", 0)])
    func `the end of a page is told in the revision that knows it`(
        _ version: String,
        _ count: Int
    ) {
        var talk = Conversation()
        talk.initialize(version)
        let told = talk.apply(talk.session.elicitationEnded(JSONObject([("elicitationId", "p")])))
        #expect(told.count == count)
        #expect(told.allSatisfy { $0["method"] == "notifications/elicitation/complete" })
        #expect(told.allSatisfy { $0["params"] == ["elicitationId": "p"] })
    }

    @Test(arguments: [(#"{"roots":{"listChanged":true}}"#, 1), (#"{"roots":{}}"#, 0), ("{}", 0)])
    func `who has said that it tells of its roots is heard`(
        _ capabilities: String,
        _ count: Int
    ) {
        let change = #"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#
        var talk = Conversation()
        talk.say(change)
        talk.say(
            """
            {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":\
            "2025-11-25","capabilities":\(capabilities)}}
            """
        )
        talk.say(change)
        #expect(talk.announced == Array(repeating: .rootsChanged, count: count))
    }

    @Test func `a client is asked without a call, and what is not wanted any more is taken back`()
        throws
    {
        var talk = Conversation()
        let early = talk.session.ask(nil, "roots/list", JSONObject())
        #expect(early == nil)
        talk.initialize()
        let asked = talk.session.ask(nil, "roots/list", JSONObject())
        let (ask, actions) = try #require(asked)
        let id = try #require(talk.apply(actions)[0]["id"]?.string)
        talk.say(#"{"jsonrpc":"2.0","id":"\#(id)","result":{"roots":[]}}"#)
        #expect(try talk.answers[ask]?.get() == JSONObject([("roots", [])]))
        let late = talk.session.withdraw(ask)
        #expect(late.isEmpty)
        // Questions that nobody takes back are in the way of others.
        var limits = ServerSession.Limits()
        limits.running = 1
        var narrow = Conversation(limits: limits)
        narrow.initialize()
        let open = narrow.session.ask(nil, "roots/list", JSONObject())
        let (first, question) = try #require(open)
        let named = narrow.apply(question)[0]["id"]
        let second = narrow.session.ask(nil, "roots/list", JSONObject())
        #expect(second == nil)
        let taken = narrow.apply(narrow.session.withdraw(first))
        #expect(taken.map { $0["method"] } == ["notifications/cancelled"])
        #expect(taken[0]["params"]?["requestId"] == named)
        let again = narrow.session.ask(nil, "roots/list", JSONObject())
        #expect(again != nil)
    }

    @Test func `what is told outside of calls goes to the stream of what answers nothing`() throws {
        var session = HTTPSession(server: Conversation.server)
        let begin = """
            {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":\
            "2025-11-25","capabilities":{"roots":{"listChanged":true}}}}
            """
        _ = session.post(try MessageParser().parse(Array(begin.utf8)), on: 1)
        _ = session.stream(after: nil, on: 2)
        func text(_ actions: [HTTPSession.Action]) -> String {
            actions.map { action in
                if case .write(2, let bytes) = action {
                    String(decoding: bytes, as: UTF8.self)
                } else {
                    ""
                }
            }.joined()
        }
        #expect(text(session.message(.info, remark)).contains("notifications/message"))
        let page = JSONObject([("elicitationId", "p")])
        #expect(text(session.elicitationEnded(page)).contains("notifications/elicitation/complete"))
        let asked = session.ask(nil, "roots/list", JSONObject())
        let (ask, actions) = try #require(asked)
        #expect(text(actions).contains("roots/list"))
        #expect(text(session.withdraw(ask)).contains("notifications/cancelled"))
        let change = #"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#
        let heard = session.post(try MessageParser().parse(Array(change.utf8)), on: 3)
        #expect(heard.contains(.announced(.rootsChanged)))
    }

    @Test func `what other servers can do stands beside what is our own`() {
        var server = Conversation.server
        server.offersTasks = true
        server.declared = JSONObject([
            ("experimental", ["x": [:]]), ("extensions", ["vendor.example/ui": ["a": 1]]),
        ])
        var talk = Conversation(server: server)
        let legacy = talk.initialize()[0]["result"]?["capabilities"]
        #expect(legacy?["experimental"] == ["x": [:]])
        #expect(legacy?["extensions"] == ["vendor.example/ui": ["a": 1]])
        let modern = talk.ask("2", "server/discover")[0]["result"]?["capabilities"]
        #expect(modern?["experimental"] == ["x": [:]])
        #expect(modern?["extensions"]?["vendor.example/ui"] == ["a": 1])
        #expect(modern?["extensions"]?[ServerDescription.tasksExtension] == [:])
    }
}
