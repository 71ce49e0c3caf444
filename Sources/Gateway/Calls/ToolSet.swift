import Domain
package import Firewall
package import MCP

/// The tools there are, in the order they are listed.
package struct ToolSet: Sendable {
    struct Entry: Sendable {
        var tool: any Tool
        var definition: ToolDefinition
        var identity: ToolIdentity
        var schema: JSONSchema
        /// Where its calls go, for what a decision is bound to; null for Preloop's own.
        var destination = JSONValue.null
        /// Whether it stands for a request that is handed on, and is not listed.
        var isForwarded = false
    }

    private(set) var entries: [Entry] = []
    private let means: @Sendable () async throws -> AccountMeans
    /// Gives what comes and goes; nil for none.
    let source: (any ToolSource)?

    /// Puts tools in the order of their names, so that lists are the same each time.
    ///
    /// - Parameters:
    ///   - tools: All there are.
    ///   - source: Gives tools that come and go; nil for none.
    ///   - means: What the account has; tools that need more do not exist for it.
    init(
        _ tools: [any Tool],
        source: (any ToolSource)? = nil,
        means: @escaping @Sendable () async throws -> AccountMeans = { [] }
    ) {
        self.means = means
        self.source = source
        for tool in tools {
            let definition = tool.definition
            do throws(JSONSchema.CompilationError) {
                let schema = try JSONSchema(definition.inputSchema)
                entries.append(
                    Entry(
                        tool: tool,
                        definition: definition,
                        identity: tool.identity,
                        schema: schema
                    )
                )
            } catch {
                preconditionFailure("the schema of `\(definition.name)`: \(error)")
            }
        }
        entries.sort { $0.definition.name.utf8.lexicographicallyPrecedes($1.definition.name.utf8) }
        let names = Set(entries.map { Array($0.definition.name.utf8) })
        precondition(names.count == entries.count, "tools have different names")
    }

    /// Every tool that is always there.
    package var definitions: [ToolDefinition] { entries.map(\.definition) }

    /// Which tools there are to policies, with those that come and go.
    package func identities() async -> [ToolIdentity] {
        let others = await source?.identities() ?? []
        return entries.map(\.identity) + others
    }

    /// The tools that are of use to the account now, by name.
    func usable() async -> [Entry] {
        let own = await usableOwn()
        guard let others = await source?.current(), !others.isEmpty else { return own }
        return (own + others).sorted {
            $0.definition.name.utf8.lexicographicallyPrecedes($1.definition.name.utf8)
        }
    }

    private func usableOwn() async -> [Entry] {
        guard entries.contains(where: { !$0.tool.needs.isEmpty }) else { return entries }
        let have = await present()
        return entries.filter { have.isSuperset(of: $0.tool.needs) }
    }

    /// The tool of this name, whether it is of use to the account or not.
    func entry(named name: String) async -> Entry? {
        if let entry = own(named: name) { return entry }
        return await source?.current().first { haveEqualBytes($0.definition.name, name) }
    }

    /// The tool that a policy means, likewise.
    func entry(of identity: ToolIdentity) async -> Entry? {
        if let own = entries.first(where: { $0.identity.isSame(as: identity) }) { return own }
        return await source?.current().first { $0.identity.isSame(as: identity) }
    }

    /// The tool of this name when it is of use to the account now.
    func usableEntry(named name: String) async -> Entry? {
        guard let entry = own(named: name) else { return await self.entry(named: name) }
        guard !entry.tool.needs.isEmpty else { return entry }
        return await present().isSuperset(of: entry.tool.needs) ? entry : nil
    }

    /// What the account has now, as far as tools need any of it; nil while the store does not
    /// answer.
    func presentMeans() async -> AccountMeans? {
        guard entries.contains(where: { !$0.tool.needs.isEmpty }) else { return [] }
        // Whoever asks goes on with what was known.
        return try? await means()
    }

    /// Whether the tool of this name is missing only for want of a tracker.
    func lacksTracker(_ name: String) async -> Bool {
        guard let needs = own(named: name)?.tool.needs, needs.contains(.tracker) else {
            return false
        }
        return await !present().contains(.tracker)
    }

    /// A store that does not answer hides nothing: the call itself tells of it.
    private func present() async -> AccountMeans {
        do {
            return try await means()
        } catch {
            return [.tracker, .pullRequests]
        }
    }

    /// Whether a policy may mean a tool or request of this identity.
    func knows(_ identity: ToolIdentity) async -> Bool {
        await identities().contains { $0.isSame(as: identity) }
    }

    private func own(named name: String) -> Entry? {
        entries.first { haveEqualBytes($0.definition.name, name) }
    }
}

extension ToolIdentity {
    /// Whether both have the same bytes.
    fileprivate func isSame(as other: ToolIdentity) -> Bool {
        haveEqualBytes(name, other.name) && haveEqualBytes(server ?? "", other.server ?? "")
    }
}
