import Domain
import Firewall
import MCP
import Store
import Synchronization
import Testing

@testable import Gateway

/// What passes between clients and servers outside of calls.
@Suite(.timeLimit(.minutes(5)))
struct OutsideCallTests {
    /// A policy that hides everything when a test says so.
    private final class Curtain: CallPolicy {
        let isDrawn = Mutex(false)

        func isVisible(
            _ tool: ToolDefinition,
            _ identity: ToolIdentity,
            to caller: Caller
        ) async -> Bool { !isDrawn.withLock { $0 } }

        func decide(_ call: ProposedCall) async -> CallRuling { CallRuling(.allow) }
    }

    /// A client's session of the older era before the gateway.
    private final class Talk: Sendable {
        private let input = AsyncStream.makeStream(of: SessionServer.Input.self)
        private let output = AsyncStream.makeStream(of: JSONValue.self)
        private let work: Task<Void, Never>

        init(
            _ calls: GuardedCall,
            _ capabilities: String = "{}",
            by caller: Caller = caller
        ) async {
            let draft = ServerDescription(name: "t", title: "T", version: "1")
            let output = output.continuation
            let server = SessionServer(
                session: ServerSession(server: await calls.description(of: draft, for: caller)),
                calls: calls,
                caller: caller,
                write: { output.yield($0) }
            )
            let input = input.stream
            work = Task {
                await server.run(input)
                output.finish()
            }
            say(
                """
                {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":\
                "2025-11-25","capabilities":\(capabilities)}}
                """
            )
            say(#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
            _ = await next()
        }

        func say(_ text: String) { input.continuation.yield(.bytes(Array(text.utf8))) }

        /// The next message; what tells of lists is left out.
        func next() async -> JSONValue? {
            for await message in output.stream
            where message["method"]?.string?.hasSuffix("/list_changed") != true {
                return message
            }
            return nil
        }

        /// Reads a resource, and waits for the answer.
        func read(_ uri: String = "memo://one") async {
            say(
                """
                {"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"\(uri)"}}
                """
            )
            #expect(await next()?["id"] == 1)
        }

        func end() async {
            input.continuation.finish()
            await work.value
        }
    }

    private let bob = Caller(name: "local:bob", channel: .stdio)

    /// The server's session that read last; its stream is open.
    private func session(_ world: WatchedWorld) async throws -> String {
        let session = try #require(world.upstream.state.withLock { $0.readers.last })
        try await world.until { world.upstream.state.withLock { $0.streams[session] != nil } }
        return session
    }

    private func log(_ text: String, _ world: WatchedWorld, in session: String) {
        world.upstream.say(
            "notifications/message",
            ["level": "info", "data": .string(text)],
            in: session
        )
    }

    private func calls(
        _ world: WatchedWorld,
        _ policy: any CallPolicy = FakePolicy(),
        _ rules: [RedactionPolicy.Rule] = []
    ) throws -> GuardedCall {
        GuardedCall(
            tools: ToolSet([], source: world.desk),
            policy: policy,
            journal: world.journal,
            sensitive: SensitiveValues(redactor: try AuditKeys.testing(AccountID(1)).redactor) {
                RedactionPolicy(rules: rules)
            }
        )
    }

    // MARK: - Log messages

    /// They reached nobody.
    @Test func `what a server logs when no call is under way reaches its caller's sessions alone`()
        async throws
    {
        let world = try await WatchedWorld()
        let (ann, other) = (await Talk(world.calls), await Talk(world.calls, by: bob))
        await ann.read()
        let first = try await session(world)
        await other.read()
        let second = try await session(world)
        #expect(first != second)
        log("for ann", world, in: first)
        #expect(await ann.next()?["params"]?["data"] == "for ann")
        log("for bob", world, in: second)
        let heard = await other.next()
        #expect(heard?["method"] == "notifications/message")
        #expect(heard?["params"] == ["level": "info", "data": "for bob"])
        log("for ann again", world, in: first)
        #expect(await ann.next()?["params"]?["data"] == "for ann again")
        await ann.end()
        await other.end()
        await world.desk.close()
    }

    @Test func `a level that a client sets counts at once, and for its own session`() async throws {
        let world = try await WatchedWorld()
        let (quiet, plain) = (await Talk(world.calls), await Talk(world.calls))
        await quiet.read()
        await plain.read()
        let session = try await session(world)
        quiet.say(
            #"{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"error"}}"#
        )
        #expect(await quiet.next()?["id"] == 2)
        // The other one has said nothing and hears all.
        let upstream = world.upstream
        try await world.until { upstream.state.withLock { $0.levels.count == 1 } }
        log("a detail", world, in: session)
        #expect(await plain.next()?["params"]?["data"] == "a detail")
        upstream.say("notifications/message", ["level": "error", "data": "bad"], in: session)
        #expect(await quiet.next()?["params"]?["data"] == "bad")
        await quiet.end()
        await plain.end()
        await world.desk.close()
    }

    @Test func `what rules forbid is not told outside of calls either`() async throws {
        let world = try await WatchedWorld()
        let deny = RedactionPolicy.Rule(id: "no", side: .result, kinds: [.email], action: .deny)
        let ann = await Talk(try calls(world, FakePolicy(), [deny]))
        await ann.read()
        let session = try await session(world)
        log("ann@example.org", world, in: session)
        log("fine", world, in: session)
        #expect(await ann.next()?["params"]?["data"] == "fine")
        await ann.end()
        await world.desk.close()
    }

    @Test func `a caller to whom the server is hidden hears nothing of it`() async throws {
        let world = try await WatchedWorld()
        let policy = Curtain()
        let ann = await Talk(try calls(world, policy))
        await ann.read()
        let session = try await session(world)
        policy.isDrawn.withLock { $0 = true }
        log("hidden", world, in: session)
        // Asked in the same session, and answered when what came before it has been heard.
        world.upstream.say("ping", [:], id: "ping", in: session)
        try await world.until {
            world.upstream.state.withLock { $0.heard.contains { $0["id"] == "ping" } }
        }
        policy.isDrawn.withLock { $0 = false }
        log("seen", world, in: session)
        #expect(await ann.next()?["params"]?["data"] == "seen")
        await ann.end()
        await world.desk.close()
    }

    // MARK: - Pages

    @Test func `the end of a page is told to the client that was to open it`() async throws {
        let world = try await WatchedWorld()
        let (ann, other) = (await Talk(world.calls), await Talk(world.calls))
        await other.read()
        await ann.read("memo://note/page")
        let session = try await session(world)
        let method = "notifications/elicitation/complete"
        // Nobody was asked to open this one.
        world.upstream.say(method, ["elicitationId": "p0"], in: session)
        world.upstream.say(method, ["elicitationId": "p1"], in: session)
        let heard = await ann.next()
        #expect(heard?["method"] == .string(method))
        #expect(heard?["params"] == ["elicitationId": "p1"])
        log("for both", world, in: session)
        #expect(await other.next()?["params"]?["data"] == "for both")
        await ann.end()
        await other.end()
        await world.desk.close()
    }

    @Test func `a page that a client is asked to open during a call is known by its name`()
        async throws
    {
        let link = StubLink()
        let connection = try await link.opened()
        let session = OpenSession()
        let told = RunCounter()
        let client = UpstreamListener.Client(caller: "ann", session: "s")
        let guest = Guest(
            session: session,
            client: client,
            tell: { notice in
                if case .elicitationEnded(let parameters) = notice {
                    told.add(parameters["elicitationId"]?.string ?? "")
                }
            },
            ask: { method, _ in .failure(.methodNotFound(method)) }
        )
        let listener = UpstreamListener(
            client: client,
            ask: { _, _ in .success(object(["action": "accept"])) },
            guest: guest
        )
        let work = Task {
            try await connection.call("tools/call", JSONObject(), listener: listener)
        }
        try await link.waitForRequests(2)
        await link.ask("elicitation/create", object(["mode": "url", "elicitationId": "page"]))
        try await link.waitForAnswers(1)
        await link.answerNext()
        _ = try await work.value
        for id in ["other", "page", "page"] { await link.endPage(id) }
        #expect(told.all == ["page"])
        // A session that is over is forgotten, and one that has ended forgets.
        #expect(await connection.guests.all.count == 1)
        await session.finish()
        #expect(await connection.guests.all.isEmpty)
        #expect(!session.attach(connection))
    }

    /// The newer era has no such member, and clients of the older one refuse a page without it.
    @Test func `a page of a newer server has a name for an older client`() async throws {
        let asked = Mutex<[JSONObject]>([])
        let page: JSONValue = [
            "method": "elicitation/create",
            "params": ["mode": "url", "url": "https://up.example/in", "message": "Sign in"],
        ]
        let form: JSONValue = ["method": "elicitation/create", "params": ["message": "Who?"]]
        let result = object(["inputRequests": ["a": page, "b": page, "c": form]])
        let answers = try await UpstreamDesk.answers(to: result) { _, parameters in
            asked.withLock { $0.append(parameters) }
            return .success(object(["action": "accept"]))
        }
        #expect(answers.members.map(\.key) == ["a", "b", "c"])
        let names = asked.withLock { $0.map { $0["elicitationId"]?.string } }
        #expect(names[0] != nil && names[1] != nil && names[0] != names[1] && names[2] == nil)
    }

    // MARK: - Roots

    private static let tellsRoots = #"{"roots":{"listChanged":true}}"#

    @Test func `a change of roots reaches the server, whose question about them is answered`()
        async throws
    {
        let world = try await WatchedWorld()
        let (ann, other) = (
            await Talk(world.calls, Self.tellsRoots), await Talk(world.calls, Self.tellsRoots)
        )
        await other.read()
        let second = try await session(world)
        await ann.read()
        let first = try await session(world)
        // A server may keep what it was told: the roots of another session are others.
        #expect(first != second)
        let upstream = world.upstream
        #expect(
            upstream.state.withLock { $0.clients[first] } == ["roots": ["listChanged": true]]
        )
        ann.say(#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#)
        let change: JSONValue = "notifications/roots/list_changed"
        try await world.until {
            upstream.state.withLock { $0.heard.contains { $0["method"] == change } }
        }
        #expect(upstream.state.withLock { $0.heard.count { $0["method"] == change } } == 1)
        upstream.say("roots/list", [:], id: "where", in: first)
        let question = await ann.next()
        #expect(question?["method"] == "roots/list")
        let id = question?["id"]?.string ?? ""
        ann.say(#"{"jsonrpc":"2.0","id":"\#(id)","result":{"roots":[{"uri":"file:///a"}]}}"#)
        try await world.until {
            upstream.state.withLock { $0.heard.contains { $0["id"] == "where" } }
        }
        let answer = upstream.state.withLock { $0.heard.first { $0["id"] == "where" } }
        #expect(answer?["result"] == ["roots": [["uri": "file:///a"]]])
        let record = world.journal.calls.withLock { $0.last { $0.tool == "roots/list" } }
        #expect(record?.server == "up" && record?.outcome == .succeeded)
        #expect(record?.reason?.contains("asked outside of calls, answered ") == true)
        await ann.end()
        await other.end()
        await world.desk.close()
    }

    @Test func `nothing else is asked outside of calls, and roots of one client alone`()
        async throws
    {
        let world = try await WatchedWorld()
        let (ann, other) = (
            await Talk(world.calls, #"{"roots":{},"elicitation":{}}"#),
            await Talk(world.calls, #"{"roots":{},"elicitation":{}}"#)
        )
        await ann.read()
        let session = try await session(world)
        let upstream = world.upstream
        func answer(_ id: String, to method: String) async throws -> JSONValue? {
            upstream.say(method, [:], id: id, in: session)
            try await world.until {
                upstream.state.withLock { $0.heard.contains { $0["id"] == .string(id) } }
            }
            return upstream.state.withLock { $0.heard.first { $0["id"] == .string(id) } }
        }
        let refused = try await answer("a", to: "elicitation/create")
        #expect(refused?["error"]?["code"] == -32601)
        // It may be the roots of either.
        await other.read()
        #expect(upstream.state.withLock { $0.readers.last } == session)
        let unknown = try await answer("b", to: "roots/list")
        #expect(unknown?["error"]?["code"] == -32601)
        await ann.end()
        await other.end()
        await world.desk.close()
    }

    /// Each question is on record, and a client has room for a few at a time.
    @Test func `a server asks a few times outside of calls, and less often then`() async throws {
        let world = try await WatchedWorld()
        let ann = await Talk(world.calls, #"{"roots":{}}"#)
        await ann.read()
        let session = try await session(world)
        let upstream = world.upstream
        func answers() -> [JSONValue] {
            upstream.state.withLock { $0.heard.filter { $0["id"]?.string != nil } }
        }
        // Two wait for the client; nobody asks it a third thing meanwhile.
        for id in ["a", "b", "c"] { upstream.say("roots/list", [:], id: id, in: session) }
        var asked: [String] = []
        for _ in 0..<2 { asked.append(await ann.next()?["id"]?.string ?? "") }
        try await world.until { answers().count == 1 }
        #expect(answers()[0]["id"] == "c" && answers()[0]["error"]?["code"] == -32601)
        for id in asked { ann.say(#"{"jsonrpc":"2.0","id":"\#(id)","result":{"roots":[]}}"#) }
        try await world.until { answers().count == 3 }
        let answering = Task {
            while let question = await ann.next() {
                let id = question["id"]?.string ?? ""
                ann.say(#"{"jsonrpc":"2.0","id":"\#(id)","result":{"roots":[]}}"#)
            }
        }
        let refusal: JSONValue = -32600
        var count = 3
        // One more is let through every five seconds, which may pass on a busy machine.
        while count < 100, !answers().contains(where: { $0["error"]?["code"] == refusal }) {
            upstream.say("roots/list", [:], id: "\(count)", in: session)
            count += 1
            try await world.until { answers().count == count }
        }
        #expect(answers().last?["error"]?["code"] == refusal)
        #expect(answers().count { $0["result"] != nil } >= OutsideBudget.questions.capacity)
        let records = world.journal.calls.withLock { $0.count { $0.tool == "roots/list" } }
        #expect(records == count - 2)
        await ann.end()
        await answering.value
        await world.desk.close()
    }

    @Test func `servers may say so much outside of calls, and more later`() {
        var budget = OutsideBudget.messages
        let start = ContinuousClock.now
        func takes(_ byteCount: Int, after seconds: Double) -> Bool {
            budget.take(byteCount, at: start.advanced(by: .seconds(seconds)))
        }
        #expect(takes(budget.capacity, after: 0))
        #expect(!takes(1, after: 0))
        #expect(takes(Int(budget.perSecond), after: 1))
        #expect(!takes(1, after: 1))
        // Silence is not saved up without end.
        #expect(!takes(budget.capacity + 1, after: 86_400))
        #expect(takes(budget.capacity, after: 86_400))
        var questions = OutsideBudget.questions
        func asks(_ count: Int, after seconds: Int) -> Int {
            (0..<count).count { _ in questions.take(1, at: start.advanced(by: .seconds(seconds))) }
        }
        #expect(asks(questions.capacity + 1, after: 0) == questions.capacity)
        // Parts of what is added are not lost between looks.
        #expect((1...11).reduce(0) { $0 + asks(1, after: $1) } == 2)
    }

    /// They shared it: one that talks without end kept all others of the session silent.
    @Test func `each server has a budget of its own`() {
        let session = OpenSession()
        let capacity = OutsideBudget.messages.capacity
        #expect(session.hasRoom(for: capacity, of: "one"))
        #expect(!session.hasRoom(for: capacity, of: "one"))
        #expect(session.hasRoom(for: capacity, of: "two"))
    }

    @Test func `of too many sessions the one that came first is forgotten`() {
        var guests = GuestList()
        let all = (0...GuestList.maximum).map { number in
            Guest(
                session: OpenSession(),
                client: UpstreamListener.Client(caller: "ann", session: "\(number)"),
                tell: { _ in },
                ask: { method, _ in .failure(.methodNotFound(method)) }
            )
        }
        let forgotten = all.map { guests.add($0)?.client.session }
        #expect(forgotten.last == "0" && forgotten.compactMap { $0 }.count == 1)
        #expect(guests.all.count == GuestList.maximum && guests.guest(all[0].session) == nil)
        let again = guests.add(all[1])
        #expect(again == nil && guests.all.count == GuestList.maximum)
    }

    // MARK: - Capabilities

    @Test(arguments: [
        (true, #"{"extensions":{"vendor.example/x":{}}}"#, "x", true),
        (true, #"{"extensions":{"vendor.example/x":{}}}"#, "task", false),
        (true, #"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#, "task", false),
        (true, "{}", "x", false), (false, #"{"extensions":{"vendor.example/x":{}}}"#, "x", false),
    ])
    func `results of extensions are for clients that have declared any`(
        _ isModern: Bool,
        _ capabilities: String,
        _ kind: String,
        _ passes: Bool
    ) throws {
        var extras = GuardedCall.Extras()
        extras.isModern = isModern
        extras.capabilities = object(try JSONParser.parse(capabilities))
        let result = object(["resultType": .string(kind), "x": 1])
        let told = try? UpstreamDesk.bridged(result, extras)
        #expect(told == (passes ? result : nil))
    }

    @Test func `extensions of clients reach servers, and those of servers clients`() async throws {
        let world = try await WatchedWorld(
            declared: object([
                "experimental": ["x": ["a": 1]],
                "extensions": ["vendor.example/ui": [:], "io.modelcontextprotocol/tasks": [:]],
            ])
        )
        let draft = ServerDescription(name: "t", title: "T", version: "1")
        let described = await world.calls.description(of: draft, for: caller)
        #expect(
            JSONValue.object(described.declared) == [
                "experimental": ["x": ["a": 1]], "extensions": ["vendor.example/ui": [:]],
            ]
        )
        let hidden = FakePolicy(hidden: Set(UpstreamDesk.forwarded))
        let unseen = await (try calls(world, hidden)).description(of: draft, for: caller)
        #expect(unseen.declared.members.isEmpty)
        let ann = await Talk(
            world.calls,
            """
            {"extensions":{"vendor.example/ui":{"b":2},"io.modelcontextprotocol/tasks":{}},\
            "tasks":{},"roots":{}}
            """
        )
        await ann.read()
        let session = try await session(world)
        #expect(
            world.upstream.state.withLock { $0.clients[session] }
                == ["extensions": ["vendor.example/ui": ["b": 2]], "roots": [:]]
        )
        await ann.end()
        await world.desk.close()
    }
}
