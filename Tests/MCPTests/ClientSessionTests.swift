import Domain
import Testing

@testable import MCP

/// The client's side of a session, of both eras.
@Suite struct ClientSessionTests {
    private let client = ClientDescription(name: "preloop", version: "1")

    private func message(_ text: String) throws -> MessageParser.Incoming {
        try MessageParser().parse(Array(text.utf8))
    }

    private func sent(_ actions: [ClientSession.Action]) -> [JSONValue] {
        actions.compactMap { if case .send(let message, _) = $0 { message.json } else { nil } }
    }

    /// A session with a server of an era.
    private func opened(_ era: ProtocolVersion.Era) throws -> ClientSession {
        var session = ClientSession(client: client, capabilities: JSONObject([("roots", [:])]))
        if era == .modern {
            _ = session.begin(.probe)
            _ = session.receive(
                try message(
                    """
                    {"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],
                     "capabilities":{"tools":{"listChanged":true}},"instructions":"be kind"}}
                    """
                )
            )
        } else {
            _ = session.begin(.initialize)
            _ = session.receive(
                try message(
                    """
                    {"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18",
                     "capabilities":{"resources":{}},"serverInfo":{"name":"s","version":"2"}}}
                    """
                )
            )
        }
        #expect(session.profile?.version.era == era)
        return session
    }

    @Test func `a modern server is found by one question`() throws {
        var session = ClientSession(client: client)
        let actions = session.begin(.probe)
        let question = try #require(sent(actions).first)
        #expect(question["method"] == "server/discover")
        let meta = question["params"]?["_meta"]
        #expect(meta?[RequestMeta.Key.protocolVersion] == "2026-07-28")
        #expect(meta?[RequestMeta.Key.clientCapabilities]?.object != nil)
        let found = try opened(.modern).profile
        #expect(found?.instructions == "be kind")
        #expect(found?.offers("listChanged", of: "tools") == true)
        #expect(found?.offers("prompts") == false)
    }

    @Test(arguments: [
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#,
        #"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#,
        #"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-06-18"]}}"#,
        #"{"jsonrpc":"2.0","id":1,"result":{"hello":1}}"#,
        #"{"jsonrpc":"2.0","id":1,"result":7}"#,
        #"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#,
    ])
    func `a server that does not know the question is initialized`(_ answer: String) throws {
        var session = ClientSession(client: client)
        _ = session.begin(.probe)
        let actions: [ClientSession.Action]
        do throws(MessageParser.Failure) {
            let incoming = try MessageParser().parse(Array(answer.utf8))
            actions = session.receive(incoming, during: 1)
        } catch {
            actions = session.receive(error, during: 1)
        }
        let handshake = try #require(sent(actions).first)
        #expect(handshake["method"] == "initialize")
        #expect(handshake["params"]?["protocolVersion"] == "2025-11-25")
        #expect(handshake["params"]?["_meta"] == nil)
        let done = session.receive(
            try message(
                #"{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":"2025-03-26"}}"#
            )
        )
        #expect(sent(done).first?["method"] == "notifications/initialized")
        #expect(session.profile?.version == .march2025)
    }

    @Test func `a server of unknown revisions is left alone`() throws {
        var session = ClientSession(client: client)
        _ = session.begin(.probe)
        let actions = session.receive(
            try message(
                """
                {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no",
                 "data":{"supported":["2031-01-01"]}}}
                """
            )
        )
        #expect(actions.contains { if case .failed = $0 { true } else { false } })
        #expect(session.state == .closed)
        #expect(throws: RPCError.self) { try session.call("tools/list", JSONObject()) }
    }

    @Test func `a server that took the question for the beginning is asked again`() throws {
        var session = ClientSession(client: client)
        _ = session.begin(.probe)
        let waited = session.fail(1, .internalError("no answer in time"))
        #expect(sent(waited).first?["method"] == "initialize")
        let again = session.receive(
            try message(
                """
                {"jsonrpc":"2.0","id":2,"error":{"code":-32022,"message":"no",
                 "data":{"supported":["2026-07-28"]}}}
                """
            )
        )
        #expect(sent(again).first?["method"] == "server/discover")
    }

    @Test(arguments: [ProtocolVersion.Era.legacy, .modern])
    func `a call carries its caller's metadata and its session's`(_ era: ProtocolVersion.Era) throws
    {
        var session = try opened(era)
        let meta = JSONObject([
            ("vendor.example/x", [1, nil]), ("progressToken", "theirs"),
            (RequestMeta.Key.protocolVersion, "1999-01-01"),
        ])
        let parameters = JSONObject([("name", "t"), ("_meta", .object(meta))])
        let (call, actions) = try session.call("tools/call", parameters, wantsProgress: true)
        let sentMeta = try #require(sent(actions).first?["params"]?["_meta"])
        #expect(sentMeta["vendor.example/x"] == [1, nil])
        #expect(sentMeta["progressToken"] == .integer(call))
        let version = sentMeta[RequestMeta.Key.protocolVersion]
        #expect(version == (era == .modern ? "2026-07-28" : nil))
        let progress = session.receive(
            try message(
                """
                {"jsonrpc":"2.0","method":"notifications/progress",
                 "params":{"progressToken":\(call),"progress":1,"strange":true}}
                """
            )
        )
        guard case .progress(call, let told) = try #require(progress.first) else {
            throw UnexpectedAction()
        }
        #expect(told["strange"] == true)
        let result = #"{"content":[{"type":"new","x":1e3}],"_meta":{"a":null},"more":[]}"#
        let end = session.receive(
            try message(#"{"jsonrpc":"2.0","id":\#(call),"result":\#(result),"extra":1}"#)
        )
        let expected = try #require(try JSONParser.parse(result).object)
        #expect(end == [.finish(call, .success(expected))])
    }

    private struct UnexpectedAction: Error {}

    @Test func `answers to nothing, twice, and after the end are passed over`() throws {
        var session = try opened(.legacy)
        let (call, _) = try session.call("tools/list", JSONObject())
        let answer = try message(#"{"jsonrpc":"2.0","id":\#(call),"result":{}}"#)
        #expect(session.receive(try message(#"{"jsonrpc":"2.0","id":99,"result":{}}"#)).isEmpty)
        #expect(session.receive(answer).count == 1)
        #expect(session.receive(answer).isEmpty)
        let (second, _) = try session.call("tools/list", JSONObject())
        let cancelled = session.cancel(second, reason: "enough")
        #expect(sent(cancelled).first?["method"] == "notifications/cancelled")
        #expect(sent(cancelled).first?["params"]?["requestId"] == .integer(second))
        #expect(cancelled.last == .stop(second))
        let late = try message(#"{"jsonrpc":"2.0","id":\#(second),"result":{}}"#)
        #expect(session.receive(late).isEmpty)
        _ = session.end(.internalError("over"))
        #expect(session.receive(answer).isEmpty)
    }

    @Test func `the end of a session ends its calls`() throws {
        var session = try opened(.modern)
        let calls = try (0..<3).map { _ in try session.call("tools/list", JSONObject()).0 }
        let error = RPCError.internalError("gone")
        let actions = session.end(error)
        #expect(actions == calls.map { .finish($0, .failure(error)) })
        #expect(session.end(error).isEmpty)
    }

    @Test func `what the server asks is handed up and answered once`() throws {
        var session = try opened(.legacy)
        let ping = session.receive(try message(#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#))
        #expect(sent(ping).first == ["jsonrpc": "2.0", "id": "p", "result": [:]])
        let asked = session.receive(
            try message(
                """
                {"jsonrpc":"2.0","id":"q","method":"elicitation/create",
                 "params":{"message":"who?","requestedSchema":{}}}
                """
            ),
            during: 7
        )
        guard case .ask(let ask, "elicitation/create", let parameters, during: 7)? = asked.first
        else { throw UnexpectedAction() }
        #expect(parameters["message"] == "who?")
        let answer = session.answer(ask, .success(JSONObject([("action", "decline")])))
        #expect(sent(answer).first?["result"]?["action"] == "decline")
        #expect(session.answer(ask, .success(JSONObject())).isEmpty)
        let again = session.receive(
            try message(#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#)
        )
        guard case .ask(let second, _, _, _)? = again.first else { throw UnexpectedAction() }
        let withdrawn = session.receive(
            try message(
                """
                {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r"}}
                """
            )
        )
        #expect(withdrawn == [.withdraw(second)])
    }

    @Test func `a server cannot ask, or babble, without end`() throws {
        var session = try opened(.legacy)
        for number in 0..<session.limits.asks {
            let ask = #"{"jsonrpc":"2.0","id":\#(number),"method":"roots/list"}"#
            #expect(sent(session.receive(try message(ask))).isEmpty)
        }
        let refused = session.receive(
            try message(#"{"jsonrpc":"2.0","id":1000,"method":"roots/list"}"#)
        )
        #expect(sent(refused).first?["error"] != nil)
        let failure = MessageParser.Failure(id: nil, error: .parse("no"))
        for _ in 0..<session.limits.violations { #expect(session.receive(failure).isEmpty) }
        let end = session.receive(failure)
        #expect(end.contains { if case .failed = $0 { true } else { false } })
        #expect(session.state == .closed)
    }

    @Test func `calls are bounded`() throws {
        var session = try opened(.modern)
        for _ in 0..<session.limits.calls { _ = try session.call("ping", JSONObject()) }
        #expect(throws: RPCError.self) { try session.call("ping", JSONObject()) }
    }
}

/// Reading a stream of events, however it is cut.
@Suite struct EventStreamParserTests {
    private let text = """
        : a comment\r
        id: 1-1\r
        data: {"a":\r
        data: 1}\r
        \r
        event: endpoint
        data:/messages?x=1

        retry: 2500
        data

        id
        data: last\r\rdata: lost
        """

    private func events(_ pieces: [[UInt8]]) throws -> ([EventStreamParser.Event], Int?) {
        var parser = EventStreamParser(limit: 1_000)
        var events: [EventStreamParser.Event] = []
        for piece in pieces { events += try parser.add(piece) }
        return (events, parser.retry)
    }

    @Test func `events are the same wherever the stream is cut`() throws {
        let bytes = Array(text.utf8)
        let (whole, retry) = try events([bytes])
        #expect(
            whole.map { String(decoding: $0.data, as: UTF8.self) }
                == ["{\"a\":\n1}", "/messages?x=1", "", "last"]
        )
        #expect(whole.map(\.name) == ["message", "endpoint", "message", "message"])
        #expect(whole.map(\.id) == ["1-1", "1-1", "1-1", ""])
        #expect(retry == 2_500)
        for cut in 1..<bytes.count {
            let (parts, _) = try events([Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(parts == whole, "cut at \(cut)")
        }
        let (single, _) = try events(bytes.map { [$0] })
        #expect(single == whole)
    }

    @Test func `an event that never ends is refused`() throws {
        var parser = EventStreamParser(limit: 100)
        let line = Array("data: 0123456789012345678901234567890123456789\n".utf8)
        _ = try parser.add(line)
        _ = try parser.add(line)
        #expect(throws: EventStreamParser.TooLong.self) { try parser.add(line) }
        var other = EventStreamParser(limit: 100)
        #expect(throws: EventStreamParser.TooLong.self) {
            try other.add([UInt8](repeating: 65, count: 101))
        }
    }

    @Test func `headers carry any text`() {
        for text in ["plain", "ünï", "", " x ", "a\nb", "=?base64?QQ==?=", "日本", "a", "ab", "abc"] {
            let encoded = HeaderValue.encoded(text)
            #expect(encoded.utf8.allSatisfy { (0x20...0x7E).contains($0) })
            #expect(HeaderValue.decoded(encoded) == text)
        }
        #expect(HeaderValue.encoded("tools/call") == "tools/call")
    }
}
