package import Domain

/// One session of the older revisions over HTTP, as a value: which stream a message goes to, and
/// what a client that comes back has missed.
///
/// A call that says something before its answer, or takes longer than a moment, is answered by a
/// stream of events, whose identifiers let the client go on after a lost connection; everything
/// else is answered as JSON. A lost connection cancels nothing.
package struct HTTPSession: Sendable {
    /// A connection that takes events; numbered by the HTTP layer, never reused.
    package typealias ConnectionID = Int

    /// What the HTTP layer has to do, in order.
    package enum Action: Sendable, Equatable {
        /// Answer this connection and be done with it.
        case reply(ConnectionID, HTTPReply)
        /// Send this head on a connection and keep the body open.
        case open(ConnectionID, HTTPReply)
        case write(ConnectionID, [UInt8])
        case close(ConnectionID)
        case start(ServerSession.Job)
        case cancel(ServerSession.JobID)
        /// The client has answered what was asked.
        case answered(ServerSession.AskID, Result<JSONObject, RPCError>)
        /// The client has said something that is for other servers, too.
        case announced(ServerSession.Announcement)
    }

    /// The stream of what answers nothing; a GET opens it.
    private static let general = 0
    /// What a client is told to wait before it comes back.
    private static let retryMilliseconds = 1_000

    private var session: ServerSession
    private var log: EventLog
    /// Which connection a stream writes to; none while the client is away.
    private var connections: [Int: ConnectionID] = [:]
    /// Exchanges whose answer is JSON, with the connection that waits for it.
    private var plain: [Int: ConnectionID] = [:]
    /// Calls that have said nothing yet, with the connection that waits: they become a stream when
    /// they do, or by ``openSilent()``.
    private var silent: [Int: Silent] = [:]
    /// Streams that still have something to say.
    private var streams: Set<Int> = [general]
    private var lastExchange = 0

    private struct Silent {
        var connection: ConnectionID
        /// Whether it was silent when streams were opened last.
        var isLate = false
    }

    package init(server: ServerDescription, log: EventLog = EventLog()) {
        session = ServerSession(server: server)
        self.log = log
    }

    /// Whether anything runs: such a session is not expired.
    package var isBusy: Bool { session.isBusy }
    /// Whether `initialize` has agreed on a revision.
    package var hasBegun: Bool { session.negotiatedVersion != nil }

    /// Whether a call has said nothing yet.
    package var hasSilent: Bool { !silent.isEmpty }

    /// Whether the client knows events that say nothing; older ones would take them for messages.
    private var hasEmptyEvents: Bool {
        session.negotiatedVersion.map { $0 >= .november2025 } ?? false
    }

    /// Takes what came by POST.
    package mutating func post(
        _ incoming: MessageParser.Incoming,
        on connection: ConnectionID
    ) -> [Action] {
        lastExchange += 1
        let exchange = lastExchange
        guard incoming.hasRequest else {
            return [.reply(connection, .accepted)]
                + translated(session.receive(incoming, in: exchange))
        }
        guard incoming.hasCall else {
            plain[exchange] = connection
            return translated(session.receive(incoming, in: exchange))
        }
        // What has several answers needs a stream for them.
        if case .message = incoming {
            silent[exchange] = Silent(connection: connection)
            return translated(session.receive(incoming, in: exchange))
        }
        let opening = openStream(of: exchange, on: connection)
        return opening + translated(session.receive(incoming, in: exchange))
    }

    /// Opens the streams of calls that were silent when this was called the last time, too.
    package mutating func openSilent() -> [Action] {
        var actions: [Action] = []
        for (exchange, call) in silent.sorted(by: { $0.key < $1.key }) {
            if call.isLate {
                actions += openStream(of: exchange, on: call.connection)
            } else {
                silent[exchange]?.isLate = true
            }
        }
        return actions
    }

    /// Answers a call by a stream of events.
    private mutating func openStream(of exchange: Int, on connection: ConnectionID) -> [Action] {
        silent[exchange] = nil
        streams.insert(exchange)
        connections[exchange] = connection
        let head = Action.open(connection, .eventStream)
        guard hasEmptyEvents else { return [head] }
        // Something to come back to before the first word.
        let id = log.append("", to: exchange)
        return [head, .write(connection, ServerSentEvent(id: id.text, data: "").bytes)]
    }

    /// Opens a stream for what answers nothing, or goes on with one behind an event.
    package mutating func stream(
        after event: EventID?,
        on connection: ConnectionID
    ) -> [Action] {
        guard let event else {
            guard connections[Self.general] == nil else {
                let error = RPCError.invalidRequest("the session's stream is open already")
                return [.reply(connection, .failure(error, status: 409))]
            }
            connections[Self.general] = connection
            return [.open(connection, .eventStream)]
        }
        let missed: [ServerSentEvent]
        do throws(EventLog.ReplayError) {
            missed = try log.events(after: event)
        } catch {
            let reason =
                error == .forgotten
                ? "what followed that event is not kept any more"
                : "`Last-Event-ID` names no event of this session"
            return [.reply(connection, .failure(.invalidRequest(reason), status: 400))]
        }
        var actions: [Action] = []
        // Each message goes to one connection: the one before is let go.
        if let old = connections[event.stream] { actions.append(.close(old)) }
        actions.append(.open(connection, .eventStream))
        actions += missed.map { .write(connection, $0.bytes) }
        guard streams.contains(event.stream) else { return actions + [.close(connection)] }
        connections[event.stream] = connection
        return actions
    }

    /// A connection is gone; its stream goes on without it.
    package mutating func disconnect(_ connection: ConnectionID) {
        for (stream, owner) in connections where owner == connection {
            connections[stream] = nil
        }
        for (exchange, owner) in plain where owner == connection { plain[exchange] = nil }
        for (exchange, call) in silent where call.connection == connection {
            silent[exchange] = nil
        }
    }

    /// Lets a connection go without ending its stream: the client comes back for the rest.
    ///
    /// - Parameter connection: One that may have been open for long.
    /// - Returns: What to do; nothing for what is no stream, and for clients of older revisions,
    ///   which know no such end.
    package mutating func release(_ connection: ConnectionID) -> [Action] {
        guard hasEmptyEvents, let stream = connections.first(where: { $0.value == connection })?.key
        else { return [] }
        disconnect(connection)
        // Something to come back to, also where nothing was said yet.
        let id = log.append("", to: stream)
        let event = ServerSentEvent(id: id.text, data: "", retry: Self.retryMilliseconds)
        return [.write(connection, event.bytes), .close(connection)]
    }

    /// Some time has passed: open streams are kept open.
    package func tick() -> [Action] {
        connections.values.sorted().map { .write($0, ServerSentEvent.keepAlive) }
    }

    /// Takes what a job gave.
    package mutating func finish(
        _ job: ServerSession.JobID,
        _ outcome: Result<ServerSession.Outcome, RPCError>
    ) -> [Action] {
        translated(session.finish(job, outcome))
    }

    /// Asks the client something, on behalf of a running job or for nil outside of calls; nil when
    /// it cannot be asked.
    package mutating func ask(
        _ job: ServerSession.JobID?,
        _ method: String,
        _ parameters: JSONObject
    ) -> (ServerSession.AskID, [Action])? {
        guard let (ask, actions) = session.ask(job, method, parameters) else { return nil }
        return (ask, translated(actions))
    }

    /// Takes back what nobody wants to know any more.
    package mutating func withdraw(_ ask: ServerSession.AskID) -> [Action] {
        translated(session.withdraw(ask))
    }

    /// Tells how far a call is.
    package mutating func progress(
        _ job: ServerSession.JobID,
        _ progress: ServerSession.Progress
    ) -> [Action] {
        translated(session.progress(job, progress))
    }

    /// Tells what a call noticed.
    package mutating func log(
        _ job: ServerSession.JobID,
        _ level: LogLevel,
        _ text: String
    ) -> [Action] {
        translated(session.log(job, level, text))
    }

    /// Tells what another server noticed: the parameters of its own message.
    package mutating func log(
        _ job: ServerSession.JobID,
        _ level: LogLevel,
        _ parameters: JSONObject
    ) -> [Action] {
        translated(session.log(job, level, parameters))
    }

    /// Tells what another server noticed while no call was under way.
    package mutating func message(_ level: LogLevel, _ parameters: JSONObject) -> [Action] {
        translated(session.message(level, parameters))
    }

    /// Tells that a page that another server has asked to open has served its purpose.
    package mutating func elicitationEnded(_ parameters: JSONObject) -> [Action] {
        translated(session.elicitationEnded(parameters))
    }

    /// Forgets what a client might have missed: others need the room.
    package mutating func forgetEvents() { log.forget() }

    /// Tells that lists are other ones.
    package mutating func listsChanged(_ kinds: ListKinds) -> [Action] {
        translated(session.listsChanged(kinds))
    }

    /// Tells that a resource has changed to which the session has subscribed.
    package mutating func resourceUpdated(_ uri: String) -> [Action] {
        translated(session.resourceUpdated(uri, for: nil))
    }

    /// Ends the session: work stops, connections are closed.
    package mutating func end() -> [Action] {
        let actions = translated(session.end())
        let open = (connections.values + silent.values.map(\.connection)).sorted()
        (connections, silent) = ([:], [:])
        return actions + open.map { .close($0) }
    }

    private mutating func translated(_ actions: [ServerSession.Action]) -> [Action] {
        var result: [Action] = []
        for action in actions {
            switch action {
            case .start(let job): result.append(.start(job))
            case .cancel(let job): result.append(.cancel(job))
            case .answered(let ask, let outcome): result.append(.answered(ask, outcome))
            case .announced(let announcement): result.append(.announced(announcement))
            case .send(let message, let exchange):
                result += sent(message, exchange ?? Self.general)
            case .exchangeEnded(let exchange):
                // Cancelled: the connection still wants an end.
                if let connection = silent[exchange]?.connection {
                    result += openStream(of: exchange, on: connection)
                }
                streams.remove(exchange)
                if let connection = connections.removeValue(forKey: exchange) {
                    result.append(.close(connection))
                }
                // Cancelled before it was answered: the connection still wants an end.
                if let connection = plain.removeValue(forKey: exchange) {
                    result.append(.reply(connection, .accepted))
                }
            }
        }
        return result
    }

    private mutating func sent(_ message: JSONValue, _ exchange: Int) -> [Action] {
        if let connection = plain.removeValue(forKey: exchange) {
            return [.reply(connection, .json(message))]
        }
        guard let connection = silent[exchange]?.connection else {
            return event(message, on: exchange)
        }
        let isAnswer = message.object?["method"] == nil
        guard isAnswer else {
            return openStream(of: exchange, on: connection) + event(message, on: exchange)
        }
        silent[exchange] = nil
        return [.reply(connection, .json(message))]
    }

    private mutating func event(_ message: JSONValue, on stream: Int) -> [Action] {
        // A message for a JSON answer whose client has gone is lost, as its connection is.
        guard streams.contains(stream) else { return [] }
        let data = message.serializedText()
        let id = log.append(data, to: stream)
        guard let connection = connections[stream] else { return [] }
        return [.write(connection, ServerSentEvent(id: id.text, data: data).bytes)]
    }
}

extension MessageParser.Incoming {
    private var messages: [Message] {
        switch self {
        case .message(let message): [message]
        case .batch(let elements):
            elements.compactMap { if case .message(let message) = $0 { message } else { nil } }
        }
    }

    /// Whether a response is due.
    fileprivate var hasRequest: Bool {
        if case .batch(let elements) = self {
            let isInvalid = elements.contains { if case .invalid = $0 { true } else { false } }
            if isInvalid { return true }
        }
        return messages.contains(where: \.isRequest)
    }

    /// What may take long, and say something before its answer.
    private static let calls: Set<String> = [
        "tools/call", "resources/read", "resources/subscribe", "prompts/get",
        "completion/complete",
    ]

    /// Whether a tool is called, or another server asked for something.
    fileprivate var hasCall: Bool {
        messages.contains { message in
            guard case .request(let request) = message else { return false }
            return Self.calls.contains(request.method)
        }
    }
}
