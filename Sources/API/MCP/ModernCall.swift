import Gateway
import MCP

/// One POST of the modern era: an ``HTTPExchange`` with its work.
actor ModernCall {
    private let began = ContinuousClock.now
    private var exchange: HTTPExchange
    nonisolated private let calling: ToolCalling
    private let outlet: Outlet
    private let jobs: AsyncStream<ServerSession.Job>
    private let jobsContinuation: AsyncStream<ServerSession.Job>.Continuation
    private var running: [ServerSession.JobID: StoppableWork] = [:]
    /// Whether it waits for notifications and does no work.
    nonisolated let isSubscription: Bool
    /// Hears of resources that a subscription names.
    nonisolated private let subscriber = ResourceSubscriber()
    /// The job that subscribes to them.
    private var listening: ServerSession.JobID?

    init(
        server: ServerDescription,
        calling: ToolCalling,
        outlet: Outlet,
        isSubscription: Bool
    ) {
        exchange = HTTPExchange(server: server)
        self.calling = calling
        self.outlet = outlet
        self.isSubscription = isSubscription
        // One request has one job.
        (jobs, jobsContinuation) = AsyncStream.makeStream()
    }

    /// Serves a request until it is answered or given up.
    func run(_ request: Message.Request) async {
        // Before it is acknowledged: whatever changes from then on is told.
        let changes = await isSubscription ? calling.calls.listChanges(for: calling.caller) : nil
        apply(exchange.begin(request))
        guard let changes else {
            for await job in jobs { await perform(job) }
            return
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await kinds in changes { await self.listsChanged(kinds) } }
            group.addTask {
                for await uri in self.subscriber.updates { await self.tell(of: uri) }
            }
            for await job in jobs { await perform(job) }
            group.cancelAll()
        }
        await calling.calls.end(subscriber)
    }

    /// Some time has passed: what was silent becomes a stream, which comments keep open.
    ///
    /// - Parameter age: Younger calls are answered as JSON, however near the endpoint's round is.
    func tick(from age: Duration) {
        guard isSubscription || began.duration(to: .now) >= age else { return }
        apply(exchange.tick())
    }

    /// The client has gone: its work stops.
    func disconnect() {
        apply(exchange.disconnect())
        jobsContinuation.finish()
    }

    /// The server is stopping.
    func end() {
        apply(exchange.end())
        outlet.close()
        jobsContinuation.finish()
    }

    private func listsChanged(_ kinds: ListKinds) { apply(exchange.listsChanged(kinds)) }

    private func tell(of uri: String) {
        guard let listening else { return }
        apply(exchange.resourceUpdated(uri, for: listening))
    }

    private func apply(_ actions: [HTTPExchange.Action]) {
        for action in actions {
            switch action {
            case .reply(let reply):
                outlet.send(.reply(reply))
                jobsContinuation.finish()
            case .open(let head): outlet.send(.open(head))
            case .write(let bytes): outlet.send(.write(bytes))
            case .close:
                outlet.close()
                jobsContinuation.finish()
            case .start(let job): jobsContinuation.yield(job)
            case .cancel(let job): running[job]?.stop()
            }
        }
    }

    private func perform(_ job: ServerSession.Job) async {
        if case .listen = job.work { listening = job.id }
        let (calling, subscriber) = (calling, subscriber)
        let work = StoppableWork {
            await calling.outcome(
                of: job,
                subscriber: subscriber,
                report: { event in await self.report(event, of: job.id) }
            )
        }
        running[job.id] = work
        let outcome = await work.outcome()
        running[job.id] = nil
        apply(exchange.finish(job.id, outcome))
    }

    private func report(_ event: GuardedCall.Event, of job: ServerSession.JobID) {
        switch event {
        case .progress(let progress): apply(exchange.progress(job, progress))
        case .log(let level, let text): apply(exchange.log(job, level, text))
        case .message(let level, let parameters): apply(exchange.log(job, level, parameters))
        }
    }
}
