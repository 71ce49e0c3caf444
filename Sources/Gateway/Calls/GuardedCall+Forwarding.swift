package import Domain
import Firewall
package import MCP

/// Resources, prompts and completions of other servers, which go the way of tools.
extension GuardedCall {
    /// A request that is handed on to another server.
    package struct Forward: Sendable {
        package var method: String
        package var parameters: JSONObject
        package var client: ClientDescription?
        package var traceParent: String?
        /// The connection or session that it came by; nil where there is none.
        package var session: String?
        /// Whether the client can have its person open a page, and come back with the same request.
        package var opensPages = false
        package var extras = Extras()

        package init(method: String, parameters: JSONObject) {
            self.method = method
            self.parameters = parameters
        }
    }

    /// Requests that only say what there is; what may not be asked for is left out.
    private static let lists: Set<String> = [
        "resources/list", "resources/templates/list", "prompts/list",
    ]
    /// Requests that may be answered by a question.
    private static let pausable: Set<String> = ["resources/read", "prompts/get"]

    /// What the MCP server says of itself, with what other servers add to it.
    ///
    /// - Parameters:
    ///   - server: Ours.
    ///   - caller: Who asks: a server of which they see nothing adds nothing of its own.
    ///   - hasInstructions: Whether what servers say to models is wanted, too: few requests of the
    ///     newer era are answered with it.
    /// - Returns: The same, with what can be asked for by way of it.
    package func description(
        of server: ServerDescription,
        for caller: Caller,
        hasInstructions: Bool = true
    ) async -> ServerDescription {
        var server = server
        server.tellsListChanges = true
        guard let source = tools.source, await !source.isEmpty() else { return server }
        server.forwarded = [.resources, .prompts, .completions]
        if await source.offersSubscriptions() { server.forwarded.insert(.subscriptions) }
        let declared = await source.foreignCapabilities()
        let instructions = await hasInstructions ? source.instructions() : []
        // Asked for each request of the newer era, where few servers declare anything.
        guard !declared.isEmpty || !instructions.isEmpty else { return server }
        let all = await tools.identities()
        var seen: [(name: String, declared: JSONObject)] = []
        for found in declared {
            if await sees(caller, anythingOf: found.name, among: all) { seen.append(found) }
        }
        server.declared = ForeignCapabilities.merged(seen)
        var told: [ServerInstructions] = []
        for found in instructions {
            if await sees(caller, anythingOf: found.server, among: all) { told.append(found) }
        }
        server.instructions = ServerInstructions.merged(server.instructions, told)
        return server
    }

    private func sees(
        _ caller: Caller,
        anythingOf server: String,
        among all: [ToolIdentity]
    ) async -> Bool {
        await sees(caller, anyOf: all.filter { haveEqualBytes($0.server ?? "", server) })
    }

    /// Hands a request on; one that names something is decided and recorded as a call is.
    ///
    /// - Throws: What the other server answers with, or why it was not asked.
    package func forward(
        _ forward: Forward,
        by caller: Caller,
        report: @escaping @Sendable (Event) async -> Void = { _ in }
    ) async throws(RPCError) -> JSONObject {
        guard let source = tools.source else { throw .methodNotFound(forward.method) }
        guard !Self.lists.contains(forward.method) else {
            return try await source.list(forward.method, for: caller) { entry in
                await isVisible(entry, to: caller)
            }
        }
        let parameters = forward.parameters.withoutRepeatedKeys
        if forward.method == "resources/unsubscribe" {
            return try await unsubscribe(forward, from: parameters["uri"]?.string, source)
        }
        let entry = try await source.responder(to: forward.method, parameters, for: caller)
        var request = Request(tool: entry.definition.name, arguments: parameters)
        request.client = forward.client
        request.traceParent = forward.traceParent
        request.session = forward.session
        request.opensPages = forward.opensPages && Self.pausable.contains(forward.method)
        request.extras = forward.extras
        // A subscription is the gateway's own, for all who want to hear: the server gets the name
        // of the resource alone.
        if forward.method == "resources/subscribe" { request.extras.meta = JSONObject() }
        // Who may not read something need not hear of its changes; that is on record, too.
        let mayHear = try await mayHear(request, source, by: caller)
        let result = try await run(request, mayHear ? entry : nil, by: caller, report: report)
        if let error = result.protocolError { throw error }
        // Only what was handed on has an original; everything else is a refusal.
        guard let original = result.original else { throw RPCError.internalError(result.text) }
        return original
    }
}
