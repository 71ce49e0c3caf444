import Domain
import Foundation
import Store
import Testing

/// Processes that are killed while they decide about a held call, and while they run it.
///
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
        - {name: list_projects, approval_workflow: people}
        defaults: {unknown_tools: allow}
        """

    private func call(_ sandbox: Sandbox, _ tool: String, _ arguments: String) throws -> JSONValue {
        let result = try sandbox.preloop("tools", "call", tool, arguments, "--json")
        #expect(result.status == 0, "\(result.errors)")
        return try result.json["result"] ?? .null
    }

    /// Starts a program and kills it at some moment of the time that one took which was let be.
    private func kill(_ sandbox: Sandbox, _ words: [String], within time: Duration) async throws {
        let running = try sandbox.start("preloop", words)
        let share = Double.random(in: 0...1.2)
        try await Task.sleep(for: time * share)
        running.signal(SIGKILL)
        _ = try running.waitForExit()
    }

    @Test func `whatever dies, nothing runs undecided or twice, and what waits goes on waiting`()
        async throws
    {
        let sandbox = try Sandbox(["USER": "ann"])
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/policy.yaml"
        try Data(Self.policy.utf8).write(to: URL(fileURLWithPath: file))
        let applied = try sandbox.preloop("policy", "apply", file)
        #expect(applied.status == 0, "\(applied.errors)")
        // How long both take when they are let be.
        let clock = ContinuousClock()
        let first = try #require(
            try call(sandbox, "list_projects", "{}")["request_id"]?.string
        )
        var start = clock.now
        #expect(try sandbox.preloop("approvals", "approve", first).status == 0)
        let decisionTime = start.duration(to: clock.now)
        start = clock.now
        let answer = try call(sandbox, "get_approval_status", "{\"request_id\":\"\(first)\"}")
        let runTime = start.duration(to: clock.now)
        #expect(answer["tool_result"] == ["projects": []])
        var unknown = 0
        for _ in 0..<Self.rounds {
            let id = try #require(
                try call(sandbox, "list_projects", "{}")["request_id"]?.string
            )
            try await kill(sandbox, ["approvals", "approve", id], within: decisionTime)
            let shown = try sandbox.preloop("approvals", "show", id, "--json").json["request"]
            let status = shown?["status"]?.string ?? ""
            #expect(["pending", "approved"].contains(status))
            #expect((shown?["votes"]?.array?.count ?? 0) == (status == "approved" ? 1 : 0))
            if status == "pending" {
                #expect(try sandbox.preloop("approvals", "approve", id).status == 0)
            }
            let poll = "{\"request_id\":\"\(id)\"}"
            try await kill(
                sandbox,
                ["tools", "call", "get_approval_status", poll],
                within: runTime
            )
            for _ in 0..<2 {
                let answer = try call(sandbox, "get_approval_status", poll)
                if answer["status"] == "outcome_unknown" {
                    unknown += 1
                } else {
                    #expect(answer["tool_result"] == ["projects": []], "\(answer)")
                }
            }
            try await check(sandbox, id)
        }
        print("kills: \(2 * Self.rounds), polls of an unknown outcome: \(unknown)")
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
            $0.tool == "list_projects" && $0.outcome != .held
                && $0.reason?.contains(id) == true
        }
        // A run is recorded before it is claimed: a claim that died leaves one that goes on.
        #expect(runs.count { $0.outcome == .succeeded } <= 1)
        try await store.database.close()
    }
}
