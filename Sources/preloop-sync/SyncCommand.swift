import ArgumentParser
import Bootstrap

/// `preloop-sync`: the program for cron.
struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preloop-sync",
        abstract: "Read trackers into the store, embed and index what is new.",
        discussion: """
            Put `preloop-sync scan all` into cron, or let `preloop-sync scheduler` and \
            `preloop-sync worker` run. Two scans never read one tracker at once.

            Exit status: 0 ok, 1 error, 2 usage, 4 authentication, 5 not found, 7 some projects \
            failed (the others are stored), 75 another scan is running, 130 interrupted.
            """,
        version: Installation.version,
        subcommands: [
            ScanCommand.self, StatusCommand.self, SchedulerCommand.self, WorkerCommand.self,
            JobsCommand.self,
        ]
    )
}
