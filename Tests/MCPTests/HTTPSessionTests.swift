import Domain
import MCP
import Testing

/// Sessions of the older revisions over HTTP, as values.
struct HTTPSessionTests {
    private func incoming(_ text: String) throws -> MessageParser.Incoming {
        try MessageParser().parse(Array(text.utf8))
    }

    private func session(_ version: String = "2025-11-25") throws -> HTTPSession {
        var session = HTTPSession(server: Conversation.server)
        let text = """
            {"jsonrpc":"2.0","id":0,"method":"initialize","params":\
            {"protocolVersion":"\(version)","capabilities":{}}}
            """
        let actions = session.post(try incoming(text), on: 100)
        guard case .reply(100, let reply) = actions.first, reply.status == 200 else {
            throw RPCError(0, "no session")
        }
        return session
    }

    private static let call = """
        {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":\
        {"progressToken":"t"}}}
        """
    private static let result = Result<ServerSession.Outcome, RPCError>.success(
        .result(ToolResult(["a": 1]))
    )

    private func job(_ actions: [HTTPSession.Action]) throws -> Int {
        for case .start(let job) in actions { return job.id }
        throw RPCError(0, "no job")
    }

    /// Posts a call and waits until its answer has become a stream.
    private func streamed(
        _ text: String,
        on connection: Int,
        of session: inout HTTPSession
    ) throws -> [HTTPSession.Action] {
        let begun = session.post(try incoming(text), on: connection)
        #expect(session.openSilent().isEmpty)
        return begun + session.openSilent()
    }

    private func written(_ actions: [HTTPSession.Action], to connection: Int) -> String {
        actions.map { action in
            if case .write(connection, let bytes) = action {
                String(decoding: bytes, as: UTF8.self)
            } else {
                ""
            }
        }.joined()
    }

    @Test func `a notification is 202 and a list is JSON`() throws {
        var session = try session()
        let initialized = #"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
        #expect(session.post(try incoming(initialized), on: 1).first == .reply(1, .accepted))
        let list = #"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#
        let job = try job(session.post(try incoming(list), on: 2))
        let actions = session.finish(job, .success(.tools([])))
        guard case .reply(2, let reply) = actions.first else {
            Testing.Issue.record("\(actions)")
            return
        }
        #expect(reply.headers["content-type"] == "application/json")
    }

    @Test func `a quick call is answered by JSON, and its connection is done with`() throws {
        var session = try session()
        let begun = session.post(try incoming(Self.call), on: 1)
        #expect(session.hasSilent && session.openSilent().isEmpty)
        let ended = session.finish(try job(begun), Self.result)
        guard case .reply(1, let reply) = ended.first else {
            Testing.Issue.record("\(ended)")
            return
        }
        #expect(reply.headers["content-type"] == "application/json" && reply.status == 200)
        #expect(ended.count == 1 && !session.hasSilent && session.openSilent().isEmpty)
    }

    @Test func `what a call says before its answer makes it a stream`() throws {
        var session = try session()
        let job = try job(session.post(try incoming(Self.call), on: 1))
        let actions = session.progress(job, .init(done: 1))
        #expect(actions.first == .open(1, .eventStream) && !session.hasSilent)
        #expect(written(actions, to: 1).contains("id: 2-1") && actions.count == 3)
        #expect(session.finish(job, Self.result).last == .close(1))
    }

    @Test func `the end of a session ends the connections of silent calls`() throws {
        var session = try session()
        _ = session.post(try incoming(Self.call), on: 1)
        #expect(session.end().contains(.close(1)) && !session.hasSilent)
    }

    @Test func `a silent call whose client has gone is not answered`() throws {
        var session = try session()
        let job = try job(session.post(try incoming(Self.call), on: 1))
        session.disconnect(1)
        #expect(!session.hasSilent && session.progress(job, .init(done: 1)).isEmpty)
        #expect(session.finish(job, Self.result).isEmpty)
    }

    @Test func `a long call streams, with something to come back to at once`() throws {
        var session = try session()
        let begun = try streamed(Self.call, on: 1, of: &session)
        #expect(begun.contains(.open(1, .eventStream)))
        #expect(written(begun, to: 1) == "id: 2-1\ndata: \n\n")
        let ended = session.finish(try job(begun), Self.result)
        #expect(written(ended, to: 1).utf8.starts(with: "id: 2-2\ndata: {".utf8))
        #expect(ended.last == .close(1))
        // Clients of older revisions would take an empty event for a message.
        var older = try self.session("2025-06-18")
        #expect(written(try streamed(Self.call, on: 1, of: &older), to: 1) == "")
    }

    @Test func `a lost connection cancels nothing, and what was missed comes later`() throws {
        var session = try session()
        let begun = session.post(try incoming(Self.call), on: 1)
        let job = try job(begun)
        #expect(written(session.progress(job, .init(done: 1)), to: 1).contains("id: 2-2"))
        session.disconnect(1)
        #expect(session.progress(job, .init(done: 2)).isEmpty)
        let resumed = session.stream(after: EventID(stream: 2, number: 2), on: 7)
        #expect(resumed.first == .open(7, .eventStream))
        #expect(written(resumed, to: 7).contains(#""progress":2.0"#))
        #expect(!written(resumed, to: 7).contains(#""progress":1.0"#))
        let ended = session.finish(job, Self.result)
        #expect(written(ended, to: 7).contains("structuredContent") && ended.last == .close(7))
        // Also when all was over before it came back.
        let late = session.stream(after: EventID(stream: 2, number: 3), on: 8)
        #expect(written(late, to: 8).contains("structuredContent") && late.last == .close(8))
    }

    @Test func `events of another stream are never given again`() throws {
        var session = try session()
        let first = try job(streamed(Self.call, on: 1, of: &session))
        let other = Self.call.replacing("\"id\":1", with: "\"id\":2")
        let second = try job(streamed(other, on: 2, of: &session))
        for job in [first, second] { _ = session.finish(job, Self.result) }
        let resumed = written(session.stream(after: EventID(stream: 2, number: 1), on: 3), to: 3)
        #expect(resumed.contains(#""id":1"#) && !resumed.contains(#""id":2"#))
    }

    @Test(arguments: ["9-1", "2-99"])
    func `an event that never was is refused`(_ event: String) throws {
        var session = try session()
        _ = session.post(try incoming(Self.call), on: 1)
        let actions = session.stream(after: EventID(event), on: 2)
        guard case .reply(2, let reply) = actions.first else {
            Testing.Issue.record("\(actions)")
            return
        }
        #expect(reply.status == 400)
    }

    @Test func `the server may let a connection go and be come back to`() throws {
        var session = try session()
        let job = try job(streamed(Self.call, on: 1, of: &session))
        let released = session.release(1)
        #expect(written(released, to: 1) == "id: 2-2\nretry: 1000\ndata: \n\n")
        #expect(released.last == .close(1) && session.release(1).isEmpty)
        let resumed = session.stream(after: EventID(stream: 2, number: 2), on: 2)
        #expect(resumed == [.open(2, .eventStream)])
        #expect(written(session.finish(job, Self.result), to: 2).contains("structuredContent"))
    }

    @Test func `a stream that has said nothing yet can be come back to as well`() throws {
        var session = try session()
        _ = session.stream(after: nil, on: 1)
        #expect(written(session.release(1), to: 1) == "id: 0-1\nretry: 1000\ndata: \n\n")
        #expect(session.listsChanged(.tools).isEmpty)
        let resumed = session.stream(after: EventID(stream: 0, number: 1), on: 2)
        #expect(written(resumed, to: 2).contains("list_changed"))
    }

    @Test func `what knows no such end is not let go`() throws {
        var older = try session("2025-06-18")
        _ = older.stream(after: nil, on: 1)
        #expect(older.release(1).isEmpty)
        // Nor is one whose answer is no stream.
        var session = try session()
        let list = #"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#
        _ = session.post(try incoming(list), on: 2)
        #expect(session.release(2).isEmpty)
    }

    @Test func `one stream carries what answers nothing`() throws {
        var session = try session()
        #expect(session.stream(after: nil, on: 1) == [.open(1, .eventStream)])
        guard case .reply(2, let reply) = session.stream(after: nil, on: 2).first else {
            Testing.Issue.record("two streams")
            return
        }
        #expect(reply.status == 409)
        #expect(written(session.listsChanged(.tools), to: 1).contains("list_changed"))
        #expect(session.tick() == [.write(1, ServerSentEvent.keepAlive)])
        session.disconnect(1)
        #expect(session.listsChanged(.tools).isEmpty)
        let resumed = session.stream(after: EventID(stream: 0, number: 1), on: 3)
        #expect(written(resumed, to: 3).contains("list_changed"))
    }

    @Test func `cancelling is a message, and ends the stream`() throws {
        var session = try session()
        let job = try job(session.post(try incoming(Self.call), on: 1))
        let cancel = """
            {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}
            """
        let actions = session.post(try incoming(cancel), on: 2)
        #expect(actions.contains(.cancel(job)) && actions.contains(.close(1)))
        #expect(session.finish(job, Self.result).isEmpty)
    }

    @Test func `the end stops work and closes connections`() throws {
        var session = try session()
        let job = try job(session.post(try incoming(Self.call), on: 1))
        _ = session.stream(after: nil, on: 2)
        let actions = session.end()
        #expect(actions.contains(.cancel(job)))
        #expect(actions.contains(.close(1)) && actions.contains(.close(2)))
    }
}
