import ArgumentParser
import Bootstrap
import Domain
import Gateway
import MCP

/// `preloop servers list`.
struct ServersListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the MCP servers."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let entries = try await Installation.withServers("cannot list the MCP servers") { desk in
            try await desk.entries()
        }
        guard !output.isJSON else {
            try Output.result(["servers": .array(entries.map(\.json))])
            return
        }
        guard !entries.isEmpty else {
            try Output.text(["There are no MCP servers. Add one with `preloop servers add`."])
            return
        }
        var table = TextTable(["NAME", "TRANSPORT", "WHERE", "STATUS", "TOOLS", "HELD"])
        for entry in entries {
            let server = entry.server
            table.append([
                server.name, server.transport.rawValue, entry.place,
                server.status.rawValue + (server.lastError.map { " (\($0))" } ?? ""),
                "\(entry.acceptedCount)",
                "\(entry.tools.count { $0.state == .held })",
            ])
        }
        try Output.text(table.lines)
    }
}

/// `preloop servers show NAME`.
struct ServersShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show an MCP server with its tools."
    )

    @Argument(help: "The server's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let name = name
        let entry = try await Installation.withServers("cannot show `\(name)`") { desk in
            try await desk.entry(named: name)
        }
        guard !output.isJSON else {
            try Output.result(entry.json.object ?? JSONObject())
            return
        }
        let server = entry.server
        var lines = [
            "\(server.name)  \(server.transport.rawValue)  \(entry.place)",
            "status \(server.status.rawValue)"
                + (server.lastError.map { ": \($0)" } ?? "")
                + (server.lastScanAt.map { ", scanned \($0.iso8601)" } ?? ""),
            "authentication \(server.authentication.rawValue), prefix \(server.prefix.rawValue)",
            "a call may take \(server.timeLimitSeconds) seconds",
        ].map(visibleLine)
        lines += entry.warningLines
        var table = TextTable(["TOOL", "CALLED", "STATE", "FLAGS"])
        for tool in entry.tools {
            table.append([
                visibleLine(tool.name), visibleLine(entry.name(of: tool) ?? "-"),
                tool.state.rawValue, tool.flags.joined(separator: ", "),
            ])
        }
        if !entry.tools.isEmpty { lines += table.lines }
        try Output.text(lines)
    }
}

/// `preloop servers scan NAME`.
struct ServersScanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scan",
        abstract: "Ask an MCP server for its tools, and compare them with what was accepted."
    )

    @Argument(help: "The server's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let name = name
        let (entry, report) = try await interruptible {
            try await Installation.withServers("cannot scan `\(name)`") { desk in
                let report = try await desk.scan(
                    try await desk.entry(named: name).server.id,
                    by: Installation.localAuthor
                )
                return (try await desk.entry(named: name), report)
            }
        }
        guard !output.isJSON else {
            var object = entry.json.object ?? JSONObject()
            object.append(key: "changed", value: JSONValue(report.changed.map(\.name)))
            object.append(key: "unusable", value: JSONValue(report.unusable))
            object.append(key: "warnings", value: JSONValue(report.warnings))
            try Output.result(object)
            return
        }
        let gone = report.changed.filter { $0.state == .gone }.map(\.name)
        try Output.text(
            entry.toolLines(report.unusable, report.warnings)
                + (gone.isEmpty
                    ? [] : [singleLine("\(gone.count) are gone: \(gone.joined(separator: ", "))")])
        )
    }
}

/// `preloop servers test NAME`.
struct ServersTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Begin a session with an MCP server, and say what it is."
    )

    @Argument(help: "The server's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let name = name
        let report = try await interruptible {
            try await Installation.withServers("`\(name)` does not work") { desk in
                try await desk.scan(
                    try await desk.entry(named: name).server.id,
                    by: Installation.localAuthor
                )
            }
        }
        let profile = report.profile
        let title = profile?.implementation?["name"]?.string ?? name
        let version = profile?.implementation?["version"]?.string ?? "-"
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name), "server": .string(title), "version": .string(version),
                "protocol": JSONValue(profile?.version.rawValue),
                "capabilities": profile.map { .object($0.capabilities) } ?? .null,
                "tools": .integer(Int64(report.tools.count { !$0.isInstructions })),
            ])
            return
        }
        let capabilities = profile?.capabilities.members.map(\.key) ?? []
        try Output.text([
            singleLine("\(name) is \(title) \(version)."),
            singleLine(
                "It speaks \(profile?.version.rawValue ?? "-") and offers "
                    + (capabilities.isEmpty ? "nothing" : capabilities.joined(separator: ", "))
                    + "."
            ),
        ])
    }
}
