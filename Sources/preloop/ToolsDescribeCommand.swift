import ArgumentParser
import Bootstrap
import Domain
import Gateway
import MCP

/// `preloop tools describe NAME`: what a tool takes and gives.
struct ToolsDescribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show what a tool takes and gives."
    )

    @Argument(help: "The tool's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let calls = try await attempt("cannot open the tools") { try installation.guardedCall() }
        let tools = await calls.visibleTools(to: installation.localCaller(.command))
        guard let tool = tools.first(where: { haveEqualBytes($0.name, name) }) else {
            throw CommandFailure(
                .notFound,
                "there is no tool `\(name)`",
                hint: "`preloop tools list` shows the names"
            )
        }
        guard !output.isJSON else {
            try Output.result(["tool": tool.json()])
            return
        }
        var lines = ["\(tool.name): \(tool.title)", tool.summary, ""]
        let required = Set(tool.inputSchema["required"]?.array?.compactMap(\.string) ?? [])
        for member in tool.inputSchema["properties"]?.object?.members ?? [] {
            let kind = member.value["type"]?.string ?? "value"
            let mark = required.contains(member.key) ? ", required" : ""
            let fallback = member.value["default"].map { ", default \($0.serializedText())" } ?? ""
            lines.append("  \(member.key) (\(kind)\(mark)\(fallback))")
            if let summary = member.value["description"]?.string {
                lines.append("      \(summary)")
            }
        }
        try Output.text(lines)
    }
}
