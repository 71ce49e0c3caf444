import Domain
import Firewall
import Foundation
import HTTPClient
import HTTPTypes
import Logging
import MCP
import Store
import StoreTestSupport
import Synchronization
import TestSupport
import Trackers

@testable import API
@testable import Gateway
@testable import Sync

/// A server of a test's own on a free port, over an empty store.
final class RunningServer: Sendable {
    /// What came back.
    struct Answer {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]

        var text: String { String(decoding: body, as: UTF8.self) }
        /// The document; of a stream, which answers a call that takes its time, the last event's.
        var json: JSONValue {
            get throws {
                let last = text.split(separator: "\n").last { $0.hasPrefix("data: {") }
                guard !text.hasPrefix("{"), let last else { return try JSONParser.parse(body) }
                return try JSONParser.parse(String(last.dropFirst(6)))
            }
        }
    }

    /// What may differ from test to test.
    struct Setup {
        var limits = Setup.patient
        var tools: [any Tool] = [EchoTool()]
        /// Makes the tools over an account's own store, in place of ``tools``.
        var toolsOverStore: (@Sendable (Store) -> ToolSet)?
        var allowsRegistration = false
        var lifetimes = AccountDesk.Lifetimes()
        var origins: [String] = []
        var operations = FakeOperations()
        var policy: (any CallPolicy)?
        var callLimits = GuardedCall.Limits()
        var workflow = ApprovalWorkflow.standard
        /// Where people reach the pages of approvals; nil where nobody has said.
        var pageAddress: String?
        /// Where browsers reach the server; nil where nobody has said.
        var publicURL: String?
        /// Networks where other MCP servers may be besides the public Internet.
        var upstreamNetworks: [String] = []
        var proxies = TrustedProxies()
        var spans: Trace.Recorder?
        var identity: TLSIdentity?
        /// Whether trackers' deliveries are taken in, with secrets of ``RunningServer/box()``.
        var takesWebhooks = false
        /// Takes what is logged; else nothing but what is critical is shown.
        var records: LogRecords?
        /// Writes what is done about users, sessions and keys.
        var audit = RunningServer.audit()

        /// What the application takes as it is.
        fileprivate func apply(to means: inout Application.Means) {
            means.limits = limits
            means.allowsRegistration = allowsRegistration
            means.publicURL = publicURL
            means.lifetimes = lifetimes
            means.proxies = proxies
            means.spans = spans
        }

        /// A busy machine keeps test and server waiting; tests of deadlines set their own.
        private static var patient: ServerLimits {
            var limits = ServerLimits()
            limits.headTime = .seconds(120)
            limits.bodyTime = .seconds(120)
            limits.writeStallTime = .seconds(120)
            limits.drainTime = .seconds(120)
            return limits
        }
    }

    let scratch: ScratchStore
    let application: Application
    let port: Int
    private let client: CurlClient
    private let serving: Task<Void, any Error>
    static let signingKey = [UInt8](repeating: 7, count: 32)
    /// The keys of an installation's audit, as the routes read it.
    static func auditKeys(of account: AccountID) throws -> AuditKeys {
        try AuditKeys(box(), account: account)
    }

    /// Writes the audits of all accounts, each with the account's keys.
    static func audit() -> AccountDesk.Audit {
        let audits = AuditWriters()
        return { account in try audits.writer(of: account) { try auditKeys(of: account) } }
    }

    /// Seals what the server opens.
    static func box() throws -> SecretBox {
        try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
    }

    static let password = "correct horse battery"

    init(_ setup: Setup = Setup(), clock: WallClock = .system) async throws {
        let scratch = try await Engine.current.store(clock: clock)
        self.scratch = scratch
        var logger = Logger(label: "test") { JSONLogHandler(label: $0) }
        logger.logLevel = .critical
        if let records = setup.records { logger = records.logger() }
        let (tools, networks) = (setup.tools, setup.upstreamNetworks)
        let transport = try CurlClient(configuration: .init(version: "test"))
        let (policy, workflow, callLimits) = (setup.policy, setup.workflow, setup.callLimits)
        let (makeTools, pageAddress) = (setup.toolsOverStore, setup.pageAddress)
        let box = try Self.box()
        var means = Application.Means(
            store: scratch.store,
            signingKey: Self.signingKey,
            audit: setup.audit,
            version: "1.2.3",
            description: ServerDescription(name: "preloop", title: "Preloop", version: "1.2.3"),
            guardian: RequestGuard(listening: "127.0.0.1", origins: setup.origins),
            logger: logger,
            trackers: setup.operations.operations,
            calls: { account in
                let store = scratch.store.viewed(by: account)
                return GuardedCall(
                    tools: makeTools?(store) ?? ToolSet(tools),
                    policy: policy ?? PolicyBook(store: store, staleness: .zero),
                    journal: StoreJournal(store: store, keys: try Self.auditKeys(of: account)),
                    approvals: ApprovalDesk(
                        store: store,
                        box: { box },
                        workflows: { name in name == nil ? workflow : nil },
                        pageAddress: pageAddress
                    ),
                    limits: callLimits
                )
            },
            upstreams: { account in
                Self.upstreams(scratch.store.viewed(by: account), tools, transport, networks)
            },
            search: { _, _ in throw ToolFailure("there is no index here") }
        )
        means.auditKey = try Self.auditKeys(of: scratch.store.account).publicKey
        if setup.takesWebhooks {
            means.webhooks = WebhookReceiver(database: scratch.store.database, box: box)
        }
        setup.apply(to: &means)
        let application = Application(means)
        self.application = application
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let (finalLogger, identity) = (logger, setup.identity)
        serving = Task {
            defer { port.finish() }
            try await HTTPServer(
                .init(host: "127.0.0.1", port: 0),
                application: application,
                identity: identity,
                logger: finalLogger
            ).run { bound in port.yield(bound) }
        }
        var bound: Int?
        for await number in ports {
            bound = number
            break
        }
        guard let bound else {
            try await serving.value
            throw CancellationError()
        }
        self.port = bound
        client = try CurlClient(configuration: .init(version: "test"))
    }

    /// The other MCP servers of an account.
    private static func upstreams(
        _ store: Store,
        _ tools: [any Tool],
        _ transport: CurlClient,
        _ networks: [String]
    ) -> UpstreamDesk {
        UpstreamDesk(
            UpstreamDesk.Means(
                store: store,
                settings: UpstreamSettings(
                    environment: [:],
                    allowed: networks,
                    version: "1.2.3"
                ),
                transport: transport,
                reserved: tools.map(\.definition.name),
                audit: { AuditWriter(try auditKeys(of: store.account)) },
                box: { try box() }
            )
        )
    }

    /// Lets requests under way end, and ends the server.
    func stop() async throws {
        serving.cancel()
        try await serving.value
    }

    var origin: String { "http://127.0.0.1:\(port)" }

    /// Sends a request.
    func send(
        _ method: String,
        _ path: String,
        _ body: JSONValue? = nil,
        token: String? = nil,
        headers: [(String, String)] = []
    ) async throws -> Answer {
        var fields = headers.map { HTTPClient.HTTPField($0.0, $0.1) }
        if let token { fields.append(.init("Authorization", "Bearer \(token)")) }
        if body != nil, !headers.contains(where: { $0.0 == "Content-Type" }) {
            fields.append(.init("Content-Type", "application/json"))
        }
        let response = try await client.send(
            HTTPClient.HTTPRequest(
                method: method,
                url: origin + path,
                headers: fields,
                body: body?.serialized()
            )
        )
        return Answer(status: response.status, headers: response.headers, body: response.body)
    }

    /// Sends a body as it is written, with `POST`.
    func post(_ path: String, written body: String, token: String) async throws -> Answer {
        let response = try await client.send(
            HTTPClient.HTTPRequest(
                method: "POST",
                url: origin + path,
                headers: [
                    .init("Authorization", "Bearer \(token)"),
                    .init("Content-Type", "application/json"),
                ],
                body: Array(body.utf8)
            )
        )
        return Answer(status: response.status, headers: response.headers, body: response.body)
    }

    /// Begins an MCP session of an older revision.
    func initialize(token: String, _ version: String = "2025-11-25") async throws -> Answer {
        try await send(
            "POST",
            "/mcp/v1",
            [
                "jsonrpc": "2.0", "id": 0, "method": "initialize",
                "params": [
                    "protocolVersion": .string(version), "capabilities": .object(JSONObject()),
                    "clientInfo": ["name": "test", "version": "1"],
                ],
            ],
            token: token,
            headers: [("Accept", "application/json, text/event-stream")]
        )
    }

    /// Sends a form.
    func sendForm(_ path: String, _ form: String) async throws -> Answer {
        let type = HTTPClient.HTTPField("Content-Type", "application/x-www-form-urlencoded")
        let response = try await client.send(
            HTTPClient.HTTPRequest(
                method: "POST",
                url: origin + path,
                headers: [type],
                body: Array(form.utf8)
            )
        )
        return Answer(status: response.status, headers: response.headers, body: response.body)
    }

    /// Adds a user, whose password is ``password``.
    func add(
        _ name: String,
        _ role: Role,
        to account: AccountID = AccountTable.defaultID
    ) async throws -> User {
        let draft = AccountDesk.Draft(name: name, password: Self.password, role: role)
        return try await application.desk.add(draft, to: account)
    }

    /// Another account, with an owner.
    func addAccount(owner name: String) async throws -> AccountID {
        let draft = AccountDesk.Draft(name: name, password: Self.password, role: .owner)
        return try await application.desk.register(draft).1
    }

    /// A key of a user.
    func key(
        _ name: String,
        scopes: Set<KeyScope> = [],
        expiresAt: Timestamp? = nil
    ) async throws -> String {
        let desk = application.desk
        let (account, user) = try await scratch.store.database.read { connection in
            let account =
                try UserTable.account(ofName: name, on: connection) ?? AccountTable.defaultID
            let login = try UserTable.login(name: name, account: account, on: connection)
            return (account, login?.user.id ?? UserID(0))
        }
        return try await desk.addKey(
            name: "key \(UInt64.random(in: 0...UInt64.max))",
            scopes: scopes,
            expiresAt: expiresAt,
            for: user,
            of: account
        ).key
    }

    /// Signs somebody in by ``password``.
    func signIn(_ name: String) async throws -> JSONValue {
        let body: JSONValue = ["username": .string(name), "password": .string(Self.password)]
        return try await send("POST", "/api/v1/auth/token", body).json
    }
}

/// Gives back what it is given.
struct EchoTool: Tool {
    var definition: ToolDefinition {
        ToolDefinition(
            name: "echo",
            title: "Echo",
            summary: "Gives back a text, `times` times.",
            inputSchema: [
                "type": "object", "required": ["text"], "additionalProperties": false,
                "properties": ["text": ["type": "string"], "times": ["type": "integer"]],
            ],
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let times = arguments.integer("times", default: 1)
        return ["said": .string(String(repeating: arguments.text("text"), count: times))]
    }
}

/// A tool that changes something.
struct WriteTool: Tool {
    let count = Counter()

    var definition: ToolDefinition {
        ToolDefinition(
            name: "write",
            title: "Write",
            summary: "Counts its calls.",
            inputSchema: ["type": "object"],
            annotations: .init(isReadOnly: false)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        ["calls": .integer(Int64(count.add()))]
    }
}

/// A tool that reports progress, and ends when it is told to or cancelled.
struct WaitingTool: Tool {
    let started = Gate()
    let mayEnd = Gate()
    let wasCancelled = Counter()

    var definition: ToolDefinition {
        ToolDefinition(
            name: "wait",
            title: "Wait",
            summary: "Waits.",
            inputSchema: ["type": "object"],
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        await context.progress(1, of: 2, "waiting")
        started.open()
        do {
            try await mayEnd.pass()
        } catch {
            _ = wasCancelled.add()
            throw error
        }
        return ["waited": true]
    }
}

/// A tool whose arguments are mirrored in headers.
struct RoutedTool: Tool {
    var definition: ToolDefinition {
        ToolDefinition(
            name: "routed",
            title: "Routed",
            summary: "Has arguments that proxies route by.",
            inputSchema: [
                "type": "object",
                "properties": [
                    "tenant": ["type": "string", "x-mcp-header": "Tenant"],
                    "deep": [
                        "type": "object",
                        "properties": ["level": ["type": "integer", "x-mcp-header": "Level"]],
                    ],
                ],
            ],
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        var answer = arguments.members
        // What its server would get besides.
        let others = context.extras.parameterHeaders.fields
        answer["others"] = JSONValue(others.map { "\($0.name.lowercased()): \($0.value)" })
        return .object(answer)
    }
}

/// Counts.
final class Counter: Sendable {
    private let state = Mutex(0)

    var value: Int { state.withLock { $0 } }

    func add() -> Int {
        state.withLock { count in
            count += 1
            return count
        }
    }
}

/// Opens once; one task may wait for that.
final class Gate: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func open() { continuation.finish() }

    func pass() async throws {
        for await _ in stream {}
        try Task.checkCancellation()
    }
}

/// What a server's trackers answer in tests: nothing leaves the process.
final class FakeOperations: Sendable {
    let tested = Counter()
    let synced = Counter()
    /// What a change of a tracker does; nothing where a test has not said.
    typealias Change = @Sendable (Tracker, @escaping TrackerOperations.Check) async throws -> Void
    let changing = Mutex<Change?>(nil)
    /// Why projects cannot be read; nil where they can.
    let projectRefusal = Mutex<TrackerError?>(nil)
    /// The paths of the projects that were asked for, in their order.
    let testedProjects = Mutex<[String]>([])
    /// What was asked for about webhooks, in its order.
    let webhookTasks = Mutex<[TrackerOperations.WebhookTask]>([])
    /// Who has added, changed or removed something, in its order.
    let authors = Mutex<[TrackerOperations.Author]>([])

    var operations: TrackerOperations {
        TrackerOperations(
            add: { _, author in
                self.authors.withLock { $0.append(author) }
                throw Problem(.badGateway, "no service")
            },
            change: { tracker, _, author, check in
                self.authors.withLock { $0.append(author) }
                let changing = self.changing.withLock { $0 }
                try await changing?(tracker, check)
            },
            remove: { _, author, _ in
                self.authors.withLock { $0.append(author) }
                return TrackerOperations.Removal(issues: 6, leftovers: ["acme: refused"])
            },
            test: { _, _ in
                _ = self.tested.add()
                return TrackerIdentity(userName: "bot")
            },
            testProject: { project, _, _ in
                self.testedProjects.withLock { $0.append(project.path) }
                if let refusal = self.projectRefusal.withLock({ $0 }) { throw refusal }
                return TrackerIdentity(userName: "bot")
            },
            startSync: { _, _ in
                _ = self.synced.add()
                return TrackerOperations.SyncState(state: "running")
            },
            syncState: { tracker, _ in
                var state = TrackerOperations.SyncState(state: "idle")
                state.problems = tracker.map { ["\($0.name): asked alone"] } ?? []
                return state
            },
            webhooks: { tracker, task, author in
                self.webhookTasks.withLock { $0.append(task) }
                self.authors.withLock { $0.append(author) }
                return Self.webhooks(of: tracker)
            }
        )
    }

    /// One registered for a project, one refused, and a delivery.
    private static func webhooks(of tracker: Tracker) -> [TrackerOperations.Webhooks] {
        let organization = OrganizationID(1)
        var asked = TrackerOperations.Webhooks(organization: "acme", isAsked: true)
        asked.webhooks = [
            RegisteredWebhook(
                id: "1",
                place: .project(
                    RemoteProject(externalID: "1", path: "acme/app", name: "", url: "")
                ),
                url: "https://preloop.example/\(tracker.kind.rawValue)",
                isActive: true,
                events: ["issues"]
            )
        ]
        asked.refused = [("acme/lib", .notFound(detail: "no such hook"))]
        asked.hasSecret = true
        asked.lastDelivery = WebhookDeliveryTable.Row(
            organization: organization,
            id: "d-1",
            action: "opened",
            receivedAt: Timestamp(milliseconds: 0)
        )
        return [asked, TrackerOperations.Webhooks(organization: "unasked")]
    }
}
