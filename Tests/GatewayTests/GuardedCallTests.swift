import Domain
import Firewall
import MCP
import Store
import Synchronization
import Testing

@testable import Gateway

struct GuardedCallTests {
    private func call(
        _ tool: String = "fake",
        _ arguments: JSONValue = ["text": "hi"]
    ) -> GuardedCall.Request {
        GuardedCall.Request(tool: tool, arguments: arguments.object ?? JSONObject())
    }

    private func calls(
        _ tool: FakeTool = FakeTool(),
        _ journal: FakeJournal,
        policy: FakePolicy = FakePolicy(),
        limits: GuardedCall.Limits = .init(),
        stopwatch: any Clock<Duration> = ContinuousClock()
    ) -> GuardedCall {
        GuardedCall(
            tools: ToolSet([tool, FakeTool(name: "other")]),
            policy: policy,
            journal: journal,
            limits: limits,
            stopwatch: stopwatch
        )
    }

    @Test func `a call is on record before it runs and again when it has ended`() async throws {
        let journal = FakeJournal()
        let tool = FakeTool(body: { _, _ in
            journal.note("run")
            return ["a": 1]
        })
        let result = try await calls(tool, journal).run(call(), by: caller)
        #expect(result.structured == ["a": 1])
        #expect(journal.events.withLock { $0 } == ["begin running", "run", "end succeeded"])
        let record = journal.calls.withLock { $0[0] }
        #expect(record.caller == "local:ann" && record.channel == "stdio")
        #expect(record.decision == .allow)
        #expect(record.argumentsDigest.count == 32)
        #expect(record.end?.resultBytes == result.text.utf8.count)
    }

    @Test func `what cannot be recorded does not run`() async throws {
        let ran = FakeJournal()
        let tool = FakeTool(body: { _, _ in
            ran.note("run")
            return [:]
        })
        let result = try await calls(tool, FakeJournal(isBroken: true)).run(call(), by: caller)
        #expect(result.isError)
        #expect(result.text.contains("did not run"))
        #expect(ran.events.withLock { $0 }.isEmpty)
    }

    @Test func `what has run is told even when its end cannot be recorded`() async throws {
        let journal = FakeJournal(forgetsEnds: true)
        let logs = Mutex<[String]>([])
        let result = try await calls(FakeTool(), journal).run(call(), by: caller) { event in
            if case .log(_, let text) = event { logs.withLock { $0.append(text) } }
        }
        #expect(!result.isError && result.structured == ["said": "hi"])
        #expect(logs.withLock { $0.first?.contains("could not be recorded") } == true)
        #expect(journal.calls.withLock { $0.map(\.outcome) } == [.running])
    }

    @Test func `a denied call does not run and is on record with its reason`() async throws {
        let journal = FakeJournal()
        let tool = FakeTool(body: { _, _ in
            journal.note("run")
            return [:]
        })
        let guarded = calls(tool, journal, policy: FakePolicy(denied: ["fake"]))
        let result = try await guarded.run(call(), by: caller)
        #expect(result == .failure("Access denied: not on Fridays", .denied))
        #expect(journal.events.withLock { $0 } == ["begin denied"])
        let record = journal.calls.withLock { $0[0] }
        #expect(record.decision == .deny && record.reason == "not on Fridays")
        #expect(record.end != nil)
    }

    @Test func `a call that needs an approval nobody can give does not run`() async throws {
        let journal = FakeJournal()
        let tool = FakeTool(body: { _, _ in
            journal.note("run")
            return [:]
        })
        let demand = ApprovalDemand(workflow: "leads", policyVersion: 3, message: "ask first")
        let guarded = calls(tool, journal, policy: FakePolicy(held: ["fake": demand]))
        let result = try await guarded.run(call(), by: caller)
        #expect(result.isError && result.text.contains("needs an approval"))
        #expect(result.text.contains("`leads`") && result.text.contains("ask first"))
        #expect(journal.events.withLock { $0 } == ["begin denied"])
    }

    @Test func `a tool that is hidden cannot be called by its name`() async throws {
        let journal = FakeJournal()
        let guarded = calls(FakeTool(), journal, policy: FakePolicy(hidden: ["fake"]))
        #expect(await guarded.visibleTools(to: caller).map(\.name) == ["other"])
        await #expect(throws: RPCError.unknownTool("fake")) {
            try await guarded.run(call(), by: caller)
        }
        #expect(journal.calls.withLock { $0.map(\.outcome) } == [.unknownTool])
    }

    @Test func `wrong arguments are told, recorded and not run`() async throws {
        let journal = FakeJournal()
        let result = try await calls(FakeTool(), journal)
            .run(call("fake", ["txt": "a", "count": "b"]), by: caller)
        #expect(result.isError)
        #expect(result.text.contains("did you mean `text`?"))
        #expect(result.text.contains("`count` must be an integer"))
        #expect(journal.events.withLock { $0 } == ["begin invalid"])
    }

    @Test func `null is the same as nothing`() async throws {
        let journal = FakeJournal()
        let result = try await calls(FakeTool(), journal)
            .run(call("fake", ["text": "x", "count": nil]), by: caller)
        #expect(result.structured == ["said": "x"])
    }

    @Test func `equal arguments have equal digests whatever their order`() async throws {
        let journal = FakeJournal()
        let guarded = calls(FakeTool(), journal)
        _ = try await guarded.run(call("fake", ["text": "x", "count": 1]), by: caller)
        _ = try await guarded.run(call("fake", ["count": 1, "text": "x"]), by: caller)
        _ = try await guarded.run(call("fake", ["count": 2, "text": "x"]), by: caller)
        let digests = journal.calls.withLock { $0.map(\.argumentsDigest) }
        #expect(digests[0] == digests[1] && digests[0] != digests[2])
    }

    @Test func `a call that takes too long is stopped`() async throws {
        let (journal, endless) = (FakeJournal(), Endless())
        let tool = FakeTool(body: { _, _ in
            try await endless.wait()
            return [:]
        })
        let result = try await calls(tool, journal, stopwatch: HastyClock())
            .run(call(), by: caller)
        #expect(result.isError && result.text.contains("stopped after 120 seconds"))
        #expect(endless.wasStopped.withLock { $0 })
        #expect(journal.events.withLock { $0 }.last == "end timed_out")
    }

    @Test func `a stopped call that writes says that it may be done all the same`() async throws {
        let tool = FakeTool(
            isReadOnly: false,
            body: { _, _ in
                try await Task.sleep(for: .seconds(3_600))
                return [:]
            }
        )
        let result = try await calls(tool, FakeJournal(), stopwatch: HastyClock())
            .run(call(), by: caller)
        #expect(result.text.contains("look before you call it again"))
    }

    @Test func `a cancelled call stops its work and says so on record`() async throws {
        let (journal, endless) = (FakeJournal(), Endless())
        let tool = FakeTool(body: { _, _ in
            try await endless.wait()
            return [:]
        })
        let guarded = calls(tool, journal)
        let task = Task { try await guarded.run(call(), by: caller) }
        await endless.begun()
        task.cancel()
        #expect(try await task.value.isError)
        #expect(endless.wasStopped.withLock { $0 })
        #expect(journal.events.withLock { $0 } == ["begin running", "end cancelled"])
    }

    @Test func `what a tool throws becomes words its caller can act on`() async throws {
        let journal = FakeJournal()
        let tool = FakeTool(body: { _, _ in
            throw ToolFailure("there is no project `x`", hint: "list_projects shows them")
        })
        let result = try await calls(tool, journal).run(call(), by: caller)
        #expect(result == .failure("there is no project `x`. list_projects shows them."))
        #expect(journal.events.withLock { $0 }.last == "end failed")
    }

    @Test func `an answer beyond the limit is refused`() async throws {
        var limits = GuardedCall.Limits()
        limits.resultBytes = 100
        let tool = FakeTool(body: { _, _ in .string(String(repeating: "x", count: 101)) })
        let result = try await calls(tool, FakeJournal(), limits: limits).run(call(), by: caller)
        #expect(result.isError && result.text.contains("100 bytes"))
    }

    @Test func `progress comes in order`() async throws {
        let journal = FakeJournal()
        let tool = FakeTool(body: { _, context in
            for step in 0...3 { await context.progress(step, of: 3, "s\(step)") }
            return [:]
        })
        _ = try await calls(tool, journal).run(call(), by: caller) { event in
            if case .progress(let progress) = event { journal.note(progress.message ?? "") }
        }
        let events = journal.events.withLock { $0 }
        #expect(events == ["begin running", "s0", "s1", "s2", "s3", "end succeeded"])
    }

    @Test func `tools are listed by name`() async {
        let tools = ToolSet(["c", "a", "b"].map { FakeTool(name: $0) })
        #expect(tools.definitions.map(\.name) == ["a", "b", "c"])
    }
}
