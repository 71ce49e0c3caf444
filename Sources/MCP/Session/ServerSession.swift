package import Domain

/// The server's side of one connection or session, of both eras, as a value.
///
/// Messages go in, actions come out; it neither waits nor writes, and does not know which tools
/// there are.
///
/// A request with the metadata of 2026-07-28 is served statelessly, whatever came before; an
/// `initialize` begins a session of an older revision beside it. So a client that probes with one
/// era and goes on with the other is served in both.
///
/// A job is started by ``Action/start(_:)`` and must be ended by ``finish(_:_:)``, also after
/// ``Action/cancel(_:)``: only then is its place free for a waiting one.
package struct ServerSession: Sendable {
    /// What a session may hold at a time.
    package struct Limits: Sendable, Equatable {
        /// Jobs that run side by side: what one agent starts at once.
        package var running = 16
        /// Jobs that wait for a place; more are refused with an error the model can read.
        package var waiting = 64
        /// Streams of notifications; a client needs one.
        package var subscriptions = 8
        /// Resources that one stream tells of: more than a client shows at a time.
        package var resources = 256
        /// Tools on a page of the list.
        package var page = 200

        package init() {}
    }

    /// What the caller has to do, in order.
    package enum Action: Sendable, Equatable {
        /// Deliver a message; `exchange` is what it answers, nil for what answers nothing.
        case send(JSONValue, exchange: ExchangeID?)
        /// Nothing more comes for what was received under this number.
        case exchangeEnded(ExchangeID)
        /// Do the work and call ``ServerSession/finish(_:_:)``.
        case start(Job)
        /// Stop the work as soon as practical, and still call ``ServerSession/finish(_:_:)``.
        case cancel(JobID)
        /// The client has answered what ``ServerSession/ask(_:_:_:)`` asked.
        case answered(AskID, Result<JSONObject, RPCError>)
        /// The client of an older session has said something that is for other servers, too.
        case announced(Announcement)
    }

    /// What a client says of itself in the middle of an older session.
    package enum Announcement: Sendable, Equatable {
        /// Its roots are others; only of one that said that it tells this.
        case rootsChanged
        /// It wants messages from here on.
        case logLevel(LogLevel)
    }

    /// Numbers what is received, so that a transport knows where answers go.
    package typealias ExchangeID = Int
    /// Numbers jobs.
    package typealias JobID = Int
    /// Numbers what is asked of the client.
    package typealias AskID = Int

    /// Work for a request.
    package struct Job: Sendable, Equatable {
        package var id: JobID
        package var work: Work
        package var context: Context
    }

    /// What a job does.
    package enum Work: Sendable, Equatable {
        /// Find the tools that the caller can see.
        case listTools
        case callTool(name: String, arguments: JSONObject)
        /// Hand a request for resources, prompts or completions on.
        case forward(method: String, parameters: JSONObject)
        /// Subscribe to resources, of which a stream of notifications is to tell.
        case listen(resources: [String])
        /// Tell of a task, or give it up (`io.modelcontextprotocol/tasks`).
        case task(id: String, TaskMethod)
    }

    /// What is done with a task.
    package enum TaskMethod: String, Sendable, CaseIterable {
        case get = "tasks/get"
        /// Answers to what a task has asked; ours ask nothing, so that it changes nothing.
        case update = "tasks/update"
        case cancel = "tasks/cancel"
    }

    /// What is known of who asks.
    package struct Context: Sendable, Equatable {
        package var version: ProtocolVersion
        package var client: ClientDescription?
        /// Those of this request, or of the session.
        package var capabilities: JSONObject
        package var meta: RequestMeta
        /// What a client sends when it comes back with what was asked of it: `inputResponses` and
        /// `requestState`.
        package var inputs = JSONObject()

        package init(
            version: ProtocolVersion,
            client: ClientDescription? = nil,
            capabilities: JSONObject = JSONObject(),
            meta: RequestMeta = RequestMeta()
        ) {
            self.version = version
            self.client = client
            self.capabilities = capabilities
            self.meta = meta
        }
    }

    /// What a job gave.
    package enum Outcome: Sendable, Equatable {
        case tools([ToolDefinition])
        case result(ToolResult)
        /// The result of what was handed on.
        case forwarded(JSONObject)
        /// The resources that are told of. The stream is open from now on, and its end is told by
        /// ``Action/cancel(_:)`` although the job has ended.
        case listening(resources: [String])
    }

    /// How far a call is.
    package struct Progress: Sendable, Equatable {
        /// Grows with every update of a call.
        package var done: Double
        /// Nil when it is not known.
        package var total: Double?
        package var message: String?

        package init(done: Double, total: Double? = nil, message: String? = nil) {
            self.done = done
            self.total = total
            self.message = message
        }
    }

    package let server: ServerDescription
    package let limits: Limits

    /// The session that `initialize` began.
    ///
    /// From nil it becomes one; there is no way back.
    var handshake: Handshake?
    /// Whether ``end()`` was called; nothing is accepted or sent after that.
    private(set) var isEnded = false

    var open: [JobID: OpenRequest] = [:]
    /// Requests without a response, those that were cancelled left out.
    var inFlight: [RequestID: JobID] = [:]
    var waiting: [Job] = []
    var runningCount = 0
    var exchanges: [ExchangeID: Exchange] = [:]
    /// What the client has been asked and has not answered, by our identifiers; without a job
    /// what is asked outside of calls.
    var asks: [RequestID: (ask: AskID, job: JobID?)] = [:]
    var lastAsk = 0
    private var lastJob = 0

    /// What `initialize` agreed on.
    struct Handshake: Sendable {
        var version: ProtocolVersion
        var client: ClientDescription?
        var capabilities: JSONObject
        /// Messages from here on are sent; what an older client gets that says nothing.
        var logLevel = LogLevel.warning
        /// Whether the client has said so.
        var hasSetLogLevel = false
    }

    /// A request that has begun and is not over.
    struct OpenRequest: Sendable {
        var id: RequestID
        var method: String
        var exchange: ExchangeID
        var context: Context
        var state: State
        var lastProgress = -Double.infinity
        /// For a list: behind which tool the page begins.
        var cursor: String?
        /// What a stream of notifications tells of; nil for other requests.
        var wanted: Wanted?

        struct Wanted: Sendable, Equatable {
            var lists: ListKinds = []
            var resources: [String] = []
        }

        enum State: Sendable, Equatable {
            /// To running or gone.
            case waiting
            /// To subscription, cancelled or gone.
            case running
            /// Nothing is sent any more; to gone, when the work has stopped.
            case cancelled
            /// A stream of notifications; to gone.
            case subscription
        }
    }

    /// Responses that are due for something received.
    struct Exchange: Sendable {
        var due: Int
        /// Responses of a batch so far, which are sent together; nil for a single message.
        var batch: [JSONValue]?
    }

    package init(server: ServerDescription, limits: Limits = Limits()) {
        self.server = server
        self.limits = limits
    }

    /// The revision that `initialize` agreed on; nil without one.
    package var negotiatedVersion: ProtocolVersion? { handshake?.version }

    /// Whether any job runs or waits.
    package var isBusy: Bool { runningCount > 0 || !waiting.isEmpty }

    // MARK: - Input

    /// Takes a message or a batch, received under a number that was not used before.
    package mutating func receive(
        _ incoming: MessageParser.Incoming,
        in exchange: ExchangeID
    ) -> [Action] {
        guard !isEnded else { return [.exchangeEnded(exchange)] }
        switch incoming {
        case .message(let message):
            exchanges[exchange] = Exchange(due: message.isRequest ? 1 : 0)
            return take(message, exchange) + ended(exchange)
        case .batch(let elements):
            guard handshake?.version.hasBatches == true else {
                let reason = "batches belong to revision 2025-03-26 alone; send single messages"
                return refuse(.init(id: nil, error: .invalidRequest(reason)), in: exchange)
            }
            return take(elements, exchange)
        }
    }

    /// Answers something that was no message.
    package mutating func refuse(
        _ failure: MessageParser.Failure,
        in exchange: ExchangeID
    ) -> [Action] {
        guard !isEnded else { return [.exchangeEnded(exchange)] }
        return [.send(failure.message.json, exchange: exchange), .exchangeEnded(exchange)]
    }

    private mutating func take(
        _ elements: [MessageParser.Element],
        _ exchange: ExchangeID
    ) -> [Action] {
        let due = elements.count { element in
            if case .message(let message) = element { message.isRequest } else { true }
        }
        exchanges[exchange] = Exchange(due: due, batch: [])
        var actions: [Action] = []
        for element in elements {
            switch element {
            case .message(.request(let request)) where request.method == "initialize":
                let error = RPCError.invalidRequest("`initialize` must not be part of a batch")
                actions += respond(.failure(request.id, error), exchange)
            case .message(let message): actions += take(message, exchange)
            case .invalid(let failure): actions += respond(failure.message, exchange)
            }
        }
        return actions + ended(exchange)
    }

    private mutating func take(_ message: Message, _ exchange: ExchangeID) -> [Action] {
        switch message {
        case .request(let request): return take(request, exchange)
        case .notification(let notification): return take(notification)
        case .response(let response): return take(response)
        }
    }

    private mutating func take(_ request: Message.Request, _ exchange: ExchangeID) -> [Action] {
        guard inFlight[request.id] == nil else {
            let error = RPCError.invalidRequest("a request with this id is still under way")
            return respond(.failure(request.id, error), exchange)
        }
        do throws(RPCError) {
            // `initialize` exists in legacy revisions alone, whatever metadata it carries.
            if request.method != "initialize", ModernEnvelope.isPresent(in: request.parameters) {
                return try takeModern(request, exchange)
            }
            return try takeLegacy(request, exchange)
        } catch {
            return respond(.failure(request.id, error), exchange)
        }
    }

    private mutating func take(_ notification: Message.Notification) -> [Action] {
        switch notification.method {
        case "notifications/cancelled":
            guard let id = RequestID(notification.parameters["requestId"]), let job = inFlight[id]
            else { return [] }
            return cancel(job)
        case "notifications/roots/list_changed":
            let isDeclared = handshake?.capabilities["roots"]?["listChanged"]?.bool == true
            return isDeclared ? [.announced(.rootsChanged)] : []
        default: return []
        }
    }

    // MARK: - Ends

    /// Gives up what was received under a number: its connection is gone.
    ///
    /// To a modern client's transport that is the way to cancel; a legacy one may come back for
    /// what it missed, so its transport does not call this.
    package mutating func abandon(_ exchange: ExchangeID) -> [Action] {
        let jobs = open.filter { $0.value.exchange == exchange && $0.value.state != .cancelled }
        return jobs.keys.sorted().flatMap { cancel($0) }
    }

    /// Ends the session: work stops, subscriptions are told, nothing is accepted any more.
    package mutating func end() -> [Action] {
        guard !isEnded else { return [] }
        var actions: [Action] = []
        for (job, request) in open.sorted(by: { $0.key < $1.key }) {
            switch request.state {
            case .subscription: actions += endSubscription(job, request)
            case .waiting, .running: actions += cancel(job)
            case .cancelled: break
            }
        }
        isEnded = true
        return actions
    }

    private mutating func cancel(_ job: JobID) -> [Action] {
        guard let request = open[job] else { return [] }
        inFlight[request.id] = nil
        let isRunning = request.state == .running
        let isWatching = request.isWatching
        if isRunning {
            open[job]?.state = .cancelled
        } else {
            open[job] = nil
            waiting.removeAll { $0.id == job }
        }
        exchanges[request.exchange]?.due -= 1
        let actions: [Action] = isRunning || isWatching ? [.cancel(job)] : []
        return actions + flushed(request.exchange) + ended(request.exchange)
    }

    // MARK: - Answers

    /// Sends a response, or keeps it until its batch is whole.
    mutating func respond(_ message: Message, _ exchange: ExchangeID) -> [Action] {
        exchanges[exchange]?.due -= 1
        guard exchanges[exchange]?.batch != nil else {
            return [.send(message.json, exchange: exchange)]
        }
        exchanges[exchange]?.batch?.append(message.json)
        return flushed(exchange)
    }

    private func flushed(_ exchange: ExchangeID) -> [Action] {
        guard let state = exchanges[exchange], state.due == 0, let batch = state.batch,
            !batch.isEmpty
        else { return [] }
        return [.send(.array(batch), exchange: exchange)]
    }

    /// Forgets an exchange when nothing is due for it any more.
    mutating func ended(_ exchange: ExchangeID) -> [Action] {
        guard let state = exchanges[exchange], state.due <= 0 else { return [] }
        exchanges[exchange] = nil
        return [.exchangeEnded(exchange)]
    }

    // MARK: - Jobs

    /// Takes a job: at once when there is a place, later while there is room to wait.
    mutating func enqueue(
        _ work: Work,
        for request: Message.Request,
        _ exchange: ExchangeID,
        context: Context,
        cursor: String? = nil
    ) throws(RPCError) -> [Action] {
        guard runningCount < limits.running || waiting.count < limits.waiting else {
            let reason =
                "\(limits.running) calls are running and \(limits.waiting) are waiting; send this "
                + "one again when some have ended"
            guard case .callTool = work else { throw .internalError(reason) }
            let failure = ToolResult.failure(reason).json(for: context.version)
            let result = decorated(failure, of: request.method, context)
            return respond(.response(.init(id: request.id, outcome: .success(result))), exchange)
        }
        lastJob += 1
        let job = Job(id: lastJob, work: work, context: context)
        let isFree = runningCount < limits.running
        open[job.id] = OpenRequest(
            id: request.id,
            method: request.method,
            exchange: exchange,
            context: context,
            state: isFree ? .running : .waiting,
            cursor: cursor
        )
        inFlight[request.id] = job.id
        guard isFree else {
            waiting.append(job)
            return []
        }
        runningCount += 1
        return [.start(job)]
    }

    /// Adds a request that stays open until it is cancelled.
    mutating func subscribe(
        _ request: Message.Request,
        _ exchange: ExchangeID,
        context: Context,
        wanted: OpenRequest.Wanted
    ) -> JobID {
        lastJob += 1
        open[lastJob] = OpenRequest(
            id: request.id,
            method: request.method,
            exchange: exchange,
            context: context,
            state: .subscription,
            wanted: wanted
        )
        inFlight[request.id] = lastJob
        return lastJob
    }

    /// Takes what a job gave; nothing is sent for one that was cancelled.
    ///
    /// - Parameters:
    ///   - job: A job that was started and has not been finished.
    ///   - outcome: What it gave, or the error to answer with.
    /// - Returns: The response, and the job that has its place now.
    package mutating func finish(
        _ job: JobID,
        _ outcome: Result<Outcome, RPCError>
    ) -> [Action] {
        guard let request = open.removeValue(forKey: job) else { return [] }
        runningCount -= 1
        var actions = isEnded ? [] : withdrawAsks(of: job, exchange: request.exchange)
        if case .success(.listening(let resources)) = outcome, request.state == .running, !isEnded {
            open[job] = request
            open[job]?.state = .subscription
            open[job]?.wanted?.resources = resources
            actions += acknowledged(job)
        } else if request.state == .running, !isEnded {
            inFlight[request.id] = nil
            let response = Message.Response(id: request.id, outcome: result(outcome, of: request))
            actions += respond(.response(response), request.exchange) + ended(request.exchange)
        }
        if !waiting.isEmpty, !isEnded {
            let next = waiting.removeFirst()
            open[next.id]?.state = .running
            runningCount += 1
            actions.append(.start(next))
        }
        return actions
    }

    private func result(
        _ outcome: Result<Outcome, RPCError>,
        of request: OpenRequest
    ) -> Result<JSONObject, RPCError> {
        do throws(RPCError) {
            switch try outcome.get() {
            case .tools(let tools):
                return .success(try page(of: tools, for: request))
            case .result(let result):
                if let error = result.protocolError { throw error }
                let json = result.json(for: request.context.version)
                return .success(decorated(json, of: request.method, request.context))
            case .forwarded(let json):
                return .success(decorated(json, of: request.method, request.context))
            case .listening:
                return .success(decorated(JSONObject(), of: request.method, request.context))
            }
        } catch {
            return .failure(error.said(in: request.context.version))
        }
    }

    private func page(
        of tools: [ToolDefinition],
        for request: OpenRequest
    ) throws(RPCError) -> JSONObject {
        var rest = tools[...]
        if let cursor = request.cursor {
            guard let place = tools.firstIndex(where: { haveEqualBytes($0.name, cursor) }) else {
                throw .invalidParameters("`cursor` is of a list that has changed; begin anew")
            }
            rest = tools[(place + 1)...]
        }
        let page = rest.prefix(limits.page)
        let version = request.context.version
        var result = JSONObject()
        result.append(key: "tools", value: .array(page.map { $0.json(for: version) }))
        if page.count < rest.count, let last = page.last {
            result.append(key: "nextCursor", value: .string(last.name))
        }
        return decorated(result, of: request.method, request.context)
    }

    /// Adds what every result of the modern era has, and says what may be kept.
    func decorated(_ result: JSONObject, of method: String, _ context: Context) -> JSONObject {
        var decorated = result
        server.limitCaching(of: &decorated, answering: method, in: context)
        guard context.version.era == .modern else { return decorated }
        if decorated["resultType"] == nil {
            decorated.append(key: "resultType", value: "complete")
        }
        var meta = result["_meta"]?.object ?? JSONObject()
        meta[RequestMeta.Key.serverInfo] = server.implementation(for: context.version)
        decorated["_meta"] = .object(meta)
        return decorated
    }
}

extension Message {
    /// Whether a response is due.
    var isRequest: Bool {
        if case .request = self { true } else { false }
    }
}

extension ServerSession.Context {
    /// Whether the client takes a task in place of a result, for this request.
    package var takesTasks: Bool {
        version.era == .modern
            && capabilities["extensions"]?[ServerDescription.tasksExtension]?.object != nil
    }

    /// Whether the client can have its person open a page, and come back with the same call.
    package var opensPages: Bool {
        version.era == .modern && capabilities["elicitation"]?["url"] != nil
    }
}

extension ServerSession {
    /// Whether a job was cancelled and has not been finished.
    package func isCancelled(_ job: JobID) -> Bool { open[job]?.state == .cancelled }

    /// Whether a job has become a stream of notifications that is open.
    package func isListening(_ job: JobID) -> Bool { open[job]?.state == .subscription }
}

extension ServerSession.OpenRequest {
    /// Whether it is a stream that tells of resources.
    var isWatching: Bool { state == .subscription && wanted?.resources.isEmpty == false }
}
