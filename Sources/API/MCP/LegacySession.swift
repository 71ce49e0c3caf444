import Domain
import Gateway
import MCP

/// One session of the older revisions: an ``HTTPSession`` with its work, which goes on while its
/// client is away.
actor LegacySession {
    private var session: HTTPSession
    nonisolated private let calling: ToolCalling
    private var connections: [HTTPSession.ConnectionID: Connection] = [:]
    private var lastConnection = 0
    private let jobs: AsyncStream<ServerSession.Job>
    private let jobsContinuation: AsyncStream<ServerSession.Job>.Continuation
    private var running: [ServerSession.JobID: StoppableWork] = [:]
    /// For each question to the client what takes its answer.
    private var asks:
        [ServerSession.AskID: AsyncStream<Result<JSONObject, RPCError>>.Continuation] =
            [:]
    /// Hears of resources that the session has subscribed to.
    nonisolated private let subscriber = ResourceSubscriber()
    /// Passes on what is said outside of calls.
    nonisolated private let openSession = OpenSession()
    private var isEnded = false
    /// For how long a stream stays open before its client is told to come back.
    private let streamTime: Duration
    /// Opens the streams of calls that take longer than a moment; nil when none waits.
    private var opener: Task<Void, Never>?
    /// A moment: longer than most calls take, and soon enough to come back after a lost connection.
    private static let silence: Duration = .milliseconds(100)

    /// A request that waits for its answer, or a stream.
    private struct Connection {
        let outlet: Outlet
        let since = ContinuousClock.now
    }

    init(
        server: ServerDescription,
        calling: ToolCalling,
        events: EventBudget,
        streamTime: Duration
    ) {
        session = HTTPSession(server: server, log: EventLog(budget: events))
        self.calling = calling
        self.streamTime = streamTime
        // Never holds more than the session lets run.
        (jobs, jobsContinuation) = AsyncStream.makeStream()
    }

    /// Does the session's work until it is ended.
    func run() async {
        // Before any list is made: whatever changes one that was asked for is told.
        let changes = await calling.calls.listChanges(for: calling.caller)
        openSession.answers { method, parameters in await self.ask(nil, method, parameters) }
        await withDiscardingTaskGroup { group in
            group.addTask { for await kinds in changes { await self.listsChanged(kinds) } }
            group.addTask {
                for await uri in self.subscriber.updates { await self.tell(of: uri) }
            }
            group.addTask {
                for await notice in self.openSession.notices { await self.tell(notice) }
            }
            group.addTask { await self.openSession.carry() }
            for await job in jobs { group.addTask { await self.perform(job) } }
            group.cancelAll()
        }
        await calling.calls.end(subscriber)
        await calling.calls.end(openSession)
    }

    /// Tells what another server says outside of calls.
    private func tell(_ notice: OpenSession.Notice) {
        switch notice {
        case .message(let level, let parameters): apply(session.message(level, parameters))
        case .elicitationEnded(let parameters): apply(session.elicitationEnded(parameters))
        }
    }

    private func tell(of uri: String) { apply(session.resourceUpdated(uri)) }

    private func listsChanged(_ kinds: ListKinds) { apply(session.listsChanged(kinds)) }

    /// Whether anything runs: such a session is not expired.
    var isBusy: Bool { session.isBusy }
    /// Whether `initialize` has agreed on a revision.
    var hasBegun: Bool { session.hasBegun }

    /// Takes what came by POST; the answer goes to `outlet`.
    ///
    /// - Returns: The connection, for ``disconnect(_:)``.
    func post(
        _ incoming: MessageParser.Incoming,
        _ outlet: Outlet
    ) -> HTTPSession.ConnectionID {
        let connection = connect(outlet)
        apply(session.post(incoming, on: connection))
        openSilentLater()
        return connection
    }

    private func openSilentLater() {
        guard session.hasSilent, opener == nil else { return }
        opener = Task {
            while session.hasSilent {
                // Nobody cancels it.
                try? await Task.sleep(for: Self.silence)
                apply(session.openSilent())
            }
            opener = nil
        }
    }

    /// Opens a stream, or goes on with one behind an event.
    func stream(after event: EventID?, _ outlet: Outlet) -> HTTPSession.ConnectionID {
        let connection = connect(outlet)
        apply(session.stream(after: event, on: connection))
        return connection
    }

    /// A connection is gone; its work goes on.
    func disconnect(_ connection: HTTPSession.ConnectionID) {
        connections[connection] = nil
        session.disconnect(connection)
    }

    /// Forgets what its client might have missed.
    func forgetEvents() { session.forgetEvents() }

    /// Some time has passed: open streams are kept open, and let go when they were for long.
    func tick() {
        let now = ContinuousClock.now
        for (id, connection) in connections
        where connection.since.duration(to: now) >= streamTime {
            apply(session.release(id))
        }
        apply(session.tick())
    }

    /// Ends the session: its work stops, its connections are closed.
    func end() {
        isEnded = true
        apply(session.end())
        session.forgetEvents()
        for connection in connections.values { connection.outlet.close() }
        connections = [:]
        // Nobody answers any more; what asks outside of calls does not end with a job.
        for ask in asks.values { ask.finish() }
        asks = [:]
        jobsContinuation.finish()
    }

    private func connect(_ outlet: Outlet) -> HTTPSession.ConnectionID {
        lastConnection += 1
        // What comes to a session that has just ended gets no answer from it.
        if isEnded {
            outlet.send(.reply(.unknownSession))
        } else {
            connections[lastConnection] = Connection(outlet: outlet)
        }
        return lastConnection
    }

    private func apply(_ actions: [HTTPSession.Action]) {
        for action in actions {
            switch action {
            case .reply(let connection, let reply):
                connections.removeValue(forKey: connection)?.outlet.send(.reply(reply))
            case .open(let connection, let head):
                connections[connection]?.outlet.send(.open(head))
            case .write(let connection, let bytes):
                connections[connection]?.outlet.send(.write(bytes))
            case .close(let connection):
                connections.removeValue(forKey: connection)?.outlet.close()
            case .start(let job): jobsContinuation.yield(job)
            case .cancel(let job): running[job]?.stop()
            case .answered(let ask, let outcome):
                asks[ask]?.yield(outcome)
                asks.removeValue(forKey: ask)?.finish()
            case .announced(let announcement): openSession.announce(announcement)
            }
        }
    }

    private func perform(_ job: ServerSession.Job) async {
        let (calling, subscriber, openSession) = (calling, subscriber, openSession)
        let work = StoppableWork {
            await calling.outcome(
                of: job,
                ask: { method, parameters in await self.ask(job.id, method, parameters) },
                subscriber: subscriber,
                openSession: openSession,
                report: { event in await self.report(event, of: job.id) }
            )
        }
        running[job.id] = work
        if isEnded { work.stop() }
        let outcome = await work.outcome()
        running[job.id] = nil
        apply(session.finish(job.id, outcome))
    }

    /// Asks the client something, and waits for its answer as long as the job runs; for nil, as
    /// long as somebody wants to know.
    private func ask(
        _ job: ServerSession.JobID?,
        _ method: String,
        _ parameters: JSONObject
    ) async -> Result<JSONObject, RPCError> {
        guard let (ask, actions) = session.ask(job, method, parameters) else {
            return .failure(.methodNotFound(method))
        }
        let (answers, continuation) = AsyncStream.makeStream(of: Result<JSONObject, RPCError>.self)
        asks[ask] = continuation
        apply(actions)
        for await answer in answers { return answer }
        asks[ask] = nil
        apply(session.withdraw(ask))
        return .failure(.internalError("there was no answer"))
    }

    private func report(_ event: GuardedCall.Event, of job: ServerSession.JobID) {
        switch event {
        case .progress(let progress): apply(session.progress(job, progress))
        case .log(let level, let text): apply(session.log(job, level, text))
        case .message(let level, let parameters): apply(session.log(job, level, parameters))
        }
    }
}

extension HTTPReply {
    /// A session that there is not, or not any more; its client begins a new one.
    static let unknownSession = HTTPReply.failure(
        .invalidRequest("there is no such session; begin one with `initialize`"),
        status: 404
    )
}
