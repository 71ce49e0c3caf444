package import Domain
package import MCP

extension GuardedCall {
    /// What a request carries besides name and arguments, for the server that has the tool.
    package struct Extras: Sendable {
        /// Members of `_meta` that neither the protocol nor traces reserve.
        package var meta = JSONObject()
        /// What is told to everything in the caller's trace.
        package var baggage: String?
        /// The `tracestate` that may be handed on; only a call that runs has one.
        var traceState: String?
        /// Headers that mirror no argument, for whoever stands before the tool's server.
        package var parameterHeaders = HeaderFields()
        /// What the client comes back with: `inputResponses`, `requestState`.
        package var inputs = JSONObject()
        /// What the client can do.
        package var capabilities = JSONObject()
        /// Messages from here on are wanted; nil when the client has not said.
        package var logLevel: LogLevel?
        /// Whether it wants to hear how far the call is.
        package var wantsProgress = false
        /// Whether results of the stateless era can be told.
        package var isModern = false
        /// Hears of changes of resources; nil where nobody can be told.
        package var subscriber: ResourceSubscriber?
        /// The client's session of an older revision, for what servers say outside of calls; nil
        /// for what comes alone.
        package var openSession: OpenSession?
        /// Asks the client something while the call runs; nil where it cannot be asked.
        package var ask: (@Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>)?

        package init() {}

        /// Those of a job of a session.
        package init(_ context: ServerSession.Context) {
            meta = context.meta.other
            baggage = context.meta.baggage
            inputs = context.inputs
            capabilities = context.capabilities
            logLevel = context.meta.logLevel
            wantsProgress = context.meta.progressToken != nil
            isModern = context.version.era == .modern
        }
    }
}
