package import MCP

/// The tools there are, in the order they are listed.
package struct ToolSet: Sendable {
    struct Entry: Sendable {
        var tool: any Tool
        var definition: ToolDefinition
        var schema: JSONSchema
    }

    private(set) var entries: [Entry] = []

    /// Puts tools in the order of their names, so that lists are the same each time.
    init(_ tools: [any Tool]) {
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

    /// Every tool.
    package var definitions: [ToolDefinition] { entries.map(\.definition) }

    func entry(named name: String) -> Entry? {
        entries.first { $0.definition.name.utf8.elementsEqual(name.utf8) }
    }
}
