import Domain
import HTTPClient
import MCP

/// The sessions with one upstream server: opened when they are needed, kept, begun anew.
///
/// A session of the older era belongs to one caller, for a server may keep what was said in it, and
/// say without naming a call what belongs to one; the newer era has none, and one connection serves
/// all. Preloop's own requests have a session of their own, of a caller without a name.
actor UpstreamPool {
    /// Whose session it is, and what its client can do.
    struct Key: Hashable, Sendable {
        /// The bytes of the name: texts that merely look alike are others' names.
        var caller: [UInt8]
        var capabilities: String
        /// The client's own session, where the server is told when roots change: it may keep them,
        /// and those of another session are others.
        var session = ""

        static let shared = Key(caller: [], capabilities: "")
    }

    /// Everything that decides how a server is reached.
    struct Configuration: Sendable, Equatable {
        var server: UpstreamServer
        var secret: UpstreamSecret

        /// By bytes: a path or a token that only looks the same is another one, and what was
        /// decided about the new one must not go to the old.
        static func == (left: Configuration, right: Configuration) -> Bool {
            left.server == right.server && left.secret == right.secret
                && left.texts.elementsEqual(right.texts, by: haveEqualBytes)
        }

        private var texts: [String] {
            let sealed = secret.sealable.reveal()
            return [server.name, server.url, server.headerName, sealed] + server.command
        }
    }

    /// How many sessions there are at a time; the one that was idle the longest makes room.
    struct Limits: Sendable {
        /// Over HTTP, of all callers.
        var sessions = 64
        /// Programs of one server: each takes memory as a browser's page does.
        var programs = 32
        /// Programs of one caller: one for each kind of client; nobody takes the place of others.
        var ownPrograms = 8
        /// The same over HTTP: what a client may write into its capabilities makes another session.
        var ownSessions = 32
        /// A session that nobody uses for so long is ended.
        var idleTime: Duration = .seconds(600)
    }

    /// Why something that is done with a session ends by what was decided here, and not by what the
    /// server has made of it.
    struct LocalFailure: Error {
        /// What whoever wants it done is told.
        var reason: any Error
        /// Whether the server had answered before: then it works, whatever was decided.
        var isAnswered: Bool
    }

    nonisolated let configuration: Configuration
    private let settings: UpstreamSettings
    /// Renews what somebody has signed in for; nil for other credentials.
    private let tokens: OAuthTokens?
    private let transport: any HTTPStreamTransport
    private let limits: Limits
    private let notice: @Sendable (Message.Notification) async -> Void
    private var slots: [Key: Slot] = [:]
    private var breaker = CircuitBreaker()
    /// Known when the first session has begun; a server that is begun anew may be another one.
    private var isModern = false
    private var isClosed = false
    /// Looks from time to time what nobody uses any more, while there is anything.
    private var sweep: Task<Void, Never>?

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
        limits: Limits = Limits(),
        notice: @escaping @Sendable (Message.Notification) async -> Void
    ) {
        self.configuration = configuration
        self.settings = settings
        self.tokens = tokens
        self.transport = transport
        self.limits = limits
        self.notice = notice
    }

    /// Does something with a session.
    ///
    /// - Parameters:
    ///   - caller: Whose session it is.
    ///   - capabilities: What the client can do.
    ///   - hearsMessages: Whether the client has asked for log messages.
    ///   - guest: The client's session, which hears what the server says from the beginning.
    ///   - isRepeatable: Whether it may be done again when the connection broke in the middle.
    ///   - body: What to do.
    /// - Returns: What the body gives.
    /// - Throws: What the body throws, the reason of a ``LocalFailure``, why there is no session.
    func perform<Value: Sendable>(
        for caller: String,
        capabilities: JSONObject,
        hearsMessages: Bool = false,
        guest: Guest? = nil,
        isRepeatable: Bool,
        _ body: @Sendable (UpstreamConnection) async throws -> Value
    ) async throws -> Value {
        var attempt = 0
        while true {
            attempt += 1
            let leave: CircuitBreaker.Attempt
            switch breaker.admit(at: .now) {
            case .attempt(let number): leave = number
            case .wait(let time):
                throw UpstreamError.suspended(seconds: Int(time / .seconds(1)))
            }
            do {
                let value = try await body(connection(caller, capabilities, hearsMessages, guest))
                breaker.succeeded(leave)
                return value
            } catch let failure as LocalFailure {
                if failure.isAnswered {
                    breaker.succeeded(leave)
                } else {
                    breaker.abandoned(leave)
                }
                throw failure.reason
            } catch let error as UpstreamError {
                if error.countsAgainstServer {
                    breaker.failed(leave, at: .now)
                } else if error.saysSomethingOfServer {
                    breaker.succeeded(leave)
                } else {
                    breaker.abandoned(leave)
                }
                guard attempt == 1, Self.mayRepeat(error, isRepeatable) else { throw error }
            } catch {
                breaker.abandoned(leave)
                throw error
            }
        }
    }

    /// What there was no session for has done nothing; what broke off may have.
    private static func mayRepeat(_ error: UpstreamError, _ isRepeatable: Bool) -> Bool {
        switch error {
        case .sessionEnded: true
        case .lost, .ended: isRepeatable
        case .refused, .forbiddenAddress, .unreachable, .unknownHost, .notStarted, .unauthorized,
            .invalid, .tooLarge, .timedOut, .suspended, .crowded, .held, .notAsShown,
            .misconfigured:
            false
        }
    }

    private func connection(
        _ caller: String,
        _ capabilities: JSONObject,
        _ hearsMessages: Bool,
        _ guest: Guest?
    ) async throws -> UpstreamConnection {
        let own = sessionKey(caller, capabilities, guest)
        let key = isModern ? modernKey(caller, hearsMessages) : own
        let (connection, opening) = try await connection(under: key, capabilities, guest)
        switch await connection.profile?.version.era {
        case .modern:
            if let opening, !isModern {
                isModern = true
                _ = move(opening, from: key, to: modernKey(caller, hearsMessages))
            }
            return connection
        case .legacy where key != own:
            // INVARIANT: only whoever has opened a session of the older era under a key of the
            // newer one goes on with it, and only once it stands under that caller's own key.
            if let opening {
                isModern = false
                if move(opening, from: key, to: own) { return connection }
                if slots[key]?.opening == opening { slots[key] = nil }
                await connection.end(.sessionEnded)
            }
            return try await self.connection(under: own, capabilities, guest).connection
        case .legacy, nil: return connection
        }
    }

    /// The connection that stands under a key, or a new one.
    ///
    /// - Returns: It, and what opened it where that was begun here; nil where it was there already,
    ///   or somebody else opens it.
    private func connection(
        under key: Key,
        _ capabilities: JSONObject,
        _ guest: Guest?
    ) async throws -> (
        connection: UpstreamConnection, opening: Task<UpstreamConnection, any Error>?
    ) {
        guard !isClosed else { throw UpstreamError.sessionEnded }
        if let slot = slots[key] {
            slots[key]?.lastUse = .now
            // Why it could not be opened is told by the one that is begun now.
            if let connection = try? await slot.opening.value, await connection.isUsable {
                return (connection, nil)
            }
            // Only what was found broken is taken away: another caller may have begun anew.
            if slots[key]?.opening == slot.opening { slots[key] = nil }
            if let slot = slots[key] { return (try await slot.opening.value, nil) }
        }
        await makeRoom(for: key.caller)
        // Others have gone on meanwhile.
        if let slot = slots[key] { return (try await slot.opening.value, nil) }
        guard !isClosed else { throw UpstreamError.sessionEnded }
        guard !isFull else { throw UpstreamError.crowded(sessions: slots.count) }
        guard !hasEnough(key.caller) else {
            throw UpstreamError.crowded(sessions: ownLimit)
        }
        let opening = Task { try await self.open(capabilities, guest) }
        slots[key] = Slot(opening: opening, lastUse: .now)
        if slots.count > 1 { keepSwept() }
        do {
            let connection = try await opening.value
            if slots[key]?.opening == opening { slots[key]?.connection = connection }
            return (connection, opening)
        } catch {
            if slots[key]?.opening == opening { slots[key] = nil }
            throw error
        }
    }

    /// Puts what was opened under the key of the era that it has turned out to be of; false where
    /// there is no place for it.
    private func move(
        _ opening: Task<UpstreamConnection, any Error>,
        from key: Key,
        to place: Key
    ) -> Bool {
        guard slots[key]?.opening == opening, slots[place] == nil else { return false }
        // Where it stands now is none of the caller's own.
        let slot = slots.removeValue(forKey: key)
        let hasPlace = !hasEnough(place.caller)
        slots[hasPlace ? place : key] = slot
        return hasPlace
    }

    /// Whose session serves a call, with a server of the older era.
    private func sessionKey(_ caller: String, _ capabilities: JSONObject, _ guest: Guest?) -> Key {
        let text = JSONValue.object(capabilities).serializedText(sortedKeys: true)
        var key = Key(caller: Array(caller.utf8), capabilities: text)
        if capabilities["roots"]?["listChanged"] == true {
            key.session = guest?.client.session ?? ""
        }
        return key
    }

    /// Which connection serves a call, with a server of the newer era.
    private func modernKey(_ caller: String, _ hearsMessages: Bool) -> Key {
        // Log messages of a program name no call: who wants them has a program without others.
        guard isProgram, hearsMessages else { return .shared }
        return Key(caller: Array(caller.utf8), capabilities: "")
    }

    // MARK: - Room

    /// Whether nobody has used a session for so long that it would be ended.
    func isUnused() -> Bool {
        let now = ContinuousClock.now
        return slots.values.allSatisfy { $0.lastUse.duration(to: now) > limits.idleTime }
    }

    private var isProgram: Bool { configuration.server.transport == .stdio }

    private var isFull: Bool { slots.count >= (isProgram ? limits.programs : limits.sessions) }

    private var ownLimit: Int { isProgram ? limits.ownPrograms : limits.ownSessions }

    /// Whether a caller has as many sessions as one may have.
    private func hasEnough(_ caller: [UInt8]) -> Bool {
        slots.keys.count { $0.caller == caller } >= ownLimit
    }

    /// Ends what nobody has used for long, and more where there are too many; what is at work, or
    /// still being opened, stays.
    private func makeRoom(for caller: [UInt8]) async {
        let now = ContinuousClock.now
        for (key, slot) in slots.sorted(by: { $0.value.lastUse < $1.value.lastUse }) {
            let isUnused = slot.lastUse.duration(to: now) > limits.idleTime
            let isInTheWay = isFull || (key.caller == caller && hasEnough(caller))
            if isUnused || isInTheWay { await retire(key, slot) }
        }
    }

    private func keepSwept() {
        guard sweep == nil else { return }
        // Not a child of whoever is served: it lasts as long as there are several sessions.
        sweep = Task { [weak self, time = limits.idleTime] in
            repeat {
                // Cancelled when the pool is closed.
                guard (try? await Task.sleep(for: time)) != nil else { return }
            } while await self?.sweepOnce() == true
        }
    }

    /// Ends what nobody has used for long; false when nothing is left to be ended later.
    ///
    /// What was used last stays: by it changes of the server's lists are heard.
    private func sweepOnce() async -> Bool {
        let now = ContinuousClock.now
        for (key, slot) in slots.sorted(by: { $0.value.lastUse < $1.value.lastUse }).dropLast()
        where slot.lastUse.duration(to: now) > limits.idleTime {
            await retire(key, slot)
        }
        guard slots.count < 2 else { return true }
        sweep = nil
        return false
    }

    private func retire(_ key: Key, _ slot: Slot) async {
        guard let connection = slot.connection else { return }
        guard await connection.retireIfIdle() else { return }
        if slots[key]?.opening == slot.opening { slots[key] = nil }
    }

    private func open(
        _ capabilities: JSONObject,
        _ guest: Guest?
    ) async throws -> UpstreamConnection {
        let connection = UpstreamConnection(
            session: ClientSession(client: settings.client, capabilities: capabilities),
            link: try link(),
            notice: notice
        )
        // Servers may ask as soon as the session has begun.
        if let guest { await connection.admit(guest) }
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
        sweep?.cancel()
        let all = slots.values.map(\.opening)
        slots = [:]
        for opening in all {
            // One that could not be opened has nothing to end.
            if let connection = try? await opening.value { await connection.end(.sessionEnded) }
        }
    }
}
