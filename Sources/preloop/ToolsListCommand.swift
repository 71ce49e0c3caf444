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

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let tools = try await remote.tools()
        guard !output.isJSON else {
            try Output.result(["tools": .array(tools)])
            return
        }
        var table = TextTable(["TOOL", "WHAT IT DOES"])
        for tool in tools {
            table.append([tool["name"]?.string ?? "", Self.purpose(of: tool)])
        }
        try Output.text(table.lines)
    }

    /// The title, or where there is none the first line of the description.
    private static func purpose(of tool: JSONValue) -> String {
        if let title = tool["title"]?.string, !title.isEmpty { return title }
        let description = tool["description"]?.string ?? ""
        guard let line = description.split(whereSeparator: \.isNewline).first else { return "-" }
        return line.count > 80 ? line.prefix(79) + "…" : String(line)
    }
}

extension RemoteOptions {
    /// The tools of the server that is meant, or of the installation, as MCP shows them.
    func tools() async throws -> [JSONValue] {
        if let server = try server(try Settings.read()) {
            return try await server.all("/api/v1/tools")
        }
        let installation = try await Installation.open()
        let calls = try await attempt("cannot open the tools") { try installation.guardedCall() }
        return await calls.visibleTools(to: installation.localCaller(.command)).map { $0.json() }
    }
}
