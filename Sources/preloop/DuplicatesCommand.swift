import ArgumentParser

/// `preloop duplicates …`: pairs that may be one report, and verdicts about them.
struct DuplicatesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "duplicates",
        abstract: "List likely duplicates, and decide about them.",
        subcommands: [DuplicatesListCommand.self, DuplicatesDecideCommand.self],
        defaultSubcommand: DuplicatesListCommand.self
    )
}
