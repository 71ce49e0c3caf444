import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization

@testable import Gateway

/// An MCP server in memory, over HTTP that goes nowhere; of the older era unless a test says else.
final class FakeUpstream: HTTPStreamTransport {
    /// What it has, and what it was asked.
    struct State {
        /// What it says of its tool `write`.
        var summary = "Writes a text"
        /// What it sends while a call runs, before its answer.
        var asides: [JSONValue] = []
        /// The error it answers calls with; nil for none.
        var refusal: RPCError?
        /// What it answers calls with; nil for their text.
        var result: JSONValue?
        /// What its resource contains; nil for a word.
        var contents: JSONValue?
        /// The parameters of each call, as they came.
        var calls: [JSONObject] = []
        /// The same of each resource that was read.
        var reads: [JSONObject] = []
        /// The names of its tools, which are all the same else.
        var tools = ["write"]
        /// Definitions that it lists behind those.
        var further: [JSONObject] = []
        /// How often it was asked for its tools.
        var lists = 0
        /// What happens between its making up a list of tools and its sending it; nil for nothing.
        var afterList: (@Sendable () async -> Void)?
        /// What it says to models when a session begins; nil for nothing.
        var instructions: String?
        /// Whether it says something else to each session instead.
        var greetsEachSession = false
        /// How many sessions have begun.
        var sessions = 0
        /// What its resource is called.
        var resourceName = "one"
        /// Whether it tells of changed tools before it answers `initialize`.
        var isRestless = false
        /// Whether its tools never answer.
        var isHanging = false
        /// Where requests went.
        var addresses: Set<String?> = []
        /// Whether it is one of the newer era.
        var isModern = false
        /// Arguments of its tools besides the usual ones, by their names.
        var properties = JSONObject()
        /// The headers of each call, as they came.
        var headers: [[HTTPField]] = []
        /// Members of the result when its resource is read, besides the contents.
        var hints = JSONObject()
    }

    let state = Mutex(State())

    /// The texts that were written.
    var texts: [String] {
        state.withLock { $0.calls.map { $0["arguments"]?["text"]?.string ?? "" } }
    }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        throw .invalidURL(url: request.url)
    }

    func stream(
        _ request: HTTPRequest,
        to receiver: HTTPReceiver
    ) async throws(HTTPError) -> HTTPResponse {
        state.withLock { _ = $0.addresses.insert(request.pinnedAddress) }
        let message = try? JSONParser.parse(request.body ?? [])
        let method = message?["method"]?.string
        let (isRestless, isHanging) = state.withLock { ($0.isRestless, $0.isHanging) }
        // Ends when nobody waits any more.
        if isHanging, method == "tools/call" { try? await Task.sleep(for: .seconds(600)) }
        var reply = message?["id"].map { answer(to: message ?? .null, $0) }
        if method == "tools/list" {
            let pause = state.withLock { state in
                state.lists += 1
                return state.afterList
            }
            await pause?()
        }
        if isRestless, method == "initialize", let answer = reply {
            let change: JSONValue = [
                "jsonrpc": "2.0", "method": "notifications/tools/list_changed",
            ]
            reply = [change, answer]
        }
        let status = request.method == "POST" ? (reply == nil ? 202 : 200) : 405
        let isCall = message?["method"] == "tools/call"
        if isCall { state.withLock { $0.headers.append(request.headers) } }
        let asides = isCall ? state.withLock { $0.asides } : []
        let type = asides.isEmpty ? "application/json" : "text/event-stream"
        let headers = HTTPHeaders([HTTPField("Content-Type", type)])
        receiver.head(status, headers)
        if let reply, asides.isEmpty { _ = receiver.body(reply.serialized()) }
        if let reply, !asides.isEmpty {
            let events = (asides + [reply]).map { "data: \($0.serializedText())\n\n" }
            _ = receiver.body(Array(events.joined().utf8))
        }
        return HTTPResponse(status: status, headers: headers, body: [], effectiveURL: request.url)
    }

    private func answer(to message: JSONValue, _ id: JSONValue) -> JSONValue {
        var object = JSONObject([("jsonrpc", "2.0"), ("id", id)])
        do throws(RPCError) {
            let result = try result(
                of: message["method"]?.string ?? "",
                message["params"]?.object ?? JSONObject()
            )
            object.append(key: "result", value: result)
        } catch {
            object.append(key: "error", value: error.json)
        }
        return .object(object)
    }

    private func result(
        of method: String,
        _ parameters: JSONObject
    ) throws(RPCError) -> JSONValue {
        switch method {
        case "server/discover" where state.withLock({ $0.isModern }):
            return [
                "supportedVersions": ["2026-07-28"],
                "capabilities": ["tools": [:], "resources": [:], "prompts": [:]],
                "instructions": JSONValue(state.withLock { $0.instructions }),
            ]
        case "initialize":
            let instructions = state.withLock { state in
                state.sessions += 1
                return state.greetsEachSession
                    ? "This is session \(state.sessions)." : state.instructions
            }
            return [
                "protocolVersion": "2025-11-25",
                "capabilities": ["tools": [:], "resources": [:], "prompts": [:]],
                "serverInfo": ["name": "fake", "version": "1"],
                "instructions": JSONValue(instructions),
            ]
        case "tools/list":
            let (names, further) = state.withLock { ($0.tools, $0.further) }
            let tools = names.map { definition($0) } + further
            return ["tools": .array(tools.map(JSONValue.object))]
        case "tools/call":
            let (refusal, result) = state.withLock { state in
                state.calls.append(parameters)
                return (state.refusal, state.result)
            }
            if let refusal { throw refusal }
            if let result { return result }
            let text = parameters["arguments"]?["text"] ?? "nothing"
            return ["content": [["type": "text", "text": text]]]
        case "resources/list":
            let name = JSONValue.string(state.withLock { $0.resourceName })
            return ["resources": [["uri": "memo://one", "name": name]]]
        case "resources/templates/list": return ["resourceTemplates": []]
        case "resources/read":
            let (contents, hints) = state.withLock { state in
                state.reads.append(parameters)
                return (state.contents, state.hints)
            }
            let usual: JSONValue = [["uri": parameters["uri"] ?? "", "text": "read"]]
            var result = JSONObject([("contents", contents ?? usual)])
            for member in hints.members { result.append(key: member.key, value: member.value) }
            return .object(result)
        default: throw .methodNotFound(method)
        }
    }

    private func definition(_ name: String) -> JSONObject {
        let (summary, more) = state.withLock { ($0.summary, $0.properties) }
        var properties = object([
            "text": ["type": "string"],
            "force": ["anyOf": [["type": "boolean"], ["type": "null"]]],
            "options": ["type": "object", "properties": ["force": ["type": "boolean"]]],
        ])
        for member in more.members { properties.append(key: member.key, value: member.value) }
        return JSONObject([
            ("name", .string(name)), ("description", .string(summary)),
            ("inputSchema", ["type": "object", "properties": .object(properties)]),
        ])
    }
}

/// The upstream behind the gateway as it is used: a policy in the store, approvals, the audit.
struct ProxiedWorld {
    let scratch: ScratchStore
    let upstream = FakeUpstream()
    let desk: UpstreamDesk
    let calls: GuardedCall
    let approvals: ApprovalDesk
    let book: PolicyBook
    let server: UpstreamServer

    static let url = "https://up.example/mcp"

    /// Whether callers wait for approvals; they get handles at once else.
    private let waits: Bool

    /// A policy whose rules are these, with a workflow.
    init(
        _ tools: String = "[]",
        more: String = "",
        waits: Bool = false,
        limits: GuardedCall.Limits = GuardedCall.Limits(),
        engine: Engine = .current
    ) async throws {
        self.waits = waits
        scratch = try await engine.store()
        let store = scratch.store
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        var settings = UpstreamSettings(environment: [:], version: "1")
        settings.egress = EgressGuard { _ in [IPAddress("93.184.216.34")].compactMap { $0 } }
        let audits = AuditWriters()
        desk = UpstreamDesk(
            UpstreamDesk.Means(
                store: store,
                settings: settings,
                transport: upstream,
                reserved: ["search", "get_approval_status", "request_approval"],
                audit: {
                    try audits.writer(of: store.account) {
                        try AuditKeys(box, account: store.account)
                    }
                },
                box: { box }
            )
        )
        let draft = UpstreamServer(
            id: UpstreamServerID(0),
            name: "up",
            transport: .streamableHTTP,
            url: Self.url,
            createdAt: store.clock.now()
        )
        server = try await desk.add(draft, secret: UpstreamSecret(), by: "user:ann")
        _ = try await desk.scan(server.id, by: "user:ann")
        let set = ToolSet(
            [FakeTool(name: "search"), GetApprovalStatusTool(), RequestApprovalTool()],
            source: desk
        )
        let book = PolicyBook(store: store, staleness: .zero, tools: { await set.identities() })
        let keys = try AuditKeys.testing(store.account)
        self.book = book
        approvals = ApprovalDesk(
            store: store,
            box: { box },
            workflows: { name in try await book.workflow(named: name) }
        )
        calls = GuardedCall(
            tools: set,
            policy: book,
            journal: StoreJournal(store: store, keys: keys),
            sensitive: SensitiveValues(redactor: keys.redactor) { try await book.redaction() },
            approvals: approvals,
            clock: store.clock,
            limits: limits
        )
        try await apply(tools, more: more)
    }

    /// Puts rules in force.
    func apply(_ tools: String, more: String = "") async throws {
        let text = """
            metadata: {name: test}
            approval_workflows: [{name: us, async_approval: \(!waits), is_default: true}]
            tools: \(tools)
            \(more)
            """
        _ = try await book.apply(text, .init(author: "local:ann", prunes: true))
    }

    func call(_ text: String = "hi") async throws -> ToolResult {
        try await call(object(["text": .string(text)]))
    }

    func call(_ arguments: JSONObject) async throws -> ToolResult {
        try await calls.run(GuardedCall.Request(tool: "write", arguments: arguments), by: caller)
    }

    /// The identifier of the request that a call waits for.
    func handle() async throws -> String {
        let result = try await call()
        guard let id = result.structured?["request_id"]?.string else {
            throw ToolFailure("no handle: \(result.text)")
        }
        return id
    }

    /// Approves, and asks how it stands, which runs the call.
    func approve(_ id: String) async throws -> JSONValue {
        try await approvals.decide(id, by: Approver(.local, "bob"), .init(.approve))
        return try await poll(id)
    }

    func poll(_ id: String) async throws -> JSONValue {
        let request = GuardedCall.Request(
            tool: "get_approval_status",
            arguments: object(["request_id": .string(id)])
        )
        return try await calls.run(request, by: caller).structured ?? .null
    }

    /// What is on record, latest first, without questions about approvals.
    func records() async throws -> [ToolCallTable.Call] {
        try await scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 50, account: account, on: connection)
        }.filter { $0.tool != "get_approval_status" }
    }
}

extension ProxiedWorld {
    /// Another server of the same upstream, `two`, which nobody has looked at.
    func addSecond() async throws -> UpstreamServerID {
        var draft = UpstreamServer(
            id: UpstreamServerID(0),
            name: "two",
            transport: .streamableHTTP,
            url: "https://two.example/mcp",
            createdAt: desk.now
        )
        draft.prefix = .always
        return try await desk.add(draft, secret: UpstreamSecret(), by: "user:ann").id
    }
}

extension UpstreamDesk {
    /// Accepts what waits at the moment of some tools, of all for nil, as who has just looked does.
    func accept(
        _ names: [String]?,
        of id: UpstreamServerID,
        by author: String
    ) async throws -> [String] {
        let entry = try await entries().first { $0.server.id == id }
        let digests = (entry?.tools ?? []).filter { tool in
            names.map { $0.contains { haveEqualBytes($0, tool.name) } } ?? true
        }.compactMap(\.pendingDigest)
        return try await accept(digests: digests, of: id, by: author)
    }
}
