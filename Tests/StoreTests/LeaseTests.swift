import Domain
import Foundation
import Store
import StoreTestSupport
import Testing

struct LeaseTests {
    private let start = Timestamp(milliseconds: 1_000_000)
    private let minute = Duration.seconds(60)

    private func holder(_ processID: Int32, boot: String = "boot") -> LeaseHolder {
        LeaseHolder(
            host: "host",
            bootID: boot,
            namespace: "pid:[1]",
            processID: processID,
            startTicks: 7
        )
    }

    private func acquire(
        _ scratch: ScratchStore,
        _ processID: Int32,
        at now: Timestamp,
        isDead: Bool = false
    ) async throws -> Lease {
        let holder = holder(processID)
        let minute = minute
        return try await scratch.store.write { connection, account in
            try LeaseTable.acquire(
                "scan",
                holder: holder,
                duration: minute,
                now: now,
                isDead: { _ in isDead },
                account: account,
                on: connection
            )
        }
    }

    private func verify(_ scratch: ScratchStore, _ lease: Lease) async throws {
        try await scratch.store.write { connection, account in
            try LeaseTable.verify(lease, account: account, on: connection)
        }
    }

    @Test(arguments: Engine.all)
    func `a held lease is refused and says who has it`(engine: Engine) async throws {
        let scratch = try await engine.store()
        _ = try await acquire(scratch, 1, at: start)
        await #expect(
            throws: StoreError.leaseHeld(name: "scan", holder: "process 1 on host")
        ) {
            try await acquire(scratch, 2, at: start.advanced(by: .seconds(59)))
        }
    }

    @Test(arguments: Engine.all)
    func `an expired lease goes to the next, and the first one's writes stop`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let first = try await acquire(scratch, 1, at: start)
        try await verify(scratch, first)
        let second = try await acquire(scratch, 2, at: start.advanced(by: minute))
        #expect(second.fence > first.fence)
        await #expect(throws: StoreError.leaseLost(name: "scan")) {
            try await verify(scratch, first)
        }
        let (minute, start) = (minute, start)
        await #expect(throws: StoreError.leaseLost(name: "scan")) {
            try await scratch.store.write { connection, account in
                try LeaseTable.renew(
                    first,
                    duration: minute,
                    now: start,
                    account: account,
                    on: connection
                )
            }
        }
        // The loser's release must not free what is no longer its own.
        try await scratch.store.write { connection, account in
            try LeaseTable.release(first, account: account, on: connection)
        }
        try await verify(scratch, second)
    }

    @Test(arguments: Engine.all)
    func `the lease of a dead process is free at once`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let first = try await acquire(scratch, 1, at: start)
        let second = try await acquire(scratch, 2, at: start, isDead: true)
        #expect(second.fence == first.fence + 1)
    }

    @Test(arguments: Engine.all)
    func `a released lease is free and its fence is never used again`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let first = try await acquire(scratch, 1, at: start)
        try await scratch.store.write { connection, account in
            try LeaseTable.release(first, account: account, on: connection)
        }
        let second = try await acquire(scratch, 2, at: start)
        #expect(second.fence > first.fence)
    }

    @Test(arguments: Engine.all)
    func `a renewed lease lasts longer`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let first = try await acquire(scratch, 1, at: start)
        let (minute, half) = (minute, start.advanced(by: .seconds(30)))
        _ = try await scratch.store.write { connection, account in
            try LeaseTable.renew(
                first,
                duration: minute,
                now: half,
                account: account,
                on: connection
            )
        }
        await #expect(throws: StoreError.self) {
            try await acquire(scratch, 2, at: start.advanced(by: .seconds(89)))
        }
        _ = try await acquire(scratch, 2, at: start.advanced(by: .seconds(90)))
    }

    @Test func `a holder survives being stored`() {
        let current = LeaseHolder.current()
        #expect(LeaseHolder(text: current.text) == current)
        #expect(LeaseHolder(text: "") == nil)
        #expect(LeaseHolder(text: "1 2 3") == nil)
    }

    @Test func `this process is alive, an ended child is dead, other machines are unknown`() throws
    {
        #expect(!LeaseHolder.current().isKnownDead)
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/true")
        try child.run()
        child.waitUntilExit()
        var ended = LeaseHolder.current()
        ended.processID = child.processIdentifier
        #expect(ended.isKnownDead)
        var reused = LeaseHolder.current()
        reused.startTicks += 1
        #expect(reused.isKnownDead, "the number was given to another process")
        var elsewhere = ended
        elsewhere.bootID = "another boot"
        #expect(!elsewhere.isKnownDead)
        var container = ended
        container.namespace = "pid:[1]"
        #expect(!container.isKnownDead)
    }
}
