import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop servers login NAME`.
struct ServersLoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Sign in to an MCP server that wants tokens of OAuth.",
        discussion: """
            preloop servers add docs --url https://mcp.example.com/mcp --oauth
            preloop servers login docs

            Prints an address to open in a browser on this machine, waits for the browser to come \
            back, keeps the tokens sealed, and asks the server for its tools. Tokens are renewed \
            when they end.

            Where there is no browser, --paste prints an address to open on any machine. What the \
            browser is sent to afterwards is nowhere: copy that address out of it, and paste it \
            here within --wait seconds.

            With --client-secret-env nobody has to open anything: the client signs in by itself. \
            Name with --issuer whose client it is: the secret is sent to nobody else.
            """
    )

    @Argument(help: "The server's name.")
    var name: String

    @Option(help: "How the authorization server knows us; else we are registered there.")
    var clientId: String?

    @Option(help: "The variable that holds the client's secret; signs in without a person.")
    var clientSecretEnv: String?

    @Option(help: "The authorization server's issuer; else the one signed in at before.")
    var issuer: String?

    @Option(help: "What is asked for; else all that the server names.")
    var scope: String?

    @Flag(help: "Read the address that the browser is sent to from standard input.")
    var paste = false

    @Option(help: "How many seconds somebody may take in the browser.")
    var wait = 300

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard clientSecretEnv == nil || clientId != nil else {
            throw ValidationError("--client-secret-env goes with --client-id")
        }
        guard clientSecretEnv == nil || !paste else {
            throw ValidationError("--client-secret-env needs no browser, and so no --paste")
        }
        guard (1...3_600).contains(wait) else {
            throw ValidationError("--wait is from 1 to 3600")
        }
    }

    func run() async throws {
        let what = "nobody was signed in to `\(name)`"
        let command = self
        let (entry, unusable) = try await interruptible {
            try await Installation.withServers(what) { desk in
                let id = try await desk.entry(named: command.name).server.id
                if let variable = command.clientSecretEnv {
                    try await command.signIn(to: id, variable, desk)
                } else if command.paste {
                    try await command.signInByPaste(to: id, desk)
                } else {
                    try await command.signIn(to: id, desk)
                }
                let unusable = try await desk.scan(id, by: Installation.localAuthor).unusable
                return (try await desk.entry(named: command.name), unusable)
            }
        }
        guard !output.isJSON else {
            try Output.result(entry.json.object ?? JSONObject())
            return
        }
        try Output.text(["Signed in to \(name)."] + entry.toolLines(unusable))
    }

    private func signIn(
        to id: UpstreamServerID,
        _ variable: String,
        _ desk: UpstreamDesk
    ) async throws {
        guard let secret = try Settings.read().environment[variable], !secret.isEmpty else {
            throw CommandFailure(.usage, "the variable `\(variable)` is not set")
        }
        try await desk.signIn(
            to: id,
            as: .init(id: clientId ?? "", secret: secret, scope: scope, issuer: issuer),
            by: Installation.localAuthor
        )
    }

    private func signIn(to id: UpstreamServerID, _ desk: UpstreamDesk) async throws {
        let listener = try LoopbackListener()
        let begun = try await desk.beginSignIn(
            to: id,
            redirect: listener.address,
            clientID: clientId,
            scope: scope,
            issuer: issuer
        )
        standardError(
            "You sign in at \(begun.issuer).\n"
                + "Open this address in a browser on this machine:\n\(begun.url)"
        )
        let query = try await listener.query(within: wait) { begun.isAnswered(by: $0) }
        try await desk.finish(begun, query: query, by: Installation.localAuthor)
    }

    private func signInByPaste(to id: UpstreamServerID, _ desk: UpstreamDesk) async throws {
        let pasted = PastedRedirect()
        let begun = try await desk.beginSignIn(
            to: id,
            redirect: PastedRedirect.address,
            clientID: clientId,
            scope: scope,
            issuer: issuer
        )
        standardError(
            "You sign in at \(begun.issuer).\n"
                + "Open this address in a browser on any machine:\n\(begun.url)\n"
                + "Then paste the address that the browser is sent to, which it cannot show, "
                + "beginning with \(PastedRedirect.address):"
        )
        let query = try await pasted.query(within: wait)
        guard begun.isAnswered(by: query) else {
            throw CommandFailure(
                .usage,
                "nobody was signed in to `\(name)`",
                reason: "the address belongs to another sign-in",
                hint: "run the command again, and open the address that it prints"
            )
        }
        try await desk.finish(begun, query: query, by: Installation.localAuthor)
    }
}
