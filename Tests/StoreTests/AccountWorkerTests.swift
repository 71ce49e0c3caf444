import Domain
import StoreTestSupport
import Synchronization
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(5)))
struct AccountWorkerTests {
    private static let kind = JobKind("letter")
    private static let ann = AccountID(2)
    private static let bob = AccountID(3)

    /// Notes whose jobs were run, in their order.
    private final class Runs: Sendable {
        private let state = Mutex<[AccountID]>([])
        var all: [AccountID] { state.withLock { $0 } }
        func add(_ account: AccountID) { state.withLock { $0.append(account) } }
    }

    /// A store with two accounts besides its own.
    private static func store(_ engine: Engine) async throws -> ScratchStore {
        let scratch = try await engine.store()
        let now = scratch.store.clock.now()
        try await scratch.store.database.write { connection in
            for account in [ann, bob] {
                try AccountTable.create(
                    account,
                    name: "account \(account)",
                    createdAt: now,
                    on: connection
                )
            }
        }
        return scratch
    }

    private static func enqueue(
        _ count: Int,
        in store: Store,
        _ account: AccountID
    ) async throws {
        let viewed = store.viewed(by: account)
        for _ in 0..<count {
            try await viewed.enqueue(
                Job.Draft(kind, payload: [:], now: store.clock.now(), maximumAttempts: 8)
            )
        }
    }

    private static func states(
        _ store: Store,
        _ account: AccountID
    ) async throws -> [Job.State: Int] {
        let counts = try await store.viewed(by: account).read { connection, account in
            try JobTable.counts(account: account, on: connection)
        }
        return Dictionary(counts.map { ($0.state, $0.count) }, uniquingKeysWith: +)
    }

    /// Runs workers until `condition` holds, then stops them and waits for their end.
    private func run(
        _ workers: [AccountWorker],
        until condition: () async throws -> Bool
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in workers { group.addTask { await worker.run() } }
            while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test(arguments: Engine.all)
    func `every account's jobs are run but those of accounts that others work for`(
        engine: Engine
    ) async throws {
        let scratch = try await Self.store(engine)
        defer { withExtendedLifetime(scratch) {} }
        let (store, runs) = (scratch.store, Runs())
        for account in [store.account, Self.ann, Self.bob] {
            try await Self.enqueue(6, in: store, account)
        }
        let worker = AccountWorker(
            store,
            kinds: [Self.kind],
            except: [store.account],
            handlers: { account in
                [
                    Self.kind: { _ in
                        runs.add(account)
                        return .done
                    }
                ]
            }
        )
        try await run([worker]) {
            // Also those that come while it works.
            let known = try await Self.states(store, Self.bob).values.reduce(0, +)
            if runs.all.count == 12, known == 6 { try await Self.enqueue(1, in: store, Self.bob) }
            guard try await Self.states(store, Self.bob) == [.done: 7] else { return false }
            return try await Self.states(store, Self.ann) == [.done: 6]
        }
        #expect(runs.all.count { $0 == Self.ann } == 6)
        #expect(runs.all.count { $0 == Self.bob } == 7)
        #expect(try await Self.states(store, store.account) == [.waiting: 6])
    }

    @Test(arguments: Engine.all)
    func `what is due of every account is run, and what others run is left`(
        engine: Engine
    ) async throws {
        let scratch = try await Self.store(engine)
        defer { withExtendedLifetime(scratch) {} }
        let (store, runs) = (scratch.store, Runs())
        for account in [store.account, Self.ann, Self.bob] {
            try await Self.enqueue(6, in: store, account)
        }
        // One is another worker's, which lives.
        _ = try await store.viewed(by: Self.bob).claim(
            JobTable.ClaimRequest(
                [Self.kind],
                limit: 1,
                holder: .current(),
                lease: .seconds(60),
                now: store.clock.now()
            )
        )
        let worker = AccountWorker(
            store,
            kinds: [Self.kind],
            except: [store.account],
            handlers: { account in
                [
                    Self.kind: { _ in
                        runs.add(account)
                        return .done
                    }
                ]
            }
        )
        #expect(try await worker.drain() == 11)
        #expect(runs.all.count { $0 == Self.ann } == 6)
        #expect(try await Self.states(store, Self.bob) == [.done: 5, .running: 1])
        #expect(try await Self.states(store, store.account) == [.waiting: 6])
        #expect(try await worker.drain() == 0)
    }

    @Test(arguments: Engine.all)
    func `an account with many jobs keeps no other one waiting`(engine: Engine) async throws {
        let scratch = try await Self.store(engine)
        defer { withExtendedLifetime(scratch) {} }
        let (store, runs) = (scratch.store, Runs())
        try await Self.enqueue(40, in: store, Self.ann)
        try await Self.enqueue(1, in: store, Self.bob)
        var configuration = AccountWorker.Configuration()
        configuration.accounts = 1
        configuration.jobs = 3
        configuration.page = 1
        let worker = AccountWorker(
            store,
            kinds: [Self.kind],
            configuration: configuration,
            handlers: { account in
                [
                    Self.kind: { _ in
                        runs.add(account)
                        return .done
                    }
                ]
            }
        )
        try await run([worker]) { runs.all.count == 41 }
        // One turn of the first account, then it was the second one's.
        #expect(runs.all.firstIndex(of: Self.bob) == 3, "\(runs.all)")
    }

    @Test(arguments: Engine.all)
    func `a slow account takes one place`(engine: Engine) async throws {
        let scratch = try await Self.store(engine)
        defer { withExtendedLifetime(scratch) {} }
        let (store, runs) = (scratch.store, Runs())
        try await Self.enqueue(4, in: store, Self.ann)
        try await Self.enqueue(4, in: store, Self.bob)
        var configuration = AccountWorker.Configuration()
        configuration.accounts = 2
        configuration.jobs = 1
        let worker = AccountWorker(
            store,
            kinds: [Self.kind],
            configuration: configuration,
            handlers: { account in
                [
                    Self.kind: { _ in
                        if account == Self.ann { try await Task.sleep(for: .seconds(3_600)) }
                        runs.add(account)
                        return .done
                    }
                ]
            }
        )
        try await run([worker]) { runs.all.count == 4 }
        #expect(runs.all == Array(repeating: Self.bob, count: 4))
        // What was under way is given back.
        #expect(try await Self.states(store, Self.ann) == [.waiting: 4])
    }

    @Test(arguments: Engine.all)
    func `two processes share the work and do nothing twice`(engine: Engine) async throws {
        let scratch = try await Self.store(engine)
        defer { withExtendedLifetime(scratch) {} }
        let (store, runs) = (scratch.store, Runs())
        let other = try await Store.open(scratch.database.connect())
        for account in [Self.ann, Self.bob] { try await Self.enqueue(25, in: store, account) }
        let workers = [store, other].map { store in
            AccountWorker(
                store,
                kinds: [Self.kind],
                handlers: { account in
                    [
                        Self.kind: { _ in
                            runs.add(account)
                            return .done
                        }
                    ]
                }
            )
        }
        try await run(workers) {
            guard try await Self.states(store, Self.bob) == [.done: 25] else { return false }
            return try await Self.states(store, Self.ann) == [.done: 25]
        }
        #expect(runs.all.count == 50)
        try await other.database.close()
    }
}
