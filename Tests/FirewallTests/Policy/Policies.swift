import Domain
import Testing

@testable import Firewall

/// A policy that must be right.
func policy(
    _ text: String,
    version: Int64 = 7,
    outside: PolicySurroundings = PolicySurroundings(),
    knownTools: [String]? = nil
) throws -> CompiledPolicy {
    let reading = PolicyDocument.read("metadata: {name: test}\n" + text, outside: outside)
    try #require(reading.errors.isEmpty, "\(reading.errors)")
    return try CompiledPolicy(
        try #require(reading.document),
        version: version,
        surroundings: outside,
        knownTools: knownTools
    )
}

/// A call of a tool, `server/name` or a built-in one.
func call(_ tool: String, _ arguments: JSONValue = [:]) -> PolicyContext {
    let parts = tool.split(separator: "/", maxSplits: 1).map(String.init)
    let identity =
        parts.count == 2
        ? ToolIdentity(server: parts[0], name: parts[1]) : ToolIdentity(name: tool)
    var context = PolicyContext(tool: identity, now: Timestamp(milliseconds: 1_767_225_600_000))
    context.arguments = arguments.object ?? JSONObject()
    context.user = "ann"
    context.role = "editor"
    return context
}

extension CompiledPolicy {
    /// The action alone.
    func action(_ tool: String, _ arguments: JSONValue = [:]) -> PolicyDocument.Action {
        decide(call(tool, arguments)).action
    }
}

/// What is wrong with a text, as `line:column: message`.
func errors(_ text: String) -> [String] {
    PolicyDocument.read(text).errors.map(\.description)
}
