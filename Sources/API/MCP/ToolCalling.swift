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

    /// Does one job.
    func outcome(
        of job: ServerSession.Job,
        report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) async -> Result<ServerSession.Outcome, RPCError> {
        switch job.work {
        case .listTools: return .success(.tools(await calls.visibleTools(to: caller)))
        case .callTool(let name, let arguments):
            var request = GuardedCall.Request(tool: name, arguments: arguments)
            request.client = job.context.client
            request.opensPages = job.context.opensPages
            // What the message says comes before what the HTTP request said: it is nearer.
            request.traceParent = job.context.meta.traceParent ?? trace?.context.header
            request.session = session
            let entered = entered(by: job.context.meta.traceParent)
            let start = ContinuousClock.now
            let outcome = await Trace.$current.withValue(entered?.trace) {
                await self.outcome(of: request, report)
            }
            if let (trace, parent) = entered {
                trace.end { Self.span(of: name, outcome, start, trace, parent) }
            }
            return outcome
        }
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

    /// What the message says comes before what the HTTP request said: it is nearer to the call.
    private func entered(by parent: String?) -> (trace: Trace, parent: UInt64?)? {
        if let parent, TraceContext(parent: parent) != nil {
            return Trace.entered(by: parent, record: spans)
        }
        if let trace { return (trace.child(), trace.context.span) }
        return Trace.entered(by: nil, record: spans)
    }

    private static func span(
        of tool: String,
        _ outcome: Result<ServerSession.Outcome, RPCError>,
        _ start: ContinuousClock.Instant,
        _ trace: Trace,
        _ parent: UInt64?
    ) -> Span {
        var span = Span(
            "tools/call",
            .internal,
            trace,
            parent: parent,
            end: WallClock.system.now(),
            duration: start.duration(to: .now)
        )
        span.attributes["mcp.method.name"] = "tools/call"
        // Whatever a caller wrote, but no more of it than names have.
        let name = String(decoding: tool.utf8.prefix(128), as: UTF8.self)
        span.attributes["gen_ai.tool.name"] = .string(name)
        switch outcome {
        case .success(.result(let result)): span.isFailure = result.isError
        case .success: break
        case .failure: span.isFailure = true
        }
        return span
    }
}
