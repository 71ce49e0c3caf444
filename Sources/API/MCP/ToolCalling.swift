import Domain
import Gateway
import MCP
import Store

/// Does the jobs of MCP sessions for one caller.
struct ToolCalling: Sendable {
    let calls: GuardedCall
    let caller: Caller
    /// The session that the calls come by; nil for those that come alone.
    var session: String?
    /// Of the request that brought the calls; nil where calls outlive it, and outside of any.
    var trace: Trace?
    /// Collects spans; nil when nobody does.
    var spans: Trace.Recorder?
    /// Headers of the request that are for whoever has the tool.
    var parameterHeaders = MCP.HeaderFields()

    /// Does one job.
    ///
    /// - Parameters:
    ///   - job: Which one.
    ///   - ask: Asks the client something while it runs; nil where it cannot be asked.
    ///   - subscriber: Hears of resources that the job subscribes to.
    ///   - openSession: Passes on what is said outside of calls; nil where there is no session.
    ///   - report: Told how far it is.
    /// - Returns: What the session is to be told.
    func outcome(
        of job: ServerSession.Job,
        ask: (@Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>)? = nil,
        subscriber: ResourceSubscriber? = nil,
        openSession: OpenSession? = nil,
        report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) async -> Result<ServerSession.Outcome, RPCError> {
        switch job.work {
        case .listTools: return .success(.tools(await calls.visibleTools(to: caller)))
        case .callTool(let name, let arguments):
            var request = GuardedCall.Request(tool: name, arguments: arguments)
            request.client = job.context.client
            request.opensPages = job.context.opensPages
            request.takesTasks = job.context.takesTasks
            // What the message says comes before what the HTTP request said: it is nearer.
            request.traceParent = job.context.meta.traceParent ?? trace?.context.header
            request.session = session
            request.extras = GuardedCall.Extras(job.context)
            request.extras.ask = ask
            request.extras.openSession = openSession
            request.extras.parameterHeaders = parameterHeaders
            return await traced("tools/call", name, job.context) {
                await self.outcome(of: request, report)
            }
        case .task(let id, let method):
            var request = GuardedCall.Request(tool: "", arguments: JSONObject())
            request.client = job.context.client
            request.traceParent = job.context.meta.traceParent ?? trace?.context.header
            request.session = session
            let asked = request
            return await traced(method.rawValue, nil, job.context) {
                await self.outcome(of: id, method, asked, report)
            }
        case .listen(let resources):
            var request = forward("resources/subscribe", JSONObject(), job.context)
            request.extras.subscriber = subscriber
            let asked = request
            return await traced("subscriptions/listen", nil, job.context) {
                let accepted = await self.calls.subscribe(to: resources, asked, by: self.caller)
                return .success(.listening(resources: accepted))
            }
        case .forward(let method, let parameters):
            var request = forward(method, parameters, job.context)
            request.extras.subscriber = subscriber
            request.extras.ask = ask
            request.extras.openSession = openSession
            let asked = request
            return await traced(method, nil, job.context) {
                await self.outcome(of: asked, report)
            }
        }
    }

    private func forward(
        _ method: String,
        _ parameters: JSONObject,
        _ context: ServerSession.Context
    ) -> GuardedCall.Forward {
        var request = GuardedCall.Forward(method: method, parameters: parameters)
        request.client = context.client
        request.opensPages = context.opensPages
        request.traceParent = context.meta.traceParent ?? trace?.context.header
        request.session = session
        request.extras = GuardedCall.Extras(context)
        return request
    }

    /// Does a job as a piece of work of its own, where spans are collected.
    private func traced(
        _ method: String,
        _ tool: String?,
        _ context: ServerSession.Context,
        _ work: () async -> Result<ServerSession.Outcome, RPCError>
    ) async -> Result<ServerSession.Outcome, RPCError> {
        let entered = entered(by: context.meta)
        let start = ContinuousClock.now
        let outcome = await Trace.$current.withValue(entered?.trace) { await work() }
        if let (trace, parent) = entered {
            trace.end { Self.span(of: method, tool, outcome, start, (trace, parent)) }
        }
        return outcome
    }

    private func outcome(
        of request: GuardedCall.Request,
        _ report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) async -> Result<ServerSession.Outcome, RPCError> {
        do throws(RPCError) {
            return .success(.result(try await calls.run(request, by: caller, report: report)))
        } catch {
            return .failure(error)
        }
    }

    private func outcome(
        of task: String,
        _ method: ServerSession.TaskMethod,
        _ request: GuardedCall.Request,
        _ report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) async -> Result<ServerSession.Outcome, RPCError> {
        do throws(RPCError) {
            let result = try await calls.task(task, method, request, by: caller, report: report)
            return .success(.forwarded(result))
        } catch {
            return .failure(error)
        }
    }

    private func outcome(
        of request: GuardedCall.Forward,
        _ report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) async -> Result<ServerSession.Outcome, RPCError> {
        do throws(RPCError) {
            return .success(
                .forwarded(try await calls.forward(request, by: caller, report: report))
            )
        } catch {
            return .failure(error)
        }
    }

    /// What the message says comes before what the HTTP request said: it is nearer to the call.
    private func entered(by meta: RequestMeta) -> (trace: Trace, parent: UInt64?)? {
        if let parent = meta.traceParent, TraceContext(parent: parent) != nil {
            return Trace.entered(by: parent, state: meta.traceState, record: spans)
        }
        if let trace { return (trace.child(), trace.context.span) }
        return Trace.entered(by: nil, record: spans)
    }

    private static func span(
        of method: String,
        _ tool: String?,
        _ outcome: Result<ServerSession.Outcome, RPCError>,
        _ start: ContinuousClock.Instant,
        _ place: (trace: Trace, parent: UInt64?)
    ) -> Span {
        var span = Span(
            method,
            .internal,
            place.trace,
            parent: place.parent,
            end: WallClock.system.now(),
            duration: start.duration(to: .now)
        )
        span.attributes["mcp.method.name"] = .string(method)
        // Whatever a caller wrote, but no more of it than names have.
        span.attributes["gen_ai.tool.name"] = tool.map { tool in
            .string(String(decoding: tool.utf8.prefix(128), as: UTF8.self))
        }
        switch outcome {
        case .success(.result(let result)): span.isFailure = result.isError
        case .success: break
        case .failure: span.isFailure = true
        }
        return span
    }
}
