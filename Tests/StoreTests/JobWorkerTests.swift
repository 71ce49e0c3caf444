import Domain
import StoreTestSupport
import Synchronization
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(5)))
struct JobWorkerTests {
    private static let kind = JobKind("letter")

    private struct Refusal: Error {}

    private func enqueue(_ store: Store, _ count: Int, maximumAttempts: Int = 8) async throws {
        for number in 0..<count {
            try await store.enqueue(
                Job.Draft(
                    Self.kind,
                    payload: ["number": .integer(Int64(number))],
                    now: store.clock.now(),
                    maximumAttempts: maximumAttempts
                )
            )
        }
    }

    private func states(_ store: Store) async throws -> [Job.State: Int] {
        let counts = try await store.read { connection, account in
            try JobTable.counts(account: account, on: connection)
        }
        return Dictionary(counts.map { ($0.state, $0.count) }, uniquingKeysWith: +)
    }

    /// Runs a worker until `condition` holds, then stops it and waits for its end.
    private func run(_ worker: JobWorker, until condition: () async throws -> Bool) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test(arguments: Engine.all)
    func `jobs are run side by side, not more than there are places, and end`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        try await enqueue(store, 9)
        let running = Mutex((now: 0, most: 0, total: 0))
        var configuration = JobWorker.Configuration()
        configuration.concurrency = 3
        let worker = JobWorker(
            store,
            handlers: [
                Self.kind: { _ in
                    running.withLock { state in
                        state.now += 1
                        state.total += 1
                        state.most = max(state.most, state.now)
                    }
                    try await Task.sleep(for: .milliseconds(50))
                    running.withLock { $0.now -= 1 }
                    return .done
                }
            ],
            configuration: configuration
        )
        try await run(worker) { try await states(store) == [.done: 9] }
        running.withLock { state in
            #expect(state.total == 9)
            #expect(state.most <= 3)
        }
    }

    @Test(arguments: Engine.all)
    func `a job enqueued by another process is begun without a restart`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let other = try await Store.open(scratch.database.connect())
        let worker = JobWorker(scratch.store, handlers: [Self.kind: { _ in .done }])
        try await run(worker) {
            if try await states(other).isEmpty { try await enqueue(other, 1) }
            return try await states(other) == [.done: 1]
        }
        try await other.database.close()
    }

    @Test(arguments: Engine.all)
    func `what fails is tried again until its attempts are used up`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        try await enqueue(store, 1, maximumAttempts: 3)
        let tries = Mutex(0)
        var configuration = JobWorker.Configuration()
        configuration.backoff.first = .milliseconds(20)
        let worker = JobWorker(
            store,
            handlers: [
                Self.kind: { _ in
                    tries.withLock { $0 += 1 }
                    throw Refusal()
                }
            ],
            configuration: configuration
        )
        try await run(worker) { try await states(store) == [.dead: 1] }
        #expect(tries.withLock { $0 } == 3)
        let dead = try await store.read { connection, account in
            try JobTable.list(.dead, limit: 2, account: account, on: connection)
        }
        #expect(dead.first?.lastError == "Refusal()")
    }

    @Test(arguments: Engine.all)
    func `a worker that is stopped gives back what it runs, and no attempt is lost`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        try await enqueue(store, 1, maximumAttempts: 1)
        let worker = JobWorker(
            store,
            handlers: [
                Self.kind: { _ in
                    try await Task.sleep(for: .seconds(3_600))
                    return .done
                }
            ]
        )
        try await run(worker) { try await states(store) == [.running: 1] }
        #expect(try await states(store) == [.waiting: 1])
        let next = JobWorker(store, handlers: [Self.kind: { _ in .done }])
        #expect(try await next.drain() == 1)
        #expect(try await states(store) == [.done: 1])
    }

    @Test(arguments: Engine.all)
    func `a job taken over by another worker is cancelled and its end not written`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        try await enqueue(store, 1)
        var configuration = JobWorker.Configuration()
        configuration.renewal = .milliseconds(50)
        let losses = Mutex(0)
        let worker = JobWorker(
            store,
            handlers: [
                Self.kind: { _ in
                    try await Task.sleep(for: .seconds(3_600))
                    return .done
                }
            ],
            configuration: configuration,
            report: { event in
                if case .lost = event { losses.withLock { $0 += 1 } }
            }
        )
        let thief = LeaseHolder(
            host: "other",
            bootID: "boot",
            namespace: "pid:[1]",
            processID: 1,
            startTicks: 1
        )
        var isTaken = false
        try await run(worker) {
            if !isTaken, try await states(store) == [.running: 1] {
                let later = store.clock.now().advanced(by: configuration.lease)
                let stolen = try await store.claim(
                    JobTable.ClaimRequest(
                        [Self.kind],
                        limit: 1,
                        holder: thief,
                        lease: configuration.lease,
                        now: later
                    )
                )
                isTaken = !stolen.isEmpty
            }
            return losses.withLock { $0 } == 1
        }
        let running = try await store.read { connection, account in
            try JobTable.list(.running, limit: 2, account: account, on: connection)
        }
        #expect(running.first?.holder == thief)
    }

    @Test(arguments: Engine.all)
    func `what is not to be done yet waits, and what never can be is dead`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        try await enqueue(store, 2)
        let worker = JobWorker(
            store,
            handlers: [
                Self.kind: { claim in
                    claim.job.payload["number"]?.integer == 0
                        ? .later(.seconds(3_600), reason: "busy") : .hopeless("nonsense")
                }
            ]
        )
        #expect(try await worker.drain() == 2)
        #expect(try await states(store) == [.waiting: 1, .dead: 1])
    }
}
