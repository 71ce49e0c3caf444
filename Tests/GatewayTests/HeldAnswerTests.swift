import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Answers that somebody has to allow, of calls that have run.
@Suite struct HeldAnswerTests {
    private let bob = Approver(.user, "bob")
    private static let mail = "to ann@example.org"
    private static let token = "ghp_" + String(repeating: "a1B2", count: 9)

    /// Calls that may run, and rules about their answers that tests change.
    private struct World {
        let approvals: ApprovalWorld
        let rules: Rules
    }

    private final class Rules: Sendable {
        let all: Mutex<[RedactionPolicy.Rule]?>

        init(_ rules: [RedactionPolicy.Rule]) { all = Mutex(rules) }

        func set(_ rules: [RedactionPolicy.Rule]?) { all.withLock { $0 = rules } }
    }

    private static func rule(
        _ action: RedactionPolicy.Action,
        _ side: RedactionPolicy.Side = .result
    ) -> RedactionPolicy.Rule {
        let kinds: Set<SensitiveKind> = [.email, .githubToken]
        return RedactionPolicy.Rule(id: "no-mail", side: side, kinds: kinds, action: action)
    }

    private func world(
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in },
        engine: Engine = .current,
        pacing: any Clock<Duration> = HastyClock(),
        limits: ApprovalDesk.Limits? = nil,
        tool: FakeTool? = nil
    ) async throws -> World {
        let rules = Rules([Self.rule(.requireApproval)])
        var setup = ApprovalWorld.Setup()
        if let limits { setup.limits = limits }
        setup.tool = tool
        let redactor = try AuditKeys.testing(AccountID(1)).redactor
        setup.sensitive = SensitiveValues(redactor: redactor) {
            guard let all = rules.all.withLock({ $0 }) else { throw StoreError.busy }
            return RedactionPolicy(rules: all)
        }
        let world = try await ApprovalWorld(change, engine: engine, pacing: pacing, setup: setup)
        world.policy.decision.withLock { $0 = .allow }
        return World(approvals: world, rules: rules)
    }

    private func kinds(_ world: ApprovalWorld, _ id: String) async throws -> [String] {
        try await world.desk.events(of: id).map(\.kind)
    }

    @Test(arguments: Engine.all)
    func `a call runs, and its answer is seen when it is approved`(_ engine: Engine) async throws {
        let world = try await world(engine: engine).approvals
        #expect(try await world.call("nothing").structured == ["said": "nothing"])
        let handle = try await world.call(Self.mail).structured
        let id = try #require(handle?["request_id"]?.string)
        #expect(handle?["status"] == "pending_approval")
        #expect(handle?["message"]?.string?.contains("The call has run") == true)
        #expect(handle?.serializedText().contains("example.org") == false)
        #expect(world.runs.all == ["nothing", Self.mail])
        let record = try await world.records()[0]
        #expect(record.outcome == .succeeded)
        let words = "the answer contains email (no-mail)"
        #expect(record.reason == "held: \(words), approval request \(id)")
        let request = try await world.desk.find(id)
        #expect(request.row.request.kind == .answer && request.row.request.message == words)
        let before = try await world.poll(id).structured
        #expect(before?["status"] == "pending" && before?["tool_result"] == .null)
        try await world.desk.decide(id, by: bob, .init(.approve))
        for _ in 0..<2 {
            let after = try await world.poll(id)
            #expect(after.structured?["tool_result"] == ["said": .string(Self.mail)])
            #expect(!after.isError)
        }
        #expect(world.runs.all == ["nothing", Self.mail])
        let kinds = try await kinds(world, id)
        #expect(kinds == ["approval_requested", "vote", "approved", "answer_released"])
    }

    @Test func `whoever waits gets the answer, or hears who declined it`() async throws {
        let world = try await world(pacing: ContinuousClock()).approvals
        for decision in [ApprovalState.Decision.approve, .decline] {
            async let result = world.call(Self.mail)
            let request = try await world.pending()[0]
            try await world.desk.decide(request.id, by: bob, .init(decision, reason: "so"))
            let given = try await result
            if decision == .approve {
                #expect(given.structured == ["said": .string(Self.mail)] && !given.isError)
            } else {
                #expect(given.isError && given.text.contains("has run, and user:bob declined"))
                #expect(given.text.contains(": so") && !given.text.contains("example.org"))
                let polled = try await world.poll(request.id).structured
                #expect(polled?["status"] == "declined" && polled?["tool_result"] == .null)
            }
        }
        #expect(world.runs.all.count == 2)
    }

    @Test func `nobody answers, and nothing is shown`() async throws {
        let world = try await world().approvals
        let id = try await world.handle(Self.mail)
        world.time.advance(301)
        let polled = try await world.poll(id).structured
        #expect(polled?["status"] == "expired" && polled?["tool_result"] == .null)
        await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(id, by: bob, .init(.approve))
        }
    }

    /// An approval is of what the rules said then; they may say more now.
    @Test func `the rules in force when it is given out count`() async throws {
        let world = try await world()
        let id = try await world.approvals.handle(Self.mail)
        try await world.approvals.desk.decide(id, by: bob, .init(.approve))
        var strict = Self.rule(.requireApproval)
        strict.workflow = "strict"
        var other = Self.rule(.requireApproval)
        other.id = "no-mail-either"
        for (rules, words) in [
            (nil, "the policy cannot be read"), ([Self.rule(.deny)], "the answer contains email"),
            ([strict], "an approval by strict, and was approved by default"),
            // As an answer is that was held before each rule had its workflow asked.
            ([Self.rule(.requireApproval), strict], "by default and strict, and was approved by"),
            ([other], "the rules have changed"),
        ] as [([RedactionPolicy.Rule]?, String)] {
            world.rules.set(rules)
            let problem = try await world.approvals.poll(id)
            #expect(!problem.text.contains("example.org"), "\(problem.text)")
            let found = problem.structured?["tool_execution_error"]?.string ?? problem.text
            #expect(found.contains(words), "\(found)")
        }
        world.rules.set([Self.rule(.redact)])
        let redacted = try await world.approvals.poll(id).structured?["tool_result"]
        #expect(redacted?["said"]?.string?.hasPrefix("to [redacted:email:") == true)
        // What was given out once stays that.
        world.rules.set([])
        #expect(try await world.approvals.poll(id).structured?["tool_result"] == redacted)
    }

    @Test func `an answer that two rules hold is given out when both workflows have approved`()
        async throws
    {
        let world = try await world()
        var strict = Self.rule(.requireApproval)
        (strict.id, strict.workflow) = ("no-mail-either", "strict")
        world.rules.set([Self.rule(.requireApproval), strict])
        let (desk, calls) = (world.approvals.desk, world.approvals)
        let id = try await calls.handle(Self.mail)
        #expect(try await desk.find(id).state.workflows.map(\.name) == ["default", "strict"])
        for workflow in ["default", "strict"] {
            let before = try await calls.poll(id).structured
            #expect(before?["status"] == "pending" && before?["tool_result"] == .null)
            var word = ApprovalDesk.Word(.approve)
            word.workflow = workflow
            try await desk.decide(id, by: bob, word)
        }
        let after = try await calls.poll(id).structured
        #expect(after?["tool_result"] == ["said": .string(Self.mail)])
        #expect(calls.runs.all == [Self.mail])
    }

    @Test func `what another rule redacts has marks after an approval, too`() async throws {
        let world = try await world(pacing: ContinuousClock())
        var marks = Self.rule(.redact)
        (marks.id, marks.kinds) = ("marks", [.email])
        var asks = Self.rule(.requireApproval)
        asks.kinds = [.githubToken]
        world.rules.set([marks, asks])
        async let result = world.approvals.call("\(Self.mail) \(Self.token)")
        let request = try await world.approvals.pending()[0]
        try await world.approvals.desk.decide(request.id, by: bob, .init(.approve))
        let polled = try await world.approvals.poll(request.id).structured?["tool_result"]
        for given in [try await result.structured, polled] {
            let said = given?["said"]?.string ?? ""
            #expect(said.contains(Self.token) && said.contains("[redacted:email:"), "\(said)")
            #expect(!said.contains("example.org"))
        }
    }

    /// What is kept of an answer that nobody will see, and of one that was given out, is no copy.
    @Test(arguments: Engine.all)
    func `an answer is kept once, and not when it is declined`(_ engine: Engine) async throws {
        let world = try await world(engine: engine).approvals
        for decision in [ApprovalState.Decision.approve, .decline] {
            let id = try await world.handle(Self.mail)
            let waiting = try await world.desk.find(id)
            #expect(try world.desk.heldArguments(of: waiting)["answer"] != nil)
            try await world.desk.decide(id, by: bob, .init(decision))
            _ = try await world.poll(id)
            let after = try await world.desk.find(id)
            #expect(try world.desk.heldArguments(of: after).members.isEmpty)
            #expect(world.desk.opens(after))
            #expect((try world.desk.heldResult(of: after) != nil) == (decision == .approve))
        }
    }

    @Test func `an approved answer waits longer than an approved call`() async throws {
        let world = try await world().approvals
        let id = try await world.handle(Self.mail)
        try await world.desk.decide(id, by: bob, .init(.approve))
        world.time.advance(3 * 3_600)
        let given = try await world.poll(id).structured
        #expect(given?["tool_result"] == ["said": .string(Self.mail)])
    }

    @Test func `answers that wait have a limit, and those behind are withheld`() async throws {
        var limits = ApprovalDesk.Limits()
        limits.answerBytes = 3_500
        let world = try await world(limits: limits).approvals
        let long = Self.mail + String(repeating: " again", count: 100)
        let id = try await world.handle(long)
        let second = try await world.call(long)
        #expect(second.isError && second.text.contains("withheld"))
        let reason = try await world.records()[0].reason
        #expect(reason?.contains("have") == true && reason?.contains("bytes already") == true)
        try await world.desk.decide(id, by: bob, .init(.decline))
        _ = try await world.handle(long)
    }

    /// Clients refuse what breaks a tool's output schema, and their models never see it.
    @Test func `in place of what a tool promises a handle is the text of an error`() async throws {
        var tool = FakeTool(isReadOnly: false)
        tool.outputSchema = [
            "type": "object", "required": ["said"], "properties": ["said": ["type": "string"]],
        ]
        let world = try await world(tool: tool).approvals
        let result = try await world.call(Self.mail)
        let json = result.json(for: .latest)
        #expect(json["isError"] == true && json["structuredContent"] == nil)
        #expect(result.text.contains("pending_approval") && !result.isError)
        let plain = try await self.world().approvals.call(Self.mail).json(for: .latest)
        #expect(plain["isError"] == false)
        #expect(plain["structuredContent"]?["status"] == "pending_approval")
    }

    @Test func `all of another server's answer is given, whatever its form`() async throws {
        let world = try await world().approvals
        let answers: [JSONValue] = [
            ["contents": [["uri": "file:///a", "text": "to ann@example.org"]]],
            [
                "content": [
                    ["type": "text", "text": "to ann@example.org"],
                    ["type": "image", "data": "aGk=", "mimeType": "image/png"],
                ], "structuredContent": ["n": 1], "isError": false,
            ],
        ]
        for answer in answers {
            let entry = try #require(await world.calls.tools.usableEntry(named: "fake"))
            let source = CallSource(.init(tool: "fake", arguments: JSONObject()), by: caller)
            let given = ToolResult(original: object(answer))
            var screened = await world.calls.screenResult(given, of: entry.identity, source)
            let call = world.calls.record(
                of: .init(tool: "fake", arguments: JSONObject()),
                by: caller
            )
            let request = try #require(
                await world.calls.hold(&screened, given, entry, JSONObject(), call, source)
            )
            try await world.desk.decide(request.id, by: bob, .init(.approve))
            let polled = try await world.poll(request.id).structured
            #expect(polled?["tool_result"] == answer)
        }
    }

    @Test func `a client that takes tasks has one, which what passes does not end`() async throws {
        let world = try await world()
        var request = GuardedCall.Request(
            tool: "fake",
            arguments: object(["text": .string(Self.mail)])
        )
        request.takesTasks = true
        let calls = world.approvals.calls
        let task = try await calls.run(request, by: caller).json(for: .latest)
        let id = try #require(task["taskId"]?.string)
        func get() async throws -> JSONObject {
            let asked = GuardedCall.Request(tool: "", arguments: JSONObject())
            return try await calls.task(id, .get, asked, by: caller) { _ in }
        }
        #expect(try await get()["status"] == "working")
        try await world.approvals.desk.decide(id, by: bob, .init(.approve))
        world.rules.set(nil)
        let passing = try await get()
        #expect(passing["status"] == "working" && passing["result"] == nil)
        world.rules.set([Self.rule(.deny)])
        let denied = try await get()
        #expect(denied["status"] == "completed" && denied["result"]?["isError"] == true)
        world.rules.set([Self.rule(.requireApproval)])
        let done = try await get()
        #expect(done["result"]?["structuredContent"] == ["said": .string(Self.mail)])
        #expect(world.approvals.runs.all == [Self.mail])
    }

    /// Rules about agents are about who made the call.
    @Test func `whoever comes for an answer as another agent meets the same rules`() async throws {
        let world = try await world()
        let client = ClientDescription(name: "bot", version: "1")
        var request = GuardedCall.Request(
            tool: "fake",
            arguments: object(["text": .string(Self.mail)])
        )
        request.client = client
        let handle = try await world.approvals.calls.run(request, by: caller)
        let id = try #require(handle.structured?["request_id"]?.string)
        try await world.approvals.desk.decide(id, by: bob, .init(.approve))
        var denies = Self.rule(.deny)
        denies.scope.agents = ["bot"]
        world.rules.set([denies])
        let polled = try await world.approvals.poll(id)
        #expect(!polled.text.contains("example.org"))
        #expect(polled.text.contains("withheld"))
    }

    @Test func `an answer is its caller's, and is sealed where it waits`() async throws {
        let world = try await world().approvals
        let id = try await world.handle("with \(Self.token)")
        let row = try await world.desk.find(id).row
        #expect(!row.request.shown.serializedText().contains(Self.token))
        #expect(row.request.shown["answer"]?.serializedText().contains("[redacted:") == true)
        let sealed = String(decoding: row.request.sealedCall.bytes, as: UTF8.self)
        #expect(!sealed.contains(Self.token))
        try await world.desk.decide(id, by: bob, .init(.approve))
        let eve = Caller(name: "user:eve", channel: .mcp)
        #expect(try await world.poll(id, by: eve).isError)
        #expect(try await kinds(world, id).last == "approved")
    }

    @Test(arguments: Engine.all)
    func `many who ask at once, and another process, get it once`(_ engine: Engine) async throws {
        let world = try await world(engine: engine).approvals
        let id = try await world.handle(Self.mail)
        try await world.desk.decide(id, by: bob, .init(.approve))
        let other = try await world.reopened()
        let results = try await withThrowingTaskGroup(of: JSONValue?.self) { group in
            for number in 0..<16 {
                let asked = number.isMultiple(of: 2) ? world : other
                group.addTask { try await asked.poll(id).structured?["tool_result"] }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results == Array(repeating: ["said": .string(Self.mail)], count: 16))
        #expect(try await kinds(world, id).count { $0 == "answer_released" } == 1)
        #expect(world.runs.all == [Self.mail])
    }

    @Test func `an approved call whose answer needs an approval gives a handle`() async throws {
        let world = try await world().approvals
        world.policy.decision.withLock { $0 = .requireApproval(ApprovalWorld.demand) }
        let call = try await world.handle(Self.mail)
        try await world.desk.decide(call, by: bob, .init(.approve))
        let handle = try await world.poll(call).structured?["tool_result"]
        #expect(handle?["status"] == "pending_approval")
        let answer = try #require(handle?["request_id"]?.string)
        #expect(answer != call && world.runs.all == [Self.mail])
        try await world.desk.decide(answer, by: bob, .init(.approve))
        let given = try await world.poll(answer).structured
        #expect(given?["tool_result"] == ["said": .string(Self.mail)])
    }

    /// Its caller has gone; what the call gave can be had no other way.
    @Test func `a call that is cancelled while its answer waits leaves the request`() async throws {
        let world = try await world(pacing: ContinuousClock()).approvals
        let waiting = Task { try await world.call(Self.mail) }
        let request = try await world.pending()[0]
        waiting.cancel()
        let result = try await waiting.value
        #expect(result.text.contains(request.id) && !result.text.contains("example.org"))
        #expect(try await world.desk.find(request.id).state.isPending)
        try await world.desk.decide(request.id, by: bob, .init(.approve))
        let given = try await world.poll(request.id).structured
        #expect(given?["tool_result"] == ["said": .string(Self.mail)])
    }

    /// The answer is there, and whoever could allow it is not.
    @Test func `where no approval can be asked for the answer is withheld`() async throws {
        let world = try await world()
        var unknown = Self.rule(.requireApproval)
        unknown.workflow = "gone"
        world.rules.set([unknown])
        let result = try await world.approvals.call(Self.mail)
        #expect(result.isError && result.text.contains("withheld"))
        #expect(!result.text.contains("example.org"))
        let reason = try await world.approvals.records()[0].reason
        #expect(reason?.contains("nobody can be asked") == true, "\(reason ?? "")")
    }
}
