import Bootstrap
import Domain
import Foundation
import Glibc
import HTTPClient
import Store
import Sync
import TestSupport
import Testing

/// Programs that run on and on, and several of them at once.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct ServiceTests {
    private func counts(_ store: Store) async throws -> [Job.State: Int] {
        let counts = try await store.read { connection, account in
            try JobTable.counts(account: account, on: connection)
        }
        return Dictionary(counts.map { ($0.state, $0.count) }, uniquingKeysWith: +)
    }

    @Test func `a scheduler and two workers scan every tracker, and status tells when next`()
        async throws
    {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let plain = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
        defer { plain.remove() }
        #expect(try plain.sandbox.run("preloop-sync", "scan", "all", "--quiet").status == 0)
        let indexed = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
        defer { indexed.remove() }
        let sandbox = indexed.sandbox
        let updated = try sandbox.preloop("trackers", "update", "github", "--interval", "6h")
        #expect(updated.status == 0, "\(updated.errors)")
        let store = try await sandbox.store()
        let programs = [
            try sandbox.start("preloop-sync", ["worker"]),
            try sandbox.start("preloop-sync", ["worker", "--jobs", "1"]),
            try sandbox.start("preloop-sync", ["scheduler", "--interval", "1h"]),
        ]
        while try await counts(store) != [.done: 2] {
            let areRunning = programs.allSatisfy { $0.isRunning }
            try #require(areRunning)
            try await Task.sleep(for: .milliseconds(50))
        }
        let status = try sandbox.run("preloop-sync", "status", "--json").json
        #expect(status["scheduler"]?.string?.contains("process") == true)
        let trackers = status["trackers"]?.array ?? []
        #expect(trackers.count == 2)
        for tracker in trackers {
            #expect(tracker["failures"] == 0)
            #expect(tracker["next_scan_at"]?.string != nil)
            let interval: JSONValue = tracker["name"] == "github" ? 21_600 : .null
            #expect(tracker["interval_s"] == interval)
        }
        for program in programs { program.signal(SIGTERM) }
        for program in programs {
            let result = try program.wait()
            #expect(result.status == 0, "\(result.errors)")
        }
        #expect(try indexed.export() == plain.export())
        let verified = try sandbox.preloop("index", "verify")
        #expect(verified.status == 0, "\(verified.errors)")
        let text = try sandbox.run("preloop-sync", "status").output
        #expect(text.contains("NEXT SCAN"))
        #expect(text.contains("No scheduler is at work."))
    }

    @Test func `a worker that is stopped gives its scan back, and the next goes on`() async throws {
        let relay = try HoldingRelay()
        defer { relay.stop() }
        let fake = try await relay.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let indexed = try IndexedSandbox.connected(at: relay.origin, ["github"])
        defer { indexed.remove() }
        let sandbox = indexed.sandbox
        let store = try await sandbox.store()
        try await ScanScheduler(store).enqueueDue()
        relay.hold(at: "/issues")
        let worker = try sandbox.start("preloop-sync", ["worker"])
        try await waitUntilHeld(relay, worker)
        worker.signal(SIGTERM)
        let ended = try worker.wait()
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try await counts(store) == [.waiting: 1])
        relay.release()
        #expect(try sandbox.run("preloop-sync", "worker", "--once").status == 0)
        #expect(try await counts(store) == [.done: 1])
        let status = try sandbox.run("preloop-sync", "status", "--json").json
        #expect(status["trackers"]?.array?.first?["failures"] == 0)
    }

    @Test func `a worker that finds nothing to do says so`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let worker = try sandbox.run("preloop-sync", "worker", "--once")
        #expect(worker.status == 0 && worker.output.isEmpty)
        #expect(worker.errors.hasSuffix(" nothing is due\n"), "\(worker.errors)")
        #expect(worker.errors.split(separator: "\n").count == 1)
    }

    @Test func `a tracker that fails is asked less often, and status says why`() async throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        let sandbox = indexed.sandbox
        #expect(try sandbox.preloop("init").status == 0)
        let refusing = try ScriptedHTTPServer { _ in
            [.send(Array("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}".utf8))]
        }
        let added = try sandbox.start(
            "preloop",
            [
                "trackers", "add", "github", "--name", "gh", "--token-env", "TOKEN", "--url",
                refusing.origin, "--no-test",
            ],
            environment: ["TOKEN": "t"]
        ).wait()
        #expect(added.status == 0, "\(added.errors)")
        let store = try await sandbox.store()
        for failures in 1...2 {
            try await store.enqueue(
                ScanJob(tracker: try await tracker(store)).draft(now: store.clock.now())
            )
            #expect(try sandbox.run("preloop-sync", "worker", "--once").status == 0)
            let status = try sandbox.run("preloop-sync", "status", "--json").json
            let tracker = status["trackers"]?.array?.first
            #expect(tracker?["failures"] == .integer(Int64(failures)))
            #expect(tracker?["last_error"]?.string?.isEmpty == false)
        }
    }

    /// Takes a job from its worker with the first request, and refuses every one.
    private struct Thief: HTTPTransport {
        let store: Store

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            let later = store.clock.now().advanced(by: .seconds(120))
            do {
                _ = try await store.claim(ServiceTests.request(at: later))
            } catch {
                Issue.record(error)
            }
            let body = Array("{}".utf8)
            return HTTPResponse(
                status: 401,
                headers: HTTPHeaders(),
                body: body,
                effectiveURL: request.url
            )
        }
    }

    private static func request(at now: Timestamp) -> JobTable.ClaimRequest {
        JobTable.ClaimRequest(
            [.scan],
            limit: 1,
            holder: .task(),
            lease: .seconds(60),
            now: now
        )
    }

    /// The schedule is the successor's: without looking whether the job was still its own, a worker
    /// that was taken for dead counted a failure that nobody had.
    @Test func `a worker that lost its scan leaves the schedule alone`() async throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        let sandbox = indexed.sandbox
        #expect(try sandbox.preloop("init").status == 0)
        let added = try sandbox.start(
            "preloop",
            [
                "trackers", "add", "github", "--name", "gh", "--token-env", "TOKEN", "--url",
                "http://127.0.0.1:1", "--no-test",
            ],
            environment: ["TOKEN": "t"]
        ).wait()
        #expect(added.status == 0, "\(added.errors)")
        let installation = try await Installation.open(Settings(environment: sandbox.environment))
        let store = installation.store
        let job = ScanJob(tracker: try await tracker(store))
        try await store.enqueue(job.draft(now: store.clock.now()))
        let claimed = try await store.claim(Self.request(at: store.clock.now()))
        let claim = try #require(claimed.first)
        let scans = ScanJobs(installation, transport: Thief(store: store))
        await #expect(throws: StoreError.leaseLost(name: "scan \(claim.job.id)")) {
            _ = try await scans.run(claim)
        }
        let schedule = try await store.read { connection, account in
            try ScanScheduleTable.list(account: account, on: connection).first
        }
        #expect(schedule?.failures == 0)
        #expect(schedule?.lastEndedAt == nil)
        try await installation.close()
    }

    private func tracker(_ store: Store) async throws -> TrackerID {
        try await store.read { connection, account in
            try TrackerTable.list(account: account, on: connection).first?.id ?? TrackerID(0)
        }
    }

    @Test func `a scan that was stopped past its lease writes nothing when it goes on`()
        async throws
    {
        let relay = try HoldingRelay()
        defer { relay.stop() }
        let fake = try await relay.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let plain = try IndexedSandbox.connected(at: relay.origin, ["github"])
        defer { plain.remove() }
        #expect(try plain.sandbox.run("preloop-sync", "scan", "all", "--quiet").status == 0)
        let indexed = try IndexedSandbox.connected(at: relay.origin, ["github"])
        defer { indexed.remove() }
        let sandbox = indexed.sandbox
        let store = try await sandbox.store()
        relay.hold(at: "/issues")
        let scan = try sandbox.start("preloop-sync", ["scan", "all", "--quiet"])
        try await waitUntilHeld(relay, scan)
        // Another process finds the leases expired, and has scanned meanwhile.
        let names = [ScanRunner.leaseName(of: try await tracker(store)), "index"]
        let leases = try await steal(names, from: scan, in: store)
        // A server may still have to do what it was sent before.
        try await Task.sleep(for: .seconds(2))
        let before = try await DatabaseStatus.read(store.database).rows
        scan.signal(SIGCONT)
        relay.release()
        let result = try scan.wait()
        #expect(result.status == 75, "\(result.errors)")
        // By a write, or by the renewal of the lease, whichever comes first.
        let reasons = ["taken over", "being done by process 7 on elsewhere"]
        #expect(reasons.contains { result.errors.contains($0) }, "\(result.errors)")
        #expect(try await DatabaseStatus.read(store.database).rows == before)
        try await store.write { connection, account in
            for lease in leases {
                try LeaseTable.release(lease, account: account, on: connection)
            }
        }
        #expect(try sandbox.run("preloop-sync", "scan", "all", "--quiet").status == 0)
        #expect(try indexed.export() == plain.export())
    }

    /// Until a program waits for an answer that is held.
    private func waitUntilHeld(_ relay: HoldingRelay, _ program: RunningProgram) async throws {
        while relay.heldCount == 0 {
            try #require(program.isRunning)
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Stops a scan and takes its leases, as another process does when they have expired.
    private func steal(
        _ names: [String],
        from scan: RunningProgram,
        in store: Store
    ) async throws -> [Lease] {
        let thief = LeaseHolder(
            host: "elsewhere",
            bootID: "other",
            namespace: "pid:[1]",
            processID: 7,
            startTicks: 1
        )
        for attempt in 1... {
            scan.signal(SIGSTOP)
            try #require(scan.isRunning)
            let later = store.clock.now().advanced(by: .seconds(120))
            do {
                return try await store.writeOutsideFeed { connection, account in
                    try names.map { name in
                        try LeaseTable.acquire(
                            name,
                            holder: thief,
                            duration: .seconds(60),
                            now: later,
                            account: account,
                            on: connection
                        )
                    }
                }
            } catch StoreError.busy where attempt < 10 {
                // It was stopped within a transaction, which has to end first.
                scan.signal(SIGCONT)
                try await Task.sleep(for: .milliseconds(70 * attempt))
            }
        }
        return []
    }

    @Test func `scans of different trackers run at once, and what they read is indexed`()
        async throws
    {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let plain = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
        defer { plain.remove() }
        #expect(try plain.sandbox.run("preloop-sync", "scan", "all", "--quiet").status == 0)
        let indexed = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
        defer { indexed.remove() }
        let scans = try ["github", "gitlab"].map { name in
            try indexed.sandbox.start("preloop-sync", ["scan", "tracker", name, "--quiet"])
        }
        for scan in scans {
            let result = try scan.wait()
            #expect(result.status == 0, "\(result.errors)")
        }
        #expect(try indexed.export() == plain.export())
        let verified = try indexed.sandbox.preloop("index", "verify")
        #expect(verified.status == 0, "\(verified.errors)")
    }
}
