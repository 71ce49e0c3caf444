import Domain
import Firewall
import HTTPClient
import MCP
import Store
import Synchronization

@testable import Gateway

/// A tool whose work is a closure.
struct FakeTool: Tool {
    var name = "fake"
    var isReadOnly = true
    var outputSchema: JSONValue?
    var inputSchema: JSONValue = [
        "type": "object", "additionalProperties": false,
        "properties": ["text": ["type": "string"], "count": ["type": "integer"]],
    ]
    var body: @Sendable (ToolArguments, CallContext) async throws -> JSONValue = { arguments, _ in
        ["said": .string(arguments.text("text"))]
    }

    var definition: ToolDefinition {
        ToolDefinition(
            name: name,
            title: name,
            summary: name,
            inputSchema: inputSchema,
            outputSchema: outputSchema,
            annotations: .init(isReadOnly: isReadOnly)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        try await body(arguments, context)
    }
}

/// A journal in memory that says in which order things happened.
final class FakeJournal: CallJournal {
    struct Failure: Error {}

    let calls = Mutex<[ToolCallTable.Call]>([])
    let events = Mutex<[String]>([])
    let isBroken: Bool
    let forgetsEnds: Bool

    init(isBroken: Bool = false, forgetsEnds: Bool = false) {
        self.isBroken = isBroken
        self.forgetsEnds = forgetsEnds
    }

    func note(_ event: String) { events.withLock { $0.append(event) } }

    func begin(_ call: ToolCallTable.Call) async throws {
        if isBroken { throw Failure() }
        note("begin \(call.outcome.rawValue)")
        calls.withLock { $0.append(call) }
    }

    func complete(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End
    ) async throws {
        if forgetsEnds { throw Failure() }
        note("end \(outcome.rawValue)")
        calls.withLock { calls in
            guard let place = calls.firstIndex(where: { $0.id == id }) else { return }
            calls[place].outcome = outcome
            calls[place].end = end
        }
    }
}

/// A policy that refuses what it is told to.
struct FakePolicy: CallPolicy {
    var hidden: Set<String> = []
    var denied: Set<String> = []
    var held: [String: ApprovalDemand] = [:]

    func isVisible(
        _ tool: ToolDefinition,
        _ identity: ToolIdentity,
        to caller: Caller
    ) async -> Bool {
        !hidden.contains(tool.name)
    }

    func decide(_ call: ProposedCall) async -> CallRuling {
        if let demand = held[call.tool.name] { return CallRuling(.requireApproval(demand)) }
        return denied.contains(call.tool.name)
            ? CallRuling(.deny(reason: "not on Fridays")) : CallRuling(.allow)
    }
}

/// A clock on which every wait is over at once.
struct HastyClock: Clock {
    typealias Duration = Swift.Duration
    let base = ContinuousClock()
    var now: ContinuousClock.Instant { base.now }
    var minimumResolution: Duration { .zero }
    func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {}
}

/// A wait that ends only by cancellation, and says that it did.
final class Endless: Sendable {
    let hasBegun = AsyncStream.makeStream(of: Void.self)
    let wasStopped = Mutex(false)

    func wait() async throws {
        hasBegun.continuation.yield()
        defer { wasStopped.withLock { $0 = true } }
        try await Task.sleep(for: .seconds(3_600))
    }

    func begun() async {
        for await _ in hasBegun.stream { return }
    }
}

extension AuditKeys {
    /// Keys of an account.
    static func testing(_ account: AccountID, key: Character = "7") throws -> AuditKeys {
        let box = try SecretBox(keyMaterial: Secret(String(repeating: key, count: 32)))
        return try AuditKeys(box, account: account)
    }
}

let caller = Caller(name: "local:ann", channel: .stdio)

/// A service that answers from a list, the last answer again and again.
final class Answers: HTTPTransport {
    let requests = Mutex<[HTTPRequest]>([])
    let answers: [JSONValue]
    let status: Int

    init(_ answers: [JSONValue], status: Int = 200) {
        self.answers = answers
        self.status = status
    }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let place = requests.withLock { requests in
            requests.append(request)
            return min(requests.count, answers.count) - 1
        }
        return HTTPResponse(
            status: status,
            headers: HTTPHeaders(),
            body: answers[place].serialized(),
            effectiveURL: request.url
        )
    }
}

/// A database whose writes are counted, and can be made to fail.
final class FailingDatabase: Database {
    struct Failure: Error {}

    private struct State {
        var isFailing = false
        var failures = 0
        var writes = 0
    }

    private let inner: any Database
    private let state = Mutex(State())

    init(_ inner: any Database) { self.inner = inner }

    /// Whether every write fails.
    var isFailing: Bool {
        get { state.withLock { $0.isFailing } }
        set { state.withLock { $0.isFailing = newValue } }
    }

    /// Transactions that were committed.
    var writes: Int { state.withLock { $0.writes } }

    /// Makes so many writes fail.
    func failNext(_ count: Int) { state.withLock { $0.failures = count } }

    var dialect: SQLDialect { inner.dialect }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value { try await inner.read(body) }

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        let fails = state.withLock { state in
            guard state.failures == 0 else {
                state.failures -= 1
                return true
            }
            return state.isFailing
        }
        if fails { throw Failure() }
        let value = try await inner.write(body)
        state.withLock { $0.writes += 1 }
        return value
    }

    func changeToken() async throws -> Int64 { try await inner.changeToken() }

    func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
        try await inner.waitForChange(after: token, atMost: duration)
    }

    func close() async throws { try await inner.close() }
}
