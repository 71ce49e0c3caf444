import ArgumentParser

/// `preloop trackers …`: which services are read.
struct TrackersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trackers",
        abstract: "Add, list, test, update and remove trackers, and register webhooks.",
        subcommands: [
            TrackersAddCommand.self, TrackersListCommand.self, TrackersTestCommand.self,
            TrackersUpdateCommand.self, TrackersRemoveCommand.self,
            TrackersWebhooksCommand.self,
        ]
    )
}
