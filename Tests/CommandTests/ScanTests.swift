import Domain
import Foundation
import Glibc
import Store
import Sync
import Synchronization
import TestSupport
import Testing

/// The scan's command line; what a scan does is Sync's to test.
struct ScanTests {
    /// A provider that is never asked, so that no model is needed.
    private static let provider = [
        "PRELOOP_EMBEDDING_PROVIDER": "openai", "PRELOOP_EMBEDDING_DIMENSION": "3",
        "PRELOOP_EMBEDDING_URL": "http://127.0.0.1:1/v1", "TOKEN": "t",
    ]

    @Test func `a scan without trackers does nothing and succeeds`() throws {
        let sandbox = try Sandbox(Self.provider)
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.run("preloop-sync", "scan", "all", "--json")
        #expect(result.status == 0)
        #expect(try result.json["totals"]?["created"] == 0)
        #expect(try result.json["totals"]?["embedded"] == 0)
        #expect(try sandbox.run("preloop-sync", "scan", "all", "--quiet").output.isEmpty)
        for words in [["scan", "all"], ["scan", "all", "--dry-run"], ["status"]] {
            let told = try sandbox.start("preloop-sync", words).wait()
            #expect(told.status == 0)
            #expect(told.output.contains("preloop trackers add"), "\(words)")
        }
    }

    @Test func `imported issues are not scanned`() throws {
        let sandbox = try Sandbox(Self.provider)
        let line = #"{"id":"a-1","source":"a","title":"t","body":"b"}"#
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/corpus.jsonl"
        try Data(line.utf8).write(to: URL(fileURLWithPath: file))
        // The provider does not answer: the import is stored, and said to be unindexed.
        let imported = try sandbox.preloop("index", "import", "--jsonl", file)
        #expect(imported.status == 1)
        #expect(imported.errors.contains("the import is done"))
        let scan = try sandbox.run("preloop-sync", "scan", "all", "--dry-run", "--json")
        #expect(scan.status == 0)
        #expect(try scan.json["trackers"] == [])
        let doctor = try sandbox.preloop("doctor", "--json").json["checks"]?.array ?? []
        #expect(!doctor.contains { $0["check"] == "tracker import" })
        let single = try sandbox.run("preloop-sync", "scan", "tracker", "import")
        #expect(single.status == 2)
        #expect(single.errors.contains("imported issues"))
        let test = try sandbox.preloop("trackers", "test", "import")
        #expect(test.status == 2)
        #expect(test.errors.contains("imported issues"))
    }

    @Test func `an unknown tracker ends with 5`() throws {
        let sandbox = try Sandbox(Self.provider)
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.run("preloop-sync", "scan", "tracker", "nobody")
        #expect(result.status == 5)
        #expect(result.errors.contains("nobody"))
    }

    @Test func `a missing model is told before anything is read`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.run("preloop-sync", "scan", "all")
        #expect(result.status == 1)
        #expect(result.errors.contains("preloop models fetch"))
    }

    @Test func `a scan beside another ends with 75 and says who scans`() async throws {
        let sandbox = try Sandbox(Self.provider)
        #expect(try sandbox.preloop("init").status == 0)
        let store = try await sandbox.store()
        let lease = try await store.write { connection, account in
            try LeaseTable.acquire(
                ScanRunner.leaseName,
                holder: .current(),
                duration: .seconds(60),
                now: WallClock.system.now(),
                account: account,
                on: connection
            )
        }
        let refused = try sandbox.run("preloop-sync", "scan", "all")
        #expect(refused.status == 75)
        #expect(refused.errors.contains("process \(getpid())"))
        let status = try sandbox.run("preloop-sync", "status", "--json")
        #expect(try status.json["scanning"]?.string?.contains("\(getpid())") == true)
        try await store.write { connection, account in
            try LeaseTable.release(lease, account: account, on: connection)
        }
        #expect(try sandbox.run("preloop-sync", "scan", "all").status == 0)
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func `a signal ends a scan in order, and the next one may begin`(signal: Int32) throws {
        let sandbox = try Sandbox(Self.provider)
        let asked = DispatchSemaphore(value: 0)
        let silence = try ScriptedHTTPServer { _ in
            asked.signal()
            return [.stall]
        }
        #expect(try sandbox.addTracker(url: silence.origin).status == 0)
        let scan = try sandbox.start("preloop-sync", ["scan", "all"])
        asked.wait()
        scan.signal(signal)
        let result = try scan.wait()
        #expect(result.status == 130)
        #expect(result.errors.contains("the scan was stopped"))
        let status = try sandbox.run("preloop-sync", "status", "--json")
        #expect(try status.json["scanning"] == .null)
    }

    @Test func `the status tells what of each project waits to be indexed`() throws {
        let sandbox = try Sandbox(Self.provider)
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/corpus.jsonl"
        let lines = [("a", 1), ("b", 1), ("b", 2)].map { source, number in
            #"{"id":"\#(source)-\#(number)","source":"\#(source)","title":"t","body":"b"}"#
        }
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: file))
        // The provider does not answer: nothing is indexed.
        #expect(try sandbox.preloop("index", "import", "--jsonl", file).status == 1)
        let status = try sandbox.run("preloop-sync", "status", "--json").json
        #expect(status["backlog"] == 3)
        #expect(status["projects"]?.array?.map { $0["backlog"] } == [1, 2])
        let text = try sandbox.run("preloop-sync", "status").output
        #expect(text.contains("TO INDEX"))
        #expect(text.contains("3 texts waiting to be indexed"))
    }

    @Test func `a scan stopped while it only indexes says so`() throws {
        let sandbox = try Sandbox(Self.provider)
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/corpus.jsonl"
        let line = #"{"id":"a-1","source":"a","title":"t","body":"b"}"#
        try Data(line.utf8).write(to: URL(fileURLWithPath: file))
        #expect(try sandbox.preloop("index", "import", "--jsonl", file).status == 1)
        let asked = DispatchSemaphore(value: 0)
        let silence = try ScriptedHTTPServer { _ in
            asked.signal()
            return [.stall]
        }
        let scan = try sandbox.start(
            "preloop-sync",
            ["scan", "all", "--json"],
            environment: ["PRELOOP_EMBEDDING_URL": silence.origin]
        )
        asked.wait()
        scan.signal(SIGINT)
        let result = try scan.wait()
        #expect(result.status == 130)
        #expect(try result.json["cancelled"] == true)
        #expect(try result.json["complete"] == false)
    }

    @Test func `a wrong key ends with 4, names the tracker and says what to do`() throws {
        let sandbox = try Sandbox(
            Self.provider.merging(["SECRET_KEY": "a key of this test"]) { $1 }
        )
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:1").status == 0)
        let result = try sandbox.run(
            "preloop-sync",
            "scan",
            "all",
            environment: ["SECRET_KEY": "another key of this test"]
        )
        #expect(result.status == 4)
        #expect(result.errors.contains("gh"))
        #expect(result.errors.contains("secret.key or SECRET_KEY"))
    }

    /// The status showed no failure, for only workers kept one.
    @Test func `a scan that failed is told by the status until one succeeds`() throws {
        let sandbox = try Sandbox(Self.provider)
        let gate = Mutex(true)
        let service = try ScriptedHTTPServer { request in
            guard gate.withLock({ $0 }) else {
                let isUser = request.target.hasSuffix("/user")
                return [.answer(text: isUser ? #"{"login":"ann"}"# : "[]")]
            }
            return [.answer(401, text: #"{"message":"Bad credentials"}"#)]
        }
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        func tracker() throws -> JSONValue? {
            try sandbox.run("preloop-sync", "status", "--json").json["trackers"]?[0]
        }
        for failures in 1...2 {
            #expect(try sandbox.run("preloop-sync", "scan", "all").status == 4)
            #expect(try tracker()?["failures"] == .integer(Int64(failures)))
        }
        // What would be read is no success.
        _ = try sandbox.run("preloop-sync", "scan", "all", "--dry-run")
        let reason = try #require(try tracker()?["last_error"]?.string)
        #expect(!reason.isEmpty)
        let text = try sandbox.run("preloop-sync", "status").output
        #expect(text.contains("gh: the last 2 scans failed ("), "\(text)")
        #expect(text.contains(reason.prefix(40)), "\(text)")
        gate.withLock { $0 = false }
        let scanned = try sandbox.run("preloop-sync", "scan", "all")
        #expect(scanned.status == 0, "\(scanned.errors)")
        #expect(try tracker()?["failures"] == 0)
        #expect(try tracker()?["last_error"] == .null)
        #expect(try !sandbox.run("preloop-sync", "status").output.contains("failed"))
    }

    @Test func `a missing scope ends with 7 and is named`() throws {
        let sandbox = try Sandbox(Self.provider)
        let service = try ScriptedHTTPServer { request in
            guard request.target.hasSuffix("/user") else {
                return [
                    .answer(
                        403,
                        headers: [
                            ("X-Accepted-OAuth-Scopes", "repo"), ("X-OAuth-Scopes", "gist"),
                        ],
                        text: #"{"message":"Forbidden"}"#
                    )
                ]
            }
            return [.answer(text: #"{"login":"ann"}"#)]
        }
        let added = try sandbox.addTracker(url: service.origin)
        #expect(added.status == 0)
        let result = try sandbox.run("preloop-sync", "scan", "all", "--json")
        #expect(result.status == 7)
        #expect(result.errors.contains("gh: the token may not do this"))
        #expect(result.errors.contains("to do: give the token the scope `repo`"))
        let hints = try result.json["trackers"]?[0]?["hints"]
        #expect(hints == ["give the token the scope `repo`"])
    }
}
