import Domain
import MCP

/// A tool of an upstream server, as it was accepted.
struct ProxiedTool: Tool {
    let definition: ToolDefinition
    let origin: ToolOrigin?
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
        let name = origin?.tool ?? definition.name
        var parameters = JSONObject([
            ("name", .string(name)), ("arguments", .object(arguments.members)),
        ])
        for member in context.extras.inputs.members {
            parameters.append(key: member.key, value: member.value)
        }
        let call = UpstreamDesk.Call(
            server: server,
            method: "tools/call",
            parameters: parameters,
            headers: headers.fields(for: arguments.members),
            pin: (tool: name, digest: digest)
        )
        return ToolResult(original: try await desk.call(call, context))
    }
}

/// What answers a request for a resource, prompt or completion, as a tool that only reads.
struct ForwardingTool: Tool {
    let definition: ToolDefinition
    let origin: ToolOrigin?
    let call: UpstreamDesk.Call
    let desk: UpstreamDesk

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        .object(try await perform(arguments, context).json(for: .latest))
    }

    func perform(_ arguments: ToolArguments, _ context: CallContext) async throws -> ToolResult {
        var call = call
        for member in context.extras.inputs.members {
            call.parameters.append(key: member.key, value: member.value)
        }
        return ToolResult(original: try await desk.call(call, context))
    }
}
