import ArgumentParser
import Bootstrap
import Domain

/// `preloop init`: makes an installation.
struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make an installation: directory, key, database.",
        discussion: "Running it again changes nothing."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try Settings.read()
        let installation = try await Installation.create(settings)
        let existed = !installation.isNew
        try await installation.close()
        guard !output.isJSON else {
            try Output.result(["home": .string(settings.home), "created": .bool(!existed)])
            return
        }
        try Output.text(
            existed
                ? ["There is an installation in \(settings.home) already."]
                : [
                    "Made an installation in \(settings.home).",
                    "Next: preloop models fetch; preloop trackers add github --name NAME "
                        + "--token-env VARIABLE; preloop-sync scan all",
                ]
        )
    }
}
