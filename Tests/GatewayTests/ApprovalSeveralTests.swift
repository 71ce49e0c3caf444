import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Calls that several workflows hold: that of a rule for the tool, and those of rules about what
/// stands in the arguments.
@Suite struct ApprovalSeveralTests {
    private let bob = Approver(.user, "bob")
    private let kim = Approver(.user, "kim")
    private static let mail = "to ann@example.org"

    /// A model that says yes, and what it is asked.
    private func consentingModel() -> (LanguageModel, Answers) {
        let service = Answers([
            ["choices": [["message": ["content": .string(Self.yes)]]]]
        ])
        let model = LanguageModel(
            .init(provider: .openai, url: "http://ai", model: "m"),
            transport: service
        )
        return (model, service)
    }

    /// A world in which the rule for the tool asks bob, and the rule about arguments kim.
    private func world(
        engine: Engine = .current,
        pacing: any Clock<Duration> = HastyClock(),
        model: LanguageModel? = nil,
        others: [RedactionPolicy.Rule] = [],
        strict: (inout ApprovalWorkflow) -> Void = { _ in },
        leads: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in }
    ) async throws -> ApprovalWorld {
        let redactor = try AuditKeys.testing(AccountID(1)).redactor
        var rule = RedactionPolicy.Rule(
            id: "no-mail",
            side: .arguments,
            kinds: [.email],
            action: .requireApproval
        )
        rule.workflow = "strict"
        let rules = [rule] + others
        var setup = ApprovalWorld.Setup()
        setup.model = model
        setup.sensitive = SensitiveValues(redactor: redactor) { RedactionPolicy(rules: rules) }
        setup.strict.approvers = ["kim"]
        strict(&setup.strict)
        let world = try await ApprovalWorld(
            {
                $0.approvers = ["bob"]
                leads(&$0)
            },
            engine: engine,
            pacing: pacing,
            setup: setup
        )
        try await world.addUsers([(name: "bob", role: .editor), (name: "kim", role: .editor)])
        return world
    }

    /// A word that is said to a workflow.
    private func word(
        _ workflow: String,
        _ decision: ApprovalState.Decision = .approve,
        reason: String? = nil,
        rememberedFor: Duration? = nil
    ) -> ApprovalDesk.Word {
        var word = ApprovalDesk.Word(decision, reason: reason, rememberedFor: rememberedFor)
        word.workflow = workflow
        return word
    }

    /// Has a call approved by both.
    private func approve(_ id: String, _ world: ApprovalWorld) async throws {
        try await world.desk.decide(id, by: bob, word("default"))
        try await world.desk.decide(id, by: kim, word("strict"))
    }

    private func audit(_ world: ApprovalWorld) async throws -> [AuditTable.Event] {
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let store = world.scratch.store
        let keys = try AuditKeys(box, account: store.account)
        return try await AuditLog(store: store, key: keys.publicKey)
            .events(after: 0, limit: 100).compactMap(\.event)
    }

    /// Bob's yes was enough, and kim was never asked.
    @Test(arguments: Engine.all)
    func `a call that two rules hold runs when both workflows have approved, once`(
        _ engine: Engine
    ) async throws {
        let world = try await world(engine: engine)
        let id = try await world.handle(Self.mail)
        let asked = try await world.desk.find(id)
        #expect(asked.state.workflows.map(\.name) == ["default", "strict"])
        #expect(asked.state.askedNames == ["bob"])
        #expect(asked.row.request.message?.hasPrefix("ask first; the arguments contain") == true)
        // The order is the policy's, and nobody comes before their turn.
        await #expect(throws: ApprovalRefusal.refused(.notAnApprover(approver: "user:kim"))) {
            try await world.desk.decide(id, by: kim, word("default"))
        }
        await #expect(throws: ApprovalRefusal.refused(.otherWorkflow(asked: "default"))) {
            try await world.desk.decide(id, by: kim, word("strict"))
        }
        let first = try await world.desk.decide(id, by: bob, word("default"))
        #expect(first.status == .pending && first.state.askedNames == ["kim"])
        // One state for whoever waits: the same request, and nothing runs.
        #expect(try await world.handle(Self.mail) == id)
        let before = try await world.poll(id).structured
        #expect(before?["status"] == "pending" && before?["tool_result"] == .null)
        #expect(try await !world.desk.claim(id) && world.runs.all.isEmpty)
        try await world.desk.decide(id, by: kim, word("strict", reason: "checked"))
        for _ in 0..<2 {
            let done = try await world.poll(id).structured
            #expect(done?["tool_result"] == ["said": .string(Self.mail)])
        }
        #expect(world.runs.all == [Self.mail])
        let told = try await audit(world).filter { $0.approvalID == id && $0.kind == "approval" }
        let all = "workflows `default`, then `strict`"
        #expect(told.first?.reason == all)
        #expect(told.first(where: { $0.decision == "approved" })?.reason == all)
        let advanced = told.first(where: { $0.decision == "advanced" })
        #expect(advanced?.reason == "`default` has approved, `strict` is asked")
        let votes = told.filter { $0.decision == "vote" }
        #expect(votes.map(\.caller) == ["user:bob", "user:kim"])
        let words: [String?] = ["approves for `default`", "approves for `strict`: checked"]
        #expect(votes.map(\.reason) == words)
        let record = try await world.records().first
        #expect(record?.reason?.contains("approval request \(id) (\(all))") == true)
    }

    @Test func `whoever waits is released by the last yes, and hears of any no`() async throws {
        for last in [ApprovalState.Decision.approve, .decline] {
            let world = try await world(pacing: ContinuousClock())
            async let result = world.call(Self.mail)
            let id = try await world.pending()[0].id
            try await world.desk.decide(id, by: bob, word("default"))
            #expect(world.runs.all.isEmpty)
            try await world.desk.decide(id, by: kim, word("strict", last, reason: "so"))
            let answer = try await result
            #expect(answer.isError == (last == .decline))
            #expect(world.runs.all.isEmpty == (last == .decline))
            if last == .decline { #expect(answer.text.contains("user:kim declined")) }
        }
    }

    @Test func `the first workflow's no ends it, and the second is not asked`() async throws {
        let world = try await world()
        let id = try await world.handle(Self.mail)
        try await world.desk.decide(id, by: bob, word("default", .decline))
        let events = try await world.desk.events(of: id).suffix(2)
        #expect(events.map(\.detail) == ["declines for `default`", "workflow `default`"])
        await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(id, by: kim, .init(.approve))
        }
        #expect(try await world.poll(id).structured?["status"] == "declined")
        #expect(world.runs.all.isEmpty)
    }

    @Test func `the second workflow has a time of its own, and when it is over nothing runs`()
        async throws
    {
        let world = try await world(strict: { $0.timeoutSeconds = 60 })
        let id = try await world.handle(Self.mail)
        world.time.advance(299)
        try await world.desk.decide(id, by: bob, word("default"))
        world.time.advance(59)
        #expect(try await world.desk.find(id).status == .pending)
        world.time.advance(1)
        #expect(try await world.poll(id).structured?["status"] == "expired")
        let end = try await world.desk.events(of: id).last
        #expect(end?.kind == "expired" && end?.detail == "workflow `strict`")
        await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(id, by: kim, .init(.approve))
        }
        // What the first has approved is worth nothing for the next call.
        #expect(try await world.handle(Self.mail) != id)
        #expect(world.runs.all.isEmpty)
    }

    @Test func `an approval of one workflow is none for a call that two hold`() async throws {
        let world = try await world()
        // The rule for the tool asks the others: one workflow is asked, once.
        var demand = ApprovalWorld.demand
        demand.workflow = "strict"
        let alike = demand
        world.policy.decision.withLock { $0 = .requireApproval(alike) }
        let alone = try await world.handle(Self.mail)
        try await world.desk.decide(alone, by: kim, .init(.approve))
        world.policy.decision.withLock { $0 = .requireApproval(ApprovalWorld.demand) }
        let status = try await world.poll(alone).structured
        #expect(
            status?["tool_execution_error"]?.string?.contains("another workflow") == true,
            "\(String(describing: status))"
        )
        #expect(try await world.handle(Self.mail) != alone)
        #expect(world.runs.all.isEmpty)
    }

    @Test func `what more have approved than are asked when it runs, runs`() async throws {
        let world = try await world()
        let id = try await world.handle(Self.mail)
        try await approve(id, world)
        var demand = ApprovalWorld.demand
        demand.workflow = "strict"
        let fewer = demand
        world.policy.decision.withLock { $0 = .requireApproval(fewer) }
        let done = try await world.poll(id).structured
        #expect(done?["tool_result"] == ["said": .string(Self.mail)], "\(String(describing: done))")
        #expect(world.runs.all == [Self.mail])
    }

    /// It was refused for ever: the reason is not among what is looked at again.
    @Test func `what stood in the caller's reason alone keeps no approved call from running`()
        async throws
    {
        let world = try await world()
        world.policy.mode.withLock { $0 = .required }
        let arguments: JSONValue = ["text": "hi", "justification": .string(Self.mail)]
        let held = try await world.calls.run(
            GuardedCall.Request(tool: "fake", arguments: object(arguments)),
            by: caller
        )
        let id = try #require(held.structured?["request_id"]?.string)
        let request = try await world.desk.find(id)
        #expect(request.state.workflows.map(\.name) == ["default", "strict"])
        try await world.desk.decide(id, by: bob, word("default"))
        #expect(try await world.poll(id).structured?["tool_result"] == .null)
        try await world.desk.decide(id, by: kim, word("strict"))
        let done = try await world.poll(id).structured
        #expect(done?["tool_result"] == ["said": "hi"], "\(String(describing: done))")
        #expect(world.runs.all == ["hi"])
    }

    /// So was this: in what has marks nothing is found any more.
    @Test func `what another rule puts marks in runs when both have approved`() async throws {
        let marks = RedactionPolicy.Rule(
            id: "marks",
            side: .arguments,
            kinds: [.email],
            action: .redact
        )
        let world = try await world(others: [marks])
        let id = try await world.handle(Self.mail)
        try await approve(id, world)
        let said = try await world.poll(id).structured?["tool_result"]?["said"]?.string
        #expect(said?.hasPrefix("to [redacted:email:") == true, "\(String(describing: said))")
        #expect(world.runs.all.count == 1 && !world.runs.all[0].contains("example.org"))
    }

    // MARK: - Answers that are for one of them

    /// A command that was repeated approved for the next workflow, too.
    @Test func `an answer for one workflow is none for the next, however it comes`() async throws {
        let world = try await world(strict: { $0.approvers = [] }, leads: { $0.approvers = [] })
        let id = try await world.handle(Self.mail)
        // Nobody has used it when the next workflow is asked.
        let digest: [UInt8] = [7]
        try await world.desk.addLink(digest: digest, to: id, for: kim)
        await #expect(throws: ApprovalRefusal.refused(.workflowMissing(asked: "default"))) {
            try await world.desk.decide(id, by: bob, .init(.approve))
        }
        #expect(try await world.desk.link(digest: digest, to: id).isGood)
        try await world.desk.decide(id, by: bob, word("default"))
        let other = ApprovalRefusal.refused(.otherWorkflow(asked: "strict"))
        for approver in [bob, kim] {
            await #expect(throws: other) {
                try await world.desk.decide(id, by: approver, word("default"))
            }
        }
        #expect(try await !world.desk.link(digest: digest, to: id).isGood)
        for workflow in [nil, "default", "strict"] {
            var word = ApprovalDesk.Word(.approve)
            word.workflow = workflow
            let said = word
            await #expect(throws: other) {
                try await world.desk.decide(id, linkDigest: digest, said)
            }
        }
        #expect(try await world.desk.find(id).state.votes.count == 1)
        // Who is asked by both answers each.
        try await world.desk.decide(id, by: bob, word("strict"))
        #expect(try await world.desk.find(id).status == .approved)
    }

    @Test func `of two who answer one workflow at once one counts, and the next is not decided`()
        async throws
    {
        let world = try await world(strict: { $0.approvers = [] }, leads: { $0.approvers = [] })
        let other = try await world.reopened()
        for number in 0..<10 {
            let id = try await world.handle("\(Self.mail) \(number)")
            let said = word("default")
            async let first = isCounted(world.desk, id, bob, said)
            async let second = isCounted(other.desk, id, kim, said)
            let counted = await [first, second].count { $0 }
            let state = try await world.desk.find(id).state
            #expect(counted == 1 && state.votes.count == 1 && state.isPending)
        }
    }

    private func isCounted(
        _ desk: ApprovalDesk,
        _ id: String,
        _ approver: Approver,
        _ word: ApprovalDesk.Word
    ) async -> Bool {
        do {
            try await desk.decide(id, by: approver, word)
            return true
        } catch {
            return false
        }
    }

    @Test func `where one workflow is asked its name may be said, and has to be right then`()
        async throws
    {
        let world = try await world()
        let id = try await world.handle("no address")
        await #expect(throws: ApprovalRefusal.refused(.otherWorkflow(asked: "default"))) {
            try await world.desk.decide(id, by: bob, word("strict"))
        }
        #expect(try await world.desk.find(id).state.votes.isEmpty)
        #expect(try await world.desk.decide(id, by: bob, word("default")).status == .approved)
    }

    @Test func `whoever made the call answers neither of two workflows, unless one says so`()
        async throws
    {
        let ann = Approver(.local, "ann")
        let world = try await world(
            strict: { $0.approvers = [] },
            leads: {
                $0.approvers = []
                $0.allowsSelfApproval = true
            }
        )
        let id = try await world.handle(Self.mail)
        try await world.desk.decide(id, by: ann, word("default"))
        await #expect(throws: ApprovalRefusal.refused(.ownCall)) {
            try await world.desk.decide(id, by: ann, word("strict"))
        }
        // So it is stored: another process says the same.
        let other = try await world.reopened()
        await #expect(throws: ApprovalRefusal.refused(.ownCall)) {
            try await other.desk.decide(id, by: ann, word("strict"))
        }
        #expect(try await world.desk.find(id).state.votes.count == 1)
    }

    // MARK: - What becomes of it

    /// It ran by the word of somebody who was out by then.
    @Test(arguments: Engine.all)
    func `a first workflow's approver who may not decide any more keeps the call from running`(
        _ engine: Engine
    ) async throws {
        let world = try await world(engine: engine)
        let id = try await world.handle(Self.mail)
        try await world.desk.decide(id, by: bob, word("default"))
        try await world.demote("bob")
        try await world.desk.decide(id, by: kim, word("strict"))
        let status = try await world.poll(id).structured
        #expect(
            status?["tool_execution_error"]?.string?.contains("user:bob, who approved") == true,
            "\(String(describing: status))"
        )
        let void = try await audit(world).filter { $0.decision == "approval_void" }
        #expect(void.count == 1 && void[0].reason?.hasPrefix("user:bob, who approved it") == true)
        // It is spent: nothing runs by it later, and the same call is asked about anew.
        try await world.addUsers([(name: "bob", role: .editor)])
        #expect(try await world.poll(id).structured?["tool_result"] == .null)
        #expect(try await world.handle(Self.mail) != id)
        #expect(world.runs.all.isEmpty)
    }

    @Test func `what two workflows hold survives its process between them`() async throws {
        let world = try await world()
        let id = try await world.handle(Self.mail)
        try await world.desk.decide(id, by: bob, word("default"))
        let second = try await world.reopened()
        let request = try await second.desk.find(id)
        #expect(request.state.terms.name == "strict" && request.state.askedNames == ["kim"])
        await #expect(throws: ApprovalRefusal.refused(.otherWorkflow(asked: "strict"))) {
            try await second.desk.decide(id, by: bob, word("default"))
        }
        try await second.desk.decide(id, by: kim, word("strict"))
        let done = try await world.poll(id).structured
        #expect(done?["tool_result"] == ["said": .string(Self.mail)])
    }

    /// Whoever can write rows took the second workflow out of the first one's request.
    @Test func `a workflow that was taken out of the row approves nothing`() async throws {
        let world = try await world()
        let id = try await world.handle(Self.mail)
        let leads = try await world.desk.find(id).state.workflows[0].json
        _ = try await world.scratch.store.write { connection, account in
            try connection.execute(
                """
                UPDATE approval_requests SET terms = \(leads)
                WHERE account_id = \(account) AND id = \(id)
                """
            )
        }
        let decided = try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(decided.status == .approved)
        let status = try await world.poll(id).structured
        #expect(
            status?["tool_execution_error"]?.string?.contains("not the one that was approved")
                == true
        )
        #expect(world.runs.all.isEmpty)
    }

    @Test func `where one of the workflows is not there, the call is refused`() async throws {
        let world = try await world()
        var demand = ApprovalWorld.demand
        demand.workflow = "gone"
        let missing = demand
        world.policy.decision.withLock { $0 = .requireApproval(missing) }
        let result = try await world.call(Self.mail)
        #expect(result.isError && result.text.contains("`gone`"))
        #expect(try await world.desk.list(status: nil, limit: 9).isEmpty)
    }

    @Test func `more workflows than can be asked refuse the call`() async throws {
        let scratch = try await Engine.current.store()
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let desk = ApprovalDesk(
            store: scratch.store,
            box: { box },
            workflows: { ApprovalWorkflow(name: $0 ?? "default") }
        )
        func asked(_ count: Int) async throws -> Int {
            let names = (0..<count).map { Optional("w\($0)") }
            let demand = ApprovalDemand(workflows: names, policyVersion: 1, message: "so")
            return try await desk.askedWorkflows(of: demand).count
        }
        #expect(try await asked(10) == 10)
        await #expect(throws: ApprovalRefusal.self) { try await asked(11) }
        // Two that have one name could not be told apart.
        let alike = ApprovalDesk(
            store: scratch.store,
            box: { box },
            workflows: { name in
                var workflow = ApprovalWorkflow(name: "default")
                workflow.quorum = name == nil ? 1 : 2
                return workflow
            }
        )
        await #expect(throws: ApprovalRefusal.self) {
            let names = [nil, Optional("default")]
            let demand = ApprovalDemand(workflows: names, policyVersion: 1, message: "so")
            _ = try await alike.askedWorkflows(of: demand)
        }
        // One of them twice, or as the default one, is asked once.
        let twice = ApprovalDemand(workflows: [nil, "default"], policyVersion: 1, message: "so")
        #expect(try await desk.askedWorkflows(of: twice).count == 1)
    }

    @Test func `both have to want it remembered, each within what their workflow allows`()
        async throws
    {
        for (seconds, isRemembered) in [(0, false), (60, true)] {
            let world = try await world(
                strict: { $0.rememberedSeconds = seconds },
                leads: { $0.rememberedSeconds = 600 }
            )
            let id = try await world.handle(Self.mail)
            let time = Duration.seconds(600)
            try await world.desk.decide(id, by: bob, word("default", rememberedFor: time))
            try await world.desk.decide(id, by: kim, word("strict", rememberedFor: time))
            #expect(try await !world.call(Self.mail).isError)
            let again = try await world.call(Self.mail).structured
            #expect((again?["status"] == "pending_approval") == !isRemembered)
            world.time.advance(61)
            _ = try await world.handle(Self.mail)
        }
    }

    @Test func `the people of each workflow are told when it is asked`() async throws {
        let world = try await world()
        let id = try await world.handle(Self.mail)
        func places() async throws -> [Int] {
            try await world.scratch.store.read { connection, account in
                try JobTable.list(.waiting, limit: 20, account: account, on: connection)
            }.filter { $0.kind == ApprovalJobs.notify }
                .map { ApprovalJobs.place(in: $0.payload) }.sorted()
        }
        #expect(try await places() == [0])
        try await world.desk.decide(id, by: bob, word("default"))
        #expect(try await places() == [0, 1])
    }

    @Test func `a model decides for its own workflow, and people for the other`() async throws {
        let (model, _) = consentingModel()
        let world = try await world(
            model: model,
            leads: {
                $0.approvers = []
                $0.judge = ApprovalWorkflow.Judge(threshold: 0.8)
            }
        )
        let id = try await world.handle(Self.mail)
        let request = try await world.desk.find(id)
        #expect(request.state.terms.name == "strict" && request.status == .pending)
        #expect(request.state.votes.map(\.approver.text) == ["model:m"])
        try await world.desk.decide(id, by: kim, word("strict"))
        let done = try await world.poll(id).structured
        #expect(done?["tool_result"] == ["said": .string(Self.mail)])
    }

    /// Each had minutes of its own, and the caller none of its handle.
    @Test(arguments: [true, false])
    func `a second model is asked while the caller waits, and people are after that`(
        _ isAsynchronous: Bool
    ) async throws {
        let (model, service) = consentingModel()
        let world = try await world(
            model: model,
            strict: { $0.judge = ApprovalWorkflow.Judge(threshold: 0.8, fallback: .approve) },
            leads: {
                $0.judge = ApprovalWorkflow.Judge(threshold: 0.8)
                $0.isAsynchronous = isAsynchronous
            }
        )
        let answer = try await world.call(Self.mail).structured
        #expect(service.requests.withLock { $0.count } == (isAsynchronous ? 1 : 2))
        guard isAsynchronous else {
            #expect(answer == ["said": .string(Self.mail)])
            return
        }
        #expect(answer?["status"] == "pending_approval" && world.runs.all.isEmpty)
        let id = try #require(answer?["request_id"]?.string)
        #expect(try await world.desk.events(of: id).last?.kind == "model_unsure")
        try await world.desk.decide(id, by: kim, word("strict"))
        let done = try await world.poll(id).structured
        #expect(done?["tool_result"] == ["said": .string(Self.mail)])
    }

    private static let yes = #"{"approve":true,"confidence":0.9,"reason":"harmless"}"#
}
