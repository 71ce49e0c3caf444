import Domain
import Firewall
import MCP
import Store

/// Resources, prompts and completions of the servers.
extension UpstreamDesk {
    private static let keys = [
        "resources/list": ("resources", "resources"),
        "resources/templates/list": ("resourceTemplates", "resources"),
        "prompts/list": ("prompts", "prompts"),
    ]

    /// What asks for something that a list holds.
    private static let requests = [
        "resources/list": "resources/read", "resources/templates/list": "resources/read",
        "prompts/list": "prompts/get",
    ]
    /// Requests that are handed on to a server, as tools of it.
    static let forwarded = [
        "completion/complete", "prompts/get", "resources/read", "resources/subscribe",
    ]

    /// Everything of a kind that all servers have; a server that fails has none at the moment.
    func list(
        _ method: String,
        for caller: Caller,
        _ isShown: @escaping @Sendable (ToolSet.Entry) async -> Bool
    ) async throws(RPCError) -> JSONObject {
        guard let (key, capability) = Self.keys[method], let request = Self.requests[method]
        else { throw .methodNotFound(method) }
        let lists = await lists(method, key, capability, for: caller) { server in
            await isShown(self.entry(request, of: server, JSONObject()))
        }
        let shown: [JSONObject]
        switch method {
        case "resources/list":
            shown = directory.setResources(lists.found, silent: lists.silent)
        case "resources/templates/list":
            shown = directory.setTemplates(lists.found, silent: lists.silent)
        default: shown = directory.setPrompts(lists.found, silent: lists.silent)
        }
        return JSONObject([(key, .array(shown.map(JSONValue.object)))])
    }

    /// What servers list of a kind, by their names.
    private struct Lists: Sendable {
        var found: [(UpstreamServer, [JSONObject])] = []
        /// Servers that were not asked, or gave no answer.
        var silent: Set<UpstreamServerID> = []
    }

    private enum Answer: Sendable {
        case list(UpstreamServer, [JSONObject])
        /// It has nothing of the kind.
        case nothing
        case silence(UpstreamServerID)
    }

    private func lists(
        _ method: String,
        _ key: String,
        _ capability: String,
        for caller: Caller,
        where isShown: @escaping @Sendable (UpstreamServer) async -> Bool
    ) async -> Lists {
        let servers = (try? await catalogue())?.servers ?? []
        return await withTaskGroup(of: Answer.self) { group in
            for server in servers where server.status != .new {
                group.addTask {
                    guard await isShown(server) else { return .silence(server.id) }
                    // A program that lists is one for all: no caller's call is made in it.
                    let isProgram = server.transport == .stdio
                    // One that fails has none at the moment.
                    let found = try? await self.pool(of: server.id).perform(
                        for: isProgram ? "" : caller.name,
                        capabilities: JSONObject(),
                        isRepeatable: true
                    ) { connection -> Answer in
                        guard await connection.profile?.offers(capability) == true else {
                            return .nothing
                        }
                        let trace = UpstreamTrace(.current, to: server)
                        return .list(server, try await connection.list(method, key, in: trace))
                    }
                    return found ?? .silence(server.id)
                }
            }
            var lists = Lists()
            for await answer in group {
                switch answer {
                case .list(let server, let items): lists.found.append((server, items))
                case .nothing: break
                case .silence(let id): lists.silent.insert(id)
                }
            }
            lists.found.sort { $0.0.name.utf8.lexicographicallyPrecedes($1.0.name.utf8) }
            return lists
        }
    }

    /// Which server answers a request, and how it is asked there.
    func responder(
        to method: String,
        _ parameters: JSONObject,
        for caller: Caller
    ) async throws(RPCError) -> ToolSet.Entry {
        var replaced = JSONObject()
        let server: UpstreamServer?
        switch method {
        case "resources/read", "resources/subscribe":
            guard let uri = parameters["uri"]?.string else {
                throw .invalidParameters("`uri` must be a text")
            }
            server = try await resource(uri, caller)
        case "prompts/get":
            guard let name = parameters["name"]?.string else {
                throw .invalidParameters("`name` must be a text")
            }
            let prompt = try await prompt(name, caller)
            replaced["name"] = prompt.map { .string($0.name) }
            server = prompt?.server
        case "completion/complete":
            (server, replaced) = try await reference(parameters, caller)
        default: throw .methodNotFound(method)
        }
        // What the directory remembers of a server may have changed since: its name decides.
        guard let server, let current = (try? await catalogue())?.server(server.id) else {
            let reason = "no server has what this names"
            throw parameters["uri"] == nil ? .invalidParameters(reason) : .resourceNotFound(reason)
        }
        return entry(method, of: current, replaced)
    }

    /// A request to a server as what is decided about.
    nonisolated private func entry(
        _ method: String,
        of server: UpstreamServer,
        _ replaced: JSONObject
    ) -> ToolSet.Entry {
        let definition = ForwardingTool.definition(of: method)
        let identity = ToolIdentity(server: server.name, name: method)
        let tool: any Tool
        if method == "resources/subscribe" {
            tool = SubscribingTool(
                definition: definition,
                identity: identity,
                server: server.id,
                desk: self
            )
        } else {
            tool = ForwardingTool(
                definition: definition,
                identity: identity,
                server: server.id,
                replaced: replaced,
                desk: self
            )
        }
        return ToolSet.Entry(
            tool: tool,
            definition: definition,
            identity: identity,
            schema: .anything,
            destination: server.destination,
            isForwarded: true
        )
    }

    /// Which server has something is found whoever asks; whether they may have it is decided then.
    private func refreshDirectory(_ method: String, _ caller: Caller) async throws(RPCError) {
        _ = try await list(method, for: caller) { _ in true }
    }

    private func resource(
        _ uri: String,
        _ caller: Caller
    ) async throws(RPCError) -> UpstreamServer? {
        let known = directory.owners(ofResource: uri)
        if directory.isLoaded, known.count == 1 {
            // One that was removed may have come back as another.
            let isThere = (try? await catalogue())?.server(known[0].id) != nil
            if isThere { return known[0] }
        }
        try await refreshDirectory("resources/list", caller)
        try await refreshDirectory("resources/templates/list", caller)
        let owners = directory.owners(ofResource: uri)
        guard owners.count < 2 else {
            let names = owners.map { "`\($0.name)`" }.joined(separator: ", ")
            throw .invalidParameters(
                "this resource is one of several servers, \(names), so that none is asked for it"
            )
        }
        return directory.server(ofResource: uri)
    }

    private func prompt(
        _ name: String,
        _ caller: Caller
    ) async throws(RPCError) -> UpstreamDirectory.Prompt? {
        if let prompt = directory.prompt(named: name) { return prompt }
        try await refreshDirectory("prompts/list", caller)
        return directory.prompt(named: name)
    }

    /// The server of a completion, and the reference as it is there.
    private func reference(
        _ parameters: JSONObject,
        _ caller: Caller
    ) async throws(RPCError) -> (UpstreamServer?, JSONObject) {
        guard var reference = parameters["ref"]?.object else {
            throw .invalidParameters("`ref` must be an object")
        }
        switch reference["type"]?.string {
        case "ref/prompt":
            let prompt = try await prompt(reference["name"]?.string ?? "", caller)
            reference["name"] = prompt.map { .string($0.name) }
            return (prompt?.server, JSONObject([("ref", .object(reference))]))
        case "ref/resource":
            guard let uri = reference["uri"]?.string else {
                throw .invalidParameters("`ref.uri` must be a text")
            }
            return (try await referenced(uri, caller), JSONObject())
        default: throw .invalidParameters("`ref.type` must be ref/prompt or ref/resource")
        }
    }

    /// The server of the template, or of the resource, that a completion is about.
    private func referenced(
        _ uri: String,
        _ caller: Caller
    ) async throws(RPCError) -> UpstreamServer? {
        if let server = directory.server(ofTemplate: uri) { return server }
        // No URI has a brace (RFC 3986), so that what has one can only be a template.
        guard uri.utf8.contains(UInt8(ascii: "{")) else { return try await resource(uri, caller) }
        try await refreshDirectory("resources/templates/list", caller)
        return directory.server(ofTemplate: uri)
    }
}
