package import Domain

/// The methods of both eras.
extension ServerSession {
    /// Methods that exist before a session has begun; asked for without one, they say so.
    private static let sessionMethods: Set<String> = [
        "tools/list", "tools/call", "logging/setLevel", "server/discover", "subscriptions/listen",
    ]

    // MARK: - Modern

    mutating func takeModern(
        _ request: Message.Request,
        _ exchange: ExchangeID
    ) throws(RPCError) -> [Action] {
        let envelope = try ModernEnvelope(
            of: request.parameters,
            isLenient: request.method == "server/discover"
        )
        let context = Context(
            version: envelope.version,
            client: envelope.client,
            capabilities: envelope.capabilities,
            meta: envelope.meta
        )
        switch request.method {
        case "server/discover":
            let result = decorated(server.discoverResult(), of: request.method, context)
            return respond(.response(.init(id: request.id, outcome: .success(result))), exchange)
        case "tools/list": return try listTools(request, exchange, context)
        case "tools/call": return try callTool(request, exchange, context)
        case "subscriptions/listen": return try listen(request, exchange, context)
        case let method where server.offersTasks && TaskMethod(rawValue: method) != nil:
            return try task(request, exchange, context)
        case let method where server.forwards(method, in: .modern):
            return try forward(request, exchange, context)
        default: throw .methodNotFound(request.method)
        }
    }

    /// More than our identifiers have.
    private static let maximumTaskBytes = 256

    private mutating func task(
        _ request: Message.Request,
        _ exchange: ExchangeID,
        _ context: Context
    ) throws(RPCError) -> [Action] {
        guard context.takesTasks else {
            let extensions: JSONObject = JSONObject([
                (ServerDescription.tasksExtension, .object(JSONObject()))
            ])
            throw .missingCapability(JSONObject([("extensions", .object(extensions))]))
        }
        guard let method = TaskMethod(rawValue: request.method) else {
            throw .methodNotFound(request.method)
        }
        guard let id = request.parameters["taskId"]?.string,
            (1...Self.maximumTaskBytes).contains(id.utf8.count)
        else { throw .invalidParameters("`taskId` must be the identifier of a task") }
        let work = Work.task(id: id, method)
        return try enqueue(work, for: request, exchange, context: context)
    }

    // MARK: - Legacy

    mutating func takeLegacy(
        _ request: Message.Request,
        _ exchange: ExchangeID
    ) throws(RPCError) -> [Action] {
        switch request.method {
        case "initialize": return try initialize(request, exchange)
        // Allowed before anything else, to see whether somebody is there.
        case "ping":
            let response = Message.Response(id: request.id, outcome: .success(JSONObject()))
            return respond(.response(response), exchange)
        default: break
        }
        guard let handshake else {
            let isKnown =
                Self.sessionMethods.contains(request.method)
                || server.forwards(request.method, in: .legacy)
            guard isKnown else { throw .methodNotFound(request.method) }
            throw .invalidParameters(
                "begin a session with `initialize`, or send "
                    + "`\(RequestMeta.Key.protocolVersion)` and "
                    + "`\(RequestMeta.Key.clientCapabilities)` in `params._meta`"
            )
        }
        var context = Context(
            version: handshake.version,
            client: handshake.client,
            capabilities: handshake.capabilities,
            meta: RequestMeta(common: request.parameters["_meta"]?.object)
        )
        if handshake.hasSetLogLevel { context.meta.logLevel = handshake.logLevel }
        switch request.method {
        case "tools/list": return try listTools(request, exchange, context)
        case "tools/call": return try callTool(request, exchange, context)
        case "logging/setLevel":
            guard let level = request.parameters["level"]?.string.flatMap(LogLevel.init(rawValue:))
            else {
                let names = LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalidParameters("`level` must be one of \(names)")
            }
            self.handshake?.logLevel = level
            self.handshake?.hasSetLogLevel = true
            let response = Message.Response(id: request.id, outcome: .success(JSONObject()))
            return [.announced(.logLevel(level))] + respond(.response(response), exchange)
        case let method where server.forwards(method, in: .legacy):
            return try forward(request, exchange, context)
        default: throw .methodNotFound(request.method)
        }
    }

    /// Hands a request on; what its parameters mean is for others to say.
    private mutating func forward(
        _ request: Message.Request,
        _ exchange: ExchangeID,
        _ context: Context
    ) throws(RPCError) -> [Action] {
        var parameters = request.parameters
        parameters["_meta"] = nil
        let (inputs, rest) = Self.inputs(of: parameters)
        var context = context
        context.inputs = inputs
        let work = Work.forward(method: request.method, parameters: rest)
        return try enqueue(work, for: request, exchange, context: context)
    }

    /// What a client comes back with, and all else.
    private static func inputs(of parameters: JSONObject) -> (JSONObject, rest: JSONObject) {
        var (inputs, rest) = (JSONObject(), parameters)
        for key in ["inputResponses", "requestState"] {
            guard let value = parameters[key] else { continue }
            inputs.append(key: key, value: value)
            rest[key] = nil
        }
        return (inputs, rest)
    }

    private mutating func initialize(
        _ request: Message.Request,
        _ exchange: ExchangeID
    ) throws(RPCError) -> [Action] {
        guard handshake == nil else {
            throw .invalidRequest("the session has begun already")
        }
        guard let requested = request.parameters["protocolVersion"]?.string else {
            throw .invalidParameters("`protocolVersion` must be a text")
        }
        guard let capabilities = request.parameters["capabilities"]?.object else {
            throw .invalidParameters("`capabilities` must be an object")
        }
        let known = ProtocolVersion(rawValue: requested)
        let version = known?.era == .legacy ? known ?? .latestLegacy : .latestLegacy
        handshake = Handshake(
            version: version,
            // Every client has one; turning one away that does not would help nobody.
            client: ClientDescription(request.parameters["clientInfo"]),
            capabilities: capabilities
        )
        let result = server.initializeResult(version)
        return respond(.response(.init(id: request.id, outcome: .success(result))), exchange)
    }

    // MARK: - Tools

    private mutating func listTools(
        _ request: Message.Request,
        _ exchange: ExchangeID,
        _ context: Context
    ) throws(RPCError) -> [Action] {
        var cursor: String?
        switch request.parameters["cursor"] {
        case nil, .null: break
        case .string(let text): cursor = text
        case .bool, .integer, .double, .array, .object:
            throw .invalidParameters("`cursor` must be the text of an earlier page's `nextCursor`")
        }
        return try enqueue(.listTools, for: request, exchange, context: context, cursor: cursor)
    }

    private mutating func callTool(
        _ request: Message.Request,
        _ exchange: ExchangeID,
        _ context: Context
    ) throws(RPCError) -> [Action] {
        guard let name = request.parameters["name"]?.string else {
            throw .invalidParameters("`name` must be the name of a tool")
        }
        let arguments: JSONObject
        switch request.parameters["arguments"] {
        case nil, .null: arguments = JSONObject()
        case .object(let members): arguments = members
        case .bool, .integer, .double, .string, .array:
            throw .invalidParameters("`arguments` must be an object")
        }
        let work = Work.callTool(name: name, arguments: arguments)
        var context = context
        context.inputs = Self.inputs(of: request.parameters).0
        return try enqueue(work, for: request, exchange, context: context)
    }

    // MARK: - Notifications

    /// Tells how far a call is, when its client asked for that; what does not go forward is left
    /// out, for progress must grow.
    package mutating func progress(_ job: JobID, _ progress: Progress) -> [Action] {
        guard let request = open[job], request.state == .running, !isEnded,
            let token = request.context.meta.progressToken, progress.done.isFinite,
            progress.done > request.lastProgress
        else { return [] }
        open[job]?.lastProgress = progress.done
        var parameters = JSONObject()
        parameters.append(key: "progressToken", value: token.json)
        parameters.append(key: "progress", value: .double(progress.done))
        if let total = progress.total { parameters.append(key: "total", value: .double(total)) }
        if let message = progress.message {
            parameters.append(key: "message", value: .string(message))
        }
        let message = Message.notification(
            .init(method: "notifications/progress", parameters: parameters)
        )
        return [.send(message.json, exchange: request.exchange)]
    }

    /// Tells what a call noticed, to a client that wants to hear it.
    package mutating func log(_ job: JobID, _ level: LogLevel, _ text: String) -> [Action] {
        var parameters = JSONObject()
        parameters.append(key: "level", value: .string(level.rawValue))
        parameters.append(key: "logger", value: .string(server.name))
        parameters.append(key: "data", value: .string(text))
        let isModern = open[job]?.context.version.era == .modern
        guard isModern || level >= (handshake?.logLevel ?? .warning) else { return [] }
        return log(job, level, parameters)
    }

    /// The same for what another server noticed: the parameters of its own message.
    package mutating func log(
        _ job: JobID,
        _ level: LogLevel,
        _ parameters: JSONObject
    ) -> [Action] {
        guard let request = open[job], request.state == .running, !isEnded else { return [] }
        let isModern = request.context.version.era == .modern
        let threshold = request.context.meta.logLevel ?? (isModern ? nil : Self.foreignLevel)
        guard let threshold, level >= threshold else { return [] }
        let message = Message.notification(
            .init(method: "notifications/message", parameters: parameters)
        )
        return [.send(message.json, exchange: request.exchange)]
    }

    /// Who has not said anything hears what another server would have told it.
    private static let foreignLevel = LogLevel.debug

    // MARK: - Outside of calls

    /// Tells what another server noticed while no call was under way.
    ///
    /// Only sessions of the older revisions hear that: in the newer one messages belong to the
    /// request that wants them.
    ///
    /// - Parameters:
    ///   - level: How grave it is.
    ///   - parameters: Those of the server's own message.
    /// - Returns: What to do; nothing where the session does not want to hear it.
    package func message(_ level: LogLevel, _ parameters: JSONObject) -> [Action] {
        guard !isEnded, let handshake,
            level >= (handshake.hasSetLogLevel ? handshake.logLevel : Self.foreignLevel)
        else { return [] }
        return notification("notifications/message", parameters)
    }

    /// Tells that a page that another server has asked to open has served its purpose.
    ///
    /// - Parameter parameters: Those of the server's own notification.
    /// - Returns: What to do; nothing in revisions that do not know it.
    package func elicitationEnded(_ parameters: JSONObject) -> [Action] {
        guard !isEnded, let handshake, handshake.version >= .november2025 else { return [] }
        return notification("notifications/elicitation/complete", parameters)
    }

    private func notification(_ method: String, _ parameters: JSONObject) -> [Action] {
        let message = Message.notification(.init(method: method, parameters: parameters))
        return [.send(message.json, exchange: nil)]
    }
}
