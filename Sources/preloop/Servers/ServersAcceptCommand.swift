import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop servers accept NAME`.
struct ServersAcceptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accept",
        abstract: "Accept what waits of an MCP server: new and changed tools can be called then.",
        discussion: """
            preloop servers accept docs                   shows what waits, and asks
            preloop servers accept docs --digest DIGEST   what `preloop servers diff` has shown
            preloop servers accept docs --all             whatever waits now, unseen

            Exactly what was shown is accepted. When anything of it is something else by then, \
            nothing is. Without a terminal to ask at, one of the options is needed where anything \
            waits.
            """
    )

    @Argument(help: "The server's name.")
    var name: String

    @Argument(help: "Which tools to show and ask about; all that wait when none are named.")
    var tools: [String] = []

    @Option(
        help: ArgumentHelp(
            "What to accept, by its digest in `preloop servers diff`; may be repeated.",
            valueName: "digest"
        )
    )
    var digest: [String] = []

    @Flag(help: "Accept all that waits without asking; what that was is printed.")
    var all = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard [!tools.isEmpty, !digest.isEmpty, all].count(where: { $0 }) < 2 else {
            throw ValidationError("give tools, --digest or --all, not several of them")
        }
    }

    func run() async throws {
        let what = "nothing was accepted"
        guard digest.isEmpty else {
            try await finish(digest, shown: [], what)
            return
        }
        let waiting = try await waiting(what)
        // There is nothing to ask about, and nothing that anybody has looked at.
        guard !waiting.isEmpty else {
            try tell([], shown: [])
            return
        }
        guard all || (Terminal.canAsk && !output.isJSON) else {
            throw CommandFailure(
                .usage,
                what,
                reason: "nobody can be asked whether that is what you want",
                hint: "give --digest with what `preloop servers diff \(name)` shows, or --all"
            )
        }
        if !all {
            // The store is not kept open while somebody reads.
            try Output.text(waiting.flatMap { DefinitionDiff(tool: $0).lines })
            guard Terminal.confirms("Accept \(counted(waiting.count, "definition"))?") else {
                throw CommandFailure(.failure, what)
            }
        }
        try await finish(waiting.compactMap(\.pendingDigest), shown: waiting, what)
    }

    /// What can be accepted of the tools that are meant.
    private func waiting(_ what: String) async throws -> [UpstreamTool] {
        let (name, tools) = (name, tools)
        return try await Installation.withServers(what) { desk in
            let entry = try await desk.entry(named: name)
            for tool in tools
            where !entry.tools.contains(where: { haveEqualBytes($0.name, tool) }) {
                throw CommandFailure(.notFound, "`\(name)` has no tool `\(tool)`")
            }
            return entry.tools.filter { tool in
                tool.pendingDigest != nil
                    && (tools.isEmpty || tools.contains { haveEqualBytes($0, tool.name) })
            }
        }
    }

    /// Accepts by digests, and says what that was.
    private func finish(
        _ digests: [String],
        shown: [UpstreamTool],
        _ what: String
    ) async throws {
        let name = name
        let accepted = try await Installation.withServers(what) { desk in
            let id = try await desk.entry(named: name).server.id
            return try await desk.accept(digests: digests, of: id, by: Installation.localAuthor)
        }
        try tell(accepted, shown: shown)
    }

    /// Says what was accepted, of what was shown.
    private func tell(_ accepted: [String], shown: [UpstreamTool]) throws {
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name), "accepted": JSONValue(accepted),
                "tools": .array(shown.map(\.pendingJSON)),
            ])
            return
        }
        // Whoever was asked has seen them.
        let lines = all ? shown.flatMap { DefinitionDiff(tool: $0).lines } : []
        try Output.text(
            lines + [
                accepted.isEmpty
                    ? "Nothing of \(name) waits to be accepted."
                    : visibleLine("Accepted \(accepted.joined(separator: ", ")).")
            ]
        )
    }
}

extension UpstreamTool {
    /// What waits, as `--json` shows it.
    var pendingJSON: JSONValue {
        [
            "name": .string(name), "state": .string(state.rawValue), "flags": JSONValue(flags),
            "accepted": accepted.map(JSONValue.object) ?? .null,
            "proposed": proposed.map(JSONValue.object) ?? .null,
            "digest": JSONValue(pendingDigest),
        ]
    }
}
