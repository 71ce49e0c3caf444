import ArgumentParser
import Bootstrap
import Domain

/// `preloop tools describe NAME`: what a tool takes and gives.
struct ToolsDescribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show what a tool takes and gives."
    )

    @Argument(help: "The tool's name.")
    var name: String

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let tools = try await remote.tools()
        guard let tool = tools.first(where: { $0["name"]?.string == name }) else {
            throw CommandFailure(
                .notFound,
                "there is no tool `\(name)`",
                hint: "`preloop tools list` shows the names"
            )
        }
        guard !output.isJSON else {
            try Output.result(["tool": tool])
            return
        }
        let schema = tool["inputSchema"]
        let title = tool["title"]?.string ?? ""
        let description = tool["description"]?.string ?? ""
        var lines = [title.isEmpty ? name : "\(name): \(title)"]
        lines += (description.isEmpty ? [] : [description]) + [""]
        let required = Set(schema?["required"]?.array?.compactMap(\.string) ?? [])
        for member in schema?["properties"]?.object?.members ?? [] {
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
