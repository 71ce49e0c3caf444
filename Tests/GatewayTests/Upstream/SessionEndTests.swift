import Domain
import Foundation
import HTTPClient
import MCP
import TestSupport
import Testing

@testable import Gateway

/// What becomes of calls when their session, stream or program ends, and how many there are.
@Suite struct SessionEndTests {
    private func pool(
        _ server: UpstreamServer,
        _ limits: UpstreamPool.Limits = UpstreamPool.Limits()
    ) throws -> UpstreamPool {
        UpstreamPool(
            .init(server: server, secret: UpstreamSecret()),
            settings: UpstreamSettings(
                environment: ProcessInfo.processInfo.environment,
                allowed: ["127.0.0.0/8"],
                version: "1"
            ),
            transport: try CurlClient(configuration: .init(version: "test")),
            limits: limits,
            notice: { _ in }
        )
    }

    private func address(
        _ url: String,
        _ limits: UpstreamPool.Limits = UpstreamPool.Limits()
    ) throws -> UpstreamPool {
        try pool(
            UpstreamServer(
                id: UpstreamServerID(1),
                name: "hostile",
                transport: .streamableHTTP,
                url: url,
                createdAt: Timestamp(milliseconds: 0)
            ),
            limits
        )
    }

    private func program(_ mode: String, _ file: String? = nil) throws -> UpstreamPool {
        let script = UpstreamScript.path("mcp_hostile.py")
        return try pool(
            UpstreamServer(
                id: UpstreamServerID(1),
                name: "hostile",
                transport: .stdio,
                command: ["python3", script, "stdio", mode] + (file.map { [$0] } ?? []),
                createdAt: Timestamp(milliseconds: 0)
            )
        )
    }

    @discardableResult
    private func call(
        _ pool: UpstreamPool,
        _ capabilities: JSONObject = JSONObject(),
        by caller: String = "ann",
        limit: Duration = .seconds(30)
    ) async throws -> JSONObject {
        try await pool.perform(
            for: caller,
            capabilities: capabilities,
            isRepeatable: false
        ) { connection in
            var options = UpstreamConnection.Options()
            options.timeLimit = limit
            return try await connection.call("tools/call", JSONObject([("name", "t")]), options)
        }
    }

    /// What a call fails with.
    private func failure(
        _ pool: UpstreamPool,
        _ capabilities: JSONObject = JSONObject(),
        by caller: String = "ann",
        limit: Duration = .seconds(30)
    ) async throws -> UpstreamError {
        do {
            let result = try await call(pool, capabilities, by: caller, limit: limit)
            Issue.record("it succeeded: \(result)")
            throw CancellationError()
        } catch let error as UpstreamError {
            return error
        }
    }

    private func scratchFile() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    }

    private func calls(in file: String) -> Int {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").count
    }

    /// Waits until so many calls have arrived; gives up after a minute.
    private func wait(for count: Int, in file: String) async throws {
        var looks = 0
        while calls(in: file) < count, looks < 600 {
            try await Task.sleep(for: .milliseconds(100))
            looks += 1
        }
        #expect(calls(in: file) == count)
    }

    // MARK: - Sent once

    /// The session of a call that was at work ended with it, and the call was sent again.
    @Test func `a call at work goes on when its session takes no more`() async throws {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", "splits", file)
        let pool = try address(script.url)
        let first = Task { try await call(pool) }
        try await wait(for: 1, in: file)
        #expect(try await call(pool)["content"] != nil)
        #expect(try await first.value["content"] != nil)
        #expect(calls(in: file) == 2)
        await pool.close()
    }

    @Test func `a stream that cannot be taken up again is no call that was not made`() async throws
    {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", "breaks", file)
        let pool = try address(script.url)
        let error = try await failure(pool)
        guard case .lost = error else {
            Issue.record("\(error)")
            return
        }
        #expect(calls(in: file) == 1)
        await pool.close()
    }

    /// A changed configuration closes sessions while their calls are at work.
    @Test func `who closes a session does not say that nothing was done`() async throws {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", "hangs", file)
        let pool = try address(script.url)
        let work = Task { try await failure(pool) }
        try await wait(for: 1, in: file)
        await pool.close()
        let error = try await work.value
        guard case .lost = error else {
            Issue.record("\(error)")
            return
        }
        #expect(calls(in: file) == 1)
    }

    /// It was asked in the newer era for as long as the gateway ran, and refused every call.
    @Test(arguments: ["turns", "turns-told"])
    func `a server that goes back to the older era has a session for each caller`(
        _ mode: String
    ) async throws {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", mode, file)
        let pool = try address(script.url)
        for name in ["ann", "bob"] {
            #expect(try await call(pool, by: name)["content"]?[0]?["text"] == "none")
        }
        try Data().write(to: URL(fileURLWithPath: file + ".old"))
        guard case .refused = try await failure(pool) else {
            Issue.record("it was not told")
            return
        }
        async let ann = call(pool, by: "ann")["content"]?[0]?["text"]?.string
        async let bob = call(pool, by: "bob")["content"]?[0]?["text"]?.string
        let sessions = try await [ann, bob]
        #expect(Set(sessions) == ["s0", "s1"])
        #expect(try await call(pool, by: "ann")["content"]?[0]?["text"]?.string == sessions[0])
        #expect(try await call(pool, by: "bob")["content"]?[0]?["text"]?.string == sessions[1])
        await pool.close()
    }

    @Test func `a session that makes room has nothing under way and begins nothing`() async throws {
        let link = StubLink()
        let connection = try await link.opened()
        let work = Task { try await connection.call("tools/call", JSONObject()) }
        try await link.waitForRequests(2)
        #expect(await !connection.retireIfIdle())
        await link.answerNext()
        #expect(try await work.value["content"] != nil)
        #expect(await connection.retireIfIdle())
        await #expect(throws: UpstreamError.sessionEnded) {
            try await connection.call("tools/call", JSONObject())
        }
        #expect(link.sent == ["initialize", "tools/call"])
    }

    @Test func `only the call that was turned away was not done`() async throws {
        let link = StubLink()
        let connection = try await link.opened()
        let first = Task { try await connection.call("tools/call", JSONObject()) }
        try await link.waitForRequests(2)
        let second = Task { try await connection.call("tools/call", JSONObject()) }
        try await link.waitForRequests(3)
        await link.forgetNext()
        await #expect(throws: UpstreamError.sessionEnded) { try await first.value }
        #expect(await !connection.isUsable)
        #expect(await connection.failure == nil)
        await link.answerNext()
        #expect(try await second.value["content"] != nil)
        #expect(await connection.failure == .sessionEnded)
    }

    // MARK: - Time

    @Test func `a server that hangs is left alone after a while`() async throws {
        let pool = try program("hangs")
        for _ in 0..<CircuitBreaker.threshold {
            let error = try await failure(pool, limit: .seconds(1))
            #expect(error == .timedOut(seconds: 1))
        }
        guard case .suspended = try await failure(pool, limit: .seconds(1)) else {
            Issue.record("it was asked again")
            return
        }
        await pool.close()
    }

    @Test func `callers who give up say nothing about a server`() async throws {
        let file = scratchFile()
        let pool = try program("hangs", file)
        for number in 1...CircuitBreaker.threshold {
            let work = Task { try await call(pool) }
            try await wait(for: number, in: file)
            work.cancel()
            await #expect(throws: CancellationError.self) { try await work.value }
        }
        #expect(try await failure(pool, limit: .seconds(1)) == .timedOut(seconds: 1))
        await pool.close()
    }

    @Test func `time in which somebody thinks about a question does not count`() {
        let start = ContinuousClock.now
        func after(_ seconds: Int) -> ContinuousClock.Instant {
            start.advanced(by: .seconds(seconds))
        }
        var deadline = CallDeadline(limit: .seconds(10), at: start)
        #expect(deadline.rest(at: after(4)) == .seconds(6))
        deadline.asked(1, at: after(4))
        deadline.asked(2, at: after(50))
        #expect(deadline.rest(at: after(100)) == .seconds(6))
        deadline.answered(1, at: after(100))
        #expect(deadline.rest(at: after(200)) == .seconds(6))
        deadline.answered(2, at: after(204))
        deadline.answered(2, at: after(300))
        #expect(deadline.rest(at: after(206)) == .seconds(4))
        #expect(deadline.rest(at: after(210)) == .zero)
        #expect(deadline.rest(at: after(500)) == .zero)
    }

    @Test func `a call whose question is open is not given up`() async throws {
        let link = StubLink()
        let connection = try await link.opened()
        let (answers, answer) = AsyncStream.makeStream(of: Void.self)
        var options = UpstreamConnection.Options()
        options.timeLimit = .seconds(1)
        let listener = UpstreamListener(
            client: .init(caller: "ann", session: "s"),
            ask: { _, _ in
                for await _ in answers { break }
                return .success(JSONObject())
            }
        )
        let work = Task { [options] in
            try await connection.call("tools/call", JSONObject(), options, listener: listener)
        }
        try await link.waitForRequests(2)
        await link.ask()
        try await Task.sleep(for: .milliseconds(1_500))
        answer.finish()
        await link.answerNext()
        #expect(try await work.value["content"] != nil)
    }

    // MARK: - Programs

    /// What it had started held its output open, and calls went on failing for as long.
    @Test func `a program is over when it has ended, whatever it has started`() async throws {
        let pool = try program("orphans")
        let start = ContinuousClock.now
        let error = try await failure(pool)
        guard case .ended(let status, _) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(status == "exit status 3")
        #expect(start.duration(to: .now) < .seconds(20))
        await pool.close()
    }

    @Test func `there are so many programs of a caller and no more`() async throws {
        let file = scratchFile()
        let pool = try program("hangs", file)
        let busy = (0..<8).map { number in
            Task { try await call(pool, JSONObject([("x", .integer(Int64(number)))])) }
        }
        try await wait(for: 8, in: file)
        #expect(try await failure(pool, object(["x": 8])) == .crowded(sessions: 8))
        // Nobody takes the place of others.
        let other = try await failure(pool, by: "bob", limit: .seconds(1))
        #expect(other == .timedOut(seconds: 1))
        try await wait(for: 9, in: file)
        for work in busy { work.cancel() }
        for work in busy { await #expect(throws: CancellationError.self) { try await work.value } }
        // One that is idle makes room.
        let last = try await failure(pool, object(["x": 9]), limit: .seconds(1))
        #expect(last == .timedOut(seconds: 1))
        await pool.close()
    }

    /// What a client makes up in its capabilities makes another session.
    @Test func `there are so many sessions of a caller over HTTP and no more`() async throws {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", "hangs", file)
        var limits = UpstreamPool.Limits()
        limits.ownSessions = 2
        let pool = try address(script.url, limits)
        let busy = (0..<2).map { number in
            Task { try await call(pool, JSONObject([("x", .integer(Int64(number)))])) }
        }
        try await wait(for: 2, in: file)
        #expect(try await failure(pool, object(["x": 2])) == .crowded(sessions: 2))
        let other = try await failure(pool, by: "bob", limit: .seconds(1))
        #expect(other == .timedOut(seconds: 1))
        for work in busy { work.cancel() }
        for work in busy { await #expect(throws: CancellationError.self) { try await work.value } }
        // One that is idle makes room.
        let last = try await failure(pool, object(["x": 2]), limit: .seconds(1))
        #expect(last == .timedOut(seconds: 1))
        await pool.close()
    }

    @Test func `what clients can be asked is one of few kinds of session`() {
        let given = object([
            "elicitation": ["form": ["x": 1], "url": [:], "nonce": 17], "other": ["y": 2],
            "roots": ["listChanged": true, "z": 3], "sampling": "yes", "experimental": [:],
        ])
        #expect(
            JSONValue.object(AskableCapabilities.of(given))
                == ["elicitation": ["form": [:], "url": [:]], "roots": [:]]
        )
        let own = AskableCapabilities.of(object(["sampling": ["nonce": 1], "roots": [:]]))
        #expect(JSONValue.object(own) == ["roots": [:], "sampling": [:]])
    }

    @Test func `of a secret that is cut in two nothing is shown`() {
        var tail = ErrorTail(secrets: ["abc", "SECRET", "SECRET-WORD"])
        tail.add(Array("abc and SECRET-WORD, SECRET\n".utf8)[...])
        #expect(String(decoding: tail.shown, as: UTF8.self) == "abc and …, …\n")
        // What is kept begins before it, in it, or behind it.
        for rest in -12...12 {
            var tail = ErrorTail(secrets: ["SECRET-WORD"])
            tail.add(Array("123456SECRET-WORD".utf8)[...])
            let filler = [UInt8](repeating: UInt8(ascii: "."), count: ErrorTail.byteCount - rest)
            for part in [filler[..<1_000], filler[1_000...]] { tail.add(part) }
            let shown = String(decoding: tail.shown, as: UTF8.self)
            #expect(!shown.contains { $0.isLetter }, "\(rest): \(shown.prefix(20))")
        }
    }
}
