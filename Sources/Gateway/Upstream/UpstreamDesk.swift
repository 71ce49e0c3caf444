import Domain
import Firewall
package import HTTPClient
import MCP
package import Store
import Synchronization

/// The upstream servers of an account: their tools by the names they have here, and the way to
/// call them.
///
/// Only definitions that were accepted are listed, and each session's tools are compared with them
/// before its first call: a server cannot change what was accepted without being noticed.
package actor UpstreamDesk {
    /// What it works with.
    package struct Means: Sendable {
        package var store: Store
        /// Opens and seals credentials; throws why that cannot be done.
        package var box: @Sendable () throws -> SecretBox
        package var settings: UpstreamSettings
        package var transport: any HTTPStreamTransport
        /// Names of Preloop's own tools.
        package var reserved: [String]
        /// Writes the account's audit; nil where changes are not recorded.
        package var audit: (@Sendable () throws -> AuditWriter)?

        package init(
            store: Store,
            settings: UpstreamSettings,
            transport: any HTTPStreamTransport,
            reserved: [String],
            audit: (@Sendable () throws -> AuditWriter)? = nil,
            box: @escaping @Sendable () throws -> SecretBox
        ) {
            self.store = store
            self.settings = settings
            self.transport = transport
            self.reserved = reserved
            self.audit = audit
            self.box = box
        }
    }

    /// A request to a server.
    struct Call: Sendable {
        var server: UpstreamServerID
        var method: String
        var parameters: JSONObject
        /// Headers that mirror arguments.
        var headers: [(name: String, value: String)] = []
        /// The definition that the tool must still have; nil for what is no tool.
        var pin: (tool: String, digest: [UInt8])?

        /// Whether it may be sent again when its connection broke.
        var isRepeatable: Bool { pin == nil }
    }

    /// What is known of the servers, read from the store.
    struct Catalogue: Sendable {
        var servers: [UpstreamServer] = []
        var credentials: [UpstreamServerID: SealedSecret] = [:]
        var tools: [UpstreamServerID: [UpstreamTool]] = [:]
        /// Every accepted tool with the name it has here, or none where that is taken.
        var assignments: [ToolNaming.Assignment] = []
        var entries: [ToolSet.Entry] = []
        /// What servers say to models, as it was accepted, in the order of their names.
        var instructions: [ServerInstructions] = []

        /// The server of that identifier; nil when it was removed.
        func server(_ id: UpstreamServerID) -> UpstreamServer? {
            servers.first { $0.id == id }
        }
    }

    /// How long the store is not asked again: another process may have accepted a tool.
    private static let freshness: Duration = .seconds(1)

    nonisolated let means: Means
    private var known = Catalogue()
    private var loadedAt: ContinuousClock.Instant?
    private var loading: Task<Catalogue, any Error>?
    /// Grows with every change of ours, so that what was read before it does not count as new.
    private var changeCount = 0
    private var pools: [UpstreamServerID: UpstreamPool] = [:]
    /// Tokens that are renewed, of servers that somebody has signed in to.
    var tokens: [UpstreamServerID: OAuthTokens] = [:]
    /// Sign-ins that wait for a browser to come back to the server's own address.
    var signIns = SignInLedger()
    private var rescans: [UpstreamServerID: Task<Void, Never>] = [:]
    /// Servers that have told of changes since they were looked at.
    private var restless: Set<UpstreamServerID> = []
    /// How often each server has told that its tools are others: lists from before do not hold.
    private var toldChanges: [UpstreamServerID: Int] = [:]
    /// Changes of what there is.
    private var changes = ListNumbers()
    private var fingerprint = Fingerprint()
    /// What arguments are compared with, by the digests of the accepted definitions.
    private let schemas = Mutex<[[UInt8]: JSONSchema]>([:])
    /// Where resources and prompts are, as the latest lists said.
    var directory = UpstreamDirectory()
    /// Calls whose server waits for an answer that the client brings with its next request.
    var parked: [String: ParkedCall] = [:]
    /// Resources that sessions want to hear of, and what keeps them subscribed to.
    var watches: [UpstreamServerID: ResourceWatch] = [:]
    var watchers: [UpstreamServerID: Watcher] = [:]
    var lastWatcher = 0
    /// Which servers let clients subscribe, and those that are being asked.
    var offers: [UpstreamServerID: Offer] = [:]
    var questions: [UpstreamServerID: Task<Void, Never>] = [:]

    package init(_ means: Means) {
        self.means = means
    }

    /// Ends all sessions.
    package func close() async {
        for rescan in rescans.values { rescan.cancel() }
        for call in parked.values { call.cancel() }
        parked = [:]
        for server in watches.keys { endWatching(server) }
        for question in questions.values { question.cancel() }
        let all = pools.values
        pools = [:]
        for pool in all { await pool.close() }
    }

    /// Whether nothing waits and nobody has used a session for long: then it may be closed.
    package func isUnused() async -> Bool {
        let isAwaited = !signIns.isEmpty(at: means.store.clock.now())
        dropExpired()
        guard parked.isEmpty, watches.isEmpty, !isAwaited else { return false }
        for pool in pools.values {
            guard await pool.isUnused() else { return false }
        }
        return true
    }

    // MARK: - Catalogue

    /// What is known now; the store is asked once a second at most.
    func catalogue(refreshed: Bool = false) async throws -> Catalogue {
        if !refreshed, let loadedAt, loadedAt.duration(to: .now) < Self.freshness {
            return known
        }
        if !refreshed, let loading { return try await loading.value }
        let count = changeCount
        let load = Task { try await self.load() }
        loading = load
        defer { if loading == load { loading = nil } }
        let found = try await load.value
        known = found
        loadedAt = count == changeCount ? .now : nil
        let fingerprint = Fingerprint(found)
        if fingerprint.tools != self.fingerprint.tools { changes.tools += 1 }
        if fingerprint.servers != self.fingerprint.servers {
            changes.prompts += 1
            changes.resources += 1
        }
        self.fingerprint = fingerprint
        return found
    }

    private func load() async throws -> Catalogue {
        var found = try await means.store.read { connection, account in
            try Self.rows(of: account, on: connection)
        }
        fill(&found)
        return found
    }

    /// What the store has, before tools are named.
    static func rows(
        of account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Catalogue {
        var found = Catalogue()
        found.servers = try UpstreamServerTable.list(account: account, on: connection)
        for server in found.servers {
            found.tools[server.id] = try UpstreamToolTable.list(
                of: server.id,
                account: account,
                on: connection
            )
            found.credentials[server.id] = try UpstreamServerTable.credential(
                of: server.id,
                account: account,
                on: connection
            )
        }
        return found
    }

    /// Names the accepted tools.
    nonisolated func fill(_ found: inout Catalogue) {
        var accepted: [(ToolNaming.Candidate, UpstreamServer, JSONObject)] = []
        for server in found.servers {
            for tool in found.tools[server.id] ?? [] where tool.state == .accepted {
                guard let definition = tool.accepted else { continue }
                guard !tool.isInstructions else {
                    let told = ServerInstructions(of: server.name, accepted: definition)
                    if let told { found.instructions.append(told) }
                    continue
                }
                let candidate = ToolNaming.Candidate(
                    server: server.name,
                    prefix: server.prefix,
                    tool: tool.name
                )
                accepted.append((candidate, server, definition))
            }
        }
        found.assignments = ToolNaming(reserved: means.reserved).assign(accepted.map(\.0))
        let known = schemas.withLock { $0 }
        var current: [[UInt8]: JSONSchema] = [:]
        for (assignment, (candidate, server, definition)) in zip(found.assignments, accepted) {
            guard let name = assignment.name else { continue }
            var shown = ToolDefinition(original: definition, name: name)
            shown.hasTrustedAnnotations = server.trustsHints
            let tool = ProxiedTool(
                definition: shown,
                identity: ToolIdentity(server: server.name, name: candidate.tool),
                server: server.id,
                digest: UpstreamToolTable.digest(definition),
                headers: ParameterHeaders(of: shown.inputSchema),
                desk: self
            )
            // Servers take "true" for true, and a text for the object that is written in it:
            // rules must not read another value than the tool does.
            let schema = known[tool.digest] ?? JSONSchema(foreign: shown.inputSchema)
            current[tool.digest] = schema
            found.entries.append(
                ToolSet.Entry(
                    tool: tool,
                    definition: shown,
                    identity: tool.identity,
                    schema: schema,
                    destination: server.destination
                )
            )
        }
        schemas.withLock { [current] in $0 = current }
    }

    /// Forgets what was read, after a change.
    func invalidate() {
        changeCount += 1
        (loadedAt, loading) = (nil, nil)
    }

    // MARK: - Sessions

    /// The sessions with a server; begun anew when its configuration has changed.
    func pool(of id: UpstreamServerID) async throws -> UpstreamPool {
        let catalogue = try await catalogue()
        guard let server = catalogue.servers.first(where: { $0.id == id }) else {
            throw UpstreamError.misconfigured(reason: "it was removed")
        }
        var secret = UpstreamSecret()
        if let sealed = catalogue.credentials[id] {
            let opened = try means.box().open(
                sealed,
                for: .upstream(id, account: means.store.account)
            )
            secret = UpstreamSecret(opened: opened) ?? secret
        }
        var configured = server
        // How the latest scan went changes nothing about how it is reached.
        configured.status = .new
        configured.lastScanAt = nil
        configured.awaitsFirstScan = false
        configured.lastError = nil
        let tokens = await tokens(of: id, secret.oauth)
        // Sessions outlive tokens: new ones are no other configuration.
        secret.oauth = secret.oauth?.withoutTokens
        let configuration = UpstreamPool.Configuration(server: configured, secret: secret)
        if let pool = pools[id] {
            if pool.configuration == configuration { return pool }
            pools[id] = nil
            offers[id] = nil
            await pool.close()
        }
        if let pool = pools[id] { return pool }
        let pool = UpstreamPool(
            configuration,
            settings: means.settings,
            tokens: tokens,
            transport: means.transport,
            notice: { [weak self] notification in await self?.hear(notification, from: id) }
        )
        pools[id] = pool
        return pool
    }

    /// Ends the sessions with a server that was removed.
    func drop(_ id: UpstreamServerID) async {
        tokens[id] = nil
        offers[id] = nil
        endWatching(id)
        guard let pool = pools.removeValue(forKey: id) else { return }
        await pool.close()
    }

    private func hear(_ notification: Message.Notification, from id: UpstreamServerID) async {
        switch notification.method {
        case "notifications/tools/list_changed":
            // Nothing is waited for here: a session that is being opened may be what tells it.
            toldChanges[id, default: 0] += 1
            rescan(id)
        case "notifications/resources/list_changed":
            directory = UpstreamDirectory()
            changes.resources += 1
        case "notifications/prompts/list_changed":
            directory = UpstreamDirectory()
            changes.prompts += 1
        case "notifications/resources/updated":
            guard let uri = notification.parameters["uri"]?.string else { break }
            tell(of: uri, from: id)
        default: break
        }
    }

    /// How often a server has told of changes of its tools.
    func changesTold(by id: UpstreamServerID) -> Int { toldChanges[id] ?? 0 }

    /// A server that tells of changes without end is looked at so often.
    private static let rescanPause: Duration = .seconds(1)

    private func rescan(_ id: UpstreamServerID) {
        restless.insert(id)
        guard rescans[id] == nil else { return }
        rescans[id] = Task {
            while self.restless.remove(id) != nil {
                // A scan that fails is told by the server's status; one that others have got in the
                // way of leaves what those have found.
                _ = try? await self.scan(id, askedBy: nil)
                // Cancelled when the desk is closed.
                guard (try? await Task.sleep(for: Self.rescanPause)) != nil else { break }
            }
            self.rescans[id] = nil
        }
    }

    // MARK: - Calls

    /// Asks a server, in the caller's own session where the server has sessions.
    func call(_ call: Call, _ context: CallContext) async throws -> JSONObject {
        let extras = context.extras
        let canBeAsked = extras.isModern && !Self.askable(extras).members.isEmpty
        guard canBeAsked || Self.isParked(extras) else {
            return try await perform(call, context)
        }
        return try await parkable(call, context)
    }

    /// The same, for a client that is asked by way of a call that waits for it, where it has one.
    func perform(
        _ call: Call,
        _ context: CallContext,
        _ parked: ParkedCall? = nil
    ) async throws -> JSONObject {
        let pool = try await pool(of: call.server)
        var parameters = call.parameters
        let extras = context.extras
        let ask = Self.ask(context, parked)
        var meta = extras.meta
        meta[RequestMeta.Key.baggage] = extras.baggage.map(JSONValue.string)
        if !meta.members.isEmpty { parameters["_meta"] = .object(meta) }
        var result = try await send(call, parameters, through: pool, context, parked)
        var rounds = 0
        while result["resultType"] == "input_required", !extras.isModern, let ask {
            rounds += 1
            guard rounds <= Self.maximumRounds else {
                throw UpstreamError.invalid(reason: "it goes on asking without end")
            }
            let answers = try await Self.answers(to: result, ask)
            parameters["inputResponses"] = .object(answers)
            parameters["requestState"] = result["requestState"]
            result = try await send(call, parameters, through: pool, context, parked)
        }
        return try Self.bridged(result, extras)
    }

    private func send(
        _ call: Call,
        _ parameters: JSONObject,
        through pool: UpstreamPool,
        _ context: CallContext,
        _ parked: ParkedCall?
    ) async throws -> JSONObject {
        let extras = context.extras
        let listener = Self.listener(context, parked)
        let own = Self.capabilities(of: context, canBeAsked: listener.ask != nil)
        let guest = Self.guest(of: context)
        let start = ContinuousClock.now
        let server = pool.configuration.server
        let limit = Duration.seconds(server.timeLimitSeconds)
        let messages = Self.messages(for: extras)
        let trace = UpstreamTrace(.current, state: extras.traceState, to: server)
        return try await pool.perform(
            for: context.caller.name,
            capabilities: own,
            hearsMessages: messages.level != nil,
            guest: guest,
            isRepeatable: call.isRepeatable
        ) { connection in
            if let pin = call.pin { try await self.check(pin, on: connection, of: call.server) }
            var options = UpstreamConnection.Options()
            options.capabilities =
                extras.isModern ? ForeignCapabilities.handedOn(extras.capabilities) : own
            options.messages = messages
            options.headers = call.headers
            options.wantsProgress = extras.wantsProgress
            // What beginning a session took is part of it; a second is left in any case.
            options.timeLimit = max(limit - start.duration(to: .now), .seconds(1))
            return try await trace.perform(call.method, parameters) { [options] parameters in
                try await connection.call(
                    call.method,
                    parameters,
                    options,
                    listener: listener
                )
            }
        }
    }

    /// Questions of one call; a person answers a handful.
    private static let maximumRounds = 8

    /// Makes sure that a tool is what was accepted.
    private func check(
        _ pin: (tool: String, digest: [UInt8]),
        on connection: UpstreamConnection,
        of server: UpstreamServerID
    ) async throws {
        let tools: AdvertisedTools
        var isAnswered = false
        if let known = await connection.advertised(since: changesTold(by: server)) {
            tools = known
        } else {
            let report = try await listTools(on: connection, of: server)
            (tools, isAnswered) = (report.advertised, report.isAnswer)
        }
        let digest = tools.digests[Array(pin.tool.utf8)]
        guard digest != pin.digest else { return }
        let error: UpstreamError =
            digest == nil ? .refused(.unknownTool(pin.tool)) : .held(tool: pin.tool)
        throw UpstreamPool.LocalFailure(reason: error, isAnswered: isAnswered)
    }
}

extension UpstreamDesk: ToolSource {
    /// The numbers of the latest changes.
    func latestChanges() async -> ListNumbers {
        // A store that does not answer changes nothing.
        _ = try? await catalogue()
        return changes
    }

    /// What a change of the lists is known by.
    private struct Fingerprint: Equatable {
        /// Names and digests of the tools there are.
        var tools: [[UInt8]] = []
        /// Where the servers are whose lists are handed on, and how they are called.
        var servers: [[UInt8]] = []

        init() {}

        init(_ catalogue: Catalogue) {
            tools = catalogue.entries.map { entry in
                Array(entry.definition.name.utf8) + ((entry.tool as? ProxiedTool)?.digest ?? [])
            }
            servers = catalogue.servers.filter { $0.status != .new }.map { server in
                server.destination.serialized() + Array(server.prefix.rawValue.utf8)
            }
        }
    }

    /// Whether the account has no servers.
    func isEmpty() async -> Bool { (try? await catalogue())?.servers.isEmpty ?? true }

    /// The accepted tools; none while the store does not answer, which each call tells of.
    func current() async -> [ToolSet.Entry] { (try? await catalogue())?.entries ?? [] }

    /// What servers say to models; nothing while the store does not answer.
    func instructions() async -> [ServerInstructions] {
        (try? await catalogue())?.instructions ?? []
    }

    /// The accepted tools and the requests that servers are handed.
    func identities() async -> [ToolIdentity] {
        // What cannot be read counts as new.
        guard let catalogue = try? await catalogue() else { return [] }
        let requests = catalogue.servers.flatMap { server in
            Self.forwarded.map { ToolIdentity(server: server.name, name: $0) }
        }
        return catalogue.entries.map(\.identity) + requests
    }
}

extension UpstreamServer {
    /// Where calls of its tools go: an approval of one is none for another address.
    var destination: JSONValue {
        [
            "id": .integer(id.rawValue), "name": .string(name),
            "transport": .string(transport.rawValue), "url": .string(url),
            "command": JSONValue(command),
        ]
    }
}
