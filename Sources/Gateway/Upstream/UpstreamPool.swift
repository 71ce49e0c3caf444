import Domain
import HTTPClient
import MCP

/// The sessions with one upstream server: opened when they are needed, kept, begun anew.
///
/// A session of the older era belongs to one caller, for a server may keep what was said in it; the
/// newer era has none, and one connection serves all.
actor UpstreamPool {
    /// Whose session it is, and what its client can do.
    struct Key: Hashable, Sendable {
        var caller: String
        var capabilities: String

        static let shared = Key(caller: "", capabilities: "")
    }

    /// Everything that decides how a server is reached.
    struct Configuration: Sendable, Equatable {
        var server: UpstreamServer
        var secret: UpstreamSecret
    }

    /// Callers with a session of their own; the one that was idle the longest makes room.
    private static let maximumSessions = 64
    /// Programs of one server: one for each kind of client that talks through Preloop.
    private static let maximumPrograms = 8
    /// A session that nobody uses is ended.
    private static let idleTime: Duration = .seconds(600)

    nonisolated let configuration: Configuration
    private let settings: UpstreamSettings
    /// Renews what somebody has signed in for; nil for other credentials.
    private let tokens: OAuthTokens?
    private let transport: any HTTPStreamTransport
    private let notice: @Sendable (Message.Notification) async -> Void
    private var slots: [Key: Slot] = [:]
    private var breaker = CircuitBreaker()
    /// Known when the first session has begun.
    private var isModern = false
    private var isClosed = false

    private struct Slot {
        var opening: Task<UpstreamConnection, any Error>
        var lastUse: ContinuousClock.Instant
        /// What has been opened; nil before it has.
        var connection: UpstreamConnection?
    }

    init(
        _ configuration: Configuration,
        settings: UpstreamSettings,
        tokens: OAuthTokens? = nil,
        transport: any HTTPStreamTransport,
        notice: @escaping @Sendable (Message.Notification) async -> Void
    ) {
        self.configuration = configuration
        self.settings = settings
        self.tokens = tokens
        self.transport = transport
        self.notice = notice
    }

    /// Does something with a session.
    ///
    /// - Parameters:
    ///   - caller: Whose session it is.
    ///   - capabilities: What the client can do.
    ///   - isRepeatable: Whether it may be done again when the connection broke in the middle.
    ///   - body: What to do.
    /// - Returns: What the body gives.
    /// - Throws: What the body throws, or why there is no session.
    func perform<Value: Sendable>(
        for caller: String,
        capabilities: JSONObject,
        isRepeatable: Bool,
        _ body: @Sendable (UpstreamConnection) async throws -> Value
    ) async throws -> Value {
        var attempt = 0
        while true {
            attempt += 1
            if let wait = breaker.wait(at: .now) {
                throw UpstreamError.suspended(seconds: Int(wait / .seconds(1)))
            }
            do {
                let value = try await body(connection(caller, capabilities))
                breaker.succeeded()
                return value
            } catch let error as UpstreamError {
                if error.countsAgainstServer {
                    breaker.failed(at: .now)
                } else if case .crowded = error {
                    // It was not asked.
                    breaker.failed(at: .now, isCounted: false)
                } else {
                    breaker.succeeded()
                }
                guard attempt == 1, Self.mayRepeat(error, isRepeatable) else { throw error }
            } catch {
                breaker.failed(at: .now, isCounted: false)
                throw error
            }
        }
    }

    /// What there was no session for has done nothing; what broke off may have.
    private static func mayRepeat(_ error: UpstreamError, _ isRepeatable: Bool) -> Bool {
        switch error {
        case .sessionEnded: true
        case .lost, .ended: isRepeatable
        case .refused, .forbiddenAddress, .unreachable, .unauthorized, .invalid, .tooLarge,
            .timedOut, .suspended, .crowded, .held, .misconfigured:
            false
        }
    }

    private func connection(
        _ caller: String,
        _ capabilities: JSONObject
    ) async throws -> UpstreamConnection {
        guard !isClosed else { throw UpstreamError.sessionEnded }
        let key = key(caller, capabilities)
        if let slot = slots[key] {
            slots[key]?.lastUse = .now
            // Why it could not be opened is told by the one that is begun now.
            if let connection = try? await slot.opening.value, await connection.isUsable {
                return connection
            }
            // Only what was found broken is taken away: another caller may have begun anew.
            if slots[key]?.opening == slot.opening { slots[key] = nil }
            if let slot = slots[key] { return try await slot.opening.value }
        }
        await makeRoom()
        // Others have gone on meanwhile.
        if let slot = slots[key] { return try await slot.opening.value }
        guard !isClosed else { throw UpstreamError.sessionEnded }
        guard slots.count < mostSessions else {
            throw UpstreamError.crowded(sessions: mostSessions)
        }
        let opening = Task { try await self.open(capabilities) }
        slots[key] = Slot(opening: opening, lastUse: .now)
        do {
            let connection = try await opening.value
            if slots[key]?.opening == opening { slots[key]?.connection = connection }
            if await connection.profile?.version.era == .modern, !isModern {
                isModern = true
                slots[key] = nil
                slots[.shared] =
                    slots[.shared]
                    ?? Slot(opening: opening, lastUse: .now, connection: connection)
            }
            return connection
        } catch {
            if slots[key]?.opening == opening { slots[key] = nil }
            throw error
        }
    }

    private func key(_ caller: String, _ capabilities: JSONObject) -> Key {
        guard !isModern else { return .shared }
        let text = JSONValue.object(capabilities).serializedText(sortedKeys: true)
        // A program is one for all: it serves this machine, and starting one costs seconds.
        let isProgram = configuration.server.transport == .stdio
        return Key(caller: isProgram ? "" : caller, capabilities: text)
    }

    /// Whether nobody has used a session for so long that it would be ended.
    func isUnused() -> Bool {
        let now = ContinuousClock.now
        return slots.values.allSatisfy { $0.lastUse.duration(to: now) > Self.idleTime }
    }

    private var mostSessions: Int {
        configuration.server.transport == .stdio ? Self.maximumPrograms : Self.maximumSessions
    }

    /// Ends what nobody has used for long, and more where there are too many; what is at work, or
    /// still being opened, stays.
    private func makeRoom() async {
        let now = ContinuousClock.now
        for (key, slot) in slots.sorted(by: { $0.value.lastUse < $1.value.lastUse })
        where slots.count >= mostSessions || slot.lastUse.duration(to: now) > Self.idleTime {
            await retire(key, slot)
        }
    }

    private func retire(_ key: Key, _ slot: Slot) async {
        guard let connection = slot.connection else { return }
        guard await connection.retireIfIdle() else { return }
        if slots[key]?.opening == slot.opening { slots[key] = nil }
    }

    private func open(_ capabilities: JSONObject) async throws -> UpstreamConnection {
        let connection = UpstreamConnection(
            session: ClientSession(client: settings.client, capabilities: capabilities),
            link: try link(),
            notice: notice
        )
        let isOld = configuration.server.transport == .sse
        _ = try await connection.open(isOld ? .initialize : .probe)
        return connection
    }

    private func link() throws(UpstreamError) -> any UpstreamLink {
        let (server, secret) = (configuration.server, configuration.secret)
        switch server.transport {
        case .stdio:
            let variables = try settings.variables(of: secret.environment)
            return ProcessLink(
                command: server.command,
                environment: variables,
                secrets: try secret.environment.values.map { text throws(UpstreamError) in
                    try settings.expanded(text)
                },
                parser: settings.parser
            )
        case .sse: return EventSourceLink(endpoint: try endpoint(), parser: settings.parser)
        case .streamableHTTP:
            return StreamableHTTPLink(endpoint: try endpoint(), parser: settings.parser)
        }
    }

    private func endpoint() throws(UpstreamError) -> HTTPEndpoint {
        let server = configuration.server
        return HTTPEndpoint(
            url: server.url,
            credential: try credential(),
            transport: transport,
            egress: settings.egress
        )
    }

    private func credential() throws(UpstreamError) -> UpstreamCredential {
        let server = configuration.server
        if server.authentication == .none { return .none }
        if server.authentication == .oauth, let tokens { return .tokens(tokens) }
        guard let token = configuration.secret.token else {
            throw .misconfigured(
                reason: server.authentication == .oauth
                    ? "nobody has signed in; `preloop servers login` does it"
                    : "its credential is missing"
            )
        }
        let value = try settings.expanded(token)
        return switch server.authentication {
        case .none: .none
        case .bearer, .oauth: .field(.bearer(value))
        case .apiKey: .field(HTTPField(server.headerName, value))
        }
    }

    /// Ends all sessions; what is under way fails as what may have been done.
    func close() async {
        isClosed = true
        let all = slots.values.map(\.opening)
        slots = [:]
        for opening in all {
            // One that could not be opened has nothing to end.
            if let connection = try? await opening.value { await connection.end(.sessionEnded) }
        }
    }
}
