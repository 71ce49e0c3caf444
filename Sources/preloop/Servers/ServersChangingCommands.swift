import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop servers diff NAME`.
struct ServersDiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Show what waits to be accepted of an MCP server.",
        discussion: """
            Each line of a definition that would go begins with -, each that would come with +. \
            Characters that nobody sees are shown by their numbers.
            """
    )

    @Argument(help: "The server's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let name = name
        let entry = try await Installation.withServers("cannot show `\(name)`") { desk in
            try await desk.entry(named: name)
        }
        let waiting = entry.tools.filter { $0.state != .accepted }
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name),
                "tools": .array(
                    waiting.map { tool in
                        [
                            "name": .string(tool.name), "state": .string(tool.state.rawValue),
                            "flags": JSONValue(tool.flags),
                            "accepted": tool.accepted.map(JSONValue.object) ?? .null,
                            "proposed": tool.proposed.map(JSONValue.object) ?? .null,
                        ]
                    }
                ),
            ])
            return
        }
        guard !waiting.isEmpty else {
            try Output.text(["Nothing of \(name) waits to be accepted."])
            return
        }
        try Output.text(waiting.flatMap { DefinitionDiff(tool: $0).lines })
    }
}

/// `preloop servers accept NAME [TOOL…]`.
struct ServersAcceptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accept",
        abstract: "Accept what waits of an MCP server: new and changed tools can be called then.",
        discussion: "Look at it first with `preloop servers diff`."
    )

    @Argument(help: "The server's name.")
    var name: String

    @Argument(help: "Which tools; all that wait when none are named.")
    var tools: [String] = []

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (name, tools) = (name, tools)
        let accepted = try await Installation.withServers("nothing was accepted") { desk in
            let entry = try await desk.entry(named: name)
            for tool in tools
            where !entry.tools.contains(where: { haveEqualBytes($0.name, tool) }) {
                throw CommandFailure(.notFound, "`\(name)` has no tool `\(tool)`")
            }
            return try await desk.accept(
                tools.isEmpty ? nil : tools,
                of: entry.server.id,
                by: Installation.localAuthor
            )
        }
        guard !output.isJSON else {
            try Output.result(["name": .string(name), "accepted": JSONValue(accepted)])
            return
        }
        try Output.text([
            accepted.isEmpty
                ? "Nothing of \(name) waits to be accepted."
                : visibleLine("Accepted \(accepted.joined(separator: ", ")).")
        ])
    }
}

/// `preloop servers update NAME`.
struct ServersUpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Change an MCP server's address, credential or prefix.",
        discussion: "What is not given stays; another address needs the credential again."
    )

    @Argument(help: "The server's name.")
    var name: String

    @OptionGroup var options: ServerOptions

    @OptionGroup var output: OutputOptions

    @Argument(parsing: .postTerminator, help: "The program and its arguments, behind --.")
    var command: [String] = []

    func run() async throws {
        let secret = try options.secret()
        let (name, options, command) = (name, options, command)
        let entry = try await Installation.withServers("`\(name)` was not changed") { desk in
            var server = try await desk.entry(named: name).server
            try options.fill(&server, command: command)
            try await desk.change(server, secret: secret, by: Installation.localAuthor)
            return try await desk.entry(named: name)
        }
        guard !output.isJSON else {
            try Output.result(entry.json.object ?? JSONObject())
            return
        }
        try Output.text(["Changed \(name) (\(singleLine(entry.place)))."] + entry.warningLines)
    }
}

/// `preloop servers remove NAME`.
struct ServersRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove an MCP server with what was accepted of it."
    )

    @Argument(help: "The server's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let name = name
        try await Installation.withServers("`\(name)` was not removed") { desk in
            let id = try await desk.entry(named: name).server.id
            try await desk.remove(id, by: Installation.localAuthor)
        }
        guard !output.isJSON else {
            try Output.result(["name": .string(name), "removed": true])
            return
        }
        try Output.text(["Removed \(name)."])
    }
}
