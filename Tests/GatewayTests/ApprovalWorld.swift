import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization

@testable import Gateway

/// A policy whose decision tests change while calls wait.
final class SwitchedPolicy: CallPolicy {
    let decision: Mutex<CallDecision>
    let mode = Mutex<JustificationMode?>(nil)
    /// Decides in place of ``decision`` where it says something.
    let rule = Mutex<(@Sendable (ProposedCall) -> CallDecision?)?>(nil)
    let isUnreadable = Mutex(false)
    /// What was asked about.
    let proposals = Mutex<[ProposedCall]>([])

    init(_ decision: CallDecision) { self.decision = Mutex(decision) }

    func justification(for tool: ToolIdentity) async throws -> JustificationMode? {
        guard !isUnreadable.withLock({ $0 }) else { throw StoreError.busy }
        return mode.withLock { $0 }
    }

    func isVisible(
        _ tool: ToolDefinition,
        _ identity: ToolIdentity,
        to caller: Caller
    ) async -> Bool { true }

    func decide(_ call: ProposedCall) async -> CallRuling {
        proposals.withLock { $0.append(call) }
        let rule = rule.withLock { $0 }
        return CallRuling(rule?(call) ?? decision.withLock { $0 })
    }
}

/// Calls that wait for approval, over a store; opened again, they are another process.
struct ApprovalWorld {
    let scratch: ScratchStore
    let time: MovableTime
    let runs: RunCounter
    let policy: SwitchedPolicy
    let calls: GuardedCall
    let desk: ApprovalDesk

    static let demand = ApprovalDemand(policyVersion: 3, message: "ask first")

    /// What may differ from test to test besides the workflow.
    struct Setup {
        var model: LanguageModel?
        var sensitive: SensitiveValues?
        var limits: ApprovalDesk.Limits = {
            var limits = ApprovalDesk.Limits()
            // All that tests ask for is of one caller.
            limits.pendingOfOne = 2_000
            return limits
        }()
        var tool: FakeTool?
        /// The workflow that is called so.
        var strict = ApprovalWorkflow(name: "strict")
    }

    init(
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in },
        engine: Engine = .current,
        pacing: any Clock<Duration> = ContinuousClock(),
        setup: Setup = Setup()
    ) async throws {
        let time = MovableTime()
        let scratch = try await engine.store(clock: time.clock)
        try self.init(scratch, scratch.store, time, RunCounter(), change, pacing, setup)
        // What a user has approved runs only while there is one of that name.
        try await add([
            User(id: UserID(999), name: "bob", role: .editor, createdAt: time.clock.now())
        ])
    }

    private init(
        _ scratch: ScratchStore,
        _ store: Store,
        _ time: MovableTime,
        _ runs: RunCounter,
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void,
        _ pacing: any Clock<Duration>,
        _ setup: Setup
    ) throws {
        self.scratch = scratch
        self.time = time
        self.runs = runs
        policy = SwitchedPolicy(.requireApproval(Self.demand))
        var workflow = ApprovalWorkflow.standard
        change(&workflow)
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        desk = ApprovalDesk(
            store: store,
            box: { box },
            workflows: { [workflow, strict = setup.strict] name in
                switch name {
                case nil: workflow
                case "strict": strict
                default: nil
                }
            },
            model: setup.model,
            pageAddress: "https://preloop.example",
            limits: setup.limits,
            pacing: pacing
        )
        var held = setup.tool ?? FakeTool(isReadOnly: false)
        held.body = { arguments, _ in
            runs.add(arguments.text("text"))
            return ["said": .string(arguments.text("text"))]
        }
        calls = GuardedCall(
            tools: ToolSet([held, GetApprovalStatusTool(), RequestApprovalTool()]),
            policy: policy,
            journal: StoreJournal(store: store, keys: try AuditKeys(box, account: store.account)),
            sensitive: setup.sensitive,
            approvals: desk,
            clock: store.clock
        )
    }

    /// The same store, as another process has it.
    func reopened(
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in },
        tool: FakeTool? = nil,
        pacing: any Clock<Duration> = HastyClock()
    ) async throws -> ApprovalWorld {
        let store = try await Store.open(scratch.database.connect(), clock: time.clock)
        let setup = Setup(tool: tool)
        return try ApprovalWorld(scratch, store, time, runs, change, pacing, setup)
    }

    private func add(_ users: [User]) async throws {
        try await scratch.store.write { connection, account in
            for user in users {
                // Who is there already is replaced.
                try connection.execute(
                    "DELETE FROM users WHERE account_id = \(account) AND name = \(user.name)"
                )
                try connection.execute("DELETE FROM login_names WHERE name = \(user.name)")
                try UserTable.insert(user, passwordHash: nil, account: account, on: connection)
            }
        }
    }

    /// Adds users who have an address.
    func addUsers(_ users: [(name: String, role: Role)]) async throws {
        let start = time.clock.now()
        let rows = users.enumerated().map { number, user in
            User(
                id: UserID(Int64(1_000 + number)),
                name: user.name,
                email: "\(user.name)@example.com",
                role: user.role,
                createdAt: start
            )
        }
        try await add(rows)
    }

    /// Makes a user one who only looks.
    func demote(_ name: String) async throws {
        _ = try await scratch.store.write { connection, account in
            try connection.execute(
                """
                UPDATE users SET role = 'viewer' WHERE account_id = \(account) AND name = \(name)
                """
            )
        }
    }

    /// What is on record about the held tool, latest first.
    func records() async throws -> [ToolCallTable.Call] {
        try await scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 50, account: account, on: connection)
        }.filter { $0.tool == "fake" }
    }

    /// Calls the held tool.
    func call(_ text: String = "hi", by asking: Caller = caller) async throws -> ToolResult {
        try await calls.run(
            GuardedCall.Request(tool: "fake", arguments: object(["text": .string(text)])),
            by: asking
        )
    }

    /// What `get_approval_status` answers.
    func poll(_ id: String, by asking: Caller = caller) async throws -> ToolResult {
        try await calls.run(
            GuardedCall.Request(
                tool: "get_approval_status",
                arguments: object(["request_id": .string(id)])
            ),
            by: asking
        )
    }

    /// The identifier in a handle.
    func handle(_ text: String = "hi", by asking: Caller = caller) async throws -> String {
        let result = try await call(text, by: asking)
        guard result.structured?["status"] == "pending_approval",
            let id = result.structured?["request_id"]?.string
        else { throw ToolFailure("no handle: \(result.text)") }
        return id
    }

    /// Waits until so many requests are pending, and gives them.
    func pending(_ count: Int = 1) async throws -> [ApprovalRequest] {
        while true {
            let found = try await desk.list(status: .pending, limit: 2_000)
            if found.count >= count { return found }
            try await Task.sleep(for: .milliseconds(count > 1 ? 100 : 5))
        }
    }
}

/// A time of day that tests move.
final class MovableTime: Sendable {
    private let now = Mutex(Timestamp(milliseconds: 1_700_000_000_000))

    var clock: WallClock { WallClock { [self] in now.withLock { $0 } } }

    func advance(_ seconds: Int) {
        now.withLock { $0 = $0.advanced(by: .seconds(seconds)) }
    }
}

/// What has run.
final class RunCounter: Sendable {
    private let texts = Mutex<[String]>([])

    func add(_ text: String) { texts.withLock { $0.append(text) } }

    var all: [String] { texts.withLock { $0 } }
}

func object(_ json: JSONValue) -> JSONObject { json.object ?? JSONObject() }

extension ApprovalWorld {
    /// How somebody comes to have no say any more.
    enum Dismissal: CaseIterable, Sendable {
        case demoted, disabled, removed
        /// By somebody else, who came later and has the name.
        case replaced
    }

    /// Takes away, after a second, what bob may decide.
    func dismissBob(_ way: Dismissal) async throws {
        time.advance(1)
        let later = time.clock.now()
        _ = try await scratch.store.write { connection, account in
            let isBob: SQL = "WHERE account_id = \(account) AND name = 'bob'"
            let change: SQL =
                switch way {
                case .demoted: "UPDATE users SET role = 'viewer'"
                case .disabled: "UPDATE users SET is_active = \(false)"
                case .replaced: "UPDATE users SET created_at = \(later)"
                case .removed: "DELETE FROM users"
                }
            return try connection.execute("\(change) \(isBob)")
        }
    }
}
