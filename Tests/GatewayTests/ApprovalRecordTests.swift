import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Testing

@testable import Gateway

/// What an approval leaves behind: its events in the audit, and its digest.
@Suite struct ApprovalRecordTests {
    private static func box() throws -> SecretBox {
        try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
    }

    private static func note(_ desk: ApprovalDesk, _ id: String) async throws {
        try await desk.note(.init("notification_sent", at: desk.store.clock.now()), of: id)
    }

    @Test func `the keys of the audit are derived once for all events of a desk`() async throws {
        let scratch = try await Engine.current.store()
        defer { withExtendedLifetime(scratch) {} }
        let (box, derived) = (try Self.box(), RunCounter())
        let desk = ApprovalDesk(
            store: scratch.store,
            box: {
                derived.add("box")
                return box
            }
        )
        let request = try await desk.open(
            ApprovalDesk.Draft(
                tool: "fake",
                arguments: JSONObject(),
                caller: caller,
                digest: [1],
                demand: ApprovalDemand(policyVersion: 1)
            )
        ).request
        try await Self.note(desk, request.id)
        let before = derived.all.count
        for _ in 0..<3 { try await Self.note(desk, request.id) }
        #expect(derived.all.count == before)
    }

    @Test func `processes that write in turns leave a chain without a doubt`() async throws {
        let world = try await ApprovalWorld({ $0.isAsynchronous = true }, pacing: HastyClock())
        let other = try await world.reopened { $0.isAsynchronous = true }
        let id = try await world.handle()
        for desk in [world.desk, other.desk, world.desk, world.desk, other.desk] {
            try await Self.note(desk, id)
        }
        let keys = try AuditKeys(Self.box(), account: world.scratch.store.account)
        let log = AuditLog(store: world.scratch.store, key: keys.publicKey)
        let report = try await log.verify()
        #expect(report.isSound, "\(report.faults)")
        let events = try await log.events(after: 0, limit: 100)
        #expect(events.count { $0.event?.decision == "notification_sent" } == 5)
    }

    @Test func `writers are kept for each account, and idle ones make room`() throws {
        let (writers, derived) = (AuditWriters(capacity: 2), RunCounter())
        func writer(_ number: Int64) throws -> AuditWriter {
            let account = AccountID(number)
            return try writers.writer(of: account) {
                derived.add("\(number)")
                return try .testing(account)
            }
        }
        let first = try writer(1)
        #expect(try writer(1) === first)
        #expect(try writer(2) !== first)
        #expect(try writer(1) === first)
        // The second account is the one that was not used for the longest time.
        _ = try writer(3)
        #expect(writers.count == 2)
        #expect(try writer(1) === first)
        _ = try writer(2)
        #expect(derived.all == ["1", "2", "3", "2"])
    }

    @Test func `what is stored of a call's digest is of no use for guessing the call`()
        async throws
    {
        let world = try await ApprovalWorld({ $0.isAsynchronous = true }, pacing: HastyClock())
        let id = try await world.handle("guess me")
        let stored = try await world.desk.find(id).row.request.digest
        let binding = CallBinding(
            tool: "fake",
            definition: FakeTool(isReadOnly: false).definition.json(),
            arguments: object(["text": "guess me"]),
            principal: caller.name,
            policyVersion: ApprovalWorld.demand.policyVersion
        )
        let guess = try binding.digest()
        #expect(stored != guess)
        // It stands for the same binding all the same, for whoever has the installation's key.
        let (box, account) = (try Self.box(), world.scratch.store.account)
        #expect(stored == box.bindingDigest(of: guess, account: account))
        #expect(stored != box.bindingDigest(of: guess, account: AccountID(account.rawValue + 1)))
        try await world.desk.decide(id, by: Approver(.user, "bob"), .init(.approve))
        #expect(try await world.poll(id).structured?["tool_result"] == ["said": "guess me"])
    }
}
