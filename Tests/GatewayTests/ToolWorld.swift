import Domain
import MCP
import Testing

@testable import Gateway

/// A store with the tools over it.
protocol ToolWorld: Sendable {
    var calls: GuardedCall { get }
}

extension ToolWorld {
    /// Calls a tool; its answer is checked against its output schema.
    func call(_ tool: String, _ arguments: JSONValue) async throws -> JSONValue {
        let request = GuardedCall.Request(tool: tool, arguments: try #require(arguments.object))
        let result = try await calls.run(request, by: caller)
        let answer = try #require(result.structured, "\(tool): \(result.text)")
        let definition = await calls.visibleTools(to: caller).first { $0.name == tool }
        let schema = try JSONSchema(try #require(definition?.outputSchema))
        #expect(schema.violations(of: answer) == [])
        return answer
    }

    /// Calls a tool that tells of an error, and gives its text.
    func failure(_ tool: String, _ arguments: JSONValue) async throws -> String {
        let request = GuardedCall.Request(tool: tool, arguments: try #require(arguments.object))
        let result = try await calls.run(request, by: caller)
        #expect(result.isError, "\(result.text)")
        return result.text
    }
}
