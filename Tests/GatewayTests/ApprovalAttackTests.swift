import Crypto
import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// What must not go wrong whoever tries: other calls than the approved one, second runs, two
/// deciders, stolen links.
@Suite struct ApprovalAttackTests {
    private let bob = Approver(.user, "bob")
    private let eve = Approver(.user, "eve")

    private func approved(_ world: ApprovalWorld, _ text: String = "hi") async throws -> String {
        let id = try await world.handle(text)
        try await world.desk.decide(id, by: bob, .init(.approve))
        return id
    }

    @Test func `what waits survives its process, and runs as approved`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await world.handle()
        let second = try await world.reopened()
        try await second.desk.decide(id, by: bob, .init(.approve))
        let third = try await world.reopened()
        #expect(try await third.poll(id).structured?["tool_result"] == ["said": "hi"])
        #expect(try await world.poll(id).structured?["tool_result"] == ["said": "hi"])
        #expect(world.runs.all == ["hi"])
    }

    @Test func `a run that was claimed by a process that died never runs again`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await approved(world)
        #expect(try await world.desk.claim(id))
        #expect(try await world.desk.claim(id) == false)
        #expect(try await world.poll(id).structured?["status"] == "executing")
        world.time.advance(301)
        for world in [world, try await world.reopened()] {
            let status = try #require(try await world.poll(id).structured)
            #expect(status["status"] == "outcome_unknown")
            #expect(status["tool_execution_error"]?.string?.contains("ended before") == true)
        }
        #expect(world.runs.all.isEmpty)
    }

    @Test func `many polls at once run the call once`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let other = try await world.reopened()
        let id = try await approved(world)
        try await withThrowingTaskGroup(of: ToolResult.self) { group in
            for number in 0..<40 {
                group.addTask { try await (number % 2 == 0 ? world : other).poll(id) }
            }
            for try await result in group { #expect(!result.isError, "\(result.text)") }
        }
        #expect(world.runs.all == ["hi"])
    }

    @Test func `an approval is over after its time`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await approved(world)
        world.time.advance(3_601)
        let status = try await world.poll(id).structured
        #expect(status?["tool_execution_error"]?.string?.contains("is over") == true)
        #expect(world.runs.all.isEmpty)
    }

    @Test func `a policy that has changed since is asked again`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await approved(world)
        let changes: [(CallDecision, String)] = [
            (.deny(reason: "never again"), "never again"),
            (.requireApproval(ApprovalDemand(policyVersion: 4)), "the policy has changed"),
        ]
        for (decision, reason) in changes {
            world.policy.decision.withLock { $0 = decision }
            let status = try await world.poll(id).structured
            #expect(status?["tool_execution_error"]?.string?.contains(reason) == true)
        }
        #expect(world.runs.all.isEmpty)
        // The version it was approved under: it runs.
        world.policy.decision.withLock { $0 = .requireApproval(ApprovalWorld.demand) }
        #expect(try await world.poll(id).structured?["tool_result"] == ["said": "hi"])
    }

    @Test func `a tool whose definition has changed since does not run`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await approved(world)
        // The rug pull: same name, same arguments, another meaning.
        let swapped = try await world.reopened(tool: FakeTool(isReadOnly: true))
        let status = try await swapped.poll(id).structured
        #expect(
            status?["tool_execution_error"]?.string?.contains("not the one that was approved")
                == true
        )
        #expect(world.runs.all.isEmpty)
    }

    @Test func `arguments that were changed in the store do not run`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let first = try await approved(world, "harmless")
        let second = try await world.handle("harmful")
        // Sealed for its row: another request's call does not open there.
        _ = try await world.scratch.store.write { connection, account in
            try connection.execute(
                """
                UPDATE approval_requests SET sealed_call = (
                    SELECT o.sealed_call FROM approval_requests o
                    WHERE o.account_id = \(account) AND o.id = \(second))
                WHERE account_id = \(account) AND id = \(first)
                """
            )
        }
        let moved = try await world.poll(first).structured
        #expect(moved?["tool_execution_error"]?.string?.contains("cannot be opened") == true)
        // Sealed by whoever has the key, for the row: the digest is another one.
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let forged = try box.seal(
            bytes: Array(#"{"text":"harmful"}"#.utf8),
            for: .heldCall(first, account: world.scratch.store.account)
        )
        _ = try await world.scratch.store.write { connection, account in
            try connection.execute(
                """
                UPDATE approval_requests SET sealed_call = \(forged.bytes)
                WHERE account_id = \(account) AND id = \(first)
                """
            )
        }
        let status = try await world.poll(first).structured
        #expect(
            status?["tool_execution_error"]?.string?.contains("not the one that was approved")
                == true
        )
        #expect(world.runs.all.isEmpty)
    }

    @Test func `the key that called cannot decide, another one of the same user can`()
        async throws
    {
        let world = try await ApprovalWorld(pacing: HastyClock())
        var agent = Caller(name: "user:ann", channel: .mcp)
        agent.credential = "key:7"
        let id = try await world.handle(by: agent)
        let ann = Approver(.user, "ann")
        await #expect(throws: ApprovalRefusal.sameCredential) {
            try await world.desk.decide(id, by: ann, credential: "key:7", .init(.approve))
        }
        #expect(try await world.desk.find(id).status == .pending)
        try await world.desk.decide(id, by: ann, credential: "session:1", .init(.approve))
        #expect(try await world.desk.find(id).status == .approved)
    }

    // MARK: - Links

    private func link(
        _ number: UInt8,
        to id: String,
        _ world: ApprovalWorld,
        for approver: Approver? = nil
    ) async throws -> [UInt8] {
        let digest = [UInt8](repeating: number, count: 32)
        try await world.desk.addLink(digest: digest, to: id, for: approver ?? bob)
        return digest
    }

    @Test func `a link decides once, about its own request`() async throws {
        let world = try await ApprovalWorld({ $0.quorum = 2 }, pacing: HastyClock())
        try await world.addUsers([(name: "bob", role: .editor)])
        let id = try await world.handle()
        let other = try await world.handle("other")
        let digest = try await link(1, to: id, world)
        // Stolen for another request, or made up.
        await #expect(throws: ApprovalRefusal.unknownLink) {
            try await world.desk.decide(other, linkDigest: digest, .init(.approve))
        }
        await #expect(throws: ApprovalRefusal.unknownLink) {
            try await world.desk.decide(id, linkDigest: [1, 2, 3], .init(.approve))
        }
        #expect(try await world.desk.link(digest: digest, to: id).isGood)
        let request = try await world.desk.decide(id, linkDigest: digest, .init(.approve))
        #expect(request.state.approvalCount == 1 && request.state.isPending)
        // Replayed.
        await #expect(throws: ApprovalRefusal.usedLink) {
            try await world.desk.decide(id, linkDigest: digest, .init(.decline))
        }
        #expect(try await world.desk.link(digest: digest, to: id).isGood == false)
        // A second link of the same person is no second person.
        let second = try await link(2, to: id, world)
        await #expect(throws: ApprovalRefusal.refused(.alreadyVoted(approver: "user:bob"))) {
            try await world.desk.decide(id, linkDigest: second, .init(.approve))
        }
        #expect(try await world.desk.find(id).state.approvalCount == 1)
    }

    @Test func `a refused word leaves the link good, time does not`() async throws {
        let world = try await ApprovalWorld(
            { workflow in
                workflow.requiresReason = true
                workflow.timeoutSeconds = 60
            },
            pacing: HastyClock()
        )
        try await world.addUsers([(name: "bob", role: .editor)])
        let id = try await world.handle()
        let digest = try await link(1, to: id, world)
        await #expect(throws: ApprovalRefusal.refused(.reasonRequired)) {
            try await world.desk.decide(id, linkDigest: digest, .init(.approve))
        }
        #expect(try await world.desk.link(digest: digest, to: id).isGood)
        world.time.advance(60)
        await #expect(throws: ApprovalRefusal.usedLink) {
            try await world.desk.decide(id, linkDigest: digest, .init(.approve, reason: "late"))
        }
        #expect(try await world.desk.find(id).status == .expired)
    }

    @Test func `a link used twice at once counts once`() async throws {
        let world = try await ApprovalWorld({ $0.quorum = 2 }, pacing: HastyClock())
        let other = try await world.reopened({ $0.quorum = 2 })
        try await world.addUsers([(name: "bob", role: .editor)])
        for number in 1...20 {
            let id = try await world.handle("\(number)")
            let digest = try await link(UInt8(number), to: id, world)
            async let first = attempt(world.desk, id, digest)
            async let second = attempt(other.desk, id, digest)
            let won = await [first, second].count { $0 }
            #expect(won == 1)
            #expect(try await world.desk.find(id).state.votes.count == 1)
        }
    }

    @Test func `a link does not outlive what its reader may do`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        try await world.addUsers([(name: "bob", role: .editor)])
        let id = try await world.handle()
        let digest = try await link(1, to: id, world)
        #expect(try await world.desk.link(digest: digest, to: id).isGood)
        let stranger = try await link(2, to: id, world, for: Approver(.user, "nobody"))
        try await world.demote("bob")
        for digest in [digest, stranger] {
            await #expect(throws: ApprovalRefusal.unknownLink) {
                try await world.desk.link(digest: digest, to: id)
            }
            await #expect(throws: ApprovalRefusal.unknownLink) {
                try await world.desk.decide(id, linkDigest: digest, .init(.approve))
            }
        }
        _ = try await world.scratch.store.write { connection, account in
            try connection.execute(
                """
                UPDATE users SET role = 'owner', is_active = \(false)
                WHERE account_id = \(account) AND name = 'bob'
                """
            )
        }
        await #expect(throws: ApprovalRefusal.unknownLink) {
            try await world.desk.decide(id, linkDigest: digest, .init(.approve))
        }
        #expect(try await world.desk.find(id).status == .pending)
    }

    /// Who was let in with a request may have been demoted until it writes.
    @Test func `a user's decision counts only while the user may decide`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        try await world.addUsers([(name: "bob", role: .editor)])
        let id = try await world.handle()
        try await world.demote("bob")
        for approver in [bob, eve] {
            await #expect(
                throws: ApprovalRefusal.refused(.notAnApprover(approver: approver.text))
            ) {
                try await world.desk.decide(id, by: approver, isUser: true, .init(.approve))
            }
        }
        let request = try await world.desk.find(id)
        #expect(request.status == .pending && request.state.votes.isEmpty)
    }

    /// What was approved an hour ago ran by the word of somebody who was out by then.
    @Test(arguments: ApprovalWorld.Dismissal.allCases)
    func `a call does not run when its approver may not decide any more`(
        _ way: ApprovalWorld.Dismissal
    ) async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await approved(world)
        try await world.dismissBob(way)
        let polled = try await world.poll(id).structured
        let words = "user:bob, who approved the call, may not decide approvals any more"
        #expect(
            polled?["tool_execution_error"]?.string?.contains(words) == true,
            "\(String(describing: polled))"
        )
        // Told and on record once, and asked about anew.
        _ = try await world.poll(id)
        let kinds = try await world.desk.events(of: id).map(\.kind)
        #expect(kinds == ["approval_requested", "vote", "approved", "approval_void"])
        #expect(try await world.handle() != id)
        #expect(world.runs.all.isEmpty)
    }

    @Test func `who is at the machine, or reads a channel, has no account to lose before the run`()
        async throws
    {
        for approver in [Approver(.local, "kim"), Approver(.link, "slack")] {
            let world = try await ApprovalWorld(pacing: HastyClock())
            let id = try await world.handle()
            try await world.desk.decide(id, by: approver, .init(.approve))
            #expect(try await world.poll(id).structured?["tool_result"] == ["said": "hi"])
        }
    }

    private func attempt(_ desk: ApprovalDesk, _ id: String, _ digest: [UInt8]) async -> Bool {
        do {
            try await desk.decide(id, linkDigest: digest, .init(.approve))
            return true
        } catch {
            return false
        }
    }

    // MARK: - Races

    @Test(.timeLimit(.minutes(10)))
    func `of a link and a person at the desk one wins, and the other hears who did`()
        async throws
    {
        let world = try await ApprovalWorld({ $0.isAsynchronous = true })
        let other = try await world.reopened()
        try await world.addUsers([(name: "bob", role: .editor)])
        var wins: [String: Int] = [:]
        for number in 0..<1_000 {
            let id = try await world.handle("\(number)")
            let digest = Array(SHA256.hash(data: Array(id.utf8)))
            try await world.desk.addLink(digest: digest, to: id, for: bob)
            async let first = refusal {
                try await world.desk.decide(id, linkDigest: digest, .init(.approve))
            }
            async let second = refusal {
                try await other.desk.decide(id, by: eve, .init(.decline))
            }
            let (one, two) = await (first, second)
            let request = try await world.desk.find(id)
            let winner = try #require(request.state.resolvedBy)
            wins[winner, default: 0] += 1
            let byLink = winner == "user:bob"
            #expect(request.state.votes.count == 1)
            #expect(request.status == (byLink ? .approved : .declined))
            #expect((byLink ? one : two) == nil)
            // Only a link that has decided is used up.
            #expect(try await world.desk.link(digest: digest, to: id).isGood == !byLink)
            let loser = byLink ? two : one
            guard case .refused(.alreadyDecided(request.status, winner, _)) = loser else {
                Issue.record("race \(number): \(String(describing: loser))")
                continue
            }
        }
        #expect(wins.values.reduce(0, +) == 1_000)
    }

    /// Why a decision was not taken; nil when it was.
    private func refusal(
        _ decide: @Sendable () async throws -> ApprovalRequest
    ) async -> ApprovalRefusal? {
        do {
            _ = try await decide()
            return nil
        } catch let refusal as ApprovalRefusal {
            return refusal
        } catch {
            return .unavailable(reason: "\(error)")
        }
    }
}
