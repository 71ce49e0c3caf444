import Domain
import Foundation
import StoreTestSupport
import Synchronization
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(5)))
struct FenceTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)

    private static func holder(_ processID: Int32) -> LeaseHolder {
        LeaseHolder(
            host: "host",
            bootID: "boot",
            namespace: "pid:[1]",
            processID: processID,
            startTicks: 7
        )
    }

    private func acquire(
        _ store: Store,
        by processID: Int32,
        at now: Timestamp
    ) async throws -> Lease {
        try await store.write { connection, account in
            try LeaseTable.acquire(
                "scan-1",
                holder: Self.holder(processID),
                duration: .seconds(60),
                now: now,
                account: account,
                on: connection
            )
        }
    }

    private func advance(_ store: Store, to revision: Int64) async throws {
        try await store.write { connection, account in
            try FollowerTable.advance(
                "f",
                to: Revision(revision),
                account: account,
                on: connection
            )
        }
    }

    private func place(_ store: Store) async throws -> Revision {
        try await store.read { connection, account in
            try FollowerTable.revision(of: "f", account: account, on: connection)
        }
    }

    @Test(arguments: Engine.all)
    func `a fenced store writes while the lease is held and nothing once it is lost`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        let fence = Fence("scan-1")
        let fenced = store.fenced(by: fence)
        let lost = StoreError.leaseLost(name: "scan-1")
        await #expect(throws: lost) { try await advance(fenced, to: 1) }
        fence.raise(try await acquire(store, by: 1, at: Self.start))
        try await advance(fenced, to: 2)
        _ = try await acquire(store, by: 2, at: Self.start.advanced(by: .seconds(61)))
        await #expect(throws: lost) { try await advance(fenced, to: 3) }
        await #expect(throws: lost) {
            try await fenced.writeOutsideFeed { connection, account in
                try FollowerTable.reset("f", account: account, on: connection)
            }
        }
        #expect(try await place(store) == Revision(2))
        // The store itself is not fenced.
        try await advance(store, to: 4)
    }

    @Test(arguments: Engine.all)
    func `a lease whose end is a day away was taken by a wrong clock and holds nobody up`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        let day = Self.start.advanced(by: .seconds(86_400))
        let first = try await acquire(store, by: 1, at: day)
        let holder = try await store.read { connection, account in
            try LeaseTable.holder(of: "scan", now: Self.start, account: account, on: connection)
        }
        #expect(holder == nil)
        let second = try await acquire(store, by: 2, at: Self.start)
        #expect(second.fence > first.fence)
        await #expect(throws: StoreError.leaseLost(name: "scan-1")) {
            try await advance(store.fenced(by: Fence(first)), to: 1)
        }
    }

    @Test(arguments: Engine.all)
    func `the holder of any lease of a family is told`(engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        _ = try await acquire(store, by: 1, at: Self.start)
        let holders = try await store.read { connection, account in
            try ["scan", "scan-1", "sca", "scan-12"].map { name in
                try LeaseTable.holder(
                    of: name,
                    now: Self.start,
                    isDead: { _ in false },
                    account: account,
                    on: connection
                )?.processID
            }
        }
        #expect(holders == [1, 1, nil, nil])
    }

    @Test(arguments: Engine.all)
    func `a keeper takes all leases or none, renews them, and gives them back`(
        engine: Engine
    ) async throws {
        let time = Mutex(Self.start)
        let scratch = try await engine.store(clock: WallClock { time.withLock { $0 } })
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        var times = LeaseKeeper.Times()
        times.duration = .seconds(60)
        times.renewal = .milliseconds(20)
        let keeper = LeaseKeeper(store, holder: .task(), times: times)
        let other = LeaseKeeper(store, holder: .task(), times: times)
        try await keeper.hold(["b"]) { _ in
            await #expect(throws: StoreError.self) {
                try await other.hold(["a", "b"]) { _ in }
            }
            await #expect(throws: StoreError.self) {
                try await other.hold([], unlessHeld: ["b"]) { _ in }
            }
            try await other.hold(["a"]) { _ in }
            // Shortly before the end of a lease that is not renewed, and then past it.
            time.withLock { $0 = Self.start.advanced(by: .seconds(50)) }
            let past = Self.start.advanced(by: .seconds(70))
            var holder: LeaseHolder?
            for _ in 0..<500 where holder == nil {
                try await Task.sleep(for: .milliseconds(20))
                holder = try await store.read { connection, account in
                    try LeaseTable.holder(of: "b", now: past, account: account, on: connection)
                }
            }
            #expect(holder != nil, "nobody renewed the lease")
            time.withLock { $0 = past }
            await #expect(throws: StoreError.self) { try await other.hold(["b"]) { _ in } }
        }
        try await other.hold(["a", "b"]) { leases in #expect(leases.map(\.name) == ["a", "b"]) }
    }

    @Test(arguments: Engine.all)
    func `what is done under a lease is cancelled when the lease is lost`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        var times = LeaseKeeper.Times()
        times.renewal = .milliseconds(50)
        let keeper = LeaseKeeper(store, holder: .task(), times: times)
        await #expect(throws: StoreError.leaseLost(name: "scan-1")) {
            try await keeper.hold(["scan-1"]) { _ in
                let later = store.clock.now().advanced(by: .seconds(61))
                _ = try await acquire(store, by: 9, at: later)
                try await Task.sleep(for: .seconds(3_600))
            }
        }
    }

    @Test func `tasks of one process are told apart`() {
        let (one, other) = (LeaseHolder.task(), LeaseHolder.task())
        #expect(one != other)
        #expect(LeaseHolder(text: one.text) == one)
        #expect(one.description == LeaseHolder.current().description)
        #expect(!one.isKnownDead)
    }

    @Test(arguments: Engine.all, 1..<Migration.all.count)
    func `programs of the version before go on while a newer one migrates`(
        engine: Engine,
        steps: Int
    ) async throws {
        let scratch = try engine.database()
        let before = Migrator(migrations: Array(Migration.all.prefix(steps)))
        let after = Migrator(migrations: Array(Migration.all.prefix(steps + 1)))
        let old = try await Store.open(scratch.connect(), migrator: before)
        // Also statements that are prepared by now must bear it.
        for revision in 1...3 { try await advance(old, to: Int64(revision)) }
        let new = try await Store.open(scratch.connect(), migrator: after)
        try await advance(old, to: 10)
        let lease = try await acquire(old, by: 1, at: Self.start)
        try await advance(old.fenced(by: Fence(lease)), to: 11)
        #expect(try await place(new) == Revision(11))
        try await advance(new, to: 12)
        #expect(try await place(old) == Revision(12))
        // Only its start is refused.
        await #expect(throws: StoreError.self) {
            try await Store.open(scratch.connect(), migrator: before)
        }
        try await old.database.close()
        try await new.database.close()
    }
}
