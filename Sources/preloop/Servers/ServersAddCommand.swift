import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop servers add`.
struct ServersAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add an MCP server and accept the tools it has now.",
        discussion: """
            preloop servers add docs --url https://mcp.example.com/mcp --token-env DOCS_TOKEN
            preloop servers add time -- mcp-server-time --local-timezone UTC

            The server is asked for its tools at once. Those that are not suspicious can be called \
            from then on; what is added or changed later waits for `preloop servers accept`. A \
            program is started without a shell. Addresses of private networks have to be named in \
            PRELOOP_UPSTREAM_ALLOW.
            """
    )

    @Argument(help: "Your name for the server: lower-case letters, digits, - and _.")
    var name: String

    @OptionGroup var options: ServerOptions

    @Flag(help: "Add the server without asking it for its tools.")
    var noScan = false

    @OptionGroup var output: OutputOptions

    @Argument(parsing: .postTerminator, help: "The program and its arguments, behind --.")
    var command: [String] = []

    func validate() throws {
        guard (options.url == nil) != command.isEmpty else {
            throw ValidationError("give either --url or a program behind --")
        }
    }

    func run() async throws {
        let secret = try options.secret() ?? UpstreamSecret()
        let what = "the MCP server `\(name)` was not added"
        // Without tokens it would refuse.
        let isScanned = !noScan && !options.oauth
        let (name, options, command) = (name, options, command)
        let (entry, unusable, warnings) = try await interruptible {
            try await Installation.withServers(what, isNewAllowed: true) { desk in
                var server = UpstreamServer(
                    id: UpstreamServerID(0),
                    name: name,
                    transport: .streamableHTTP,
                    createdAt: desk.now
                )
                try options.fill(&server, command: command)
                let isKnown = try await desk.entries().contains {
                    haveEqualBytes($0.server.name, name)
                }
                guard !isKnown else {
                    throw CommandFailure(
                        .failure,
                        "there is an MCP server `\(name)` already",
                        hint: "choose another name; `preloop servers update` changes it"
                    )
                }
                let added = try await desk.add(
                    server,
                    secret: secret,
                    by: Installation.localAuthor
                )
                var (unusable, warnings): ([String], [String]) = ([], [])
                if isScanned {
                    do {
                        let report = try await desk.scan(
                            added.id,
                            by: Installation.localAuthor
                        )
                        (unusable, warnings) = (report.unusable, report.warnings)
                    } catch {
                        // A server that was never seen is of no use to anybody.
                        try await desk.remove(added.id, by: Installation.localAuthor)
                        throw error
                    }
                }
                return (try await desk.entry(named: name), unusable, warnings)
            }
        }
        guard !output.isJSON else {
            try Output.result(entry.json.object ?? JSONObject())
            return
        }
        let next =
            options.oauth
            ? ["Sign in with `preloop servers login \(name)`."]
            : entry.toolLines(unusable, warnings)
        try Output.text(["Added \(name) (\(entry.place))."] + next + entry.warningLines)
    }
}

extension UpstreamDesk.Entry {
    /// What a person has to know of the tools, a line each.
    func toolLines(_ unusable: [String] = [], _ warnings: [String] = []) -> [String] {
        let accepted = tools.filter { $0.state == .accepted }
        let shown = accepted.compactMap { name(of: $0) }
        var lines = [
            "\(counted(shown.count, "tool")) can be called: \(shown.joined(separator: ", "))"
        ]
        if shown.isEmpty { lines = ["No tools can be called."] }
        let held = tools.filter { $0.state == .held }
        if !held.isEmpty {
            let list = held.map { tool in
                tool.flags.isEmpty
                    ? tool.name : "\(tool.name) (\(tool.flags.joined(separator: ", ")))"
            }
            lines.append("\(held.count) wait to be accepted: \(list.joined(separator: ", "))")
            lines.append("See them with `preloop servers diff \(server.name)`.")
        }
        if !collisions.isEmpty {
            lines.append(
                "\(collisions.count) have a name that is taken and cannot be called: "
                    + collisions.joined(separator: ", ")
            )
            lines.append("Give the server's tools its name with --prefix always.")
        }
        lines += unusable.map { "not usable: \($0)" }
        lines += warnings.map { "look at \($0)" }
        return lines.map(visibleLine)
    }

    /// What a person has to know of how it is reached.
    var warningLines: [String] { warning.map { ["Warning: \($0)."] } ?? [] }
}
