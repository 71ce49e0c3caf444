import ArgumentParser

/// `preloop models …`: what turns text into vectors.
struct ModelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models",
        abstract: "Fetch, list and run embedding models.",
        subcommands: [
            ModelsFetchCommand.self, ModelsListCommand.self, ModelsEncodeCommand.self,
        ]
    )
}
