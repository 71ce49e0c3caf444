import Domain
import Firewall
import Store
import StoreTestSupport
import Testing

@testable import Gateway

/// Ends of the chain that were signed once, and are older than what was written since.
@Suite struct AuditRollbackTests {
    private struct Undone: Error {}

    private func end(_ store: Store) async throws -> AuditCheckpointTable.Row? {
        try await store.read { connection, account in
            try AuditCheckpointTable.end(account: account, on: connection)
        }
    }

    private func kinds(_ store: Store, _ keys: AuditKeys) async throws -> [String] {
        try await AuditLog(store: store, key: keys.publicKey).events(after: 0, limit: 50)
            .map { $0.event?.kind ?? "" }
    }

    /// Whoever kept a copy of the signed end could take back what was written since: all that was
    /// left verified, and the process that had written the rest went on as if nothing had been.
    @Test(arguments: Engine.all)
    func `a tail that is put back to an older signed end is told of by who wrote it`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let journal = StoreJournal(store: store, keys: keys)
        for number in 0..<5 { try await journal.begin(AuditTests.call("a\(number)")) }
        let copy = try #require(try await end(store))
        for number in 0..<3 { try await journal.begin(AuditTests.call("b\(number)")) }
        try await store.write { connection, account in
            try connection.execute(
                "DELETE FROM audit_events WHERE account_id = \(account) AND sequence > 5"
            )
            try AuditCheckpointTable.setEnd(copy, account: account, on: connection)
        }
        #expect(try await AuditLog(store: store, key: keys.publicKey).verify().isSound)
        try await journal.begin(AuditTests.call("after"))
        let found = try await kinds(store, keys)
        #expect(found.suffix(2) == ["doubt", "call"])
        let rows = try await AuditLog(store: store, key: keys.publicKey)
            .events(after: 5, limit: 2)
        #expect(rows.first?.event?.reason?.contains("events 6 to 8 are missing") == true)
        // Numbers that were signed are not used again.
        #expect(rows.map(\.sequence) == [9, 10])
        #expect(try await !AuditLog(store: store, key: keys.publicKey).verify().isSound)
    }

    /// The signature of what was never committed is known, too.
    @Test(arguments: Engine.all)
    func `a transaction that is undone raises no doubt`(_ engine: Engine) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let journal = StoreJournal(store: store, keys: keys)
        try await journal.begin(AuditTests.call("a"))
        await #expect(throws: Undone.self) {
            try await store.write { connection, account in
                let event = AuditTable.Event(.call, at: AuditTests.start, caller: "ann")
                try journal.audit.append(
                    [event, event],
                    at: AuditTests.start,
                    account: account,
                    on: connection
                )
                throw Undone()
            }
        }
        try await journal.begin(AuditTests.call("b"))
        #expect(try await kinds(store, keys) == ["call", "call"])
        #expect(try await AuditLog(store: store, key: keys.publicKey).verify().isSound)
    }
}
