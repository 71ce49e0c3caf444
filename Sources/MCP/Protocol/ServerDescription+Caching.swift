import Domain

/// For how long and for whom clients may keep results, which 2026-07-28 has them say.
extension ServerDescription {
    /// The requests whose complete results clients may keep; those of others say nothing about it.
    private static let keptMethods: Set<String> = [
        "prompts/list", "resources/list", "resources/read", "resources/templates/list",
        "server/discover", "tools/list",
    ]

    /// Says of a result how long and for whom it may be kept, whatever server it is from and
    /// whatever that has said.
    ///
    /// What a caller may have is decided for that caller, by rules that change: nobody else may be
    /// given it, and it may be kept for no longer than our own lists. A server that says nothing
    /// about a resource has not promised that it stays what it is.
    ///
    /// INVARIANT: every result passes here on its way to a client, and nothing before it has
    /// changed what another server said.
    ///
    /// - Parameters:
    ///   - result: Ours, or what another server gave.
    ///   - method: The request that it answers.
    ///   - context: Who asks, and what they came back with.
    func limitCaching(
        of result: inout JSONObject,
        answering method: String,
        in context: ServerSession.Context
    ) {
        // Of a task `ttlMs` says for how long it can be asked for; what is in it is of a call.
        guard ServerSession.TaskMethod(rawValue: method) == nil else {
            guard var given = result["result"]?.object else { return }
            limitCaching(of: &given, answering: "tools/call", in: context)
            result["result"] = .object(given)
            return
        }
        let isModern = context.version.era == .modern
        let kind = result["resultType"]?.string ?? "complete"
        let isQuestion = kind == "input_required"
        let isKept = isModern && Self.keptMethods.contains(method) && !isQuestion
        // Kinds that extensions add may have a time by this name, as a call that is a task has.
        let hasOwnTime =
            isModern && !Self.keptMethods.contains(method) && !isQuestion && kind != "complete"
        let said = result["ttlMs"]?.integer.flatMap { $0 < 0 ? nil : $0 }
        // Removed before they are added, for a server may have said them twice.
        if !hasOwnTime { result["ttlMs"] = nil }
        result["cacheScope"] = nil
        guard isKept else { return }
        let silent = method == "resources/read" ? 0 : lifetimeMilliseconds
        // What depends on answers of the client is no answer to the same request without them.
        let isRepeatable = context.inputs.members.isEmpty
        let milliseconds = isRepeatable ? min(said ?? silent, lifetimeMilliseconds) : 0
        result.append(key: "ttlMs", value: .integer(milliseconds))
        result.append(key: "cacheScope", value: "private")
    }

    private var lifetimeMilliseconds: Int64 { Int64(listLifetime / .milliseconds(1)) }
}
