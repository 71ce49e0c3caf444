import Domain
import Gateway
import MCP

/// Does the jobs of MCP sessions for one caller.
struct ToolCalling: Sendable {
    let calls: GuardedCall
    let caller: Caller

    /// Does one job.
    ///
    /// - Parameters:
    ///   - job: Which one.
    ///   - ask: Asks the client something while it runs; nil where it cannot be asked.
    ///   - report: Told how far it is.
    /// - Returns: What the session is to be told.
    func outcome(
        of job: ServerSession.Job,
        ask: (@Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>)? = nil,
        report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) async -> Result<ServerSession.Outcome, RPCError> {
        switch job.work {
        case .listTools: return .success(.tools(await calls.visibleTools(to: caller)))
        case .callTool(let name, let arguments):
            var request = GuardedCall.Request(tool: name, arguments: arguments)
            request.client = job.context.client
            request.traceParent = job.context.meta.traceParent
            request.extras = GuardedCall.Extras(job.context)
            request.extras.ask = ask
            do throws(RPCError) {
                return .success(.result(try await calls.run(request, by: caller, report: report)))
            } catch {
                return .failure(error)
            }
        case .forward(let method, let parameters):
            var request = GuardedCall.Forward(method: method, parameters: parameters)
            request.client = job.context.client
            request.traceParent = job.context.meta.traceParent
            request.extras = GuardedCall.Extras(job.context)
            request.extras.ask = ask
            do throws(RPCError) {
                return .success(
                    .forwarded(try await calls.forward(request, by: caller, report: report))
                )
            } catch {
                return .failure(error)
            }
        }
    }
}
