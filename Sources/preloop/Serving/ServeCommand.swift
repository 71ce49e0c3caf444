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
            end, for ten seconds at most, and saves the indexes, for fifteen.
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
        let serving = Serving(installation, server, host: host, logger)
        let webhooks = try await attempt("cannot take webhooks in") {
            try serving.webhooks(logger)
        }
        let exporter = try await attempt("cannot send spans") { try serving.exporter(logger) }
        let identity = try serving.identity()
        let application = try serving.application(
            logger,
            webhooks,
            spans: exporter?.recorder
        )
        let approvals = try await serving.approvals(at: publicURL(server), logger)
        let (host, port) = (host, port)
        let background = BackgroundExecutor()
        let working = Task(executorPreference: background) { await webhooks.run() }
        let approving = Task { await approvals.run() }
        let exporting = Task {
            if let exporter { await exporter.run() }
        }
        let accounts = serving.accounts
        let keeping = Task(executorPreference: background) {
            await accounts.run { Self.warn(logger, $0) }
        }
        var failure: CommandFailure?
        do throws(CommandFailure) {
            try await attempt("cannot serve on \(host) port \(port)") {
                try await interruptible {
                    let address = HTTPServer.Address(host: host, port: port)
                    let serving = HTTPServer(
                        address,
                        application: application,
                        identity: identity,
                        logger: logger
                    )
                    try await listen(serving) { bound in
                        warnOfClearText(server, logger)
                        await announce(bound, server, application, installation)
                    }
                }
            }
        } catch {
            failure = error
        }
        keeping.cancel()
        working.cancel()
        approving.cancel()
        exporting.cancel()
        // Also when the port is taken: a job that was begun meanwhile is given back.
        await working.value
        await approving.value
        await exporting.value
        if let failure { throw failure }
        await serving.scans.stop()
        // Last, when nothing writes any more.
        let isKept = await accounts.stop(within: Self.checkpointTime) { Self.warn(logger, $0) }
        if !isKept { logger.warning("the indexes were not saved in time; they catch up") }
        try await attempt("cannot close the store") { try await installation.close() }
    }

    /// Serves; an address that cannot be had is told with what to do.
    private func listen(
        _ serving: HTTPServer,
        started: @escaping @Sendable (Int) async -> Void
    ) async throws {
        do {
            try await serving.run(started: started)
        } catch let error as ServerError {
            throw CommandFailure(
                .failure,
                "cannot serve on \(host) port \(port)",
                reason: "\(error)",
                hint: error.hint
            )
        }
    }

    /// For how long the end waits for the indexes: supervisors kill what has not ended within half
    /// a minute to a minute and a half, and draining may have taken ten seconds.
    private static let checkpointTime: Duration = .seconds(15)

    private static func warn(_ logger: Logger, _ error: any Error) {
        logger.warning(
            "the indexes were not saved; the store has everything",
            metadata: ["reason": .string("\(error)")]
        )
    }

    /// Where people reach the server; nil with port 0, for nobody can know before it listens.
    private func publicURL(_ server: ServerSettings) -> String? {
        server.publicURL ?? (port == 0 ? nil : "\(scheme(server))://\(shownHost):\(port)")
    }

    private func scheme(_ server: ServerSettings) -> String {
        server.identity == nil ? "http" : "https"
    }

    /// Whether it listens on every address of this machine.
    private var isEverywhere: Bool { host == "0.0.0.0" || host == "::" }

    private var shownHost: String {
        let name = isEverywhere ? "localhost" : host
        return name.contains(":") ? "[\(name)]" : name
    }

    /// Says that anybody in reach can read what is sent; the printed address does not show it.
    private func warnOfClearText(_ server: ServerSettings, _ logger: Logger) {
        guard isEverywhere, server.identity == nil else { return }
        logger.warning(
            """
            this server listens on all addresses in clear text; set PRELOOP_TLS_CERTIFICATE and \
            PRELOOP_TLS_KEY, or put a proxy with TLS in front of --host 127.0.0.1
            """,
            metadata: ["host": .string(host)]
        )
    }

    /// Says where it listens, and how to become its first user.
    private func announce(
        _ bound: Int,
        _ server: ServerSettings,
        _ application: Application,
        _ installation: Installation
    ) async {
        let url = server.publicURL ?? "\(scheme(server))://\(shownHost):\(bound)"
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
            // Who stops it at once wants no link.
            guard !Task.isCancelled else { return }
            standardError("warning: no set-up link could be made: \(error)\n")
        }
    }
}
