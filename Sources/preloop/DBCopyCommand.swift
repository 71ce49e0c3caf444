import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop db copy --to DATABASE`.
struct DBCopyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Copy the whole database into another one, of either engine.",
        discussion: """
            From the database of the environment into an empty one, all of it or nothing, compared \
            row by row before it counts. Stop scans, schedulers, workers and servers first: what \
            they write meanwhile is not in the copy.
            """
    )

    @Option(help: "A PostgreSQL address, or the path of an SQLite file.")
    var to: String?

    @Option(help: "The variable that holds it, for an address with a password.")
    var toEnv: String?

    @Flag(help: "Replace everything the other database holds.")
    var force = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (to == nil) != (toEnv == nil) else {
            throw ValidationError("say --to or --to-env")
        }
    }

    func run() async throws {
        let settings = try Settings.read()
        let address = try address(settings)
        let force = force
        // An address may hold a password.
        let place = PostgresConfiguration.isAddress(address) ? "" : " to `\(address)`"
        let digests = try await attempt("nothing was copied\(place)") {
            let source = try Installation.existingDatabase(settings)
            let target = try Installation.database(at: address, settings)
            let digests = try await interruptible {
                try await DatabaseArchive.copy(source, into: target, replacing: force)
            }
            try await Migrator().migrate(target)
            try await target.close()
            try await source.close()
            return digests
        }
        guard !output.isJSON else {
            try Output.result(["tables": DigestOutput.json(digests)])
            return
        }
        try Output.text(
            ["Copied \(DigestOutput.extent(digests)), and compared them."]
                + Self.nextSteps(toServer: PostgresConfiguration.isAddress(address), settings)
        )
    }

    /// How programs come to use the copy, and what those do that are forgotten.
    private static func nextSteps(toServer: Bool, _ settings: Settings) -> [String] {
        let isFromServer = settings.databaseAddress != nil
        guard toServer else {
            return [
                "Use it as the file preloop.db of a $PRELOOP_HOME without DATABASE_URL; put the "
                    + "secret.key of this one beside it.",
                isFromServer
                    ? "The old database stays: a program that has DATABASE_URL still goes on with "
                        + "it."
                    : "The old file stays, and is used where it is.",
            ]
        }
        let file = HomeDirectory(settings.home).database
        return [
            "Set DATABASE_URL to the address for every program: shells, cron, services, agents.",
            isFromServer
                ? "The old database stays: a program that has its address goes on with it."
                : "The old file `\(file)` stays, and a program without DATABASE_URL goes on with "
                    + "it; move it away, and such a program says that it is missing.",
            "PRELOOP_HOME stays, its secret.key opens the tokens. Other machines need the same "
                + "key.",
        ]
    }

    private func address(_ settings: Settings) throws(CommandFailure) -> String {
        guard let toEnv else { return to ?? "" }
        guard let value = settings.environment[toEnv], !value.isEmpty else {
            throw CommandFailure(.usage, "the variable `\(toEnv)` is not set")
        }
        return value
    }
}
