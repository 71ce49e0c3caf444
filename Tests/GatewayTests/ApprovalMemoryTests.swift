import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Approvals that are remembered: what ends them before their time.
@Suite struct ApprovalMemoryTests {
    private let bob = Approver(.user, "bob")
    private let eve = Approver(.user, "eve")

    /// A world in which bob's yes to the call is remembered, which has run once.
    private func world(
        engine: Engine = .current,
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in }
    ) async throws -> (world: ApprovalWorld, id: String) {
        let world = try await ApprovalWorld(
            {
                $0.rememberedSeconds = 600
                change(&$0)
            },
            engine: engine,
            pacing: HastyClock()
        )
        try await world.addUsers([(name: "bob", role: .editor), (name: "eve", role: .owner)])
        let id = try await remembered("hi", world)
        #expect(try await !isHeld(world))
        return (world, id)
    }

    private func remembered(_ text: String, _ world: ApprovalWorld) async throws -> String {
        let id = try await world.handle(text)
        let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(600))
        try await world.desk.decide(id, by: bob, word)
        #expect(try await !isHeld(world, text))
        return id
    }

    private func isHeld(_ world: ApprovalWorld, _ text: String = "hi") async throws -> Bool {
        try await world.call(text).structured?["status"] == "pending_approval"
    }

    private func list(
        _ world: ApprovalWorld,
        _ version: Int64? = nil
    ) async throws -> [ApprovalDesk.Remembered] {
        try await world.desk.remembered(policyVersion: version, limit: 10)
    }

    @Test(arguments: Engine.all)
    func `what is remembered is listed, and taken back with a record of who did it`(
        _ engine: Engine
    ) async throws {
        let (world, id) = try await world(engine: engine)
        let shown = try await list(world)
        #expect(shown.map(\.request.id) == [id] && shown[0].isInForce)
        let json = shown[0].json
        #expect(json["approved_by"] == ["user:bob"] && json["for_session"] == false)
        #expect(json["arguments"] == ["text": "hi"] && json["policy_name"] == "fake")
        let kept = try await world.desk.find(id).row.life.rememberedUntil
        #expect(kept != nil && json["remembered_until"] == .string(kept?.iso8601 ?? ""))
        try await world.desk.forget(id, by: eve)
        #expect(try await list(world).isEmpty)
        #expect(try await isHeld(world))
        let event = try await world.desk.events(of: id).last
        #expect(event?.kind == "forgotten" && event?.actor == "user:eve")
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let store = world.scratch.store
        let log = AuditLog(
            store: store,
            key: try AuditKeys(box, account: store.account).publicKey
        )
        let events = try await log.events(after: 0, limit: 100).compactMap(\.event)
        let told = events.filter { $0.decision == "forgotten" }
        #expect(told.map(\.caller) == ["user:eve"] && told.first?.approvalID == id)
        #expect(try await log.verify().isSound)
        // Once: there is nothing left to take back, nor of what there never was.
        for missing in [id, "nothing"] {
            await #expect(throws: ApprovalRefusal.notRemembered) {
                try await world.desk.forget(missing, by: eve)
            }
        }
        // The decision stays what it was.
        #expect(try await world.desk.find(id).status == .approved)
    }

    @Test func `everything that is remembered is taken back at once, and only that`() async throws {
        let (world, _) = try await world()
        _ = try await remembered("two", world)
        let once = try await world.handle("three")
        try await world.desk.decide(once, by: bob, .init(.approve))
        #expect(try await world.desk.forgetAll(by: eve) == 2)
        #expect(try await world.desk.forgetAll(by: eve) == 0)
        let first = try await isHeld(world)
        let second = try await isHeld(world, "two")
        #expect(first && second)
        // What was approved for one run still has it.
        #expect(try await !isHeld(world, "three"))
        let events = try await world.desk.events(of: once).map(\.kind)
        #expect(!events.contains("forgotten"))
    }

    @Test func `what is over is neither listed nor taken back`() async throws {
        let (world, id) = try await world()
        world.time.advance(600)
        #expect(try await list(world).isEmpty)
        await #expect(throws: ApprovalRefusal.notRemembered) {
            try await world.desk.forget(id, by: eve)
        }
        #expect(try await world.desk.forgetAll(by: eve) == 0)
    }

    /// It outlived whoever had given it.
    @Test(arguments: ApprovalWorld.Dismissal.allCases)
    func `what is remembered counts only while its approver may decide`(
        _ way: ApprovalWorld.Dismissal
    ) async throws {
        let (world, id) = try await world()
        try await world.dismissBob(way)
        #expect(try await list(world).map(\.isInForce) == [false])
        #expect(try await isHeld(world))
        #expect(world.runs.all == ["hi", "hi"])
        // It is there still, and can be taken back.
        try await world.desk.forget(id, by: eve)
    }

    @Test func `of several who approved, all have to be there still`() async throws {
        let world = try await ApprovalWorld(
            {
                $0.quorum = 2
                $0.rememberedSeconds = 600
            },
            pacing: HastyClock()
        )
        try await world.addUsers([(name: "bob", role: .editor), (name: "eve", role: .owner)])
        let id = try await world.handle()
        let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(600))
        try await world.desk.decide(id, by: bob, word)
        try await world.desk.decide(id, by: eve, word)
        for _ in 0..<2 { #expect(try await !isHeld(world)) }
        try await world.demote("bob")
        #expect(try await isHeld(world))
    }

    @Test func `who is at the machine, or reads a channel, has no account that could be lost`()
        async throws
    {
        for approver in [Approver(.local, "bob"), Approver(.link, "slack")] {
            let world = try await ApprovalWorld(
                { $0.rememberedSeconds = 600 },
                pacing: HastyClock()
            )
            let id = try await world.handle()
            let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(600))
            try await world.desk.decide(id, by: approver, word)
            for _ in 0..<2 { #expect(try await !isHeld(world)) }
        }
    }

    @Test func `a new version of the policy ends what was remembered under another one`()
        async throws
    {
        let (world, _) = try await world()
        var demand = ApprovalWorld.demand
        demand.policyVersion += 1
        let newer = demand
        world.policy.decision.withLock { $0 = .requireApproval(newer) }
        #expect(try await isHeld(world))
        #expect(try await list(world, 3).map(\.isInForce) == [true])
        #expect(try await list(world, 4).map(\.isInForce) == [false])
    }

    @Test func `a workflow that names others now asks them`() async throws {
        let (world, _) = try await world()
        let other = try await world.reopened {
            $0.rememberedSeconds = 600
            $0.approvers = ["eve"]
        }
        #expect(try await isHeld(other))
    }

    @Test func `neither questions nor answers are remembered`() async throws {
        let (world, _) = try await world()
        let question: JSONValue = [
            "operation": "drop the table", "context": "it is empty", "reasoning": "tidying",
        ]
        let asked = try await world.calls.run(
            GuardedCall.Request(tool: "request_approval", arguments: object(question)),
            by: caller
        )
        let id = try #require(asked.structured?["request_id"]?.string)
        let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(600))
        let decided = try await world.desk.decide(id, by: bob, word)
        #expect(decided.status == .approved && decided.row.life.rememberedUntil == nil)
        #expect(try await list(world).count == 1)
    }

    @Test func `lists are by pages`() async throws {
        let (world, first) = try await world()
        world.time.advance(1)
        let second = try await remembered("two", world)
        let page = try await world.desk.remembered(policyVersion: nil, limit: 1)
        #expect(page.map(\.request.id) == [second])
        let next = try await world.desk.remembered(policyVersion: nil, before: second, limit: 1)
        #expect(next.map(\.request.id) == [first])
        let skipped = try await world.desk.remembered(policyVersion: nil, skip: 1, limit: 5)
        #expect(skipped.map(\.request.id) == [first])
    }
}
