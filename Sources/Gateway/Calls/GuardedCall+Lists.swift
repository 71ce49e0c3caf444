package import Firewall
package import MCP

/// What callers see.
extension GuardedCall {
    /// The tools that a caller can see, always in the same order.
    package func visibleTools(to caller: Caller) async -> [ToolDefinition] {
        var visible: [ToolDefinition] = []
        for entry in await tools.usable()
        where await isVisible(entry, to: caller) {
            var definition = entry.definition
            // A policy that cannot be read refuses the call itself; the list only lacks a question.
            if let mode = try? await justification(for: entry) {
                definition.inputSchema = Justification.added(to: definition.inputSchema, mode)
            }
            // As above: without a policy that can be read the list only lacks its words.
            if let text = try? await summary(of: entry) { definition.summary = text }
            visible.append(definition)
        }
        return visible
    }

    /// What the policy says of a tool in place of its own description; nothing of those that ask
    /// about approvals, which no policy decides about.
    private func summary(of entry: ToolSet.Entry) async throws -> String? {
        guard !entry.tool.isOfGateway else { return nil }
        return try await policy.summary(of: entry.identity)
    }

    /// A tool's definition, whoever can see it; for transports, not for callers.
    package func definition(named name: String) async -> ToolDefinition? {
        await tools.entry(named: name)?.definition
    }

    /// Whether a tool that callers were told is not there would be with a tracker.
    ///
    /// Which of Preloop's own tools need one is no secret, whatever the policy hides.
    package func lacksTracker(forTool name: String) async -> Bool {
        await tools.lacksTracker(name)
    }

    /// The definition of the tool, or request, that a policy means; nil where there is none.
    package func definition(of identity: ToolIdentity) async -> ToolDefinition? {
        if let entry = await tools.entry(of: identity) { return entry.definition }
        return await tools.knows(identity) ? ForwardingTool.definition(of: identity.name) : nil
    }

    /// Says which lists that a caller sees are others than when this returned, as long as somebody
    /// listens.
    ///
    /// Whatever has changed them, and in whichever process: the policy, a definition that was
    /// accepted, another server, a tracker. Tools are compared; of prompts and resources a change
    /// is told when their server tells of one, or when it or the policy has changed. Several
    /// changes at a time may be told as one.
    package func listChanges(for caller: Caller) async -> AsyncStream<ListKinds> {
        // In this order: what moves between the two is noticed, if in vain.
        let first = await grounds.current()
        let list = await visibleTools(to: caller)
        return AsyncStream(bufferingPolicy: .bufferingOldest(1)) { continuation in
            let watch = Task {
                await follow(first, list, of: caller, continuation)
                continuation.finish()
            }
            continuation.onTermination = { _ in watch.cancel() }
        }
    }

    private func follow(
        _ first: ListGrounds.Value,
        _ list: [ToolDefinition],
        of caller: Caller,
        _ changes: AsyncStream<ListKinds>.Continuation
    ) async {
        var (last, shown) = (first, list)
        var untold: ListKinds = []
        // Cancelled when nobody listens any more.
        while (try? await Task.sleep(for: grounds.interval)) != nil {
            let now = await grounds.current()
            if now != last {
                if tools.source != nil { untold.formUnion(now.forwardedChanges(since: last)) }
                last = now
                let list = await visibleTools(to: caller)
                if list != shown { untold.insert(.tools) }
                shown = list
            }
            guard !untold.isEmpty else { continue }
            // One that nobody has taken yet is in the way: then all are told the next time.
            if case .enqueued = changes.yield(untold) { untold = [] }
        }
    }
}

extension ListGrounds.Value {
    /// Lists of other servers that may be others than they were.
    fileprivate func forwardedChanges(since earlier: Self) -> ListKinds {
        // Rules say what may be asked for, and so what is listed.
        if policy != earlier.policy { return [.prompts, .resources] }
        var kinds: ListKinds = []
        if source.prompts != earlier.source.prompts { kinds.insert(.prompts) }
        if source.resources != earlier.source.resources { kinds.insert(.resources) }
        return kinds
    }
}
