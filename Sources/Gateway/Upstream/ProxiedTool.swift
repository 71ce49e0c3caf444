import Domain
import Firewall
import MCP

/// A tool of an upstream server, as it was accepted.
struct ProxiedTool: Tool {
    let definition: ToolDefinition
    let identity: ToolIdentity
    let server: UpstreamServerID
    /// Of the accepted definition: what the server lists must be the same.
    let digest: [UInt8]
    /// The arguments that headers mirror.
    let headers: ParameterHeaders
    let desk: UpstreamDesk

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let result = try await perform(arguments, context)
        return result.structured ?? .string(result.text)
    }

    func perform(_ arguments: ToolArguments, _ context: CallContext) async throws -> ToolResult {
        var parameters = JSONObject([
            ("name", .string(identity.name)), ("arguments", .object(arguments.members)),
        ])
        parameters.add(context.extras.inputs)
        let others = headers.others(in: context.extras.parameterHeaders)
        let call = UpstreamDesk.Call(
            server: server,
            method: "tools/call",
            parameters: parameters,
            headers: headers.fields(for: arguments.members)
                + others.fields.map { (name: $0.name, value: $0.value) },
            pin: (tool: identity.name, digest: digest)
        )
        return ToolResult(original: try await desk.call(call, context))
    }
}

/// What subscribes a session to a resource, as a tool that only reads.
struct SubscribingTool: Tool {
    let definition: ToolDefinition
    /// The method, at the server that is asked.
    let identity: ToolIdentity
    let server: UpstreamServerID
    let desk: UpstreamDesk

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        .object(try await perform(arguments, context).json(for: .latest))
    }

    func perform(_ arguments: ToolArguments, _ context: CallContext) async throws -> ToolResult {
        // One that runs later than it was asked for, after its approval, has nobody to tell.
        guard let subscriber = context.extras.subscriber else {
            throw UpstreamError.refused(
                .invalidRequest("there is no session any more that could hear of changes")
            )
        }
        try await desk.subscribe(subscriber, to: arguments.text("uri"), of: server)
        return ToolResult(original: JSONObject())
    }
}

/// What answers a request for a resource, prompt or completion, as a tool that only reads.
struct ForwardingTool: Tool {
    let definition: ToolDefinition
    /// The method, at the server that is asked.
    let identity: ToolIdentity
    let server: UpstreamServerID
    /// Parameters that are others at the server, such as the name of a prompt.
    let replaced: JSONObject
    let desk: UpstreamDesk

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        .object(try await perform(arguments, context).json(for: .latest))
    }

    func perform(_ arguments: ToolArguments, _ context: CallContext) async throws -> ToolResult {
        var parameters = arguments.members
        for member in replaced.members { parameters[member.key] = member.value }
        parameters.add(context.extras.inputs)
        let call = UpstreamDesk.Call(
            server: server,
            method: identity.name,
            parameters: parameters
        )
        return ToolResult(original: try await desk.call(call, context))
    }

    /// A request as it is decided about.
    static func definition(of method: String) -> ToolDefinition {
        ToolDefinition(
            name: method,
            title: method,
            summary: "",
            inputSchema: ["type": "object"],
            annotations: .init(isReadOnly: true)
        )
    }
}

extension JSONObject {
    /// Adds the members of another object in place of those that have their names.
    fileprivate mutating func add(_ other: JSONObject) {
        for member in other.members { self[member.key] = member.value }
    }
}
