import ArgumentParser
import Bootstrap
import Domain
import Gateway
import MCP

/// `preloop tools call NAME ARGUMENTS`: calls a tool as an agent would.
struct ToolsCallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Call a tool as an agent would, and print its answer as JSON.",
        discussion: """
            preloop tools call search '{"query": "login fails", "limit": 3}'

            The call is checked and recorded like an agent's. Exit status: 1 when the tool tells \
            of an error, 2 when the arguments are no JSON object, 5 when there is no such tool.
            """
    )

    @Argument(help: "The tool's name.")
    var name: String

    @Argument(help: "The arguments, a JSON object.")
    var arguments = "{}"

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let members: JSONObject
        do {
            guard case .object(let object) = try JSONParser.parse(arguments) else {
                throw CommandFailure(.usage, "the arguments are not a JSON object")
            }
            if let number = InexactNumbers.first(in: Array(arguments.utf8)) {
                throw CommandFailure(
                    .usage,
                    "the number `\(number)` has more digits than are kept",
                    hint: "give it as a text"
                )
            }
            members = object
        } catch let error as JSONError {
            throw CommandFailure(.usage, "the arguments are not JSON", reason: "\(error)")
        }
        if let server = try remote.server(try Settings.read()) {
            let path = "/api/v1/mcp/\(RemoteServer.encoded(name))"
            return try report(try await server.call("POST", path, .object(members)))
        }
        let installation = try await Installation.open()
        let upstreams = try await attempt("cannot open the tools") {
            try installation.upstreamDesk()
        }
        let calls = try await attempt("cannot open the tools") {
            try installation.guardedCall(upstreams: upstreams)
        }
        let request = GuardedCall.Request(tool: name, arguments: members)
        let result = try await interruptible {
            do throws(RPCError) {
                return try await calls.run(request, by: installation.localCaller(.command)) {
                    if case .log(_, let text) = $0 { standardError("note: \(text)") }
                }
            } catch {
                if await calls.lacksTracker(forTool: request.tool) {
                    throw CommandFailure(
                        .notFound,
                        "`\(request.tool)` needs a tracker, and none is configured",
                        hint: "add one with `preloop trackers add`"
                    )
                }
                throw CommandFailure(
                    .notFound,
                    "there is no tool `\(name)`",
                    hint: "`preloop tools list` shows the names"
                )
            }
        }
        await upstreams.close()
        try await attempt("cannot close the store") { try await installation.close() }
        guard !result.isError else {
            let what = result.kind == .denied ? "was denied" : "gave an error"
            throw CommandFailure(.failure, "`\(name)` \(what)", reason: result.text)
        }
        try report(result.structured ?? .string(result.text))
    }

    private func report(_ result: JSONValue) throws {
        guard !output.isJSON else {
            try Output.result(["tool": .string(name), "result": result])
            return
        }
        try Output.text([result.string ?? result.serializedText()])
    }
}
