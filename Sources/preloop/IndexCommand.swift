import ArgumentParser

/// `preloop index …`: the caches that searches read.
struct IndexCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "index",
        abstract: "Import a corpus; verify or rebuild the indexes.",
        subcommands: [
            IndexImportCommand.self, IndexVerifyCommand.self, IndexRebuildCommand.self,
        ]
    )
}
