import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Calls that wait for approval, as tasks and as pages that clients of older revisions open.
@Suite struct ApprovalTaskTests {
    private let bob = Approver(.user, "bob")

    private func request(_ text: String = "hi") -> GuardedCall.Request {
        var request = GuardedCall.Request(tool: "fake", arguments: object(["text": .string(text)]))
        request.takesTasks = true
        return request
    }

    /// Calls the held tool, and gives the task.
    private func begin(_ world: ApprovalWorld) async throws -> (id: String, JSONObject) {
        let json = try await world.calls.run(request(), by: caller).json(for: .latest)
        #expect(json["resultType"] == "task" && json["status"] == "working")
        #expect(json["content"] == nil)
        return (try #require(json["taskId"]?.string), json)
    }

    private func ask(
        _ world: ApprovalWorld,
        _ id: String,
        _ method: ServerSession.TaskMethod = .get,
        by asking: Caller = caller
    ) async throws -> JSONObject {
        let asked = GuardedCall.Request(tool: "", arguments: JSONObject())
        return try await world.calls.task(id, method, asked, by: asking) { _ in }
    }

    @Test func `a call that waits is a task, and runs once when somebody asks for it`()
        async throws
    {
        let world = try await ApprovalWorld { $0.approvers = ["bob"] }
        let (id, seed) = try await begin(world)
        #expect(seed["statusMessage"] == "waiting for approval by bob")
        #expect(seed["ttlMs"]?.integer ?? 0 > 0 && seed["pollIntervalMs"]?.integer ?? 0 >= 5_000)
        let waiting = try await ask(world, id)
        #expect(waiting["status"] == "working" && waiting["result"] == nil)
        #expect(world.runs.all.isEmpty)
        try await world.desk.decide(id, by: bob, .init(.approve))
        for _ in 0..<2 {
            let done = try await ask(world, id)
            #expect(done["status"] == "completed")
            #expect(done["result"]?["structuredContent"] == ["said": "hi"])
        }
        #expect(world.runs.all == ["hi"])
    }

    @Test func `a task survives its process`() async throws {
        let world = try await ApprovalWorld()
        let (id, _) = try await begin(world)
        let other = try await world.reopened()
        #expect(try await ask(other, id)["status"] == "working")
        try await other.desk.decide(id, by: bob, .init(.approve))
        #expect(try await ask(other, id)["status"] == "completed")
        #expect(try await ask(world, id)["result"]?["isError"] == false)
        #expect(world.runs.all == ["hi"])
    }

    @Test func `a denied call is completed with an error, one that is given up is cancelled`()
        async throws
    {
        let world = try await ApprovalWorld()
        let (denied, _) = try await begin(world)
        try await world.desk.decide(denied, by: bob, .init(.decline, reason: "not today"))
        let answer = try await ask(world, denied)
        #expect(answer["status"] == "completed" && answer["result"]?["isError"] == true)
        let text = answer["result"]?["content"]?[0]?["text"]?.string
        #expect(text?.contains("not today") == true)
        let (given, _) = try await begin(world)
        #expect(try await ask(world, given, .update).members.isEmpty)
        #expect(try await ask(world, given, .cancel).members.isEmpty)
        #expect(try await ask(world, given)["status"] == "cancelled")
        let refusal = await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(given, by: bob, .init(.approve))
        }
        #expect(refusal != nil && world.runs.all.isEmpty)
    }

    @Test func `an approval that cannot be used any more is told as an error`() async throws {
        let world = try await ApprovalWorld()
        let (id, _) = try await begin(world)
        try await world.desk.decide(id, by: bob, .init(.approve))
        world.policy.decision.withLock { $0 = .deny(reason: "not any more") }
        let answer = try await ask(world, id)
        #expect(answer["status"] == "completed" && answer["result"]?["isError"] == true)
        #expect(world.runs.all.isEmpty)
    }

    /// The approval stayed good, and whoever looked whether the task was cancelled ran it.
    @Test func `giving up a task spends its approval, and nothing runs`() async throws {
        let world = try await ApprovalWorld { $0.rememberedSeconds = 600 }
        try await world.addUsers([(name: "bob", role: .editor)])
        let (id, _) = try await begin(world)
        let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(600))
        try await world.desk.decide(id, by: bob, word)
        #expect(try await ask(world, id, .update).members.isEmpty)
        for _ in 0..<2 { #expect(try await ask(world, id, .cancel).members.isEmpty) }
        #expect(try await ask(world, id)["status"] == "cancelled")
        #expect(try await world.poll(id).structured?["status"] == "cancelled")
        #expect(try await !world.desk.claim(id))
        // The same call asks anew: nothing of the approval is left.
        let (other, _) = try await begin(world)
        #expect(other != id && world.runs.all.isEmpty)
        let events = try await world.desk.events(of: id).map(\.kind)
        #expect(events == ["approval_requested", "vote", "approved", "cancelled"])
    }

    @Test func `giving up what has run changes nothing`() async throws {
        let world = try await ApprovalWorld()
        let (id, _) = try await begin(world)
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await ask(world, id)["status"] == "completed")
        #expect(try await ask(world, id, .cancel).members.isEmpty)
        #expect(try await ask(world, id)["status"] == "completed" && world.runs.all == ["hi"])
    }

    /// Whoever can write rows, but not what the audit tells, approves nothing.
    @Test func `a row that was made approved by hand runs nothing`() async throws {
        let world = try await ApprovalWorld()
        let (id, _) = try await begin(world)
        let now = world.time.clock.now()
        try await world.scratch.store.writeOutsideFeed { connection, account in
            _ = try connection.execute(
                """
                UPDATE approval_requests SET status = 'approved', resolved_at = \(now)
                WHERE account_id = \(account) AND id = \(id)
                """
            )
        }
        #expect(try await ask(world, id)["result"]?["isError"] == true)
        #expect(world.runs.all.isEmpty)
    }

    @Test func `a task is its caller's alone`() async throws {
        let world = try await ApprovalWorld()
        let (id, _) = try await begin(world)
        let eve = Caller(name: "user:eve", channel: .mcp)
        for method in ServerSession.TaskMethod.allCases {
            await #expect(throws: RPCError.self) { try await ask(world, id, method, by: eve) }
            await #expect(throws: RPCError.self) { try await ask(world, "nothing", method) }
        }
        #expect(try await ask(world, id)["status"] == "working")
    }

    // MARK: - Questions to clients of older revisions

    /// A held call of a client that shows questions, and what it was asked.
    private func ask(
        _ world: ApprovalWorld,
        _ capabilities: JSONValue,
        answering action: String
    ) async throws -> (result: Task<ToolResult, any Error>, id: String, question: JSONObject) {
        let questions = AsyncStream.makeStream(of: JSONObject.self)
        var request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
        request.extras.capabilities = object(["elicitation": capabilities])
        request.extras.ask = { method, question in
            questions.continuation.yield(method == "elicitation/create" ? question : JSONObject())
            return .success(object(["action": .string(action), "content": [:]]))
        }
        let asked = request
        let result = Task { try await world.calls.run(asked, by: caller) }
        let id = try await world.pending()[0].id
        for await question in questions.stream { return (result, id, question) }
        throw CancellationError()
    }

    /// It is the agent's own client: whatever it answers, somebody else has to approve.
    @Test(arguments: [[:], ["form": [:]]] as [JSONValue], ["accept", "cancel"])
    func `a client that shows questions is told what it waits for, and approves nothing`(
        _ capabilities: JSONValue,
        _ action: String
    ) async throws {
        let world = try await ApprovalWorld { $0.approvers = ["bob"] }
        let (result, id, question) = try await ask(world, capabilities, answering: action)
        #expect(question["mode"] == "form")
        #expect(question["requestedSchema"]?["properties"] == [:])
        let message = question["message"]?.string ?? ""
        #expect(message.contains("bob") && message.contains(id), "\(message)")
        #expect(try await world.desk.find(id).status == .pending && world.runs.all.isEmpty)
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await result.value.structured == ["said": "hi"])
        let votes = try await world.desk.events(of: id).filter { $0.kind == "vote" }
        #expect(votes.count == 1)
    }

    @Test func `who declines the question takes the call back`() async throws {
        let world = try await ApprovalWorld()
        let (result, id, _) = try await ask(world, ["form": [:]], answering: "decline")
        #expect(try await result.value.isError)
        #expect(try await world.desk.find(id).status == .cancelled && world.runs.all.isEmpty)
        await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(id, by: bob, .init(.approve))
        }
    }

    @Test func `a client of an older revision is asked to open the page while it waits`()
        async throws
    {
        let world = try await ApprovalWorld()
        let questions = Mutex<[JSONObject]>([])
        var request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
        request.extras.capabilities = object(["elicitation": ["url": [:]]])
        request.extras.ask = { method, question in
            #expect(method == "elicitation/create")
            questions.withLock { $0.append(question) }
            // A person who never answers keeps nothing up.
            try? await Task.sleep(for: .seconds(600))
            return .failure(.internalError("gone"))
        }
        let asked = request
        async let result = world.calls.run(asked, by: caller)
        let id = try await world.pending()[0].id
        while questions.withLock({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(5)) }
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await result.structured == ["said": "hi"])
        let question = questions.withLock { $0[0] }
        #expect(question["mode"] == "url" && question["elicitationId"] == .string(id))
        #expect(question["url"] == .string("https://preloop.example/approval/\(id)"))
    }
}
