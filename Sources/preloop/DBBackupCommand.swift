import ArgumentParser
import Bootstrap
import Domain
import Foundation
import Store

/// `preloop db backup FILE`.
struct DBBackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Write the whole database into an archive, while it is in use.",
        discussion: """
            The archive is the same for both engines: what SQLite wrote PostgreSQL reads. It is \
            text, a line a row with a checksum for each table; compress it as you like, and \
            unpack it before it is restored.
            """
    )

    @Argument(help: "The file.")
    var file: String

    @Flag(help: "Replace a file that is there, once the archive is complete.")
    var force = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let path = file
        guard force || !FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(
                .failure,
                "there is a file `\(path)` already",
                hint: "take another name, or replace it with --force"
            )
        }
        let digests = try await attempt("there is no backup") {
            let database = try Installation.existingDatabase(Settings.read())
            let digests = try await interruptible {
                try await DatabaseArchive.backUp(database, to: path, now: WallClock.system.now())
            }
            try await database.close()
            return digests
        }
        guard !output.isJSON else {
            try Output.result(["file": .string(path), "tables": DigestOutput.json(digests)])
            return
        }
        try Output.text([
            "Wrote \(DigestOutput.extent(digests)) into `\(path)`.",
            "Tokens in it are sealed: keep secret.key of $PRELOOP_HOME, or SECRET_KEY, with it.",
        ])
    }
}

/// `preloop db restore FILE`.
struct DBRestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Fill an empty database from an archive.",
        discussion: """
            All of it or nothing: what was written is compared with the archive, row by row, \
            before it counts.
            """
    )

    @Argument(help: "The archive.")
    var file: String

    @Flag(help: "Replace everything the database holds.")
    var force = false

    @Flag(help: "Only read the archive and check that it is whole.")
    var verifyOnly = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (path, force) = (file, force)
        let digests: [TableDigest]
        if verifyOnly {
            digests = try await attempt("the archive is of no use") {
                try DatabaseArchive.verify(path)
            }
        } else {
            digests = try await attempt("nothing was restored") {
                // Before anything is made for it.
                _ = try DatabaseArchive.verify(path)
                let settings = try Settings.read()
                try HomeDirectory(settings.home).create()
                let database = try Installation.database(settings)
                let digests = try await interruptible {
                    try await DatabaseArchive.restore(path, into: database, replacing: force)
                }
                try await Migrator().migrate(database)
                try await database.close()
                return digests
            }
        }
        guard !output.isJSON else {
            try Output.result([
                "restored": .bool(!verifyOnly), "tables": DigestOutput.json(digests),
            ])
            return
        }
        let extent = DigestOutput.extent(digests)
        try Output.text(
            verifyOnly
                ? ["The archive is whole: \(extent)."]
                : [
                    "Restored \(extent), and compared them.",
                    "Put secret.key into $PRELOOP_HOME, or set SECRET_KEY, as it was; "
                        + "`preloop doctor` says whether the tokens open.",
                    "Indexes are not in an archive: `preloop doctor --vectors --repair` and "
                        + "`preloop index rebuild` make them anew at once, else the next scan.",
                ]
        )
    }
}
