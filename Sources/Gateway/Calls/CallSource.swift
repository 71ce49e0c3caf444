import Domain
import MCP

/// Where a call comes from: its caller, and what came with it.
///
/// Policies may ask for each of these, so whatever is decided a second time is decided with all.
struct CallSource: Sendable {
    let caller: Caller
    /// What the client says of itself; nobody has verified it.
    var client: ClientDescription?
    let traceParent: String?
    /// The connection or session; nil where there is none.
    let session: String?
    /// Whether the client takes a task in place of a result.
    let takesTasks: Bool
    /// What is handed on to the server of the tool.
    var extras: GuardedCall.Extras

    /// What a request came with.
    init(_ request: GuardedCall.Request, by caller: Caller) {
        self.caller = caller
        client = request.client
        traceParent = request.traceParent
        session = request.session
        takesTasks = request.takesTasks
        extras = request.extras
    }
}

extension GuardedCall.Request {
    /// A call that came from somewhere before.
    init(tool: String, _ arguments: JSONObject, _ source: CallSource) {
        self.init(tool: tool, arguments: arguments)
        client = source.client
        traceParent = source.traceParent
        session = source.session
        extras = source.extras
    }
}
