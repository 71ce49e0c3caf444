import Domain
import Firewall
import Foundation
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Calls that wait for approval, from the caller's side.
@Suite struct ApprovalCallTests {
    private let bob = Approver(.user, "bob")

    @Test func `a held call runs when it is approved, once, and only then`() async throws {
        let world = try await ApprovalWorld()
        async let result = world.call()
        let request = try await world.pending()[0]
        #expect(world.runs.all.isEmpty)
        #expect(request.row.request.shown == ["text": "hi"])
        #expect(request.row.request.message == "ask first")
        try await world.desk.decide(request.id, by: bob, .init(.approve, reason: "fine"))
        #expect(try await result.structured == ["said": "hi"])
        #expect(world.runs.all == ["hi"])
        let after = try await world.desk.find(request.id)
        #expect(after.row.execution == .done)
        let kinds = try await world.desk.events(of: request.id).map(\.kind)
        #expect(
            kinds == ["approval_requested", "vote", "approved", "execution_started", "executed"]
        )
        let record = try await world.scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 1, account: account, on: connection)[0]
        }
        #expect(record.decision == .requireApproval && record.outcome == .succeeded)
        #expect(record.reason == "approval request \(request.id)")
    }

    @Test(arguments: Engine.all)
    func `what is decided is in the audit, and the chain is whole`(_ engine: Engine) async throws {
        let world = try await ApprovalWorld(engine: engine, pacing: HastyClock())
        let id = try await world.handle()
        try await world.desk.decide(id, by: bob, .init(.approve, reason: "for a@example.org"))
        _ = try await world.poll(id)
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let store = world.scratch.store
        let log = AuditLog(
            store: store,
            key: try AuditKeys(box, account: store.account).publicKey
        )
        let events = try await log.events(after: 0, limit: 100).compactMap(\.event)
        let decided = events.filter { $0.kind == "approval" && $0.approvalID == id }
        #expect(
            decided.map(\.decision) == [
                "approval_requested", "vote", "approved", "execution_started", "executed",
            ]
        )
        #expect(decided.map(\.caller).prefix(2) == ["local:ann", "user:bob"])
        #expect(decided.allSatisfy { $0.tool == "fake" && $0.policyVersion == 3 })
        #expect(decided[1].reason?.hasPrefix("approves: for [redacted:email:") == true)
        let report = try await log.verify()
        #expect(report.isSound, "\(report.faults)")
    }

    @Test func `the second decision knows where the call came from`() async throws {
        let world = try await ApprovalWorld()
        var request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
        request.client = ClientDescription(name: "bot", version: "2")
        (request.session, request.traceParent) = ("s1", "00-1-2-01")
        let asked = request
        async let result = world.calls.run(asked, by: caller)
        let id = try await world.pending()[0].id
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await !result.isError)
        let proposals = world.policy.proposals.withLock { $0 }
        #expect(proposals.count == 2)
        for proposal in proposals {
            #expect(proposal.client?.name == "bot" && proposal.session == "s1")
            #expect(proposal.traceParent == "00-1-2-01")
        }
    }

    @Test func `a call whose policy asks for another workflow meanwhile does not run`()
        async throws
    {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await world.handle()
        try await world.desk.decide(id, by: bob, .init(.approve))
        var strict = ApprovalWorld.demand
        strict.workflow = "strict"
        let demand = strict
        world.policy.decision.withLock { $0 = .requireApproval(demand) }
        let status = try await world.poll(id).structured
        #expect(
            status?["tool_execution_error"]?.string?.contains("another workflow") == true,
            "\(String(describing: status))"
        )
        #expect(world.runs.all.isEmpty)
    }

    @Test func `where nobody can say whether a reason is needed, no call runs`() async throws {
        let world = try await ApprovalWorld()
        world.policy.decision.withLock { $0 = .allow }
        world.policy.isUnreadable.withLock { $0 = true }
        let result = try await world.call()
        #expect(result.isError && result.text.contains("the policy cannot be read"))
        #expect(world.runs.all.isEmpty)
        #expect(try await world.records().map(\.outcome) == [.denied])
    }

    @Test func `a declined call does not run, and its caller hears who and why`() async throws {
        let world = try await ApprovalWorld()
        async let result = world.call()
        let request = try await world.pending()[0]
        try await world.desk.decide(request.id, by: bob, .init(.decline, reason: "not today"))
        let answer = try await result
        #expect(answer.isError && answer.text.contains("user:bob declined"))
        #expect(answer.text.contains("not today"))
        #expect(world.runs.all.isEmpty)
    }

    @Test func `after a bounded hold there is a handle, and polling runs the call once`()
        async throws
    {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await world.handle()
        #expect(try await world.poll(id).structured?["status"] == "pending")
        #expect(world.runs.all.isEmpty)
        try await world.desk.decide(id, by: bob, .init(.approve))
        for _ in 0..<3 {
            let status = try #require(try await world.poll(id).structured)
            #expect(status["status"] == "approved")
            #expect(status["tool_result"] == ["said": "hi"])
            #expect(status["tool_execution_error"] == .null)
        }
        #expect(world.runs.all == ["hi"])
        let outcomes = try await world.scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 20, account: account, on: connection)
        }
        #expect(outcomes.filter { $0.tool == "fake" }.map(\.outcome).contains(.held))
    }

    @Test func `who waits hears every few seconds whom for`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let told = RunCounter()
        let request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
        let result = try await world.calls.run(request, by: caller) { event in
            if case .progress(let progress) = event { told.add(progress.message ?? "") }
        }
        #expect(result.structured?["status"] == "pending_approval")
        let id = try #require(result.structured?["request_id"]?.string)
        #expect(told.all.count >= 5)
        #expect(told.all.allSatisfy { $0.hasSuffix("to approve request \(id)") }, "\(told.all)")
    }

    @Test func `an asynchronous workflow gives the handle at once`() async throws {
        // With the real clock: nothing may be waited for.
        let world = try await ApprovalWorld({ $0.isAsynchronous = true })
        let id = try await world.handle()
        #expect(try await world.desk.find(id).status == .pending)
        #expect(world.desk.parkedCount == 0)
    }

    @Test func `calling again joins the open request, and runs what was approved meanwhile`()
        async throws
    {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await world.handle()
        #expect(try await world.handle() == id)
        #expect(try await world.handle("other") != id)
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await world.call().structured == ["said": "hi"])
        #expect(world.runs.all == ["hi"])
        // The approval is used: the next call asks anew.
        #expect(try await world.handle() != id)
    }

    @Test func `somebody else's request cannot be polled`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        let id = try await world.handle()
        try await world.desk.decide(id, by: bob, .init(.approve))
        let eve = Caller(name: "user:eve", channel: .mcp)
        let answer = try await world.poll(id, by: eve)
        #expect(answer.isError && answer.text.contains("there is no approval request"))
        #expect(world.runs.all.isEmpty)
    }

    @Test func `a cancelled call takes its request back`() async throws {
        let world = try await ApprovalWorld()
        let call = Task { try await world.call() }
        let request = try await world.pending()[0]
        call.cancel()
        let answer = try await call.value
        #expect(answer.isError && answer.text.contains("cancelled"))
        #expect(try await world.desk.find(request.id).status == .cancelled)
        await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(request.id, by: bob, .init(.approve))
        }
        #expect(world.runs.all.isEmpty && world.desk.parkedCount == 0)
    }

    @Test func `time ends a request, after the escalation`() async throws {
        let world = try await ApprovalWorld(
            { workflow in
                workflow.timeoutSeconds = 60
                workflow.approvers = ["bob"]
                workflow.escalation = ["eve"]
            },
            pacing: HastyClock()
        )
        let id = try await world.handle()
        world.time.advance(61)
        #expect(try await world.desk.find(id).state.escalatedAt != nil)
        let jobs = try await world.scratch.store.read { connection, account in
            try JobTable.list(.waiting, limit: 20, account: account, on: connection)
        }
        #expect(jobs.count { $0.kind == ApprovalJobs.notify } == 2)
        world.time.advance(60)
        #expect(try await world.poll(id).structured?["status"] == "expired")
        await #expect(throws: ApprovalRefusal.self) {
            try await world.desk.decide(id, by: Approver(.user, "eve"), .init(.approve))
        }
        #expect(world.runs.all.isEmpty)
    }

    @Test func `a quorum releases the call with the last vote that is needed`() async throws {
        let world = try await ApprovalWorld({ $0.quorum = 2 })
        try await world.addUsers([(name: "eve", role: .editor)])
        async let result = world.call()
        let request = try await world.pending()[0]
        try await world.desk.decide(request.id, by: bob, .init(.approve))
        #expect(world.runs.all.isEmpty)
        await #expect(throws: ApprovalRefusal.refused(.alreadyVoted(approver: "user:bob"))) {
            try await world.desk.decide(request.id, by: bob, .init(.approve))
        }
        await #expect(throws: ApprovalRefusal.refused(.ownCall)) {
            try await world.desk.decide(request.id, by: Approver(.local, "ann"), .init(.approve))
        }
        try await world.desk.decide(request.id, by: Approver(.user, "eve"), .init(.approve))
        #expect(try await result.structured == ["said": "hi"])
    }

    @Test func `an approval may be remembered for the same call, as long as the workflow allows`()
        async throws
    {
        let world = try await ApprovalWorld(
            { $0.rememberedSeconds = 120 },
            pacing: HastyClock()
        )
        try await world.addUsers([(name: "bob", role: .editor)])
        let id = try await world.handle()
        let word = ApprovalDesk.Word(.approve, rememberedFor: .seconds(86_400))
        try await world.desk.decide(id, by: bob, word)
        #expect(try await world.call().structured == ["said": "hi"])
        #expect(try await world.call().structured == ["said": "hi"])
        _ = try await world.handle("something else")
        world.time.advance(121)
        _ = try await world.handle()
        #expect(world.runs.all == ["hi", "hi"])
    }

    @Test(arguments: [nil, 60] as [Int64?])
    func `of several who approve all have to want it remembered, and the shortest time counts`(
        _ seconds: Int64?
    ) async throws {
        let world = try await ApprovalWorld(
            {
                $0.quorum = 2
                $0.rememberedSeconds = 120
            },
            pacing: HastyClock()
        )
        try await world.addUsers([(name: "bob", role: .editor), (name: "eve", role: .owner)])
        let id = try await world.handle()
        let first = ApprovalDesk.Word(
            .approve,
            rememberedFor: seconds.map { Duration.seconds($0) }
        )
        try await world.desk.decide(id, by: bob, first)
        let last = ApprovalDesk.Word(.approve, rememberedFor: .seconds(120))
        try await world.desk.decide(id, by: Approver(.user, "eve"), last)
        #expect(try await world.call().structured == ["said": "hi"])
        if seconds != nil {
            #expect(try await world.call().structured == ["said": "hi"])
            world.time.advance(61)
        }
        _ = try await world.handle()
        #expect(world.runs.all.count == (seconds == nil ? 1 : 2))
    }

    @Test(arguments: [true, false])
    func `an approval may be remembered for the session that asked, where the workflow allows`(
        _ isAllowed: Bool
    ) async throws {
        let world = try await ApprovalWorld(
            { $0.remembersSession = isAllowed },
            pacing: HastyClock()
        )
        try await world.addUsers([(name: "bob", role: .editor)])
        func call(_ session: String?) async throws -> ToolResult {
            var request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
            request.session = session
            return try await world.calls.run(request, by: caller)
        }
        func isHeld(_ session: String?) async throws -> Bool {
            try await call(session).structured?["status"] == "pending_approval"
        }
        let id = try #require(try await call("one").structured?["request_id"]?.string)
        try await world.desk.decide(id, by: bob, .init(.approve, isForSession: true))
        // The approved run itself, and those that are remembered.
        #expect(try await !isHeld("one"))
        #expect(try await isHeld("one") == !isAllowed)
        #expect(world.runs.all.count == (isAllowed ? 2 : 1))
        let other = try await isHeld("two")
        let none = try await isHeld(nil)
        #expect(other && none)
        world.time.advance(86_401)
        #expect(try await isHeld("one"))
    }

    @Test func `a question in words is answered with the decision`() async throws {
        let world = try await ApprovalWorld()
        let arguments: JSONValue = [
            "operation": "drop the table", "context": "it is empty", "reasoning": "tidying",
        ]
        async let answer = world.calls.run(
            GuardedCall.Request(tool: "request_approval", arguments: object(arguments)),
            by: caller
        )
        let request = try await world.pending()[0]
        #expect(request.row.request.justification == "tidying")
        try await world.desk.decide(request.id, by: bob, .init(.decline, reason: "it is not"))
        let status = try #require(try await answer.structured)
        #expect(status["status"] == "declined" && status["comment"] == "it is not")
        #expect(status["decided_by"] == "user:bob")
    }

    /// A loop in an agent wrote thousands of mails, and then every call of everybody was refused.
    @Test func `one caller has so many requests open, and equal questions are one`() async throws {
        var limits = ApprovalDesk.Limits()
        limits.pendingOfOne = 2
        let world = try await ApprovalWorld(
            { $0.isAsynchronous = true },
            setup: ApprovalWorld.Setup(limits: limits)
        )
        func ask(_ operation: String) async throws -> ToolResult {
            let question: JSONValue = [
                "operation": .string(operation), "context": "empty", "reasoning": "tidying",
            ]
            return try await world.calls.run(
                GuardedCall.Request(tool: "request_approval", arguments: object(question)),
                by: caller
            )
        }
        let first = try #require(try await ask("drop").structured?["request_id"]?.string)
        #expect(try await ask("drop").structured?["request_id"] == .string(first))
        let call = try await world.handle("a")
        #expect(try await world.handle("a") == call)
        let refused = try await ask("another")
        #expect(refused.isError && refused.text.contains("2 requests of yours"), "\(refused.text)")
        #expect(try await world.call("b").isError)
        // Others have places of their own; a decision makes one free, and answers a question once.
        _ = try await world.handle("b", by: Caller(name: "user:eve", channel: .mcp))
        try await world.desk.decide(first, by: bob, .init(.approve))
        let second = try await ask("drop").structured?["request_id"]?.string
        #expect(second != nil && second != first)
    }

    @Test func `a reason is asked for, kept from the tool, and shown to approvers`() async throws {
        let world = try await ApprovalWorld(pacing: HastyClock())
        world.policy.mode.withLock { $0 = .required }
        let listed = await world.calls.visibleTools(to: caller).first { $0.name == "fake" }
        let schema = try #require(listed?.inputSchema)
        #expect(schema["required"]?.array?.contains("justification") == true)
        #expect(schema["properties"]?["justification"] != nil)
        let bare = try await world.call()
        #expect(bare.isError && bare.text.contains("say why"))
        let reasoned = try await world.calls.run(
            GuardedCall.Request(
                tool: "fake",
                arguments: object(["text": "hi", "justification": "it is due"])
            ),
            by: caller
        )
        let id = try #require(reasoned.structured?["request_id"]?.string)
        let request = try await world.desk.find(id)
        #expect(request.row.request.justification == "it is due")
        #expect(request.row.request.shown == ["text": "hi"])
        world.policy.mode.withLock { $0 = .optional }
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await world.call().structured == ["said": "hi"])
    }

    @Test func `a client that opens pages is sent to one, and comes back with the same call`()
        async throws
    {
        let world = try await ApprovalWorld()
        var request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
        request.opensPages = true
        let asking = try await world.calls.run(request, by: caller).json(for: .latest)
        #expect(asking["resultType"] == "input_required")
        let state = try #require(asking["requestState"]?.string)
        let id = try #require(try await world.pending(1).first?.id)
        // Nobody reads in it, or could make one, what it is about.
        #expect(state.hasPrefix("preloop-approval-") && !state.contains(id))
        let input = asking["inputRequests"]?["approval"]
        #expect(input?["method"] == "elicitation/create" && input?["params"]?["mode"] == "url")
        #expect(input?["params"]?["url"] == .string("https://preloop.example/approval/\(id)"))
        #expect(world.runs.all.isEmpty)
        // What its client brings back is for us, and no part of the call.
        request.extras.inputs = object([
            "requestState": .string(state), "inputResponses": ["approval": ["action": "accept"]],
        ])
        async let again = world.calls.run(request, by: caller)
        while world.desk.parkedCount == 0 { try await Task.sleep(for: .milliseconds(5)) }
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await again.structured == ["said": "hi"])
        #expect(world.runs.all == ["hi"])
    }

    /// What comes back from a page is for the caller, the call and the time it was given for.
    @Test(arguments: ["forged", "altered", "cut", "caller", "call", "expired", "plain"])
    func `a state that was not given for this call is not honoured`(_ way: String) async throws {
        let world = try await ApprovalWorld()
        var request = GuardedCall.Request(tool: "fake", arguments: object(["text": "hi"]))
        request.opensPages = true
        let asking = try await world.calls.run(request, by: caller).json(for: .latest)
        var state = try #require(asking["requestState"]?.string)
        let id = try #require(try await world.pending(1).first?.id)
        // Were it honoured, the call would run.
        try await world.desk.decide(id, by: bob, .init(.approve))
        var (by, reason) = (caller, "not one that was given here")
        switch way {
        case "forged": state = "preloop-approval-" + String(repeating: "00", count: 200)
        case "altered": state = String(state.dropLast()) + (state.hasSuffix("0") ? "1" : "0")
        case "cut": state = String(state.dropLast(2))
        case "plain": state = "preloop-approval-\(id)"
        case "caller":
            by.name = "user:eve"
            reason = "another caller"
        case "call":
            request.arguments = object(["text": "ho"])
            reason = "another call"
        default:
            world.time.advance(86_400)
            reason = "has expired"
        }
        request.extras.inputs = object(["requestState": .string(state)])
        let refused = try await world.calls.run(request, by: by)
        #expect(refused.isError && refused.text.contains(reason), "\(refused.text)")
        #expect(world.runs.all.isEmpty)
    }

    @Test func `a thousand calls wait side by side, and each is released as it is decided`()
        async throws
    {
        let world = try await ApprovalWorld()
        try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<1_000 {
                group.addTask {
                    try await world.call("\(number)").structured?["said"]?.string ?? ""
                }
            }
            let requests = try await world.pending(1_000)
            while world.desk.parkedCount < 1_000 { try await Task.sleep(for: .milliseconds(10)) }
            // Decided by another process: the watcher of this one sees it.
            let other = try await world.reopened()
            for request in requests.prefix(10) {
                try await other.desk.decide(request.id, by: bob, .init(.approve))
            }
            for _ in 0..<10 { _ = try await group.next() }
            #expect(world.runs.all.count == 10)
            group.cancelAll()
        }
        #expect(world.desk.parkedCount == 0)
    }
}

/// Figures that mean something on a machine that does nothing else.
@Suite(.enabled(if: Measuring.isWanted, "set PRELOOP_MEASURE to take figures"))
struct ApprovalFigures {
    /// What the process holds, without what its allocator keeps for later.
    private static func residentBytes() throws -> Int {
        // Not among what Glibc's module shows.
        if let symbol = dlsym(nil, "malloc_trim") {
            typealias Trim = @convention(c) (Int) -> Int32
            _ = unsafeBitCast(symbol, to: Trim.self)(0)
        }
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (Int(text.split(separator: " ")[1]) ?? 0) * 4_096
    }

    @Test func `a thousand parked calls are small, and a decision releases within a tenth`()
        async throws
    {
        let world = try await ApprovalWorld()
        let before = try Self.residentBytes()
        let clock = ContinuousClock()
        let (ends, ended) = AsyncStream.makeStream(of: (String, ContinuousClock.Instant).self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<1_000 {
                group.addTask {
                    _ = try await world.call("\(number)")
                    ended.yield(("\(number)", clock.now))
                }
            }
            while world.desk.parkedCount < 1_000 { try await Task.sleep(for: .milliseconds(20)) }
            let grown = try Self.residentBytes() - before
            let requests = try await world.pending(1_000)
            var decided: [String: ContinuousClock.Instant] = [:]
            var delays: [Duration] = []
            var iterator = ends.makeAsyncIterator()
            for request in requests.prefix(200) {
                let text = request.row.request.shown["text"]?.string ?? ""
                try await world.desk.decide(
                    request.id,
                    by: Approver(.user, "bob"),
                    .init(.approve)
                )
                decided[text] = clock.now
                guard let (released, at) = await iterator.next() else { break }
                if let start = decided[released] { delays.append(start.duration(to: at)) }
            }
            delays.sort()
            print(
                "parked 1000: \(grown / 1_000_000) MB; release p50 \(delays[delays.count / 2]), "
                    + "p99 \(delays[delays.count * 99 / 100])"
            )
            #expect(grown <= 40_000_000)
            #expect(delays[delays.count * 99 / 100] <= .milliseconds(100))
            group.cancelAll()
        }
    }
}

/// Whether figures are taken, on a machine that does nothing else.
enum Measuring {
    static let isWanted = ProcessInfo.processInfo.environment["PRELOOP_MEASURE"] != nil
}
