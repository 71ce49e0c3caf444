import Domain
import Foundation
import Store
import Testing

/// Processes that are killed while they decide about a held call, run it, or run an allowed one.
///
/// What has run is counted by a server that adds a line to a file each time.
/// `PRELOOP_KILLS` says how many rounds; the suite's own number keeps it short.
@Suite struct ApprovalKillTests {
    private static let rounds =
        ProcessInfo.processInfo.environment["PRELOOP_KILLS"].flatMap { Int($0) } ?? 6

    private static let policy = """
        version: "1.0"
        metadata: {name: kills}
        approval_workflows:
        - {name: people, async_approval: true}
        tools:
        - {name: files/append, approval_workflow: people}
        defaults: {unknown_tools: allow}
        """

    /// An installation before that server.
    private static func sandbox() throws -> Sandbox {
        let sandbox = try Sandbox.withServers()
        #expect(try sandbox.preloop("init").status == 0)
        let script = PythonUpstream.script("mcp_appender.py")
        let words = ["servers", "add", "files", "--", "python3", script, path(in: sandbox)]
        let added = try sandbox.start("preloop", words).wait()
        #expect(added.status == 0, "\(added.errors)")
        let file = sandbox.home + "/policy.yaml"
        try Data(policy.utf8).write(to: URL(fileURLWithPath: file))
        let applied = try sandbox.preloop("policy", "apply", file)
        #expect(applied.status == 0, "\(applied.errors)")
        return sandbox
    }

    private static func path(in sandbox: Sandbox) -> String { sandbox.home + "/runs" }

    /// What has run, in order.
    private static func runs(_ sandbox: Sandbox) -> [String] {
        // Before the first run there is no file.
        let text = (try? String(contentsOfFile: path(in: sandbox), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }

    private static func arguments(_ text: String) -> String { "{\"text\":\"\(text)\"}" }

    private func call(_ sandbox: Sandbox, _ tool: String, _ arguments: String) throws -> JSONValue {
        let result = try sandbox.preloop("tools", "call", tool, arguments, "--json")
        #expect(result.status == 0, "\(result.errors)")
        return try result.json["result"] ?? .null
    }

    private func hold(_ sandbox: Sandbox, _ text: String) throws -> String {
        let held = try call(sandbox, "append", Self.arguments(text))
        return try #require(held["request_id"]?.string, "\(held)")
    }

    /// Kills a program at some moment of the time that one took which was let be.
    private func kill(_ running: RunningProgram, within time: Duration) async throws {
        let share = Double.random(in: 0...1.2)
        try await Task.sleep(for: time * share)
        running.signal(SIGKILL)
        _ = try running.waitForExit()
    }

    private func kill(_ sandbox: Sandbox, _ words: [String], within time: Duration) async throws {
        try await kill(try sandbox.start("preloop", words), within: time)
    }

    // MARK: - Held calls

    @Test func `whatever dies, nothing runs undecided or twice, and what waits goes on waiting`()
        async throws
    {
        let sandbox = try Self.sandbox()
        // How long both take when they are let be.
        let clock = ContinuousClock()
        let first = try hold(sandbox, "first")
        var start = clock.now
        #expect(try sandbox.preloop("approvals", "approve", first).status == 0)
        let decisionTime = start.duration(to: clock.now)
        #expect(Self.runs(sandbox).isEmpty)
        start = clock.now
        let answer = try call(sandbox, "get_approval_status", "{\"request_id\":\"\(first)\"}")
        let runTime = start.duration(to: clock.now)
        #expect(answer["tool_result"]?[0]?["text"] == "first", "\(answer)")
        #expect(Self.runs(sandbox) == ["first"])
        var unknown = 0
        for round in 0..<Self.rounds {
            let text = "held-\(round)"
            let id = try hold(sandbox, text)
            try await kill(sandbox, ["approvals", "approve", id], within: decisionTime)
            let shown = try sandbox.preloop("approvals", "show", id, "--json").json["request"]
            let status = shown?["status"]?.string ?? ""
            #expect(["pending", "approved"].contains(status))
            #expect((shown?["votes"]?.array?.count ?? 0) == (status == "approved" ? 1 : 0))
            if status == "pending" {
                #expect(try sandbox.preloop("approvals", "approve", id).status == 0)
            }
            #expect(!Self.runs(sandbox).contains(text), "it ran before anybody asked for it")
            let poll = "{\"request_id\":\"\(id)\"}"
            let words = ["tools", "call", "get_approval_status", poll]
            try await kill(sandbox, words, within: runTime)
            unknown += try settle(sandbox, text, poll)
            try await check(sandbox, id)
        }
        print("kills: \(2 * Self.rounds), runs of an unknown outcome: \(unknown)")
    }

    /// Asks until a call is over; gives 1 when nobody knows how it ended.
    private func settle(_ sandbox: Sandbox, _ text: String, _ poll: String) throws -> Int {
        var unknown = 0
        for _ in 0..<2 {
            let answer = try call(sandbox, "get_approval_status", poll)
            if answer["status"] == "outcome_unknown" {
                unknown = 1
            } else {
                #expect(answer["tool_result"]?[0]?["text"] == .string(text), "\(answer)")
                #expect(Self.runs(sandbox).contains(text), "it did not run, and is told as done")
            }
        }
        #expect(Self.runs(sandbox).count { $0 == text } <= 1, "\(text) ran twice")
        return unknown
    }

    /// One claim, and at most one recorded run behind it.
    private func check(_ sandbox: Sandbox, _ id: String) async throws {
        let store = try await sandbox.store()
        let (events, calls) = try await store.read { connection, account in
            (
                try ApprovalEventTable.list(of: id, account: account, on: connection),
                try ToolCallTable.list(limit: 1_000, account: account, on: connection)
            )
        }
        let kinds = events.map(\.kind)
        #expect(kinds.count { $0 == "execution_started" } == 1)
        #expect(kinds.count { $0 == "approved" } == 1)
        let decided = try #require(kinds.firstIndex(of: "approved"))
        let begun = try #require(kinds.firstIndex(of: "execution_started"))
        #expect(decided < begun)
        let runs = calls.filter {
            $0.tool == "append" && $0.outcome != .held && $0.reason?.contains(id) == true
        }
        // A run is recorded before it is claimed: a claim that died leaves one that goes on.
        #expect(!runs.isEmpty && runs.count { $0.outcome == .succeeded } <= 1)
        try await store.database.close()
    }

    // MARK: - Allowed calls

    @Test func `a call that dies has run at most once, and what has run is on record`()
        async throws
    {
        let sandbox = try Self.sandbox()
        let start = ContinuousClock.now
        _ = try call(sandbox, "note", Self.arguments("first"))
        let time = start.duration(to: .now)
        for round in 0..<Self.rounds {
            let text = "direct-\(round)"
            if round.isMultiple(of: 2) {
                let words = ["tools", "call", "note", Self.arguments(text)]
                try await kill(sandbox, words, within: time)
            } else {
                try await kill(try serve(sandbox, text), within: time / 2)
            }
        }
        // Whose client has died may still be at its last line; the next call goes to another one.
        _ = try call(sandbox, "note", Self.arguments("last"))
        let store = try await sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 1_000, account: account, on: connection)
        }
        try await store.database.close()
        let recorded = Set(
            calls.filter { $0.tool == "note" }.compactMap { $0.arguments?["text"]?.string }
        )
        let runs = Self.runs(sandbox)
        #expect(runs.contains("first") && runs.contains("last"))
        #expect(Set(runs).count == runs.count, "something ran twice: \(runs)")
        #expect(recorded.isSuperset(of: runs))
        print("kills: \(Self.rounds), runs: \(runs.count - 2)")
    }

    /// An MCP server that has been sent the call.
    private func serve(_ sandbox: Sandbox, _ text: String) throws -> RunningProgram {
        let hello: JSONValue = [
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": [
                "protocolVersion": "2025-11-25", "capabilities": [:],
                "clientInfo": ["name": "killed", "version": "1"],
            ],
        ]
        let ready: JSONValue = ["jsonrpc": "2.0", "method": "notifications/initialized"]
        let call: JSONValue = [
            "jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": ["name": "note", "arguments": ["text": .string(text)]],
        ]
        let running = try sandbox.start("preloop", ["mcp"])
        let answer = try running.answer(to: hello.serializedText() + "\n")
        #expect(answer.contains("protocolVersion"), "\(answer)")
        // It has answered once, so that nothing is waited for here.
        _ = try running.answer(
            to: ready.serializedText() + "\n" + call.serializedText() + "\n"
        )
        return running
    }
}
