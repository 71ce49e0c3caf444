import Domain
import MCP
import Store

/// Resources, prompts and completions of the servers.
extension UpstreamDesk {
    private static let keys = [
        "resources/list": ("resources", "resources"),
        "resources/templates/list": ("resourceTemplates", "resources"),
        "prompts/list": ("prompts", "prompts"),
    ]

    /// Everything of a kind that all servers have; a server that fails has none at the moment.
    func list(
        _ method: String,
        for caller: Caller,
        _ extras: GuardedCall.Extras
    ) async throws(RPCError) -> JSONObject {
        guard let (key, capability) = Self.keys[method] else { throw .methodNotFound(method) }
        let lists = await lists(method, key, capability, for: caller)
        let shown: [JSONObject]
        switch method {
        case "resources/list": shown = directory.setResources(lists)
        case "resources/templates/list": shown = directory.setTemplates(lists)
        default: shown = directory.setPrompts(lists)
        }
        return JSONObject([(key, .array(shown.map(JSONValue.object)))])
    }

    private func lists(
        _ method: String,
        _ key: String,
        _ capability: String,
        for caller: Caller
    ) async -> [(UpstreamServer, [JSONObject])] {
        let servers = (try? await catalogue())?.servers ?? []
        return await withTaskGroup(of: (UpstreamServer, [JSONObject])?.self) { group in
            for server in servers where server.status != .new {
                group.addTask {
                    let found = try? await self.pool(of: server.id).perform(
                        for: caller.name,
                        capabilities: JSONObject(),
                        isRepeatable: true
                    ) { connection -> [JSONObject]? in
                        guard await connection.profile?.offers(capability) == true else {
                            return nil
                        }
                        return try await connection.list(method, key)
                    }
                    guard let list = found else { return nil }
                    return (server, list)
                }
            }
            var lists: [(UpstreamServer, [JSONObject])] = []
            for await list in group { if let list { lists.append(list) } }
            return lists.sorted { $0.0.name < $1.0.name }
        }
    }

    /// Which server answers a request, and how it is asked there.
    func responder(
        to method: String,
        _ parameters: JSONObject,
        for caller: Caller,
        _ extras: GuardedCall.Extras
    ) async throws(RPCError) -> ToolSet.Entry {
        var parameters = parameters
        let server: UpstreamServer?
        switch method {
        case "resources/read":
            guard let uri = parameters["uri"]?.string else {
                throw .invalidParameters("`uri` must be a text")
            }
            server = try await resource(uri, caller, extras)
        case "prompts/get":
            guard let name = parameters["name"]?.string else {
                throw .invalidParameters("`name` must be a text")
            }
            let prompt = try await prompt(name, caller, extras)
            parameters["name"] = prompt.map { .string($0.name) }
            server = prompt?.server
        case "completion/complete":
            (server, parameters) = try await reference(parameters, caller, extras)
        default: throw .methodNotFound(method)
        }
        guard let server else { throw .invalidParameters("no server has what this names") }
        let call = Call(server: server.id, method: method, parameters: parameters)
        let definition = ToolDefinition(
            name: method,
            title: method,
            summary: "",
            inputSchema: ["type": "object"],
            annotations: .init(isReadOnly: true)
        )
        let tool = ForwardingTool(
            definition: definition,
            origin: ToolOrigin(server: server.name, tool: method),
            call: call,
            desk: self
        )
        return ToolSet.Entry(tool: tool, definition: definition, schema: .anything)
    }

    private func resource(
        _ uri: String,
        _ caller: Caller,
        _ extras: GuardedCall.Extras
    ) async throws(RPCError) -> UpstreamServer? {
        if let server = directory.resources[uri] { return server }
        _ = try await list("resources/list", for: caller, extras)
        _ = try await list("resources/templates/list", for: caller, extras)
        return directory.server(ofResource: uri)
    }

    private func prompt(
        _ name: String,
        _ caller: Caller,
        _ extras: GuardedCall.Extras
    ) async throws(RPCError) -> UpstreamDirectory.Prompt? {
        if let prompt = directory.prompts[name] { return prompt }
        _ = try await list("prompts/list", for: caller, extras)
        return directory.prompts[name]
    }

    private func reference(
        _ parameters: JSONObject,
        _ caller: Caller,
        _ extras: GuardedCall.Extras
    ) async throws(RPCError) -> (UpstreamServer?, JSONObject) {
        var parameters = parameters
        guard var reference = parameters["ref"]?.object else {
            throw .invalidParameters("`ref` must be an object")
        }
        switch reference["type"]?.string {
        case "ref/prompt":
            let prompt = try await prompt(reference["name"]?.string ?? "", caller, extras)
            reference["name"] = prompt.map { .string($0.name) }
            parameters["ref"] = .object(reference)
            return (prompt?.server, parameters)
        case "ref/resource":
            let uri = reference["uri"]?.string ?? ""
            if directory.server(ofTemplate: uri) == nil {
                _ = try await list("resources/templates/list", for: caller, extras)
            }
            return (directory.server(ofTemplate: uri), parameters)
        default: throw .invalidParameters("`ref.type` must be ref/prompt or ref/resource")
        }
    }
}
