import Domain
import Foundation
import HTTPClient
import MCP
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// Log messages and questions that name no call: of programs, and of streams that are all calls'.
@Suite struct UnnamedMessagesTests {
    /// A client that tells what it heard and was asked, and answers with its name.
    private final class Listener: Sendable {
        let client: UpstreamListener.Client
        let messages: LogWish
        private let state = Mutex<(heard: [JSONValue], asked: Int)>(([], 0))

        init(_ caller: String, _ session: String? = "s", _ messages: LogWish = .usual) {
            client = UpstreamListener.Client(caller: caller, session: session)
            self.messages = messages
        }

        /// What was logged, in order.
        var heard: [JSONValue] { state.withLock { $0.heard } }
        var asked: Int { state.withLock { $0.asked } }

        /// What hears for a call; one that does not answer waits until nobody wants to know.
        func listener(answers: Bool = true) -> UpstreamListener {
            UpstreamListener(
                client: client,
                message: { level, parameters in
                    // As a client's session does.
                    guard level >= self.messages.level ?? .debug else { return }
                    self.state.withLock { $0.heard.append(parameters["data"] ?? .null) }
                },
                ask: { _, _ in
                    self.state.withLock { $0.asked += 1 }
                    // Ends early when it is cancelled.
                    if !answers { try? await Task.sleep(for: .seconds(600)) }
                    return .success(object(["name": .string(self.client.caller)]))
                }
            )
        }
    }

    // MARK: - Programs

    private func program(
        _ file: String,
        _ words: String...,
        limits: UpstreamPool.Limits = UpstreamPool.Limits()
    ) throws -> UpstreamPool {
        let server = UpstreamServer(
            id: UpstreamServerID(1),
            name: "remarks",
            transport: .stdio,
            command: ["python3", UpstreamScript.path("mcp_remarks.py"), file] + words,
            createdAt: Timestamp(milliseconds: 0)
        )
        return UpstreamPool(
            .init(server: server, secret: UpstreamSecret()),
            settings: UpstreamSettings(
                environment: ProcessInfo.processInfo.environment,
                version: "1"
            ),
            transport: try CurlClient(configuration: .init(version: "test")),
            limits: limits,
            notice: { _ in }
        )
    }

    /// Calls a tool, and gives the text of its answer.
    @discardableResult
    private func call(
        _ tool: String,
        _ arguments: JSONObject = JSONObject(),
        of pool: UpstreamPool,
        by listener: Listener
    ) async throws -> String? {
        let result = try await pool.perform(
            for: listener.client.caller,
            capabilities: object(["elicitation": [:]]),
            hearsMessages: listener.messages.level != nil,
            isRepeatable: false
        ) { connection in
            var options = UpstreamConnection.Options()
            options.messages = listener.messages
            return try await connection.call(
                "tools/call",
                object(["name": .string(tool), "arguments": .object(arguments)]),
                options,
                listener: listener.listener()
            )
        }
        return result["content"]?[0]?["text"]?.string
    }

    private func scratchFile() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    }

    private func lines(of file: String, _ start: String) -> [String] {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init).filter { $0.hasPrefix(start) }
    }

    /// Waits until so many lines begin so; gives up after a minute.
    private func wait(for count: Int, _ start: String, in file: String) async throws {
        var looks = 0
        while lines(of: file, start).count < count, looks < 600 {
            try await Task.sleep(for: .milliseconds(100))
            looks += 1
        }
        #expect(lines(of: file, start).count == count)
    }

    private func make(_ file: String) throws {
        try Data().write(to: URL(fileURLWithPath: file))
    }

    /// One program served all callers: what it logged and asked about ann's business after her call
    /// went to the only call that was at work, which was bob's.
    @Test func `what a program says late of a call reaches no other caller`() async throws {
        let file = scratchFile()
        let pool = try program(file)
        let (ann, bob) = (Listener("ann"), Listener("bob", "t"))
        try await call("plants", object(["account": "ann-secret"]), of: pool, by: ann)
        async let waiting = call("waits", of: pool, by: bob)
        try await wait(for: 1, "call waits", in: file)
        try make(file + ".go")
        try await wait(for: 1, "told", in: file)
        try make(file + ".done")
        #expect(try await waiting == "waits")
        #expect(bob.heard == [] && bob.asked == 0)
        // The server was answered by nobody.
        #expect(lines(of: file, "told") == ["told null"])
        #expect(lines(of: file, "begins").count == 2)
        await pool.close()
    }

    /// Of two calls at work it was not known whose a question was, and nobody was asked.
    @Test func `two calls of one client are asked, and hear, as one is`() async throws {
        let pool = try program(scratchFile())
        let ann = Listener("ann")
        async let first = call("meets", of: pool, by: ann)
        async let second = call("meets", of: pool, by: ann)
        let answers = try await [first, second]
        #expect(answers == [#"{"name": "ann"}"#, #"{"name": "ann"}"#])
        #expect(ann.heard == ["together", "together"] && ann.asked >= 2)
        await pool.close()
    }

    @Test func `the level that one client sets is not another's`() async throws {
        let file = scratchFile()
        let pool = try program(file)
        let quiet = Listener("ann", "s", .from(.error))
        let (plain, informed) = (Listener("ann", "t"), Listener("ann", "u", .from(.info)))
        try await call("logs", of: pool, by: quiet)
        #expect(quiet.heard == ["error"])
        try await call("logs", of: pool, by: informed)
        try await call("logs", of: pool, by: plain)
        #expect(informed.heard == ["info", "error"])
        #expect(plain.heard == ["debug", "info", "error"])
        try await call("logs", of: pool, by: quiet)
        #expect(quiet.heard == ["error", "error"])
        #expect(lines(of: file, "level") == ["level error", "level info", "level debug"])
        #expect(lines(of: file, "begins").count == 1)
        await pool.close()
    }

    /// One program of the newer era serves all, and its log messages name no call either.
    @Test func `who wants log messages of a program has one without others`() async throws {
        let file = scratchFile()
        let pool = try program(file, "modern")
        let (ann, bob) = (Listener("ann", "s", .from(.info)), Listener("bob", "t", .from(.error)))
        let others = ["cid", "dan"].map { Listener($0, nil, .nothing) }
        for listener in [ann, bob] + others + [ann, bob] {
            try await call("logs", of: pool, by: listener)
        }
        #expect(ann.heard == ["info", "error", "info", "error"])
        #expect(bob.heard == ["error", "error"])
        #expect(others.allSatisfy { $0.heard == [] })
        #expect(lines(of: file, "begins").count == 3)
        await pool.close()
    }

    /// The pool remembered the newer era for good: whoever came after the program had gone back to
    /// the older one shared one session, and with it what the server says outside of calls.
    @Test func `a program that goes back to the older era has a session for each caller`()
        async throws
    {
        let file = scratchFile()
        let pool = try program(file, "turns")
        let (ann, bob) = (Listener("ann"), Listener("bob", "t"))
        for listener in [ann, bob] { try await call("logs", of: pool, by: listener) }
        #expect(lines(of: file, "begins").count == 1)
        try make(file + ".old")
        await #expect(throws: UpstreamError.self) { try await call("ends", of: pool, by: ann) }
        // Who opens the session and who waits for it to be opened find out together.
        async let first = call("waits", of: pool, by: ann)
        async let second = call("waits", of: pool, by: bob)
        try await wait(for: 2, "call waits", in: file)
        #expect(lines(of: file, "begins").count == 3)
        try await call("plants", object(["account": "ann-secret"]), of: pool, by: ann)
        try make(file + ".go")
        try await wait(for: 1, "told", in: file)
        #expect(lines(of: file, "told") == [#"told {"name": "ann"}"#])
        try make(file + ".done")
        #expect(try await [first, second] == ["waits", "waits"])
        #expect(ann.heard == [["account": "ann-secret"]] && ann.asked == 1)
        #expect(bob.heard == [] && bob.asked == 0)
        // Each goes on in the session that was begun for it.
        for listener in [ann, bob] { try await call("logs", of: pool, by: listener) }
        #expect(lines(of: file, "begins").count == 3)
        await pool.close()
    }

    @Test func `a program that comes back to the newer era serves all again`() async throws {
        let file = scratchFile()
        try make(file + ".old")
        let pool = try program(file, "turns")
        let (ann, bob) = (Listener("ann"), Listener("bob", "t"))
        for listener in [ann, bob] { try await call("logs", of: pool, by: listener) }
        #expect(lines(of: file, "begins").count == 2)
        try FileManager.default.removeItem(atPath: file + ".old")
        for listener in [ann, bob] {
            await #expect(throws: UpstreamError.self) {
                try await call("ends", of: pool, by: listener)
            }
        }
        for listener in [ann, bob] { try await call("logs", of: pool, by: listener) }
        #expect(lines(of: file, "begins").count == 3)
        await pool.close()
    }

    @Test func `programs of callers who are away end, up to the last`() async throws {
        let file = scratchFile()
        var limits = UpstreamPool.Limits()
        limits.idleTime = .milliseconds(500)
        let pool = try program(file, limits: limits)
        for name in ["ann", "bob", "cid"] {
            try await call("logs", of: pool, by: Listener(name))
        }
        try await wait(for: 2, "ends", in: file)
        // Whose it is does not matter: it tells of changes.
        try await call("logs", of: pool, by: Listener("cid"))
        #expect(lines(of: file, "begins").count == 3)
        await pool.close()
    }

    // MARK: - One session

    private func begin(
        _ connection: UpstreamConnection,
        by listener: Listener,
        answers: Bool = true
    ) -> Task<JSONObject, any Error> {
        var options = UpstreamConnection.Options()
        options.messages = listener.messages
        return Task { [options] in
            try await connection.call(
                "tools/call",
                JSONObject(),
                options,
                listener: listener.listener(answers: answers)
            )
        }
    }

    @Test func `a session that several callers have used tells nobody what names no call`()
        async throws
    {
        let link = StubLink()
        let connection = try await link.opened()
        let (ann, bob) = (Listener("ann"), Listener("bob"))
        let first = begin(connection, by: ann)
        try await link.waitForRequests(2)
        await link.log()
        #expect(ann.heard == ["a remark"])
        await link.answerNext()
        _ = try await first.value
        let second = begin(connection, by: bob)
        try await link.waitForRequests(3)
        await link.log()
        await link.ask()
        #expect(link.answers == [.failure(.methodNotFound("elicitation/create"))])
        #expect(bob.heard == [] && bob.asked == 0)
        await link.answerNext()
        _ = try await second.value
    }

    /// A session is several callers' where a server has gone from the newer era back to the older
    /// one: what it said after a call reached all of them.
    @Test func `a session that several callers have used tells nobody what follows a call`()
        async throws
    {
        let link = StubLink()
        let connection = try await link.opened()
        let told = RunCounter()
        for (number, name) in ["ann", "bob"].enumerated() {
            var listener = Listener(name).listener()
            let client = UpstreamListener.Client(caller: name, session: "s")
            listener.guest = guest(client, told)
            let work = Task { [listener] in
                try await connection.call("tools/call", JSONObject(), listener: listener)
            }
            try await link.waitForRequests(2 + number)
            await link.answerNext()
            _ = try await work.value
            await link.log()
        }
        #expect(told.all == ["ann"])
    }

    private func guest(_ client: UpstreamListener.Client, _ told: RunCounter) -> Guest {
        Guest(
            session: OpenSession(),
            client: client,
            tell: { _ in told.add(client.caller) },
            ask: { method, _ in .failure(.methodNotFound(method)) }
        )
    }

    /// It waited until the server had answered, or had let half a minute pass, and went on then.
    @Test func `who gives up does not wait until the server knows a level`() async throws {
        let link = StubLink(offering: ["logging": [:]])
        let connection = try await link.opened()
        let first = UpstreamListener.Client(caller: "ann", session: "s")
        let setting = Task { try await connection.setLevel(.from(.error), of: first) }
        try await link.waitForRequests(2)
        let call = begin(connection, by: Listener("ann", "t", .from(.error)))
        call.cancel()
        await #expect(throws: CancellationError.self) { try await call.value }
        #expect(link.sent == ["initialize", "logging/setLevel"])
        await connection.end(.sessionEnded)
        await #expect(throws: UpstreamError.self) { try await setting.value }
    }

    @Test(arguments: ["t", nil])
    func `what may be of either of two clients is for none of them`(
        _ session: String?
    ) async throws {
        let link = StubLink()
        let connection = try await link.opened()
        // Calls without a session may be of several clients, too.
        let one = Listener("ann", session.map { _ in "s" })
        let other = Listener("ann", session)
        let work = [begin(connection, by: one), begin(connection, by: other)]
        try await link.waitForRequests(3)
        await link.log()
        await link.ask()
        #expect(link.answers == [.failure(.methodNotFound("elicitation/create"))])
        #expect(one.heard + other.heard == [] && one.asked + other.asked == 0)
        for _ in work { await link.answerNext() }
        for call in work { _ = try await call.value }
    }

    @Test func `a question outlives the call that it went by, as long as another may want it`()
        async throws
    {
        let link = StubLink()
        let connection = try await link.opened()
        let (ann, silent) = (Listener("ann"), Listener("ann"))
        let first = begin(connection, by: ann)
        try await link.waitForRequests(2)
        let second = begin(connection, by: silent, answers: false)
        try await link.waitForRequests(3)
        await link.ask()
        await link.answerLast()
        _ = try await second.value
        try await link.waitForAnswers(1)
        #expect(link.answers == [.success(object(["name": "ann"]))])
        #expect(ann.asked == 1)
        await link.answerNext()
        _ = try await first.value
    }

    @Test func `a question ends with the last call that may want it`() async throws {
        let link = StubLink()
        let connection = try await link.opened()
        let work = begin(connection, by: Listener("ann"), answers: false)
        try await link.waitForRequests(2)
        await link.ask()
        await link.answerNext()
        _ = try await work.value
        try await link.waitForAnswers(1)
        #expect(link.answers == [.failure(.internalError("the call is over"))])
    }

    // MARK: - Levels

    @Test func `a session has the lowest level that any of its clients wants`() {
        var level = SharedLogLevel()
        // Nobody has said anything: the server decides.
        #expect(level.take(.usual, of: "a") == nil)
        #expect(level.take(.nothing, of: nil) == nil)
        // The same client says something, and another thing.
        #expect(level.take(.from(.error), of: "a") == .error)
        #expect(level.take(.from(.error), of: "a") == nil)
        #expect(level.take(.from(.warning), of: "b") == .warning)
        #expect(level.take(.from(.alert), of: "b") == .error)
        // Who says nothing hears all, whatever others have said.
        #expect(level.take(.usual, of: "c") == .debug)
        #expect(level.take(.from(.info), of: "d") == nil)
        // Calls that come alone do not take each other's level.
        var alone = SharedLogLevel()
        #expect(alone.take(.from(.info), of: nil) == .info)
        #expect(alone.take(.from(.error), of: nil) == nil)
    }

    @Test func `of many clients the lowest level is remembered`() {
        var level = SharedLogLevel()
        for number in 0..<1_000 {
            _ = level.take(.from(number == 7 ? .notice : .error), of: "\(number)")
        }
        #expect(level.take(.from(.critical), of: "last") == nil)
        #expect(level.take(.from(.info), of: "last") == .info)
    }
}
