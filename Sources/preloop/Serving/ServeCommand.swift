import API
import ArgumentParser
import Bootstrap
import Domain
import Logging
import Store

/// `preloop serve`: REST, the MCP endpoint, and what supervisors ask, on one port.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve REST and MCP over HTTP.",
        discussion: """
            Prints one line when it is ready, then logs to standard error, one JSON object a line. \
            While nobody can sign in yet, it prints a link that makes the first user; `preloop \
            init --admin NAME` does the same without a browser. SIGTERM lets requests under way \
            end, for ten seconds at most.
            """
    )

    @Option(help: "The address to listen on; 0.0.0.0 for all.")
    var host = "127.0.0.1"

    @Option(help: "The port; 0 for any free one.")
    var port = 8000

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port is a number from 0 to 65535")
        }
    }

    func run() async throws {
        let settings = try Settings.read()
        let server = try ServerSettings(environment: settings.environment)
        let installation = try await Installation.open(settings)
        let logger = Logger(label: "preloop") { label in
            JSONLogHandler(label: label, level: Logger.Level(rawValue: server.logLevel) ?? .info)
        }
        let serving = Serving(installation, server, host: host)
        let webhooks = try await attempt("cannot take webhooks in") {
            try serving.webhooks(logger)
        }
        let application = try serving.application(logger, webhooks)
        let (host, port) = (host, port)
        let working = Task { await webhooks.run() }
        // Also when the port is taken.
        defer { working.cancel() }
        try await attempt("cannot serve on \(host) port \(port)") {
            try await interruptible {
                let address = HTTPServer.Address(host: host, port: port)
                try await HTTPServer(address, application: application, logger: logger)
                    .run { bound in
                        await announce(bound, server, application, installation)
                    }
            }
        }
        working.cancel()
        await working.value
        await serving.scans.stop()
        await serving.close()
        try await attempt("cannot close the store") { try await installation.close() }
    }

    /// Says where it listens, and how to become its first user.
    private func announce(
        _ bound: Int,
        _ server: ServerSettings,
        _ application: Application,
        _ installation: Installation
    ) async {
        let name = host == "0.0.0.0" || host == "::" ? "localhost" : host
        let shown = name.contains(":") ? "[\(name)]" : name
        let url = server.publicURL ?? "http://\(shown):\(bound)"
        // A reader of standard output that has gone is no reason to stop serving.
        try? Output.text(["Preloop serves \(url) (MCP at \(url)/mcp/v1)."])
        do {
            let token = try await application.desk.setupToken(of: installation.store.account)
            guard let token else { return }
            try Output.text([
                "Nobody can sign in yet. Make the first user within a day at",
                "  \(url)/setup?token=\(token)",
                "or with `preloop init --admin NAME`.",
            ])
        } catch {
            standardError("warning: no set-up link could be made: \(error)\n")
        }
    }
}
