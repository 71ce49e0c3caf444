package import Firewall
import MCP

/// What a policy decides about a call that is not made.
extension GuardedCall {
    /// Decides about a call, and tells of each rule.
    ///
    /// A name means what it means in a call: the tool that is listed by it, of whichever server.
    /// Else it is read as policies write tools, `server/name`.
    ///
    /// - Parameters:
    ///   - name: The tool, as people name it.
    ///   - context: The call; its tool, and what the tool's definition says, are filled in here.
    ///   - policy: What decides.
    /// - Returns: The explanation, which tells whether there is such a tool now; nil for a name
    ///   without a server that no tool has.
    package func explain(
        _ name: String,
        _ context: PolicyContext,
        by policy: CompiledPolicy
    ) async -> PolicyExplanation? {
        var context = context
        let entry = await tools.entry(named: name)
        context.tool = entry?.identity ?? ToolIdentity(naming: name)
        var definition = entry?.definition
        if definition == nil { definition = await self.definition(of: context.tool) }
        guard definition != nil || name.contains("/") else { return nil }
        if let definition {
            // The definition says whether the tool writes.
            context.title = definition.title
            context.isReadOnly = definition.annotations.isReadOnly
            context.isDestructive = definition.annotations.isDestructive
            context.isIdempotent = definition.annotations.isIdempotent
            context.isOpenWorld = definition.annotations.isOpenWorld
        }
        var explanation = policy.explain(context)
        explanation.exists = definition != nil
        return explanation
    }
}
