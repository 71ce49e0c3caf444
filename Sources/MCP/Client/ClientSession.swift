package import Domain

/// The client's side of one session with a server, of both eras, as a value.
///
/// Messages go in, actions come out; it neither waits nor writes. JSON goes through as it is: what
/// is not read here, unknown members included, reaches whoever asked.
///
/// It begins by asking `server/discover` of 2026-07-28; a server that does not know it is asked to
/// `initialize` a session of an older revision. Whatever a server sends is bounded: calls, its own
/// requests, and messages that cannot be understood.
package struct ClientSession: Sendable {
    /// What a session may hold at a time.
    package struct Limits: Sendable, Equatable {
        /// Calls under way; the gateway's callers have bounds of their own below it.
        package var calls = 512
        /// The server's own requests without an answer: one a call is usual.
        package var asks = 64
        /// Messages that could not be understood; a server that goes on is not one of the protocol.
        package var violations = 16

        package init() {}
    }

    /// Numbers our requests; it is their identifier on the wire.
    package typealias CallID = Int64
    /// Numbers the server's requests.
    package typealias AskID = Int

    /// What the caller has to do, in order.
    package enum Action: Sendable, Equatable {
        /// Deliver a message; `call` is the request that it is, or belongs to.
        case send(Message, call: CallID?)
        /// A call has ended.
        case finish(CallID, Result<JSONObject, RPCError>)
        /// How far a call is: the parameters of `notifications/progress`.
        case progress(CallID, JSONObject)
        /// The server tells something, about a call when that is known.
        case notice(Message.Notification, during: CallID?)
        /// The server wants something of the client; to be answered by ``answer(_:_:)``.
        case ask(AskID, method: String, parameters: JSONObject, during: CallID?)
        /// The server does not want the answer any more.
        case withdraw(AskID)
        /// Nothing more is wanted of a call: its own stream can be closed.
        case stop(CallID)
        /// The session has begun.
        case begun(ServerProfile)
        /// There is no session with this server, or not any more.
        case failed(RPCError)
    }

    /// Where a session stands.
    package enum State: Sendable, Equatable {
        /// To probing or initializing.
        case idle
        /// Asked for `server/discover`; to open, initializing or closed.
        case probing(CallID)
        /// Asked to `initialize`; to open or closed.
        case initializing(CallID)
        /// To closed.
        case open(ServerProfile)
        /// Nothing is accepted or sent any more.
        case closed
    }

    /// How a session is begun.
    package enum Opening: Sendable, Equatable {
        /// By asking which era the server is of.
        case probe
        /// By `initialize`, with a server that is known to be of the older era.
        case initialize
    }

    package let client: ClientDescription
    /// What our own client can do: `elicitation`, `sampling`, `roots`.
    package let capabilities: JSONObject
    package let limits: Limits
    package private(set) var state = State.idle

    private var calls: Set<CallID> = []
    private var asks: [AskID: RequestID] = [:]
    private var lastCall: CallID = 0
    private var lastAsk = 0
    private var violationCount = 0
    private var hasProbedAgain = false

    package init(
        client: ClientDescription,
        capabilities: JSONObject = JSONObject(),
        limits: Limits = Limits()
    ) {
        self.client = client
        self.capabilities = capabilities
        self.limits = limits
    }

    /// What the server has said of itself; nil before the session has begun.
    package var profile: ServerProfile? {
        if case .open(let profile) = state { profile } else { nil }
    }

    /// Calls without an answer.
    package var callCount: Int { calls.count }

    // MARK: - Beginning

    /// Begins the session; once.
    package mutating func begin(_ opening: Opening) -> [Action] {
        precondition(state == .idle, "a session begins once")
        return opening == .probe ? probe() : initialize()
    }

    private mutating func probe() -> [Action] {
        let (call, actions) = request("server/discover", JSONObject(), modern: true)
        state = .probing(call)
        return actions
    }

    private mutating func initialize() -> [Action] {
        var parameters = JSONObject()
        let version = ProtocolVersion.latestLegacy.rawValue
        parameters.append(key: "protocolVersion", value: .string(version))
        parameters.append(key: "capabilities", value: .object(capabilities))
        parameters.append(key: "clientInfo", value: implementation)
        let (call, actions) = request("initialize", parameters, modern: false)
        state = .initializing(call)
        return actions
    }

    private var implementation: JSONValue {
        ["name": .string(client.name), "version": .string(client.version)]
    }

    private mutating func discovered(_ outcome: Result<JSONObject, RPCError>) -> [Action] {
        switch outcome {
        case .success(let result):
            let versions = result["supportedVersions"]?.array?.compactMap(\.string) ?? []
            guard versions.contains(ProtocolVersion.latest.rawValue) else { return initialize() }
            return open(
                ServerProfile(
                    version: .latest,
                    capabilities: result["capabilities"]?.object ?? JSONObject(),
                    implementation: result["_meta"]?[RequestMeta.Key.serverInfo]
                        ?? result["serverInfo"],
                    instructions: result["instructions"]?.string
                )
            )
        case .failure(let error):
            let supported = error.data?["supported"]?.array?.compactMap(\.string)
            if error.code == RPCError.unsupportedVersionCode, let supported,
                !supported.contains(where: { ProtocolVersion(rawValue: $0) != nil })
            {
                return fail("it speaks \(Self.list(supported)), and none of that is known here")
            }
            // Whatever else it is, it is no proof of the newer era.
            return initialize()
        }
    }

    private mutating func initialized(_ outcome: Result<JSONObject, RPCError>) -> [Action] {
        switch outcome {
        case .success(let result):
            let text = result["protocolVersion"]?.string ?? ""
            guard let version = ProtocolVersion(rawValue: text), version.era == .legacy else {
                return fail("it speaks revision `\(RPCError.excerpt(text))`, which is not known")
            }
            let profile = ServerProfile(
                version: version,
                capabilities: result["capabilities"]?.object ?? JSONObject(),
                implementation: result["serverInfo"],
                instructions: result["instructions"]?.string
            )
            let message = Message.notification(.init(method: "notifications/initialized"))
            return [.send(message, call: nil)] + open(profile)
        case .failure(let error):
            let supported = error.data?["supported"]?.array?.compactMap(\.string) ?? []
            if error.code == RPCError.unsupportedVersionCode, !hasProbedAgain,
                supported.contains(ProtocolVersion.latest.rawValue)
            {
                // It took the first question, answered too late, for the beginning.
                hasProbedAgain = true
                return probe()
            }
            return fail("it refuses to begin a session: \(RPCError.excerpt(error.message))")
        }
    }

    private mutating func open(_ profile: ServerProfile) -> [Action] {
        state = .open(profile)
        return [.begun(profile)]
    }

    private mutating func fail(_ reason: String) -> [Action] {
        let error = RPCError.internalError(reason)
        return end(error) + [.failed(error)]
    }

    private static func list(_ texts: [String]) -> String {
        texts.prefix(4).map { "`\(RPCError.excerpt($0))`" }.joined(separator: ", ")
    }

    // MARK: - Calls

    /// Asks something of the server; the session is open.
    ///
    /// - Parameters:
    ///   - method: Any of the protocol.
    ///   - parameters: As they go over the wire, `_meta` included; members of `_meta` that the
    ///     protocol reserves for the session are replaced.
    ///   - wantsProgress: Whether to ask for progress.
    ///   - capabilities: What the client of this call can do, where that is said in each call.
    ///   - logLevel: From where on messages are wanted, where that is said in each call.
    /// - Returns: The call, and what to do.
    /// - Throws: When too many calls are under way.
    package mutating func call(
        _ method: String,
        _ parameters: JSONObject,
        wantsProgress: Bool = false,
        capabilities: JSONObject? = nil,
        logLevel: LogLevel? = nil
    ) throws(RPCError) -> (CallID, [Action]) {
        guard let profile else { throw .internalError("the session is not open") }
        guard calls.count < limits.calls else {
            throw .internalError("\(calls.count) calls to this server are under way already")
        }
        return request(
            method,
            parameters,
            modern: profile.version.era == .modern,
            wantsProgress: wantsProgress,
            capabilities: capabilities,
            logLevel: logLevel
        )
    }

    private mutating func request(
        _ method: String,
        _ parameters: JSONObject,
        modern: Bool,
        wantsProgress: Bool = false,
        capabilities: JSONObject? = nil,
        logLevel: LogLevel? = nil
    ) -> (CallID, [Action]) {
        lastCall += 1
        calls.insert(lastCall)
        var meta = JSONObject()
        for member in parameters["_meta"]?.object?.members ?? []
        where !RequestMeta.isReserved(member.key) {
            meta.append(key: member.key, value: member.value)
        }
        if wantsProgress { meta.append(key: "progressToken", value: .integer(lastCall)) }
        if modern {
            let version = ProtocolVersion.latest.rawValue
            meta.append(key: RequestMeta.Key.protocolVersion, value: .string(version))
            meta.append(key: RequestMeta.Key.clientInfo, value: implementation)
            meta.append(
                key: RequestMeta.Key.clientCapabilities,
                value: .object(capabilities ?? self.capabilities)
            )
            if let logLevel {
                meta.append(key: RequestMeta.Key.logLevel, value: .string(logLevel.rawValue))
            }
        }
        var parameters = parameters
        parameters["_meta"] = nil
        if !meta.members.isEmpty { parameters.append(key: "_meta", value: .object(meta)) }
        let request = Message.Request(
            id: .integer(lastCall),
            method: method,
            parameters: parameters
        )
        return (lastCall, [.send(.request(request), call: lastCall)])
    }

    /// Gives a call up: the server is told to stop, and nothing more of it is reported.
    package mutating func cancel(_ call: CallID, reason: String? = nil) -> [Action] {
        guard calls.remove(call) != nil else { return [] }
        // A handshake is not cancelled; its connection is closed.
        guard profile != nil else { return [.stop(call)] }
        var parameters = JSONObject()
        parameters.append(key: "requestId", value: .integer(call))
        if let reason { parameters.append(key: "reason", value: .string(reason)) }
        let message = Message.notification(
            .init(method: "notifications/cancelled", parameters: parameters)
        )
        return [.send(message, call: call), .stop(call)]
    }

    /// Ends a call that its transport could not deliver, or got no answer for.
    package mutating func fail(_ call: CallID, _ error: RPCError) -> [Action] {
        guard calls.remove(call) != nil else { return [] }
        return finished(call, .failure(error))
    }

    /// Tells the server something.
    package mutating func notify(_ method: String, _ parameters: JSONObject) -> [Action] {
        guard profile != nil else { return [] }
        let message = Message.notification(.init(method: method, parameters: parameters))
        return [.send(message, call: nil)]
    }

    // MARK: - Input

    /// Takes what came; `during` is the call whose stream it came on, nil when it has none.
    package mutating func receive(
        _ incoming: MessageParser.Incoming,
        during call: CallID? = nil
    ) -> [Action] {
        guard state != .closed else { return [] }
        switch incoming {
        case .message(let message): return take(message, call)
        case .batch(let elements):
            return elements.flatMap { element -> [Action] in
                switch element {
                case .message(let message): take(message, call)
                case .invalid(let failure): receive(failure, during: call)
                }
            }
        }
    }

    /// Takes something that was no message: whose answer it was ends, when that can be told.
    package mutating func receive(
        _ failure: MessageParser.Failure,
        during call: CallID? = nil
    ) -> [Action] {
        guard state != .closed else { return [] }
        violationCount += 1
        guard violationCount <= limits.violations else {
            return fail("it sends what the protocol does not know")
        }
        let error = RPCError.internalError("its answer is no message: \(failure.error.message)")
        if case .integer(let number) = failure.id, calls.contains(number) {
            return fail(number, error)
        }
        return call.map { fail($0, error) } ?? []
    }

    private mutating func take(_ message: Message, _ during: CallID?) -> [Action] {
        switch message {
        case .response(let response): return take(response, during)
        case .notification(let notification): return take(notification, during)
        case .request(let request): return take(request, during)
        }
    }

    private mutating func take(_ response: Message.Response, _ during: CallID?) -> [Action] {
        // An error without an identifier on a call's own stream can only be that call's.
        let number: CallID? =
            switch response.id {
            case .integer(let number): number
            case .string(let text): CallID(text)
            case nil: during
            }
        guard let number, calls.remove(number) != nil else { return [] }
        return finished(number, response.outcome)
    }

    private mutating func finished(
        _ call: CallID,
        _ outcome: Result<JSONObject, RPCError>
    ) -> [Action] {
        switch state {
        case .probing(call): return discovered(outcome)
        case .initializing(call): return initialized(outcome)
        case .idle, .probing, .initializing, .open, .closed: return [.finish(call, outcome)]
        }
    }

    private mutating func take(
        _ notification: Message.Notification,
        _ during: CallID?
    ) -> [Action] {
        switch notification.method {
        case "notifications/progress":
            guard case .integer(let token) = RequestID(notification.parameters["progressToken"]),
                calls.contains(token)
            else { return [] }
            return [.progress(token, notification.parameters)]
        case "notifications/cancelled":
            guard let id = RequestID(notification.parameters["requestId"]),
                let ask = asks.first(where: { $0.value == id })?.key
            else { return [] }
            asks[ask] = nil
            return [.withdraw(ask)]
        default: return [.notice(notification, during: during)]
        }
    }

    // MARK: - The server's requests

    private mutating func take(_ request: Message.Request, _ during: CallID?) -> [Action] {
        if request.method == "ping" {
            let response = Message.Response(id: request.id, outcome: .success(JSONObject()))
            return [.send(.response(response), call: during)]
        }
        guard asks.count < limits.asks, !asks.values.contains(request.id) else {
            let error = RPCError.internalError("\(asks.count) requests are waiting already")
            return [.send(.failure(request.id, error), call: during)]
        }
        lastAsk += 1
        asks[lastAsk] = request.id
        return [
            .ask(
                lastAsk,
                method: request.method,
                parameters: request.parameters,
                during: during
            )
        ]
    }

    /// Answers a request of the server; nothing happens when it has been withdrawn.
    package mutating func answer(
        _ ask: AskID,
        _ outcome: Result<JSONObject, RPCError>
    ) -> [Action] {
        guard state != .closed, let id = asks.removeValue(forKey: ask) else { return [] }
        return [.send(.response(.init(id: id, outcome: outcome)), call: nil)]
    }

    // MARK: - End

    /// Ends the session: every call ends with an error.
    package mutating func end(_ error: RPCError) -> [Action] {
        guard state != .closed else { return [] }
        let handshake: CallID? =
            switch state {
            case .probing(let call), .initializing(let call): call
            case .idle, .open, .closed: nil
            }
        state = .closed
        let open = calls.sorted()
        let withdrawn = asks.keys.sorted()
        calls = []
        asks = [:]
        return open.filter { $0 != handshake }.map { .finish($0, .failure(error)) }
            + withdrawn.map { .withdraw($0) }
    }
}
