import ArgumentParser
import Bootstrap
import Domain
import Gateway
import MCP

/// `preloop tools list`: what can be called.
struct ToolsListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the tools."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let calls = try await attempt("cannot open the tools") { try installation.guardedCall() }
        let tools = await calls.visibleTools(to: installation.localCaller(.command))
        guard !output.isJSON else {
            try Output.result(["tools": .array(tools.map { $0.json() })])
            return
        }
        var table = TextTable(["TOOL", "WHAT IT DOES"])
        for tool in tools { table.append([tool.name, tool.title]) }
        try Output.text(table.lines)
    }
}
