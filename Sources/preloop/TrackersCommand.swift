import ArgumentParser

/// `preloop trackers …`: which services are read.
struct TrackersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trackers",
        abstract: "Add, list, test and remove trackers.",
        subcommands: [
            TrackersAddCommand.self, TrackersListCommand.self, TrackersTestCommand.self,
            TrackersRemoveCommand.self,
        ]
    )
}
