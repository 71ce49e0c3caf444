import Domain
import MCP
import Synchronization
import Testing

@testable import Gateway

/// A connection whose ends the test holds.
private final class Line: Sendable {
    let input = AsyncStream.makeStream(of: SessionServer.Input.self)
    let output = AsyncStream.makeStream(of: JSONValue.self)
    let server: SessionServer

    init(_ tools: [FakeTool], limits: ServerSession.Limits = .init()) {
        let calls = GuardedCall(
            tools: ToolSet(tools),
            policy: FakePolicy(),
            journal: FakeJournal()
        )
        let description = ServerDescription(name: "t", title: "T", version: "1")
        let output = output.continuation
        server = SessionServer(
            session: ServerSession(server: description, limits: limits),
            calls: calls,
            caller: caller,
            write: { output.yield($0) }
        )
    }

    func say(_ text: String) { input.continuation.yield(.bytes(Array(text.utf8))) }

    func call(_ id: Int, _ tool: String, _ arguments: String = "{}", meta: String = "") {
        say(
            """
            {"jsonrpc":"2.0","id":\(id),"method":"tools/call","params":{"name":"\(tool)",\
            "arguments":\(arguments),"_meta":{\(meta)\
            "io.modelcontextprotocol/protocolVersion":"2026-07-28",\
            "io.modelcontextprotocol/clientCapabilities":{}}}}
            """
        )
    }

    /// Serves what was said, to its end; long beside tests that keep the machine busy.
    func run(grace: Duration = .seconds(600)) async {
        await server.run(input.stream, grace: grace)
        output.continuation.finish()
    }

    func everything() async -> [JSONValue] {
        var all: [JSONValue] = []
        for await message in output.stream { all.append(message) }
        return all
    }
}

struct SessionServerTests {
    @Test func `what was asked before the input ended is answered`() async {
        let line = Line([FakeTool()])
        for id in 1...40 { line.call(id, "fake", #"{"text":"\#(id)"}"#) }
        line.say("nonsense")
        line.input.continuation.yield(.tooLong)
        line.input.continuation.finish()
        await line.run()
        let answers = await line.everything()
        let said = answers.compactMap { answer in
            answer["result"]?["structuredContent"]?["said"]?.string
        }
        #expect(Set(said) == Set((1...40).map(String.init)))
        #expect(answers.filter { $0["error"]?["code"] == -32700 }.count == 1)
        #expect(answers.filter { $0["error"]?["code"] == -32600 }.count == 1)
    }

    @Test func `sixteen calls run side by side and no more`() async {
        let counts = Mutex((now: 0, most: 0))
        let tool = FakeTool(body: { _, _ in
            counts.withLock { counts in
                counts.now += 1
                counts.most = max(counts.most, counts.now)
            }
            for _ in 0..<50 { await Task.yield() }
            counts.withLock { $0.now -= 1 }
            return [:]
        })
        let line = Line([tool])
        for id in 1...60 { line.call(id, "fake") }
        line.input.continuation.finish()
        await line.run()
        #expect(await line.everything().count == 60)
        #expect(counts.withLock { $0.most } <= 16)
        #expect(counts.withLock { $0.most } > 1)
    }

    @Test func `a cancelled call is stopped, and the others go on`() async {
        let endless = Endless()
        let tools = [
            FakeTool(),
            FakeTool(
                name: "slow",
                body: { _, _ in
                    try await endless.wait()
                    return [:]
                }
            ),
        ]
        let line = Line(tools)
        async let served: Void = line.run()
        line.call(1, "slow")
        await endless.begun()
        line.say(#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        line.call(2, "fake")
        line.input.continuation.finish()
        await served
        #expect(endless.wasStopped.withLock { $0 })
        #expect(await line.everything().map { $0["id"] } == [2])
    }

    @Test func `calls that go on when the input is over are stopped after the grace`() async {
        let endless = Endless()
        let tool = FakeTool(body: { _, _ in
            try await endless.wait()
            return [:]
        })
        let line = Line([tool])
        line.call(1, "fake")
        line.input.continuation.finish()
        await line.run(grace: .milliseconds(20))
        #expect(endless.wasStopped.withLock { $0 })
        #expect(await line.everything().isEmpty)
    }

    @Test func `cancelling the server stops its work`() async {
        let endless = Endless()
        let tool = FakeTool(body: { _, _ in
            try await endless.wait()
            return [:]
        })
        let line = Line([tool])
        line.call(1, "fake")
        let task = Task { await line.run() }
        await endless.begun()
        task.cancel()
        await task.value
        #expect(endless.wasStopped.withLock { $0 })
    }

    @Test func `progress and log messages come before the answer`() async {
        let tool = FakeTool(body: { _, context in
            await context.progress(1, of: 2, "half")
            await context.log(.warning, "careful")
            return [:]
        })
        let line = Line([tool])
        let level = #""progressToken":"p","io.modelcontextprotocol/logLevel":"info","#
        line.call(1, "fake", meta: level)
        line.input.continuation.finish()
        await line.run()
        let methods = await line.everything().map { $0["method"]?.string ?? "answer" }
        #expect(methods == ["notifications/progress", "notifications/message", "answer"])
    }

    @Test func `a tool that is not there is a protocol error`() async {
        let line = Line([FakeTool()])
        line.call(1, "gone")
        line.input.continuation.finish()
        await line.run()
        #expect(await line.everything().map { $0["error"]?["code"] } == [-32602])
    }
}
