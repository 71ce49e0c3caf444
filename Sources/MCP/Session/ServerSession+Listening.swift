import Domain

/// Notifications of changes: streams of the newer era, and the session of an older one.
extension ServerSession {
    /// Longer URIs name nothing that anybody watches.
    private static let maximumURIBytes = 8_192

    mutating func listen(
        _ request: Message.Request,
        _ exchange: ExchangeID,
        _ context: Context
    ) throws(RPCError) -> [Action] {
        guard let filter = request.parameters["notifications"]?.object else {
            throw .invalidParameters("`notifications` must be an object that says what is wanted")
        }
        guard open.values.count(where: { $0.wanted != nil }) < limits.subscriptions else {
            throw .invalidRequest("there are already \(limits.subscriptions) subscriptions")
        }
        let resources = try resources(of: filter)
        let lists = ListKinds(filter: filter).intersection(server.toldLists)
        let wanted = OpenRequest.Wanted(lists: lists)
        guard !resources.isEmpty else {
            let job = subscribe(request, exchange, context: context, wanted: wanted)
            return acknowledged(job)
        }
        let work = Work.listen(resources: resources)
        let actions = try enqueue(work, for: request, exchange, context: context)
        if let job = inFlight[request.id] { open[job]?.wanted = wanted }
        return actions
    }

    /// The resources that a filter names, each of them once; none where nobody tells of any.
    private func resources(of filter: JSONObject) throws(RPCError) -> [String] {
        guard server.forwarded.contains(.subscriptions) else { return [] }
        let values: [JSONValue]
        switch filter["resourceSubscriptions"] {
        case nil, .null: return []
        case .array(let found): values = found
        case .bool, .integer, .double, .string, .object:
            throw .invalidParameters("`resourceSubscriptions` must be a list of URIs")
        }
        guard values.count <= limits.resources else {
            throw .invalidParameters(
                "`resourceSubscriptions` names more than \(limits.resources) resources"
            )
        }
        var known: Set<[UInt8]> = []
        var resources: [String] = []
        for value in values {
            guard let uri = value.string, (1...Self.maximumURIBytes).contains(uri.utf8.count)
            else { throw .invalidParameters("`resourceSubscriptions` must be a list of URIs") }
            if known.insert(Array(uri.utf8)).inserted { resources.append(uri) }
        }
        return resources
    }

    /// Says what a stream tells of: its first message.
    func acknowledged(_ job: JobID) -> [Action] {
        guard let request = open[job], let wanted = request.wanted else { return [] }
        var accepted = JSONObject()
        for name in ListKinds.names where wanted.lists.contains(name.kind) {
            accepted.append(key: name.filter, value: true)
        }
        if !wanted.resources.isEmpty {
            accepted.append(key: "resourceSubscriptions", value: JSONValue(wanted.resources))
        }
        var parameters = subscriptionMeta(request.id)
        parameters.append(key: "notifications", value: .object(accepted))
        let method = "notifications/subscriptions/acknowledged"
        let message = Message.notification(.init(method: method, parameters: parameters))
        return [.send(message.json, exchange: request.exchange)]
    }

    private func subscriptionMeta(_ id: RequestID) -> JSONObject {
        var meta = JSONObject()
        meta.append(key: RequestMeta.Key.subscriptionID, value: id.json)
        var parameters = JSONObject()
        parameters.append(key: "_meta", value: .object(meta))
        return parameters
    }

    /// Tells a subscriber that nothing more will come.
    mutating func endSubscription(_ job: JobID, _ request: OpenRequest) -> [Action] {
        open[job] = nil
        inFlight[request.id] = nil
        var meta = JSONObject()
        meta.append(key: RequestMeta.Key.subscriptionID, value: request.id.json)
        meta.append(
            key: RequestMeta.Key.serverInfo,
            value: server.implementation(for: request.context.version)
        )
        var result = JSONObject()
        result.append(key: "resultType", value: "complete")
        result.append(key: "_meta", value: .object(meta))
        let response = Message.Response(id: request.id, outcome: .success(result))
        let stopped: [Action] = request.isWatching ? [.cancel(job)] : []
        return respond(.response(response), request.exchange) + ended(request.exchange) + stopped
    }

    // MARK: - Changes

    /// Tells those who listen that lists are other ones.
    ///
    /// - Parameter kinds: Which; of those the server does not tell of nobody hears.
    /// - Returns: What to do; nothing where nobody listens.
    package func listsChanged(_ kinds: ListKinds) -> [Action] {
        guard !isEnded else { return [] }
        let told = kinds.intersection(server.toldLists).methods
        var actions: [Action] = []
        if handshake != nil {
            for (_, method) in told {
                let message = Message.notification(.init(method: method))
                actions.append(.send(message.json, exchange: nil))
            }
        }
        for (_, request) in open.sorted(by: { $0.key < $1.key }) {
            guard request.state == .subscription, let lists = request.wanted?.lists
            else { continue }
            for (kind, method) in told where lists.contains(kind) {
                let parameters = subscriptionMeta(request.id)
                let message = Message.notification(.init(method: method, parameters: parameters))
                actions.append(.send(message.json, exchange: request.exchange))
            }
        }
        return actions
    }

    /// Tells that a resource has changed to whoever has subscribed to it.
    ///
    /// - Parameters:
    ///   - uri: The resource, or one below it.
    ///   - job: The stream that is to tell; nil for the session of an older revision.
    /// - Returns: What to do; nothing where nobody listens any more.
    package func resourceUpdated(_ uri: String, for job: JobID?) -> [Action] {
        guard !isEnded else { return [] }
        var parameters = JSONObject()
        var exchange: ExchangeID?
        if let job {
            guard let request = open[job], request.state == .subscription else { return [] }
            parameters = subscriptionMeta(request.id)
            exchange = request.exchange
        } else if handshake == nil {
            return []
        }
        parameters.append(key: "uri", value: .string(uri))
        let method = "notifications/resources/updated"
        let message = Message.notification(.init(method: method, parameters: parameters))
        return [.send(message.json, exchange: exchange)]
    }
}
