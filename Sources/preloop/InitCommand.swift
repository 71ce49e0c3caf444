import API
import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop init`: makes an installation.
struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make an installation: directory, key, database.",
        discussion: """
            Running it again changes nothing. With --admin it also makes the owner who signs in to \
            `preloop serve`, as the set-up link does that the server prints.
            """
    )

    @Option(help: "Make the first user, an owner, of this name.")
    var admin: String?

    @OptionGroup var password: PasswordSource
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try Settings.read()
        let installation = try await Installation.create(settings)
        let existed = !installation.isNew
        if let admin { try await makeOwner(admin, of: installation) }
        try await installation.close()
        guard !output.isJSON else {
            try Output.result([
                "home": .string(settings.home), "created": .bool(!existed),
                "admin": JSONValue(admin),
            ])
            return
        }
        var lines = [
            existed
                ? "There is an installation in \(settings.home) already."
                : "Made an installation in \(settings.home)."
        ]
        if let admin { lines.append(singleLine("Made user \(admin) (owner).")) }
        if !existed {
            lines.append(
                "Next: preloop models fetch; preloop trackers add github --name NAME "
                    + "--token-env VARIABLE; preloop-sync scan all"
            )
        }
        try Output.text(lines)
    }

    private func makeOwner(_ name: String, of installation: Installation) async throws {
        let (store, environment) = (installation.store, installation.settings.environment)
        try await attemptAccounts("cannot make the first user") {
            let desk = try installation.desk()
            guard try await desk.users(of: store.account).isEmpty else {
                throw CommandFailure(
                    .failure,
                    "there are users already",
                    hint: "an owner adds others with `preloop users add`"
                )
            }
            let text = try password.read(environment: environment, for: name, isNew: true)
            _ = try await desk.add(
                .init(name: name, password: text, role: .owner),
                to: store.account
            )
        }
    }
}
