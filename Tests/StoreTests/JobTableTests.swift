import Dispatch
import Domain
import StoreTestSupport
import Testing

@testable import Store

struct JobTableTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)
    private static let kind = JobKind("letter")
    private static let minute = Duration.seconds(60)

    private static func holder(_ processID: Int32) -> LeaseHolder {
        LeaseHolder(
            host: "host",
            bootID: "boot",
            namespace: "pid:[1]",
            processID: processID,
            startTicks: 7
        )
    }

    private static func after(_ seconds: Int) -> Timestamp {
        start.advanced(by: .seconds(seconds))
    }

    private func enqueue(
        _ store: Store,
        _ text: String,
        _ uniqueness: Job.Uniqueness = .none,
        dueAt: Timestamp = start,
        maximumAttempts: Int = 8
    ) async throws -> Bool {
        try await store.enqueue(
            Job.Draft(
                Self.kind,
                payload: ["text": .string(text)],
                uniqueness: uniqueness,
                now: Self.start,
                dueAt: dueAt,
                maximumAttempts: maximumAttempts
            )
        )
    }

    private func claim(
        _ store: Store,
        _ limit: Int = 1,
        by processID: Int32 = 1,
        at now: Timestamp = start,
        isDead: Bool = false
    ) async throws -> [ClaimedJob] {
        let request = JobTable.ClaimRequest(
            [Self.kind, JobKind("other")],
            limit: limit,
            holder: Self.holder(processID),
            lease: Self.minute,
            now: now
        )
        return try await store.writeOutsideFeed { connection, account in
            try JobTable.claim(
                request,
                isDead: { _ in isDead },
                account: account,
                on: connection
            )
        }
    }

    private func jobs(_ store: Store, _ state: Job.State) async throws -> [Job] {
        try await store.read { connection, account in
            try JobTable.list(state, limit: 1_000, account: account, on: connection)
        }
    }

    private func text(_ job: Job) -> String? { job.payload["text"]?.string }

    @Test(arguments: Engine.all)
    func `jobs are claimed once, the longest due first, and none before its time`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store(clock: WallClock { Self.start })
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "late", dueAt: Self.after(2)))
        #expect(try await enqueue(store, "early", dueAt: Self.after(1)))
        #expect(try await enqueue(store, "future", dueAt: Self.after(100)))
        #expect(try await claim(store, 10).isEmpty)
        let claimed = try await claim(store, 10, at: Self.after(2))
        #expect(claimed.map { text($0.job) } == ["early", "late"])
        #expect(claimed.allSatisfy { $0.job.attempts == 1 && $0.job.state == .running })
        #expect(try await claim(store, 10, by: 2, at: Self.after(3)).isEmpty)
        let next = try await store.read { connection, account in
            try JobTable.nextDue(of: [Self.kind], account: account, on: connection)
        }
        #expect(next == Self.after(100))
        try await store.end(claimed[0], .done)
        let done = try await jobs(store, .done)
        #expect(done.map { text($0) } == ["early"])
        #expect(done.first?.endedAt == Self.start)
        #expect(done.first?.holder == nil)
    }

    @Test(arguments: Engine.all)
    func `a job of a kind nobody asked for is left alone`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        try await store.enqueue(Job.Draft(JobKind("strange"), now: Self.start))
        #expect(try await claim(store, 10).isEmpty)
    }

    @Test(arguments: Engine.all)
    func `what is asked for again collapses while it waits and not while it runs`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "1", .whileWaiting("k"), dueAt: Self.after(50)))
        #expect(try await !enqueue(store, "2", .whileWaiting("k"), dueAt: Self.after(5)))
        #expect(try await !enqueue(store, "3", .whileWaiting("k"), dueAt: Self.after(90)))
        #expect(try await enqueue(store, "4", .whileWaiting("other"), dueAt: Self.after(90)))
        let first = try await claim(store, at: Self.after(5))
        #expect(first.map { text($0.job) } == ["1"], "the earlier due time counts")
        #expect(try await enqueue(store, "5", .whileWaiting("k"), dueAt: Self.after(6)))
        // Back in the queue it meets the newcomer: one is left, with the failures of both.
        try await store.end(first[0], .failed(error: "no", retryAt: Self.after(40)))
        #expect(try await claim(store, at: Self.after(39)).isEmpty)
        let second = try await claim(store, 9, at: Self.after(40))
        #expect(second.map { text($0.job) } == ["5"])
        #expect(second.first?.job.attempts == 2)
        #expect(second.first?.job.lastError == "no")
    }

    @Test(arguments: Engine.all)
    func `a delivery is taken once, however often it comes`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "1", .whileKept("delivery")))
        #expect(try await !enqueue(store, "2", .whileKept("delivery")))
        let claimed = try await claim(store)
        try await store.end(claimed[0], .done)
        #expect(try await !enqueue(store, "3", .whileKept("delivery")))
        #expect(try await claim(store).isEmpty)
    }

    @Test(arguments: Engine.all)
    func `a worker that was taken for dead can write nothing of its job`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "a"))
        let first = try await claim(store)[0]
        #expect(try await claim(store, by: 2, at: Self.after(59)).isEmpty)
        let second = try await claim(store, by: 2, at: Self.after(60))[0]
        #expect(second.fence > first.fence)
        #expect(second.job.attempts == 2)
        let lost = StoreError.leaseLost(name: "letter \(first.job.id)")
        for ending: JobEnding in [
            .done, .failed(error: "x", retryAt: Self.start), .hopeless(error: "x"),
            .givenBack(reason: nil, until: Self.start),
        ] {
            await #expect(throws: lost) { try await store.end(first, ending) }
        }
        await #expect(throws: lost) {
            try await store.writeOutsideFeed { connection, account in
                try JobTable.verify(first, account: account, on: connection)
            }
        }
        await #expect(throws: lost) {
            try await store.writeOutsideFeed { connection, account in
                try JobTable.extend(
                    first,
                    lease: Self.minute,
                    now: Self.after(61),
                    account: account,
                    on: connection
                )
            }
        }
        try await store.writeOutsideFeed { connection, account in
            try JobTable.verify(second, account: account, on: connection)
        }
        try await store.end(second, .done)
    }

    @Test(arguments: Engine.all)
    func `a job whose worker died is free at once, and dead when that was its last attempt`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "a", maximumAttempts: 2))
        _ = try await claim(store)
        let second = try await claim(store, by: 2, isDead: true)
        #expect(second.first?.job.attempts == 2)
        #expect(try await claim(store, by: 3, isDead: true).isEmpty)
        let dead = try await jobs(store, .dead)
        #expect(dead.first?.lastError == "its worker was lost 2 times")
    }

    @Test(arguments: Engine.all)
    func `a lease whose end is a day away was given by a wrong clock and holds nobody up`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "a"))
        #expect(try await claim(store, by: 1, at: Self.after(86_400)).count == 1)
        #expect(try await claim(store, by: 2, at: Self.start).count == 1)
    }

    @Test(arguments: Engine.all)
    func `a job that fails too often is dead until it is revived`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "a", maximumAttempts: 2))
        for attempt in 1...2 {
            let claimed = try await claim(store)[0]
            #expect(claimed.job.attempts == attempt)
            try await store.end(claimed, .failed(error: "error \(attempt)", retryAt: Self.start))
        }
        #expect(try await claim(store).isEmpty)
        let dead = try await jobs(store, .dead)
        #expect(dead.map(\.lastError) == ["error 2"])
        let isRevived = try await store.writeOutsideFeed { connection, account in
            try JobTable.revive(dead[0].id, now: Self.start, account: account, on: connection)
        }
        #expect(isRevived)
        #expect(try await claim(store).first?.job.attempts == 1)
    }

    @Test(arguments: Engine.all)
    func `a job that is given back has lost no attempt`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        #expect(try await enqueue(store, "a", maximumAttempts: 1))
        let claimed = try await claim(store)[0]
        try await store.end(claimed, .givenBack(reason: "not now", until: Self.after(9)))
        #expect(try await claim(store, at: Self.after(8)).isEmpty)
        let again = try await claim(store, at: Self.after(9))
        #expect(again.first?.job.attempts == 1)
        #expect(again.first?.job.lastError == "not now")
    }

    @Test(arguments: Engine.all)
    func `workers at once never get the same job`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let store = scratch.store
        for number in 0..<60 { _ = try await enqueue(store, "\(number)") }
        let all = try await withThrowingTaskGroup(of: [String].self) { group in
            for worker in 1...4 {
                group.addTask {
                    let mine = try await Store.open(scratch.database.connect())
                    var ids: [String] = []
                    while case let jobs = try await claim(mine, 3, by: Int32(worker)),
                        !jobs.isEmpty
                    {
                        ids += jobs.map(\.job.id)
                    }
                    try await mine.database.close()
                    return ids
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(all.count == 60)
        #expect(Set(all).count == 60)
    }

    @Test(arguments: Engine.all)
    func `a payload beyond the limit is refused`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        let text = String(repeating: "x", count: JobTable.maximumPayloadBytes)
        await #expect(throws: StoreError.self) { try await enqueue(store, text) }
        let counts = try await store.read { connection, account in
            try JobTable.counts(account: account, on: connection)
        }
        #expect(counts.isEmpty)
    }

    @Test(arguments: Engine.all)
    func `ended jobs are pruned when their time is over`(engine: Engine) async throws {
        let now = Self.start.advanced(by: JobRetention().done)
        let scratch = try await engine.store(clock: WallClock { Self.start })
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        for text in ["done", "dead", "waiting"] { _ = try await enqueue(store, text) }
        let claimed = try await claim(store, 2)
        try await store.end(claimed[0], .done)
        try await store.end(claimed[1], .hopeless(error: "never"))
        let prune = { (instant: Timestamp) in
            try await store.writeOutsideFeed { connection, account in
                try JobTable.prune(
                    doneBefore: instant.advanced(by: .zero - JobRetention().done),
                    deadBefore: instant.advanced(by: .zero - JobRetention().dead),
                    limit: 10,
                    account: account,
                    on: connection
                )
            }
        }
        #expect(try await prune(now) == 0)
        #expect(try await prune(now.advanced(by: .milliseconds(1))) == 1)
        let counts = try await store.read { connection, account in
            try JobTable.counts(account: account, on: connection)
        }
        #expect(
            counts == [
                JobCount(kind: Self.kind, state: .dead, count: 1),
                JobCount(kind: Self.kind, state: .waiting, count: 1),
            ]
        )
    }

    @Test(arguments: Engine.all)
    func `a collapsed job is not begun before what belongs to it can be seen`(
        engine: Engine
    ) async throws {
        // On SQLite the writer keeps everyone away; on PostgreSQL the row is locked and skipped.
        let scratch = try await engine.store()
        #expect(try await enqueue(scratch.store, "a", .whileWaiting("k")))
        guard engine == .postgres else { return }
        let store = scratch.store
        let other = try await Store.open(scratch.database.connect())
        let draft = Job.Draft(Self.kind, uniqueness: .whileWaiting("k"), now: Self.start)
        let (reached, reach) = AsyncStream.makeStream(of: Void.self)
        let gate = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await store.writeOutsideFeed { connection, account in
                    try JobTable.enqueue(draft, account: account, on: connection)
                    reach.yield()
                    gate.wait()
                }
            }
            for await _ in reached { break }
            #expect(try await claim(other).isEmpty)
            gate.signal()
            try await group.waitForAll()
        }
        #expect(try await claim(other).count == 1)
        try await other.database.close()
    }

    /// It waited for whoever was claiming, and with it every delivery that came meanwhile.
    @Test(.enabled(if: Engine.all.contains(.postgres), "SQLite has one writer"))
    func `many jobs are added without waiting for one that is being claimed`() async throws {
        let scratch = try await Engine.postgres.store()
        #expect(try await enqueue(scratch.store, "a", .whileWaiting("k")))
        let other = try await Store.open(
            scratch.database.connect { $0.lockTimeout = .milliseconds(100) }
        )
        let request = JobTable.ClaimRequest(
            [Self.kind],
            limit: 1,
            holder: Self.holder(1),
            lease: Self.minute,
            now: Self.start
        )
        let drafts = ["j", "k"].map { key in
            Job.Draft(Self.kind, uniqueness: .whileWaiting(key), now: Self.start)
        }
        let store = scratch.store
        let (reached, reach) = AsyncStream.makeStream(of: Void.self)
        let gate = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await store.writeOutsideFeed { connection, account in
                    // Also when it fails: then nobody is waited for.
                    defer { reach.yield() }
                    let claimed = try JobTable.claim(
                        request,
                        isDead: { _ in false },
                        account: account,
                        on: connection
                    )
                    #expect(claimed.count == 1)
                    reach.yield()
                    gate.wait()
                }
            }
            for await _ in reached { break }
            var failure: (any Error)?
            do {
                try await other.writeOutsideFeed { connection, account in
                    try connection.execute(batch: [
                        JobTable.addition(of: drafts, account: account)
                    ])
                }
            } catch {
                failure = error
            }
            gate.signal()
            try await group.waitForAll()
            if let failure { throw failure }
        }
        // The one that was being claimed does the work of its key.
        #expect(try await jobs(store, .waiting).count == 1)
        #expect(try await jobs(store, .running).count == 1)
        // What runs may have missed it.
        try await store.writeOutsideFeed { connection, account in
            try connection.execute(batch: [JobTable.addition(of: drafts, account: account)])
        }
        #expect(try await jobs(store, .waiting).count == 2)
        try await other.database.close()
    }

    @Test func `the pause doubles up to an hour, half of it chance`() {
        let backoff = JobBackoff()
        #expect(backoff.pause(after: 1, chance: 1) == .seconds(30))
        #expect(backoff.pause(after: 1, chance: 0) == .seconds(15))
        #expect(backoff.pause(after: 4, chance: 1) == .seconds(240))
        #expect(backoff.pause(after: 1_000, chance: 1) == .seconds(3_600))
    }

    @Test(arguments: Engine.all)
    func `those that wait under keys of one beginning are taken away, and no others`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        for key in ["a/1", "a/2/x", "a", "ab/1", "a0", "b/1"] {
            let dueAt = Self.after(key == "a/1" ? -1 : 0)
            _ = try await enqueue(store, key, .whileKept(key), dueAt: dueAt)
        }
        _ = try await enqueue(store, "no key")
        // What is running is its worker's.
        let running = try await claim(store)
        #expect(running.map { text($0.job) } == ["a/1"])
        try await store.writeOutsideFeed { connection, account in
            for kind in [Self.kind, JobKind("other")] {
                try JobTable.discard(
                    kind,
                    keysBeginning: "a/",
                    account: account,
                    on: connection
                )
            }
        }
        let left = try await jobs(store, .waiting).compactMap(text)
        #expect(Set(left) == ["a", "ab/1", "a0", "b/1", "no key"])
        #expect(try await jobs(store, .running).count == 1)
    }

    @Test(arguments: Engine.all)
    func `a job is lost when its lease has ended or its process is gone`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        _ = try await enqueue(store, "one")
        let waiting = try #require(try await jobs(store, .waiting).first)
        #expect(!waiting.isLost(at: Self.after(1_000)) { _ in true })
        _ = try await claim(store)
        let running = try #require(try await jobs(store, .running).first)
        #expect(running.leasedUntil == Self.after(60))
        #expect(!running.isLost(at: Self.after(59)) { _ in false })
        #expect(running.isLost(at: Self.after(59)) { _ in true })
        #expect(running.isLost(at: Self.after(60)) { _ in false })
        // An end further away than any was written by a wrong clock.
        #expect(running.isLost(at: Self.after(-1_000)) { _ in false })
    }
}
