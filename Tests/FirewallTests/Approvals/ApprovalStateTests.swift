import Domain
import TestSupport
import Testing

@testable import Firewall

struct ApprovalStateTests {
    private static let start = Timestamp(milliseconds: 1_000_000)
    private let ann = Approver(.user, "ann")
    private let bob = Approver(.user, "bob")
    private let eve = Approver(.user, "eve")

    private func terms(_ change: (inout ApprovalWorkflow) -> Void = { _ in }) -> ApprovalWorkflow {
        var terms = ApprovalWorkflow(name: "leads")
        change(&terms)
        return terms
    }

    private func state(_ change: (inout ApprovalWorkflow) -> Void = { _ in }) -> ApprovalState {
        ApprovalState(terms: terms(change), requester: ann, at: Self.start)
    }

    private func at(_ seconds: Int) -> Timestamp { Self.start.advanced(by: .seconds(seconds)) }

    @Test func `one approval is enough where one is asked for`() throws {
        var state = state()
        let vote = ApprovalState.Vote(bob, .approve, reason: "  fine \n", at: at(1))
        let events = try state.vote(vote)
        #expect(events.last == .resolved(.approved, at: at(1)))
        #expect(state.status == .approved && state.resolvedBy == "user:bob")
        #expect(state.resolution == "fine" && state.resolvedAt == at(1))
        let late = ApprovalState.Vote(eve, .decline, at: at(2))
        #expect(
            throws: ApprovalError.alreadyDecided(status: .approved, by: "user:bob", at: at(1))
        ) { try state.vote(late) }
    }

    @Test func `a quorum needs different people, and one who declines is enough`() throws {
        var state = state { $0.quorum = 2 }
        _ = try state.vote(.init(bob, .approve, at: at(1)))
        #expect(state.isPending)
        #expect(throws: ApprovalError.alreadyVoted(approver: "user:bob")) {
            try state.vote(.init(bob, .approve, at: at(2)))
        }
        // The same person by another way.
        #expect(throws: ApprovalError.alreadyVoted(approver: "local:bob")) {
            try state.vote(.init(Approver(.local, "bob"), .approve, at: at(2)))
        }
        var other = state
        _ = try state.vote(.init(eve, .approve, at: at(3)))
        #expect(state.status == .approved)
        _ = try other.vote(.init(eve, .decline, reason: "no", at: at(3)))
        #expect(other.status == .declined && other.resolution == "no")
    }

    @Test func `whoever called may approve only where one is asked and nobody named`() throws {
        var alone = state()
        _ = try alone.vote(.init(ann, .approve, at: at(1)))
        #expect(alone.status == .approved)
        let strict: [(inout ApprovalWorkflow) -> Void] = [
            { $0.allowsSelfApproval = false }, { $0.quorum = 2 },
            { $0.approvers = ["ann", "bob"] },
        ]
        for change in strict {
            var state = state(change)
            for kind in [Approver.Kind.user, .local] {
                #expect(throws: ApprovalError.ownCall) {
                    try state.vote(.init(Approver(kind, "ann"), .approve, at: at(1)))
                }
            }
            #expect(state.votes.isEmpty)
            // To say no to one's own call is nobody's harm.
            _ = try state.vote(.init(ann, .decline, at: at(1)))
            #expect(state.status == .declined)
        }
        var permitted = state {
            $0.approvers = ["ann"]
            $0.allowsSelfApproval = true
        }
        _ = try permitted.vote(.init(ann, .approve, at: at(1)))
        #expect(permitted.status == .approved)
    }

    @Test func `only those who are named are asked, and more after the escalation`() throws {
        var state = state {
            $0.approvers = ["bob"]
            $0.escalation = ["eve"]
            $0.timeoutSeconds = 60
        }
        #expect(throws: ApprovalError.notAnApprover(approver: "user:eve")) {
            try state.vote(.init(eve, .approve, at: at(1)))
        }
        #expect(throws: ApprovalError.notAnApprover(approver: "link:slack")) {
            try state.vote(.init(Approver(.link, "slack"), .approve, at: at(1)))
        }
        // A name that only looks the same, composed and decomposed, is another one.
        var accented = self.state { $0.approvers = ["ren\u{e9}"] }
        #expect(throws: ApprovalError.self) {
            try accented.vote(.init(Approver(.user, "rene\u{301}"), .approve, at: at(1)))
        }
        #expect(state.pass(to: at(59)).isEmpty)
        #expect(state.pass(to: at(60)) == [.escalated(at: at(60))])
        #expect(state.expiresAt == at(120) && state.isPending)
        _ = try state.vote(.init(eve, .approve, at: at(61)))
        #expect(state.status == .approved)
    }

    @Test func `a request expires once, after the escalation's second window`() throws {
        var plain = state { $0.timeoutSeconds = 60 }
        #expect(plain.pass(to: at(60)) == [.resolved(.expired, at: at(60))])
        #expect(throws: ApprovalError.self) { try plain.vote(.init(bob, .approve, at: at(60))) }
        #expect(plain.cancel(at: at(61)).isEmpty && plain.status == .expired)
        var escalating = state {
            $0.timeoutSeconds = 60
            $0.escalation = ["eve"]
        }
        let events = escalating.pass(to: at(1_000))
        #expect(events == [.escalated(at: at(60)), .resolved(.expired, at: at(120))])
        #expect(escalating.pass(to: at(2_000)).isEmpty)
    }

    @Test func `a reason is asked for where the workflow does`() throws {
        var state = state { $0.requiresReason = true }
        for reason in [nil, "", " \n\t"] {
            #expect(throws: ApprovalError.reasonRequired) {
                try state.vote(.init(bob, .decline, reason: reason, at: at(1)))
            }
        }
        let long = String(repeating: "a", count: ApprovalState.maximumReasonCharacters + 1)
        #expect(throws: ApprovalError.reasonTooLong) {
            try state.vote(.init(bob, .approve, reason: long, at: at(1)))
        }
        _ = try state.vote(.init(bob, .approve, reason: "checked", at: at(1)))
        #expect(state.status == .approved)
    }

    @Test func `a link is nobody's person: it counts where one approval is enough`() throws {
        let link = Approver(.link, "slack")
        var one = state()
        _ = try one.vote(.init(link, .approve, at: at(1)))
        #expect(one.status == .approved)
        // Where nobody may approve their own calls, whoever follows it may be who called.
        for change: (inout ApprovalWorkflow) -> Void in [
            { $0.quorum = 2 }, { $0.allowsSelfApproval = false },
            {
                $0.quorum = 2
                $0.allowsSelfApproval = true
            },
        ] {
            var state = state(change)
            #expect(throws: ApprovalError.notAnApprover(approver: "link:slack")) {
                try state.vote(.init(link, .approve, at: at(1)))
            }
        }
    }

    @Test func `a model decides only where the workflow has one`() throws {
        let model = Approver(.model, "small")
        var people = state()
        #expect(throws: ApprovalError.self) { try people.judge(.init(model, .approve, at: at(1))) }
        #expect(throws: ApprovalError.self) { try people.vote(.init(model, .approve, at: at(1))) }
        var judged = state {
            $0.judge = .init()
            $0.quorum = 3
        }
        _ = try judged.judge(.init(model, .approve, reason: "harmless", at: at(1)))
        #expect(judged.status == .approved && judged.resolvedBy == "model:small")
    }

    // MARK: - Several workflows

    /// Whom the leads are, and then whom security is.
    private func both(
        _ change: (inout ApprovalWorkflow) -> Void = { _ in }
    ) -> ApprovalState {
        let leads = terms { $0.approvers = ["bob"] }
        var security = ApprovalWorkflow(name: "security")
        security.approvers = ["eve"]
        change(&security)
        return ApprovalState(workflows: [leads, security], requester: ann, at: Self.start)
    }

    @Test func `what two workflows hold needs the yes of both, one after the other`() throws {
        var state = both()
        // Whom the second one asks is not asked yet.
        #expect(throws: ApprovalError.notAnApprover(approver: "user:eve")) {
            try state.vote(.init(eve, .approve, at: at(1)))
        }
        let events = try state.vote(.init(bob, .approve, at: at(100)))
        #expect(events.last == .advanced(from: "leads", to: "security", at: at(100)))
        #expect(state.isPending && state.askedNames == ["eve"] && state.place == 1)
        #expect(state.resolvedAt == nil && state.resolvedBy == nil)
        // It has a time of its own, and whoever has said yes for the first says none for it.
        #expect(state.expiresAt == at(400) && state.approvalCount == 0)
        #expect(throws: ApprovalError.notAnApprover(approver: "user:bob")) {
            try state.vote(.init(bob, .approve, at: at(101)))
        }
        _ = try state.vote(.init(eve, .approve, at: at(102)))
        #expect(state.status == .approved && state.resolvedBy == "user:eve")
        #expect(state.ballots.map { $0.map(\.approver) } == [[bob], [eve]])
    }

    @Test(arguments: [true, false])
    func `whoever declines ends it, whichever workflow asks`(_ isFirst: Bool) throws {
        var state = both()
        if !isFirst { _ = try state.vote(.init(bob, .approve, at: at(1))) }
        _ = try state.vote(.init(isFirst ? bob : eve, .decline, reason: "no", at: at(2)))
        #expect(state.status == .declined && state.resolution == "no")
        #expect(throws: ApprovalError.self) { try state.vote(.init(eve, .approve, at: at(3))) }
    }

    @Test func `each of two workflows has its time and its escalation, and the end is of all`()
        throws
    {
        var first = both()
        #expect(first.pass(to: at(300)) == [.resolved(.expired, at: at(300))])
        var second = both { $0.escalation = ["kim"] }
        _ = try second.vote(.init(bob, .approve, at: at(10)))
        #expect(second.pass(to: at(309)).isEmpty)
        #expect(second.pass(to: at(310)) == [.escalated(at: at(310))])
        #expect(second.askedNames == ["eve", "kim"])
        #expect(second.pass(to: at(610)) == [.resolved(.expired, at: at(610))])
    }

    /// An escalation is the workflow's: the next one begins without.
    @Test func `who was asked late by the first workflow is not asked by the second`() throws {
        let leads = terms {
            $0.approvers = ["bob"]
            $0.escalation = ["kim"]
        }
        let (kim, security) = (Approver(.user, "kim"), ApprovalWorkflow(name: "security"))
        var state = ApprovalState(workflows: [leads, security], requester: ann, at: Self.start)
        _ = state.pass(to: at(300))
        _ = try state.vote(.init(kim, .approve, at: at(301)))
        #expect(state.escalatedAt == nil && state.isPending && state.expiresAt == at(601))
    }

    @Test func `who is asked by both answers both, a quorum is each workflow's, a link none's`()
        throws
    {
        var two = ApprovalWorkflow(name: "two")
        two.quorum = 2
        var one = ApprovalWorkflow(name: "one")
        one.allowsSelfApproval = true
        let workflows = [one, two]
        var state = ApprovalState(workflows: workflows, requester: ann, at: Self.start)
        let link = Approver(.link, "slack")
        #expect(!state.permitsChannelLinks && state.terms.permitsChannelLinks)
        #expect(throws: ApprovalError.notAnApprover(approver: "link:slack")) {
            try state.vote(.init(link, .approve, at: at(1)))
        }
        _ = try state.vote(.init(bob, .approve, at: at(1)))
        _ = try state.vote(.init(bob, .approve, at: at(2)))
        #expect(state.isPending && state.approvalCount == 1)
        #expect(throws: ApprovalError.alreadyVoted(approver: "user:bob")) {
            try state.vote(.init(bob, .approve, at: at(3)))
        }
        #expect(throws: ApprovalError.ownCall) {
            try state.vote(.init(ann, .approve, at: at(3)))
        }
        _ = try state.vote(.init(eve, .approve, at: at(3)))
        #expect(state.status == .approved)
    }

    /// One who approves for two is one person still, and it would be whoever made the call.
    @Test func `where several have to approve, nobody approves their own calls unless one says so`()
        throws
    {
        let (open, other) = (ApprovalWorkflow(name: "open"), ApprovalWorkflow(name: "other"))
        #expect(open.permitsSelfApproval)
        var alone = ApprovalState(terms: open, requester: ann, at: Self.start)
        _ = try alone.vote(.init(ann, .approve, at: at(1)))
        #expect(alone.status == .approved)
        var both = ApprovalState(workflows: [open, other], requester: ann, at: Self.start)
        #expect(throws: ApprovalError.ownCall) { try both.vote(.init(ann, .approve, at: at(1))) }
        _ = try both.vote(.init(bob, .approve, at: at(1)))
        #expect(throws: ApprovalError.ownCall) { try both.vote(.init(ann, .approve, at: at(2))) }
        var said = open
        said.allowsSelfApproval = true
        var first = ApprovalState(workflows: [said, other], requester: ann, at: Self.start)
        _ = try first.vote(.init(ann, .approve, at: at(1)))
        #expect(first.place == 1)
        #expect(throws: ApprovalError.ownCall) { try first.vote(.init(ann, .approve, at: at(2))) }
    }

    @Test func `an answer is for the workflow that is asked now, or for none`() throws {
        var state = both()
        try state.checkAnswer(to: "leads", at: nil)
        try state.checkAnswer(to: nil, at: 0)
        let other = ApprovalError.otherWorkflow(asked: "leads")
        #expect(throws: other) { try state.checkAnswer(to: "security", at: nil) }
        #expect(throws: other) { try state.checkAnswer(to: nil, at: 1) }
        #expect(throws: other) { try state.checkAnswer(to: "security", at: 0) }
        #expect(throws: ApprovalError.workflowMissing(asked: "leads")) {
            try state.checkAnswer(to: nil, at: nil)
        }
        _ = try state.vote(.init(bob, .approve, at: at(1)))
        #expect(throws: ApprovalError.otherWorkflow(asked: "security")) {
            try state.checkAnswer(to: "leads", at: nil)
        }
        // Whoever comes too late hears who decided, whatever it was for.
        _ = try state.vote(.init(eve, .decline, at: at(2)))
        try state.checkAnswer(to: nil, at: nil)
        let alone = self.state()
        try alone.checkAnswer(to: nil, at: nil)
        #expect(throws: ApprovalError.otherWorkflow(asked: alone.terms.name)) {
            try alone.checkAnswer(to: "security", at: nil)
        }
    }

    @Test func `a model's word is for its own workflow alone`() throws {
        let judged = terms { $0.judge = .init() }
        let model = Approver(.model, "small")
        let people = ApprovalWorkflow(name: "people")
        var state = ApprovalState(workflows: [judged, people], requester: ann, at: Self.start)
        _ = try state.judge(.init(model, .approve, at: at(1)))
        #expect(state.isPending && state.terms.name == "people")
        #expect(throws: ApprovalError.notAnApprover(approver: "model:small")) {
            try state.judge(.init(model, .approve, at: at(2)))
        }
        // What was stored says the same.
        let stored = ApprovalState.Stored(
            status: state.status,
            expiresAt: state.expiresAt,
            votes: state.votes
        )
        let read = ApprovalState(
            workflows: state.workflows,
            requester: ann,
            requestedAt: Self.start,
            stored: stored
        )
        #expect(read == state)
    }

    /// Random votes on random workflows; nothing is approved that not all of them have approved.
    @Test(arguments: 0..<20)
    func `nothing is approved before each workflow has enough different people`(
        seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let people = ["bob", "eve", "kim"].map { Approver(.user, $0) }
        for _ in 0..<100 {
            let count = Int.random(in: 1...4, using: &random)
            let workflows = (0..<count).map { number in
                var workflow = ApprovalWorkflow(name: "w\(number)")
                workflow.quorum = Int.random(in: 1...3, using: &random)
                return workflow
            }
            var state = ApprovalState(workflows: workflows, requester: ann, at: Self.start)
            for second in 0..<20 {
                let decision: ApprovalState.Decision =
                    Int.random(in: 0..<30, using: &random) == 0 ? .decline : .approve
                let voter = people.randomElement(using: &random) ?? bob
                // What does not count changes nothing, which other tests see to.
                _ = try? state.vote(.init(voter, decision, at: at(second)))
                let yes = state.ballots.map { ballot in
                    Set(ballot.filter { $0.decision == .approve }.map(\.approver)).count
                }
                let isEnough = zip(yes, workflows).map { $0 >= $1.quorum }
                let isAll = yes.count == count && isEnough.allSatisfy { $0 }
                let hasNo = state.votes.contains { $0.decision == .decline }
                #expect((state.status == .approved) == (isAll && !hasNo), "seed \(seed)")
                #expect((state.status == .declined) == hasNo, "seed \(seed)")
                #expect(isEnough.dropLast().allSatisfy { $0 }, "seed \(seed)")
            }
        }
    }

    /// Random events; what must hold after each of them.
    @Test(arguments: 0..<40)
    func `whatever happens in whatever order, a decision is one and final`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let people =
            ["ann", "bob", "eve", "kim", "lee"].map { Approver(.user, $0) }
            + [Approver(.local, "bob"), Approver(.link, "slack"), Approver(.model, "small")]
        for _ in 0..<100 {
            let terms = terms {
                $0.quorum = Int.random(in: 1...3, using: &random)
                $0.timeoutSeconds = Int.random(in: 30...200, using: &random)
                $0.requiresReason = Bool.random(using: &random)
                $0.approvers = Bool.random(using: &random) ? [] : ["bob", "kim", "lee"]
                $0.escalation = Bool.random(using: &random) ? [] : ["eve"]
                $0.allowsSelfApproval = [nil, true, false].randomElement(using: &random) ?? nil
                $0.judge = Bool.random(using: &random) ? nil : .init()
            }
            var state = ApprovalState(terms: terms, requester: ann, at: Self.start)
            var now = Self.start
            for _ in 0..<20 {
                let before = state
                now = now.advanced(by: .seconds(Int.random(in: 0...40, using: &random)))
                switch Int.random(in: 0..<6, using: &random) {
                case 0: _ = state.pass(to: now)
                case 1 where Int.random(in: 0..<8, using: &random) == 0:
                    _ = state.cancel(at: now)
                default:
                    _ = state.pass(to: now)
                    let vote = ApprovalState.Vote(
                        people.randomElement(using: &random) ?? bob,
                        Int.random(in: 0..<4, using: &random) == 0 ? .decline : .approve,
                        reason: Bool.random(using: &random) ? "so" : nil,
                        at: now
                    )
                    let passed = state
                    do throws(ApprovalError) {
                        _ =
                            vote.approver.kind == .model
                            ? try state.judge(vote) : try state.vote(vote)
                        #expect(state.votes.count == passed.votes.count + 1)
                    } catch {
                        #expect(state == passed, "a vote that does not count changes nothing")
                    }
                }
                check(state, after: before, now: now, seed: seed)
            }
        }
    }

    private func check(
        _ state: ApprovalState,
        after before: ApprovalState,
        now: Timestamp,
        seed: UInt64
    ) {
        let label = "seed \(seed)"
        if !before.isPending { #expect(state == before, "\(label): final is final") }
        #expect((state.resolvedAt == nil) == state.isPending, "\(label)")
        let voters = state.votes.map(\.approver)
        for (index, voter) in voters.enumerated() {
            #expect(!voters[..<index].contains { $0.isSamePerson(as: voter) }, "\(label)")
            if voter.person != nil, !state.askedNames.isEmpty {
                #expect(state.askedNames.contains(voter.name), "\(label)")
            }
        }
        let isJudged = voters.last?.kind == .model
        switch state.status {
        case .approved:
            #expect(isJudged || state.approvalCount >= state.terms.quorum, "\(label)")
            #expect(!state.votes.contains { $0.decision == .decline }, "\(label)")
            if !state.terms.permitsSelfApproval {
                #expect(!voters.contains { $0.kind == .link }, "\(label)")
                let own = state.votes.contains { $0.approver.isSamePerson(as: state.requester) }
                #expect(!own, "\(label)")
            }
        case .pending:
            #expect(state.approvalCount < state.terms.quorum, "\(label)")
        case .declined:
            #expect(state.votes.last?.decision == .decline, "\(label)")
        case .expired:
            #expect(now >= state.expiresAt && state.resolvedAt == state.expiresAt, "\(label)")
        case .cancelled: break
        }
        let windows = state.escalatedAt == nil ? 1 : 2
        let end = Self.start.advanced(by: .seconds(windows * state.terms.timeoutSeconds))
        #expect(state.expiresAt == end, "\(label): at most two windows")
    }
}

struct ApprovalWorkflowTests {
    @Test func `a workflow comes back from its document as it was`() throws {
        var workflow = ApprovalWorkflow(name: "leads")
        workflow.summary = "for what deletes"
        workflow.approvers = ["ann", "bob"]
        workflow.escalation = ["eve"]
        workflow.quorum = 2
        workflow.timeoutSeconds = 90
        workflow.requiresReason = true
        workflow.isAsynchronous = true
        workflow.allowsSelfApproval = false
        workflow.rememberedSeconds = 600
        workflow.remembersSession = true
        workflow.judge = .init(model: "m", guidelines: "g", threshold: 0.5, fallback: .deny)
        workflow.judge?.context["team"] = "core"
        workflow.escalationWorkflow = "people"
        workflow.channels["slack"] = ["webhook_url": "https://hooks.example/x"]
        #expect(try ApprovalWorkflow(workflow.json) == workflow)
        var standard = ApprovalWorkflow.standard
        // What is left to the workflow to say is settled when it is written down.
        standard.allowsSelfApproval = true
        #expect(try ApprovalWorkflow(standard.json) == standard)
    }

    @Test(
        arguments: [
            (["approvals_required": 0], "approvals_required"),
            (["approvals_required": 11], "approvals_required"),
            (["approvals_required": 3, "approver_users": ["a", "b"]], "approvals_required"),
            (["timeout_seconds": 29], "timeout_seconds"),
            (["timeout_seconds": 86_401], "timeout_seconds"),
            (["timeout_seconds": "300"], "timeout_seconds"),
            (["remember_seconds": -1], "remember_seconds"), (["name": ""], "name"),
            (["approver_users": ["a", 1]], "approver_users"),
            (
                ["approval_type": "ai_driven", "ai_confidence_threshold": 1.5],
                "ai_confidence_threshold"
            ),
            (["approval_type": "ai_driven", "ai_fallback_behavior": "x"], "ai_fallback_behavior"),
        ] as [(JSONValue, String)]
    )
    func `a workflow nobody could follow is refused`(change: JSONValue, field: String) {
        var object = JSONObject()
        object["name"] = "leads"
        for member in change.object?.members ?? [] { object[member.key] = member.value }
        do throws(ApprovalError) {
            _ = try ApprovalWorkflow(.object(object))
            Issue.record("accepted \(change)")
        } catch {
            guard case .invalidWorkflow(field, _) = error else {
                Issue.record("\(error)")
                return
            }
        }
    }
}
