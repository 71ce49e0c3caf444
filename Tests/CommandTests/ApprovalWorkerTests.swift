import Bootstrap
import Domain
import Foundation
import Glibc
import Store
import TestSupport
import Testing

/// `preloop-sync worker` for approvals, with no server anywhere.
@Suite struct ApprovalWorkerTests {
    private static let hook = "PRELOOP_CHANNEL_HOOK"

    private static let policy = """
        version: "1.0"
        metadata: {name: noticed}
        approval_workflows:
        - name: people
          async_approval: true
          channel_configs: {slack: {webhook_url_env: \(hook)}}
        tools:
        - {name: list_projects, approval_workflow: people}
        """

    /// An installation with a call that waits, and the call's identifier.
    private static func sandbox() throws -> (Sandbox, String) {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/policy.yaml"
        try Data(policy.utf8).write(to: URL(fileURLWithPath: file))
        let applied = try sandbox.preloop("policy", "apply", file)
        #expect(applied.status == 0, "\(applied.errors)")
        let held = try sandbox.preloop("tools", "call", "list_projects", "{}", "--json")
        return (sandbox, try #require(try held.json["result"]?["request_id"]?.string))
    }

    private static func channel() throws -> ScriptedHTTPServer {
        try ScriptedHTTPServer { _ in
            [.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".utf8))]
        }
    }

    private func counts(_ store: Store, _ state: Job.State) async throws -> [String: Int] {
        let jobs = try await store.read { connection, account in
            try JobTable.list(state, limit: 100, account: account, on: connection)
        }
        return Dictionary(jobs.map { ($0.kind.name, 1) }, uniquingKeysWith: +)
    }

    /// How a request is stored, whatever the time.
    private func status(_ id: String, _ store: Store) async throws -> String? {
        try await store.read { connection, account in
            try ApprovalTable.find(id, account: account, on: connection)?.life.status
        }
    }

    /// Lets all that waits be due, and the request's time be over when asked.
    private func advance(_ store: Store, ending: Bool = false) async throws {
        let past = store.clock.now().advanced(by: .seconds(-1))
        try await store.writeOutsideFeed { connection, account in
            try connection.execute(
                """
                UPDATE jobs SET due_at = \(past)
                WHERE account_id = \(account) AND state = 'waiting' AND kind <> 'approval.deadline'
                """
            )
            guard ending else { return }
            try connection.execute(
                """
                UPDATE jobs SET due_at = \(past)
                WHERE account_id = \(account) AND state = 'waiting'
                """
            )
            try connection.execute(
                """
                UPDATE approval_requests SET expires_at = \(past) WHERE account_id = \(account)
                """
            )
        }
    }

    @Test func `notices go out and requests end while no server runs`() async throws {
        let (sandbox, id) = try Self.sandbox()
        let channel = try Self.channel()
        let store = try await sandbox.store()
        // It lacks the channel's variable, and leaves the delivery.
        let lacking = try sandbox.run("preloop-sync", "worker", "--once")
        #expect(lacking.status == 0, "\(lacking.errors)")
        #expect(lacking.errors.contains("the variable `\(Self.hook)` is not set here"))
        let left = ["approval.deliver": 1, "approval.deadline": 1]
        #expect(try await counts(store, .waiting) == left)
        try await advance(store)
        let told = try sandbox.run(
            "preloop-sync",
            "worker",
            "--once",
            environment: [Self.hook: channel.origin + "/hook"]
        )
        #expect(told.status == 0, "\(told.errors)")
        let bodies = channel.requests.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(bodies.count == 1)
        #expect(bodies.first?.contains("preloop approvals show \(id)") == true, "\(bodies)")
        #expect(try await status(id, store) == "pending")
        try await advance(store, ending: true)
        #expect(try sandbox.run("preloop-sync", "worker", "--once").status == 0)
        #expect(try await status(id, store) == "expired")
        #expect(try await counts(store, .waiting).isEmpty)
        #expect(try await counts(store, .running).isEmpty)
    }

    @Test func `a worker that runs tells of a call at once, with a link where there is an address`()
        async throws
    {
        let (sandbox, id) = try Self.sandbox()
        let channel = try Self.channel()
        let worker = try sandbox.start(
            "preloop-sync",
            ["worker", "--jobs", "1"],
            environment: [
                Self.hook: channel.origin + "/hook", "PRELOOP_URL": "https://preloop.example",
            ]
        )
        while channel.requests.isEmpty {
            try #require(worker.isRunning)
            try await Task.sleep(for: .milliseconds(20))
        }
        worker.signal(SIGTERM)
        let ended = try worker.waitForExit()
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.errors.contains("no mail server is configured here"))
        let body = String(decoding: channel.requests[0].body, as: UTF8.self)
        let link = "https://preloop.example/approval/\(id)?token=pla_1_"
        #expect(body.replacing("\\/", with: "/").contains(link), "\(body)")
        let store = try await sandbox.store()
        #expect(try await counts(store, .running).isEmpty)
    }

    @Test func `a worker without the key leaves approvals alone, and says so`() async throws {
        let (sandbox, id) = try Self.sandbox()
        let store = try await sandbox.store()
        try await advance(store, ending: true)
        let key = sandbox.home + "/secret.key"
        try FileManager.default.moveItem(atPath: key, toPath: key + ".away")
        let without = try sandbox.run("preloop-sync", "worker", "--once")
        #expect(without.status == 0, "\(without.errors)")
        #expect(without.errors.contains("approvals are left to a process that has the secret key"))
        #expect(try await status(id, store) == "pending")
        let left = ["approval.notify": 1, "approval.deadline": 1]
        #expect(try await counts(store, .waiting) == left)
        try FileManager.default.moveItem(atPath: key + ".away", toPath: key)
        #expect(try sandbox.run("preloop-sync", "worker", "--once").status == 0)
        #expect(try await status(id, store) == "expired")
    }

    @Test func `jobs say that the process of one is gone, and the next worker goes on with it`()
        async throws
    {
        let (sandbox, id) = try Self.sandbox()
        let store = try await sandbox.store()
        try await advance(store, ending: true)
        var dead = LeaseHolder.current()
        dead.startTicks += 1
        let now = store.clock.now()
        let claimed = try await store.claim(
            JobTable.ClaimRequest(
                [JobKind("approval.deadline")],
                limit: 1,
                holder: dead,
                lease: .seconds(60),
                now: now
            )
        )
        #expect(claimed.count == 1)
        let table = try sandbox.run("preloop-sync", "jobs", "--state", "running")
        #expect(table.output.contains(", gone"), "\(table.output)")
        let list = try sandbox.run("preloop-sync", "jobs", "--state", "running", "--json").json
        #expect(list["jobs"]?[0]?["is_lost"] == true)
        #expect(try sandbox.run("preloop-sync", "worker", "--once").status == 0)
        #expect(try await status(id, store) == "expired")
        #expect(try await counts(store, .running).isEmpty)
    }
}
