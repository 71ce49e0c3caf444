package import Domain

/// One POST of the modern era from its request to its end, as a value.
///
/// It is answered as JSON when there is nothing to say before the response, and as a stream of
/// events else. The HTTP layer calls ``tick()`` every fifteen seconds or so: a call that is silent
/// for that long becomes a stream, which comments keep open.
package struct HTTPExchange: Sendable {
    /// What the HTTP layer has to do, in order.
    package enum Action: Sendable, Equatable {
        /// Send this and be done.
        case reply(HTTPReply)
        /// Send this head and keep the body open.
        case open(HTTPReply)
        /// Send this piece of the body.
        case write([UInt8])
        /// End the body.
        case close
        case start(ServerSession.Job)
        case cancel(ServerSession.JobID)
    }

    private var session: ServerSession
    private var isStreaming = false
    private var isOver = false
    /// Nothing else is ever received.
    private static let exchange = 1

    package init(server: ServerDescription) {
        session = ServerSession(server: server)
    }

    /// Takes the request that an ``EndpointRouter`` let through.
    package mutating func begin(_ request: Message.Request) -> [Action] {
        translated(session.receive(.message(.request(request)), in: Self.exchange))
    }

    /// Takes what a job gave.
    package mutating func finish(
        _ job: ServerSession.JobID,
        _ outcome: Result<ServerSession.Outcome, RPCError>
    ) -> [Action] {
        translated(session.finish(job, outcome))
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

    /// Tells that lists are other ones; matters to a subscription alone.
    package mutating func listsChanged(_ kinds: ListKinds) -> [Action] {
        translated(session.listsChanged(kinds))
    }

    /// Tells that a resource has changed to which the exchange, that of a job, has subscribed.
    package mutating func resourceUpdated(
        _ uri: String,
        for job: ServerSession.JobID
    ) -> [Action] {
        translated(session.resourceUpdated(uri, for: job))
    }

    /// Some time has passed without a word.
    package mutating func tick() -> [Action] {
        guard !isOver else { return [] }
        return opened() + [.write(ServerSentEvent.keepAlive)]
    }

    /// The client has gone: that is how it cancels.
    package mutating func disconnect() -> [Action] {
        isOver = true
        return session.abandon(Self.exchange).compactMap { action in
            if case .cancel(let job) = action { .cancel(job) } else { nil }
        }
    }

    /// The server is stopping: a subscription is told, a call is cancelled.
    package mutating func end() -> [Action] { translated(session.end()) }

    private mutating func opened() -> [Action] {
        guard !isStreaming else { return [] }
        isStreaming = true
        return [.open(.eventStream)]
    }

    private mutating func translated(_ actions: [ServerSession.Action]) -> [Action] {
        var result: [Action] = []
        for action in actions {
            switch action {
            case .start(let job): result.append(.start(job))
            case .cancel(let job): result.append(.cancel(job))
            case .send(let message, _) where !isOver: result += deliver(message)
            case .exchangeEnded where isStreaming && !isOver:
                isOver = true
                result.append(.close)
            // The newer era asks by its results alone.
            case .send, .exchangeEnded, .answered, .announced: break
            }
        }
        return result
    }

    private mutating func deliver(_ message: JSONValue) -> [Action] {
        let isResponse = message["id"] != nil
        guard isResponse, !isStreaming else {
            let event = ServerSentEvent(data: message.serializedText())
            return opened() + [.write(event.bytes)]
        }
        isOver = true
        let code = message["error"]?["code"]?.integer.flatMap(Int.init(exactly:))
        return [.reply(.json(message, status: code.map(HTTPReply.status) ?? 200))]
    }
}
