package import Domain
package import MCP
import Store

/// Serves one connection: feeds messages to a ``ServerSession`` and does what it says.
///
/// Work runs in the task of ``run(_:)``, so cancelling that ends all of it.
package actor SessionServer {
    /// What comes in, one after the other.
    package enum Input: Sendable {
        case bytes([UInt8])
        /// A message longer than the limit, which was not kept.
        case tooLong
    }

    private var session: ServerSession
    private let calls: GuardedCall
    private let caller: Caller
    /// Names the connection in records and to policies.
    private let identifier = TimeOrderedIdentifier.make(at: WallClock.system.now())
    private let parser: MessageParser
    private let write: @Sendable (JSONValue) async -> Void
    private let jobs: AsyncStream<ServerSession.Job>
    private let jobsContinuation: AsyncStream<ServerSession.Job>.Continuation
    /// For each job that runs what stops it.
    private var stops: [ServerSession.JobID: StoppableWork] = [:]
    /// For each question to the client what takes its answer.
    private var asks:
        [ServerSession.AskID: AsyncStream<Result<JSONObject, RPCError>>.Continuation] =
            [:]
    /// Hears of resources that the session of an older revision has subscribed to.
    private let subscriber = ResourceSubscriber()
    /// Passes on what is said outside of calls in the session of an older revision.
    private let openSession = OpenSession()
    /// For each stream of notifications what hears of its resources.
    private var listeners: [ServerSession.JobID: ResourceSubscriber] = [:]
    private var exchange = 0
    private var isInputOver = false

    /// - Parameters:
    ///   - session: A new one.
    ///   - calls: Runs the tools.
    ///   - caller: On whose behalf.
    ///   - parser: Reads messages.
    ///   - write: Delivers a message, in the order of the calls; returns when there is room for
    ///     another one.
    package init(
        session: ServerSession,
        calls: GuardedCall,
        caller: Caller,
        parser: MessageParser = MessageParser(),
        write: @escaping @Sendable (JSONValue) async -> Void
    ) {
        self.session = session
        self.calls = calls
        self.caller = caller
        self.parser = parser
        self.write = write
        // Never holds more than the session lets run.
        (jobs, jobsContinuation) = AsyncStream.makeStream()
    }

    /// Serves until the input is over and all work has ended; cancelling stops the work.
    ///
    /// - Parameters:
    ///   - input: Messages as they come.
    ///   - grace: How long calls may go on when the input is over.
    package func run(
        _ input: some AsyncSequence<Input, Never> & Sendable,
        grace: Duration = .seconds(1)
    ) async {
        // Before any list is made: whatever changes one that was asked for is told.
        let changes = await calls.listChanges(for: caller)
        openSession.answers { method, parameters in await self.ask(nil, method, parameters) }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.read(input, grace: grace) }
            let watch = Task { for await kinds in changes { await self.listsChanged(kinds) } }
            let updates = Task {
                for await uri in self.subscriber.updates { await self.tell(of: uri, nil) }
            }
            let notices = Task {
                for await notice in self.openSession.notices { await self.tell(notice) }
            }
            let announcements = Task { await self.openSession.carry() }
            for await job in jobs {
                group.addTask { await self.perform(job) }
            }
            watch.cancel()
            updates.cancel()
            notices.cancel()
            announcements.cancel()
        }
        await apply(session.end())
        // Nobody answers any more; what asks outside of calls does not end with a job.
        for ask in asks.values { ask.finish() }
        asks = [:]
        await calls.end(subscriber)
        await calls.end(openSession)
    }

    /// Tells what another server says outside of calls.
    private func tell(_ notice: OpenSession.Notice) async {
        switch notice {
        case .message(let level, let parameters): await apply(session.message(level, parameters))
        case .elicitationEnded(let parameters): await apply(session.elicitationEnded(parameters))
        }
    }

    /// Tells listeners that lists are other ones.
    package func listsChanged(_ kinds: ListKinds) async {
        await apply(session.listsChanged(kinds))
    }

    // MARK: - Input

    private func read(
        _ input: some AsyncSequence<Input, Never> & Sendable,
        grace: Duration
    ) async {
        for await item in input {
            exchange += 1
            await apply(take(item, exchange))
        }
        isInputOver = true
        await awaitQuiet(within: grace)
        await apply(session.end())
        jobsContinuation.finish()
    }

    private func take(_ item: Input, _ exchange: Int) -> [ServerSession.Action] {
        switch item {
        case .tooLong:
            let reason = "a message has at most \(parser.limits.bytes) bytes"
            return session.refuse(.init(id: nil, error: .invalidRequest(reason)), in: exchange)
        case .bytes(let bytes):
            do throws(MessageParser.Failure) {
                return session.receive(try parser.parse(bytes), in: exchange)
            } catch {
                return session.refuse(error, in: exchange)
            }
        }
    }

    /// Calls that are nearly done are answered, for `echo … | preloop mcp`; others are not waited
    /// for.
    private func awaitQuiet(within grace: Duration) async {
        let end = ContinuousClock.now.advanced(by: grace)
        while session.isBusy, ContinuousClock.now < end, !Task.isCancelled {
            do {
                try await Task.sleep(for: .milliseconds(10))
            } catch {
                return
            }
        }
    }

    // MARK: - Actions

    private func apply(_ actions: [ServerSession.Action]) async {
        for action in actions {
            switch action {
            case .send(let message, _): await write(message)
            case .exchangeEnded: break
            case .start(let job): jobsContinuation.yield(job)
            case .cancel(let job):
                stops[job]?.stop()
                // Its task does the rest.
                listeners[job]?.finish()
            case .answered(let ask, let outcome):
                asks[ask]?.yield(outcome)
                asks.removeValue(forKey: ask)?.finish()
            case .announced(let announcement): openSession.announce(announcement)
            }
        }
    }

    /// Does a job; it ends early when it is stopped, and is finished only when its work has ended.
    private func perform(_ job: ServerSession.Job) async {
        let work = StoppableWork { await self.traced(job) }
        stops[job.id] = work
        // It may have been cancelled between its start and this.
        if session.isCancelled(job.id) { work.stop() }
        let outcome = await work.outcome()
        stops[job.id] = nil
        await apply(session.finish(job.id, outcome))
        guard let listener = listeners[job.id] else { return }
        if session.isListening(job.id) {
            for await uri in listener.updates { await tell(of: uri, job.id) }
        }
        listeners[job.id] = nil
        await calls.end(listener)
    }

    /// Tells that a resource has changed: by a stream of notifications, by the session for nil.
    private func tell(of uri: String, _ job: ServerSession.JobID?) async {
        await apply(session.resourceUpdated(uri, for: job))
    }

    /// What hears of the resources of a stream.
    private func listener(of job: ServerSession.JobID) -> ResourceSubscriber {
        let listener = ResourceSubscriber()
        listeners[job] = listener
        return listener
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
        await apply(actions)
        for await answer in answers { return answer }
        asks[ask] = nil
        await apply(session.withdraw(ask))
        return .failure(.internalError("there was no answer"))
    }

    nonisolated private func extras(of job: ServerSession.Job) -> GuardedCall.Extras {
        var extras = GuardedCall.Extras(job.context)
        guard !extras.isModern else { return extras }
        extras.subscriber = subscriber
        extras.openSession = openSession
        extras.ask = { method, parameters in await self.ask(job.id, method, parameters) }
        return extras
    }

    /// Does a job in the trace that its message is of.
    nonisolated private func traced(
        _ job: ServerSession.Job
    ) async -> Result<ServerSession.Outcome, RPCError> {
        let meta = job.context.meta
        // One connection has no span of its own, and nobody collects any here.
        let entered = Trace.entered(by: meta.traceParent, state: meta.traceState, record: nil)
        return await Trace.$current.withValue(entered?.trace) { await self.outcome(of: job) }
    }

    nonisolated private func outcome(
        of job: ServerSession.Job
    ) async -> Result<ServerSession.Outcome, RPCError> {
        switch job.work {
        case .listTools: return .success(.tools(await calls.visibleTools(to: caller)))
        case .callTool(let name, let arguments):
            var request = GuardedCall.Request(tool: name, arguments: arguments)
            request.client = job.context.client
            request.opensPages = job.context.opensPages
            request.takesTasks = job.context.takesTasks
            request.traceParent = job.context.meta.traceParent
            request.session = identifier
            request.extras = extras(of: job)
            do throws(RPCError) {
                let result = try await calls.run(request, by: caller) { event in
                    await self.report(event, of: job.id)
                }
                return .success(.result(result))
            } catch {
                return .failure(error)
            }
        case .task(let id, let method):
            var request = GuardedCall.Request(tool: "", arguments: JSONObject())
            request.client = job.context.client
            request.traceParent = job.context.meta.traceParent
            request.session = identifier
            do throws(RPCError) {
                let result = try await calls.task(id, method, request, by: caller) { event in
                    await self.report(event, of: job.id)
                }
                return .success(.forwarded(result))
            } catch {
                return .failure(error)
            }
        case .listen(let resources):
            var request = forward("resources/subscribe", JSONObject(), of: job)
            request.extras.subscriber = await listener(of: job.id)
            let accepted = await calls.subscribe(to: resources, request, by: caller)
            return .success(.listening(resources: accepted))
        case .forward(let method, let parameters):
            let request = forward(method, parameters, of: job)
            do throws(RPCError) {
                let result = try await calls.forward(request, by: caller) { event in
                    await self.report(event, of: job.id)
                }
                return .success(.forwarded(result))
            } catch {
                return .failure(error)
            }
        }
    }

    nonisolated private func forward(
        _ method: String,
        _ parameters: JSONObject,
        of job: ServerSession.Job
    ) -> GuardedCall.Forward {
        var request = GuardedCall.Forward(method: method, parameters: parameters)
        request.client = job.context.client
        request.opensPages = job.context.opensPages
        request.traceParent = job.context.meta.traceParent
        request.session = identifier
        request.extras = extras(of: job)
        return request
    }

    private func report(_ event: GuardedCall.Event, of job: ServerSession.JobID) async {
        switch event {
        case .progress(let progress): await apply(session.progress(job, progress))
        case .log(let level, let text): await apply(session.log(job, level, text))
        case .message(let level, let parameters):
            await apply(session.log(job, level, parameters))
        }
    }
}
