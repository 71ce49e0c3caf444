import Domain
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization

@testable import Gateway

/// An MCP server of the older era in memory that tells of changes of its resources.
final class WatchedUpstream: HTTPStreamTransport {
    struct State {
        /// Those that are open, with what each has subscribed to.
        var sessions: [String: Set<String>] = [:]
        var lastSession = 0
        /// Where each session hears what answers nothing.
        var streams: [String: AsyncStream<[UInt8]>.Continuation] = [:]
        /// What was asked about resources, with the resource.
        var asked: [String] = []
        /// Whether it says that clients may subscribe.
        var offers = true
        /// What it says of itself besides.
        var declared = JSONObject()
        /// What the client of each session said that it can do.
        var clients: [String: JSONValue] = [:]
        /// The session of each request to read something, in order.
        var readers: [String] = []
        /// The levels of log messages that it was told.
        var levels: [String] = []
        /// What it was told besides requests: notifications, and answers to its questions.
        var heard: [JSONValue] = []
    }

    let state = Mutex(State())

    /// What was asked about resources, in order.
    var asked: [String] { state.withLock { $0.asked } }

    /// Tells of a change whoever has subscribed to a resource, also of another one in its name.
    func change(_ subscribed: String, telling uri: String? = nil) {
        let notification: JSONValue = [
            "jsonrpc": "2.0", "method": "notifications/resources/updated",
            "params": ["uri": .string(uri ?? subscribed)],
        ]
        let event = Array("data: \(notification.serializedText())\n\n".utf8)
        state.withLock { state in
            for (session, uris) in state.sessions where uris.contains(subscribed) {
                state.streams[session]?.yield(event)
            }
        }
    }

    /// Says something in one session that answers nothing.
    func say(_ method: String, _ parameters: JSONValue, id: String? = nil, in session: String) {
        var message = JSONObject([("jsonrpc", "2.0"), ("method", .string(method))])
        if let id { message.append(key: "id", value: .string(id)) }
        message.append(key: "params", value: parameters)
        let event = Array("data: \(JSONValue.object(message).serializedText())\n\n".utf8)
        state.withLock { state in _ = state.streams[session]?.yield(event) }
    }

    /// Tells all sessions that a list is another one, such as `prompts`.
    func changeList(of kind: String) {
        let notification: JSONValue = [
            "jsonrpc": "2.0", "method": .string("notifications/\(kind)/list_changed"),
        ]
        let event = Array("data: \(notification.serializedText())\n\n".utf8)
        state.withLock { state in
            for stream in state.streams.values { stream.yield(event) }
        }
    }

    /// Whether somebody hears of a resource.
    func isHeard(_ uri: String) -> Bool {
        state.withLock { state in
            state.sessions.contains { session, uris in
                uris.contains(uri) && state.streams[session] != nil
            }
        }
    }

    /// Forgets all sessions, as a server does that is started anew.
    func restart() {
        let streams = state.withLock { state in
            defer { (state.sessions, state.streams) = ([:], [:]) }
            return Array(state.streams.values)
        }
        for stream in streams { stream.finish() }
    }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        throw .invalidURL(url: request.url)
    }

    func stream(
        _ request: HTTPRequest,
        to receiver: HTTPReceiver
    ) async throws(HTTPError) -> HTTPResponse {
        let id = request.headers.first { $0.name == "Mcp-Session-Id" }?.value
        let isKnown = state.withLock { state in id.map { state.sessions[$0] != nil } }
        guard isKnown != false else { return answer(request, 404, receiver) }
        if request.method == "GET", let id { return try await listen(request, id, receiver) }
        guard request.method == "POST", let message = try? JSONParser.parse(request.body ?? [])
        else { return answer(request, 202, receiver) }
        guard let number = message["id"], message["method"] != nil else {
            state.withLock { $0.heard.append(message) }
            return answer(request, 202, receiver)
        }
        if let id { await askWhileReading(message, in: id) }
        var object = JSONObject([("jsonrpc", "2.0"), ("id", number)])
        var session: String?
        do throws(RPCError) {
            let method = message["method"]?.string ?? ""
            let parameters = message["params"]?.object ?? JSONObject()
            if method == "initialize" { session = begin(parameters["capabilities"] ?? .null) }
            object.append(key: "result", value: try result(of: method, parameters, in: id))
        } catch {
            object.append(key: "error", value: error.json)
        }
        return answer(request, 200, receiver, .object(object), session)
    }

    /// Asks something that names no request, and waits for its answer, while it reads a resource
    /// `memo://note/ask-ID`.
    private func askWhileReading(_ message: JSONValue, in session: String) async {
        let prefix = "memo://note/ask-"
        guard message["method"] == "resources/read", let uri = message["params"]?["uri"]?.string,
            uri.hasPrefix(prefix)
        else { return }
        let id = String(uri.dropFirst(prefix.count))
        await pause { $0.streams[session] == nil }
        say("elicitation/create", ["message": "Who?"], id: id, in: session)
        await pause { state in !state.heard.contains { $0["id"]?.string == id } }
    }

    /// Waits as long as something holds, or until nobody waits any more.
    private func pause(_ holds: @Sendable (State) -> Bool) async {
        while state.withLock({ holds($0) }) {
            guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { return }
        }
    }

    private func begin(_ capabilities: JSONValue) -> String {
        state.withLock { state in
            state.lastSession += 1
            let id = "s\(state.lastSession)"
            state.sessions[id] = []
            state.clients[id] = capabilities
            return id
        }
    }

    private func answer(
        _ request: HTTPRequest,
        _ status: Int,
        _ receiver: HTTPReceiver,
        _ body: JSONValue? = nil,
        _ session: String? = nil
    ) -> HTTPResponse {
        var fields = [HTTPField("Content-Type", "application/json")]
        if let session { fields.append(HTTPField("Mcp-Session-Id", session)) }
        let headers = HTTPHeaders(fields)
        receiver.head(status, headers)
        if let body { _ = receiver.body(body.serialized()) }
        return HTTPResponse(status: status, headers: headers, body: [], effectiveURL: request.url)
    }

    /// Carries what answers nothing until the session is forgotten, which breaks it off.
    private func listen(
        _ request: HTTPRequest,
        _ session: String,
        _ receiver: HTTPReceiver
    ) async throws(HTTPError) -> HTTPResponse {
        let (events, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        receiver.head(200, HTTPHeaders([HTTPField("Content-Type", "text/event-stream")]))
        _ = receiver.body(Array("retry: 100\n\n".utf8))
        state.withLock { $0.streams[session] = continuation }
        for await event in events where !receiver.body(event) { break }
        throw .connectionLost(host: "up.example", reason: "it was started anew")
    }

    private func result(
        of method: String,
        _ parameters: JSONObject,
        in session: String?
    ) throws(RPCError) -> JSONValue {
        let uri = parameters["uri"]?.string ?? ""
        switch method {
        case "initialize":
            let (offers, declared) = state.withLock { ($0.offers, $0.declared) }
            var capabilities = object([
                "resources": ["subscribe": .bool(offers)], "logging": [:],
            ])
            for member in declared.members { capabilities[member.key] = member.value }
            return [
                "protocolVersion": "2025-11-25",
                "capabilities": .object(capabilities),
                "serverInfo": ["name": "watched", "version": "1"],
            ]
        case "resources/list":
            return ["resources": [["uri": "memo://one", "name": "one"]]]
        case "resources/templates/list":
            return [
                "resourceTemplates": [["uriTemplate": "memo://note/{id}", "name": "note"]]
            ]
        case "resources/read":
            if let session { state.withLock { $0.readers.append(session) } }
            guard uri != "memo://note/page" else {
                throw RPCError(
                    -32_042,
                    "open a page first",
                    data: ["elicitations": [["mode": "url", "elicitationId": "p1"]]]
                )
            }
            return ["contents": [["uri": .string(uri), "text": "read"]]]
        case "logging/setLevel":
            state.withLock { $0.levels.append(parameters["level"]?.string ?? "") }
            return [:]
        case "resources/subscribe", "resources/unsubscribe":
            let isThere = uri == "memo://one" || uri.hasPrefix("memo://note/")
            state.withLock { state in
                state.asked.append("\(method) \(uri)")
                guard isThere, let session else { return }
                if method == "resources/subscribe" {
                    state.sessions[session]?.insert(uri)
                } else {
                    state.sessions[session]?.remove(uri)
                }
            }
            guard isThere else { throw RPCError(-32_002, "there is no such resource") }
            return [:]
        default: throw .methodNotFound(method)
        }
    }
}

/// The server behind the gateway, with sessions that want to hear of its resources.
struct WatchedWorld {
    let scratch: ScratchStore
    let upstream: WatchedUpstream
    let desk: UpstreamDesk
    let calls: GuardedCall
    let journal: FakeJournal

    init(
        _ policy: FakePolicy = FakePolicy(),
        offers: Bool = true,
        declared: JSONObject = JSONObject()
    ) async throws {
        scratch = try await Engine.current.store()
        let (store, upstream) = (scratch.store, WatchedUpstream())
        upstream.state.withLock { ($0.offers, $0.declared) = (offers, declared) }
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        var settings = UpstreamSettings(environment: [:], version: "1")
        settings.egress = EgressGuard { _ in [IPAddress("93.184.216.34")].compactMap { $0 } }
        let desk = UpstreamDesk(
            UpstreamDesk.Means(
                store: store,
                settings: settings,
                transport: upstream,
                reserved: [],
                box: { box }
            )
        )
        let server = try await desk.add(
            UpstreamServer(
                id: UpstreamServerID(0),
                name: "up",
                transport: .streamableHTTP,
                url: "https://up.example/mcp",
                createdAt: store.clock.now()
            ),
            secret: UpstreamSecret(),
            by: "user:ann"
        )
        _ = try await desk.scan(server.id, by: "user:ann")
        let journal = FakeJournal()
        var limits = GuardedCall.Limits()
        limits.listInterval = .milliseconds(20)
        calls = GuardedCall(
            tools: ToolSet([], source: desk),
            policy: policy,
            journal: journal,
            limits: limits
        )
        (self.upstream, self.desk, self.journal) = (upstream, desk, journal)
    }

    /// Subscribes to a resource, or gives it up.
    func ask(
        _ word: String = "subscribe",
        _ uri: String = "memo://one",
        for subscriber: ResourceSubscriber
    ) async throws {
        var forward = GuardedCall.Forward(
            method: "resources/\(word)",
            parameters: object(["uri": .string(uri)])
        )
        forward.extras.subscriber = subscriber
        _ = try await calls.forward(forward, by: caller)
    }

    /// Waits until something holds that happens beside the test.
    func until(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }
}
