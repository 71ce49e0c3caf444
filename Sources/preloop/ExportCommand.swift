import ArgumentParser
import Bootstrap

/// `preloop export …`: what the store holds, for other programs.
struct ExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write out what the store holds.",
        subcommands: [ExportIssuesCommand.self]
    )
}

/// `preloop export issues`.
struct ExportIssuesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issues",
        abstract: "Write one line of JSON for each issue and pull request.",
        discussion: "The lines are ordered by tracker, project, kind and number."
    )

    /// Accepted for those who like to say it.
    @Flag(help: "One JSON object a line; the only form there is, with or without this flag.")
    var jsonl = false

    @Flag(help: "Write deleted issues too.")
    var deleted = false

    func run() async throws {
        let installation = try await Installation.open()
        do {
            try await IssueExport(withDeleted: deleted).write(installation.store)
        } catch OutputError.readerGone {
            throw OutputError.readerGone
        } catch {
            throw CommandFailure("the export is incomplete", cause: error)
        }
    }
}
