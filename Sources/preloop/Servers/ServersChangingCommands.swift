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
            Characters that nobody sees are shown by their numbers. By its digest exactly what is \
            shown is accepted: preloop servers accept NAME --digest DIGEST
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
                "tools": .array(waiting.map(\.pendingJSON)),
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
