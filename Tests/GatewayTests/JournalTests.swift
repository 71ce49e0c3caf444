import Domain
import Firewall
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Ends of calls that wait for the transaction of the next event, on both engines.
struct JournalTests {
    /// Longer than any test: only what the test does writes ends.
    private static let never = EndDelay(.seconds(3_600)) { _ in }

    private struct World {
        let scratch: ScratchStore
        let database: FailingDatabase
        let store: Store
        let journal: StoreJournal
        let log: AuditLog

        init(_ engine: Engine, _ delay: EndDelay) async throws {
            scratch = try await engine.store()
            database = FailingDatabase(try scratch.database.connect())
            store = try await Store.open(database)
            let keys = try AuditKeys.testing(store.account)
            // Nothing is removed meanwhile: that would be a transaction of its own.
            journal = StoreJournal(
                store: store,
                keys: keys,
                retention: CallRetention(nil),
                delay: delay
            )
            log = AuditLog(store: store, key: keys.publicKey)
        }

        func events() async throws -> [String] {
            try await log.events(after: 0, limit: 1_000).map { row in
                "\(row.event?.kind ?? "") \(row.event?.callID ?? "")"
            }
        }

        /// The events when there are so many, or after more time than any test takes.
        func events(atLeast count: Int) async throws -> [String] {
            var found = try await events()
            for _ in 0..<6_000 where found.count < count {
                try await Task.sleep(for: .milliseconds(5))
                found = try await events()
            }
            return found
        }

        func end(_ id: String) async throws {
            try await journal.complete(id, .succeeded, AuditTests.end)
        }
    }

    @Test(arguments: Engine.all)
    func `ends are written with the next call, in front of it`(_ engine: Engine) async throws {
        let world = try await World(engine, Self.never)
        for id in ["a", "b"] { try await world.journal.begin(AuditTests.call(id)) }
        let before = world.database.writes
        for id in ["a", "b"] { try await world.end(id) }
        #expect(world.database.writes == before)
        try await world.journal.begin(AuditTests.call("c"))
        #expect(world.database.writes == before + 1)
        let events = ["call a", "call b", "completed a", "completed b", "call c"]
        #expect(try await world.events() == events)
        #expect(try await world.log.verify().isSound)
    }

    @Test(arguments: Engine.all)
    func `ends that no call comes for are written all the same`(_ engine: Engine) async throws {
        let world = try await World(engine, EndDelay(.milliseconds(5)) { _ in })
        try await world.journal.begin(AuditTests.call("a"))
        try await world.end("a")
        #expect(try await world.events(atLeast: 2) == ["call a", "completed a"])
    }

    @Test(arguments: Engine.all)
    func `the end of the process writes what is left`(_ engine: Engine) async throws {
        let world = try await World(engine, Self.never)
        try await world.journal.begin(AuditTests.call("a"))
        try await world.end("a")
        #expect(await world.journal.flush() == 0)
        #expect(try await world.events() == ["call a", "completed a"])
        #expect(await world.journal.flush() == 0)
    }

    @Test(arguments: Engine.all)
    func `what somebody has approved is on record when it has ended`(
        _ engine: Engine
    ) async throws {
        let world = try await World(engine, Self.never)
        var call = AuditTests.call("a")
        call.approvalID = "request"
        try await world.journal.begin(call)
        try await world.end("a")
        #expect(try await world.events() == ["call a", "completed a"])
    }

    /// The write that a call shares with ends may fail for one of those.
    @Test(arguments: Engine.all)
    func `no call fails for an end, which is kept until it can be written`(
        _ engine: Engine
    ) async throws {
        let told = Mutex(0)
        var delay = EndDelay(.seconds(3_600)) { _ in told.withLock { $0 += 1 } }
        delay.pause = .milliseconds(20)
        let world = try await World(engine, delay)
        try await world.journal.begin(AuditTests.call("a"))
        try await world.end("a")
        world.database.failNext(1)
        try await world.journal.begin(AuditTests.call("b"))
        #expect(told.withLock { $0 } == 1)
        #expect(try await world.events(atLeast: 3) == ["call a", "call b", "completed a"])
        #expect(try await world.log.verify().isSound)
    }

    @Test(arguments: Engine.all)
    func `without a store no call begins, and ends wait for it`(_ engine: Engine) async throws {
        let told = Mutex(0)
        var delay = EndDelay(.milliseconds(1)) { _ in told.withLock { $0 += 1 } }
        (delay.pause, delay.capacity) = (.milliseconds(10), 2)
        let world = try await World(engine, delay)
        for id in ["a", "b", "c"] { try await world.journal.begin(AuditTests.call(id)) }
        world.database.isFailing = true
        for id in ["a", "b"] { try await world.end(id) }
        await #expect(throws: FailingDatabase.Failure.self) {
            try await world.journal.begin(AuditTests.call("d"))
        }
        // There is no room for a third one: it is told that it is lost.
        await #expect(throws: FailingDatabase.Failure.self) { try await world.end("c") }
        #expect(await world.journal.flush() == 2)
        world.database.isFailing = false
        #expect(
            try await world.events(atLeast: 5)
                == ["call a", "call b", "call c", "completed a", "completed b"]
        )
        #expect(await world.journal.flush() == 0)
    }
}
