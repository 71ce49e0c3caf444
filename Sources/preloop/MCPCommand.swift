import ArgumentParser
import Bootstrap
import Gateway
import MCP

/// `preloop mcp`: the tools for an agent on this machine, over standard input and output.
struct MCPCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mcp",
        abstract: "Serve the tools to an MCP client over standard input and output.",
        discussion: """
            Revisions 2026-07-28, 2025-11-25, 2025-06-18 and 2025-03-26 of the Model Context \
            Protocol. Connect it with `claude mcp add preloop -- preloop mcp`. Ends when its input \
            does, or by SIGTERM.
            """
    )

    func run() async throws {
        let installation = try await Installation.open()
        let upstreams = try await attempt("cannot open the tools") {
            try installation.upstreamDesk()
        }
        let calls = try await attempt("cannot open the tools") {
            try installation.guardedCall(upstreams: upstreams)
        }
        let limits = MessageParser.Limits()
        let writer = MessageWriter()
        let caller = installation.localCaller(.stdio)
        let server = SessionServer(
            session: ServerSession(
                server: await calls.description(of: Installation.serverDescription, for: caller)
            ),
            calls: calls,
            caller: caller,
            parser: MessageParser(limits: limits),
            write: { await writer.write($0) }
        )
        let reader = MessageReader(limit: limits.bytes)
        try await interruptible {
            await withTaskCancellationHandler {
                await server.run(reader)
            } onCancel: {
                writer.stop()
            }
        }
        await upstreams.close()
        try await attempt("cannot close the store") { try await installation.close() }
    }
}
