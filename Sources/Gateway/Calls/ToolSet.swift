import Domain
package import MCP

/// The tools there are, in the order they are listed.
package struct ToolSet: Sendable {
    struct Entry: Sendable {
        var tool: any Tool
        var definition: ToolDefinition
        var schema: JSONSchema
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
                entries.append(Entry(tool: tool, definition: definition, schema: schema))
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

    /// A tool's definition, whether it is of use to the account or not.
    func definition(named name: String) async -> ToolDefinition? {
        if let entry = entry(named: name) { return entry.definition }
        return await other(named: name)?.definition
    }

    private func other(named name: String) async -> Entry? {
        await source?.current().first { haveEqualBytes($0.definition.name, name) }
    }

    /// The tool of this name when it is of use to the account now.
    func usableEntry(named name: String) async -> Entry? {
        guard let entry = entry(named: name) else { return await other(named: name) }
        guard !entry.tool.needs.isEmpty else { return entry }
        return await present().isSuperset(of: entry.tool.needs) ? entry : nil
    }

    /// A store that does not answer hides nothing: the call itself tells of it.
    private func present() async -> AccountMeans {
        do {
            return try await means()
        } catch {
            return [.tracker, .pullRequests]
        }
    }

    private func entry(named name: String) -> Entry? {
        entries.first { $0.definition.name.utf8.elementsEqual(name.utf8) }
    }
}
