import Domain
import Gateway
import HTTPTypes
import HummingbirdCore
import MCP
import NIOCore
import Store

/// `/mcp/v1`: the tools over streamable HTTP, in both eras.
actor MCPEndpoint {
    /// What it takes from the rest of the server.
    struct Means: Sendable {
        var server: ServerDescription
        /// The way to call tools of an account.
        var calls: @Sendable (AccountID) async throws -> GuardedCall
        /// Knows whose keys and sessions are over.
        var authenticator: StoreAuthenticator
        var guardian: RequestGuard
        var connections: ConnectionTable
        /// For how long an older client's stream stays open before it is told to come back.
        var streamTime: Duration
        /// Collects spans; nil when nobody does.
        var spans: Trace.Recorder?
    }

    /// Where it is.
    static let path = "/mcp/v1"
    /// How often what is silent is kept open, for proxies give up on connections after 30 to 60
    /// seconds, and sessions are looked at that nobody uses any more.
    private static let roundInterval: Duration = .seconds(15)
    /// How often everybody who has something open is looked up again: what another process revokes
    /// is honoured within five seconds, as for requests.
    private static let lookInterval: Duration = .seconds(4)
    /// What sessions keep for clients that lost their connection: a small server's memory can
    /// spare that, and sixteen sessions that are at their own limit fill it.
    private static let eventBytes = 64 << 20

    private let means: Means
    private let router: EndpointRouter
    private var sessions = HTTPSessionTable<Held>()
    private var requests = OpenRequests()
    private var modern: [ObjectIdentifier: ModernCall] = [:]
    private let begun: AsyncStream<LegacySession>
    private let begunContinuation: AsyncStream<LegacySession>.Continuation
    private let start = ContinuousClock.now
    private var isStopping = false
    private let events = EventBudget(bytes: MCPEndpoint.eventBytes)

    /// A session, with whoever used it last: another sign-in of the user may go on with one.
    private struct Held: Sendable {
        let session: LegacySession
        var principal: Principal
    }

    init(means: Means) {
        self.means = means
        router = EndpointRouter()
        // Holds the sessions that begin before the next one's work is taken up.
        (begun, begunContinuation) = AsyncStream.makeStream()
    }

    /// The sessions that are open.
    var sessionCount: Int { sessions.count }

    /// The routes.
    nonisolated var routes: [Route] {
        // What the methods mean is the protocol's; refusals of others, too.
        let others: [HTTPRequest.Method] = [.put, .patch]
        return described + others.map { route($0, "No method of the protocol").undocumented }
    }

    /// The methods that the protocol has, as it describes them.
    nonisolated private var described: [Route] {
        let events = ("text/event-stream", Shape.text)
        var post = route(.post, "Send a message of the Model Context Protocol")
            .reads("MCP-Protocol-Version", "The revision of the protocol.")
            .reads("Mcp-Method", "The method of the body; from 2026-07-28 on.")
            .reads("Mcp-Name", "What the method is about; from 2026-07-28 on.")
            .reads("Mcp-Session-Id", "The session; before 2026-07-28.")
            .answers(.ok, Shape.message).or(.ok, events).or(.accepted)
            .gives("Mcp-Session-Id").problems(.notFound, .notAcceptable, .conflict)
        post.body = Shape.message
        return [
            post,
            route(.get, "Listen to a session; before 2026-07-28")
                .reads("MCP-Protocol-Version", "The revision of the protocol.")
                .reads("Mcp-Session-Id", "The session.")
                .reads("Last-Event-ID", "The event after which to go on.")
                .answers(.ok, events.1).ofType(events.0)
                .problems(.notFound, .notAcceptable, .conflict),
            route(.delete, "End a session; before 2026-07-28")
                .reads("MCP-Protocol-Version", "The revision of the protocol.")
                .reads("Mcp-Session-Id", "The session.")
                .answers(.noContent).problems(.notFound),
        ]
    }

    nonisolated private func route(_ method: HTTPRequest.Method, _ summary: String) -> Route {
        var route = Route(
            method: method,
            path: Self.path,
            access: .permission(.callTools),
            tag: "MCP",
            summary: summary,
            bodyLimit: MessageParser.Limits().bytes + 1,
            action: .stream { request, writer, channel in
                try await self.serve(request, writer, channel)
            }
        )
        route.speaksRPC = true
        return route
    }

    // MARK: - Life

    /// Does the work of all sessions until it is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.keep() }
            group.addTask { await self.lookAgain() }
            group.addTask {
                for await _ in self.means.authenticator.changes { await self.endOutdated() }
            }
            for await session in begun { group.addTask { await session.run() } }
        }
    }

    /// Ends what only waits at once, and calls when they have ended or the time is over.
    func stop(within limit: Duration) async {
        isStopping = true
        let deadline = ContinuousClock.now + limit
        for call in modern.values where call.isSubscription { await call.end() }
        var rest = sessions.remove { _ in true }.map(\.session)
        while !rest.isEmpty {
            var busy: [LegacySession] = []
            for session in rest {
                if await session.isBusy, ContinuousClock.now < deadline {
                    busy.append(session)
                } else {
                    await session.end()
                }
            }
            rest = busy
            guard !rest.isEmpty else { break }
            await pause(.milliseconds(50))
        }
        begunContinuation.finish()
    }

    /// Goes on when cancelled: stopping is what comes after cancellation.
    private func pause(_ time: Duration) async {
        let timer = Task { try? await Task.sleep(for: time) }
        await timer.value
    }

    private func keep() async {
        let interval = min(Self.roundInterval, means.streamTime)
        while !Task.isCancelled {
            do {
                try await Task.sleep(for: interval)
            } catch {
                return
            }
            for call in modern.values { await call.tick(from: interval / 2) }
            var busy: Set<ObjectIdentifier> = []
            for session in sessions.all.map(\.session) {
                await session.tick()
                if await session.isBusy { busy.insert(ObjectIdentifier(session)) }
            }
            let ended = sessions.expire(now: now) { busy.contains(ObjectIdentifier($0.session)) }
            for held in ended { await held.session.end() }
            await spareEvents()
        }
    }

    /// Sessions that nobody has used for long give up their events before others are refused room.
    private func spareEvents() async {
        for held in sessions.leastRecentlyUsed where events.usedBytes > events.bytes / 2 {
            await held.session.forgetEvents()
        }
    }

    /// Looks everybody up again from time to time.
    private func lookAgain() async {
        while (try? await Task.sleep(for: Self.lookInterval)) != nil { await endOutdated() }
    }

    /// Ends what is open of those who are not let in any more, or as somebody else.
    private func endOutdated() async {
        let principals = requests.principals.union(sessions.all.map(\.principal))
        // Where the store does not answer no call passes either, and the next round asks again.
        guard !principals.isEmpty,
            let outdated = try? await means.authenticator.outdated(among: principals),
            !outdated.isEmpty
        else { return }
        // Their next requests are not let in by what is remembered of them.
        means.authenticator.forget()
        for outlet in requests.outlets(of: outdated) { outlet.send(.reply(.outdated)) }
        for held in sessions.remove(where: { outdated.contains($0.principal) }) {
            await held.session.end()
        }
    }

    private var now: Duration { start.duration(to: .now) }

    // MARK: - Requests

    /// Serves one request.
    @concurrent nonisolated private func serve(
        _ request: APIRequest,
        _ writer: consuming ResponseWriter,
        _ channel: any Channel
    ) async throws -> HTTPResponse.Status {
        let principal = try request.user()
        let outlet = Outlet()
        var extra: HTTPFields = [.requestID: request.id]
        var router = router
        // Pages were let in by the server's own check, before anybody's credential was looked at.
        if let origin = request.headers[.origin] { router.allowedOrigins = [origin.lowercased()] }
        let asked = EndpointRequest(request)
        let route = router.route(asked)
        let connections = means.connections
        let isThere = connections.watch(channel) { outlet.close() }
        if !isThere { outlet.close() }
        let place = await open(outlet, of: principal)
        let ending: @Sendable () async -> Void
        do {
            switch route {
            case .reply(let reply):
                outlet.send(.reply(reply))
                ending = {}
            case .modern(let message):
                var calling = try await calling(principal, request.trace)
                if let error = await mirror(message, asked.headers, in: &calling) {
                    outlet.send(.reply(.failure(error, id: message.id)))
                    ending = {}
                } else {
                    ending = await serve(message, calling, outlet)
                }
            case .initialize(let message):
                let (id, end) = try await begin(message, principal, outlet)
                if let id { extra[.mcpSession] = id }
                ending = end
            case .post(let id, let incoming):
                ending = await with(id, principal, outlet) { await $0.post(incoming, outlet) }
            case .stream(let id, let event):
                ending = await with(id, principal, outlet) { await $0.stream(after: event, outlet) }
            case .end(let id):
                outlet.send(.reply(await end(id, principal)))
                ending = {}
            }
        } catch {
            let problem = Problem(cause: error)
            let failure = RPCError.internalError(problem.detail)
            outlet.send(.reply(.failure(failure, status: problem.status.code)))
            ending = {}
        }
        let guardian = means.guardian
        let result: Result<HTTPResponse.Status, any Error>
        do {
            let status = try await outlet.drain(to: writer) { head in
                head.headerFields.append(contentsOf: extra)
                head.headerFields[.xContentTypeOptions] = "nosniff"
                if let origin = request.headers[.origin] { guardian.allow(origin, in: &head) }
            }
            result = .success(status)
        } catch {
            result = .failure(error)
        }
        _ = connections.watch(channel, whenGone: nil)
        await close(place)
        await ending()
        return try result.get()
    }

    private func open(_ outlet: Outlet, of principal: Principal) -> OpenRequests.ID {
        requests.add(outlet, of: principal)
    }

    private func close(_ request: OpenRequests.ID) { requests.remove(request) }

    /// What the headers that mirror a tool's arguments say against them; others go with the call.
    nonisolated private func mirror(
        _ message: Message.Request,
        _ headers: MCP.HeaderFields,
        in calling: inout ToolCalling
    ) async -> RPCError? {
        guard message.method == "tools/call", let name = message.parameters["name"]?.string,
            let tool = await calling.calls.definition(named: name)
        else { return nil }
        let mirror = ParameterHeaders(of: tool.inputSchema)
        calling.parameterHeaders = mirror.others(in: headers)
        return message.parameters["arguments"]?.object.flatMap { mirror.mismatch($0, headers) }
    }

    /// Begins a request of the modern era.
    ///
    /// - Returns: What is to be done when its connection has been served, or is gone.
    nonisolated private func serve(
        _ message: Message.Request,
        _ calling: ToolCalling,
        _ outlet: Outlet
    ) async -> @Sendable () async -> Void {
        let call = ModernCall(
            server: await calling.calls.description(
                of: means.server,
                for: calling.caller,
                hasInstructions: message.method == "server/discover"
            ),
            calling: calling,
            outlet: outlet,
            isSubscription: message.method == "subscriptions/listen"
        )
        await add(call)
        // Not a child: the connection's own task sends what it says, and ends it below.
        let work = Task { await call.run(message) }
        return {
            await call.disconnect()
            work.cancel()
            await work.value
            await self.remove(call)
        }
    }

    private func add(_ call: ModernCall) async {
        modern[ObjectIdentifier(call)] = call
        if isStopping, call.isSubscription { await call.end() }
    }

    private func remove(_ call: ModernCall) { modern[ObjectIdentifier(call)] = nil }

    private func begin(
        _ message: Message.Request,
        _ principal: Principal,
        _ outlet: Outlet
    ) async throws -> (String?, @Sendable () async -> Void) {
        var calling = try await calling(principal)
        // Not the identifier its client shows: whoever has that one uses the session.
        calling.session = TimeOrderedIdentifier.make(at: WallClock.system.now())
        let session = LegacySession(
            server: await calling.calls.description(of: means.server, for: calling.caller),
            calling: calling,
            events: events,
            streamTime: means.streamTime
        )
        let connection = await session.post(.message(.request(message)), outlet)
        guard await session.hasBegun, !isStopping else { return (nil, {}) }
        let id = Self.newIdentifier()
        let held = Held(session: session, principal: principal)
        let crowded = sessions.add(held, id: id, principal: principal.identity, now: now)
        begunContinuation.yield(session)
        for held in crowded { await held.session.end() }
        return (id, { await session.disconnect(connection) })
    }

    /// Gives a session what came for it.
    private func with(
        _ id: String,
        _ principal: Principal,
        _ outlet: Outlet,
        _ body: @Sendable (LegacySession) async -> HTTPSession.ConnectionID
    ) async -> @Sendable () async -> Void {
        let session = sessions.with(id, principal: principal.identity, now: now) { held in
            held.principal = principal
            return held.session
        }
        guard let session else {
            outlet.send(.reply(.unknownSession))
            return {}
        }
        let connection = await body(session)
        return { await session.disconnect(connection) }
    }

    private func end(_ id: String, _ principal: Principal) async -> HTTPReply {
        guard let held = sessions.remove(id, principal: principal.identity) else {
            return .unknownSession
        }
        await held.session.end()
        return HTTPReply(status: 204)
    }

    nonisolated private func calling(
        _ principal: Principal,
        _ trace: Trace? = nil
    ) async throws -> ToolCalling {
        ToolCalling(
            calls: try await means.calls(principal.account),
            caller: principal.caller(.mcp),
            trace: trace,
            spans: means.spans
        )
    }

    /// 128 random bits.
    private static func newIdentifier() -> String {
        var generator = SystemRandomNumberGenerator()
        return Base64URL.encode((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
}

extension EndpointRequest {
    /// The same request as the protocol's own code reads it.
    init(_ request: APIRequest) {
        var headers = MCP.HeaderFields()
        for field in request.headers { headers.append(field.name.rawName, field.value) }
        self.init(method: request.method.rawValue, headers: headers, body: request.body)
    }
}

extension HTTPReply {
    /// Whoever asked is not let in any more; a stream that has begun only ends.
    static let outdated = HTTPReply.failure(
        .invalidRequest("the token or key is over, or its user may other things now"),
        status: 401
    )
}

extension Principal {
    /// The same as whoever calls tools; `mayWrite` where a route has asked for more already.
    func caller(_ channel: Caller.Channel, mayWrite: Bool? = nil) -> Caller {
        var caller = Caller(
            name: author,
            channel: channel,
            mayWrite: mayWrite ?? mayWriteByTools,
            role: role.rawValue
        )
        caller.credential = credentialName
        return caller
    }
}

extension HTTPField.Name {
    static let mcpSession = known("Mcp-Session-Id")
}
