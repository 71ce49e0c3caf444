import ArgumentParser
import Bootstrap
import Sync

/// `preloop-sync scan …`: reads what changed, embeds it, indexes it.
struct ScanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scan",
        abstract: "Read what changed, embed it, index it.",
        discussion: """
            Ends with 7 when something was not read; the rest is stored. That a project can no \
            longer be seen is told so only by the scan that notices it: later ones end with 0, \
            and `preloop-sync status` goes on telling.
            """,
        subcommands: [
            ScanAllCommand.self, ScanTrackerCommand.self, ScanProjectCommand.self,
        ]
    )
}

/// What every scan can be told.
struct ScanOptions: ParsableArguments {
    @Flag(help: "Read everything again and look for what is gone.")
    var full = false

    @Flag(help: "Say what would be read; write nothing.")
    var dryRun = false

    @Flag(help: "Show neither progress nor result.")
    var quiet = false

    @OptionGroup var output: OutputOptions

    func run(_ selection: ScanSelection) async throws {
        try await Scan(
            request: ScanRequest(selection, isFull: full, isDryRun: dryRun),
            isQuiet: quiet,
            isJSON: output.isJSON
        ).run()
    }
}

/// `preloop-sync scan all`.
struct ScanAllCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "all",
        abstract: "Scan all projects of all trackers."
    )

    @OptionGroup var options: ScanOptions

    func run() async throws { try await options.run(.all) }
}

/// `preloop-sync scan tracker NAME`.
struct ScanTrackerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tracker",
        abstract: "Scan all projects of one tracker."
    )

    @Argument(help: "The tracker's name.")
    var name: String

    @OptionGroup var options: ScanOptions

    func run() async throws { try await options.run(.tracker(name: name)) }
}

/// `preloop-sync scan project TRACKER PROJECT`.
struct ScanProjectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "project",
        abstract: "Scan one project."
    )

    @Argument(help: "The tracker's name.")
    var tracker: String

    @Argument(help: "The project: owner/repo, group/project or KEY.")
    var project: String

    @OptionGroup var options: ScanOptions

    func run() async throws {
        try await options.run(.project(tracker: tracker, path: project))
    }
}
