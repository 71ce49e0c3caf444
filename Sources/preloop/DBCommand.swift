import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop db …`: the database as a whole.
struct DBCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "db",
        abstract: "Look at, migrate, back up, restore and copy the database.",
        discussion: """
            Backups and copies hold all accounts and tables as one moment shows them. Indexes are \
            not among them: they are made anew. Stored tokens stay sealed, and only the key they \
            were stored with opens them: keep the file secret.key of $PRELOOP_HOME, or SECRET_KEY, \
            beside a backup.
            """,
        subcommands: [
            DBStatusCommand.self, DBMigrateCommand.self, DBBackupCommand.self,
            DBRestoreCommand.self, DBCopyCommand.self,
        ]
    )
}

/// `preloop db status`.
struct DBStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show engine, schema, sizes and row counts; changes nothing."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (status, backend) = try await attempt("cannot look at the database") {
            let settings = try Settings.read()
            let database = try Installation.existingDatabase(settings)
            let status = try await DatabaseStatus.read(database)
            try await database.close()
            return (status, settings.vectorBackend)
        }
        guard !output.isJSON else {
            try Output.result(json(status))
            return
        }
        var lines = [
            "\(status.engine) \(status.version), schema \(status.schema) of "
                + "\(Migrator().supported), \(status.bytes / 1_000) kB"
        ]
        lines += status.vectorExtension.lines(for: backend)
        if status.schema > Migrator().supported {
            lines.append("The database was written by a newer Preloop; this one does not open it.")
        }
        if status.schema == 0 {
            lines.append("There is no installation in it yet: `preloop init` makes one.")
        } else {
            lines += status.pending.map { "pending: \($0)" }
        }
        var table = TextTable(["TABLE", "ROWS"])
        for row in status.rows { table.append([row.table, "\(row.count)"]) }
        try Output.text(lines + (status.rows.isEmpty ? [] : table.lines))
    }

    private func json(_ status: DatabaseStatus) -> KeyValuePairs<String, JSONValue> {
        var rows = JSONObject()
        for row in status.rows { rows[row.table] = .integer(Int64(row.count)) }
        let (version, isAvailable): (String?, Bool) =
            switch status.vectorExtension {
            case .otherEngine, .absent: (nil, false)
            case .available: (nil, true)
            case .made(let version): (version, true)
            }
        return [
            "engine": .string(status.engine), "version": .string(status.version),
            "schema": .integer(Int64(status.schema)),
            "supported_schema": .integer(Int64(Migrator().supported)),
            "pending": JSONValue(status.pending), "bytes": .integer(Int64(status.bytes)),
            "vector_extension": JSONValue(version),
            "vector_extension_available": .bool(isAvailable), "rows": .object(rows),
        ]
    }
}

/// `preloop db migrate`.
struct DBMigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Bring the database to this version's schema.",
        discussion: """
            Every command does so when it opens the database; this one does nothing else, for \
            whoever rolls out a new version. Programs of the version before go on working.
            """
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let applied = try await attempt("the database was not migrated") {
            let settings = try Settings.read()
            if settings.databaseAddress == nil { try HomeDirectory(settings.home).create() }
            let database = try Installation.database(settings)
            let pending = try await Migrator.pending(in: database)
            try await Migrator().migrate(database)
            try await database.close()
            return pending
        }
        guard !output.isJSON else {
            try Output.result([
                "schema": .integer(Int64(Migrator().supported)),
                "applied": JSONValue(applied.map(\.name)),
            ])
            return
        }
        try Output.text(
            applied.isEmpty
                ? ["The schema is number \(Migrator().supported) already."]
                : applied.map { "applied \($0.number): \($0.name)" }
        )
    }
}

/// Digests as commands show them.
enum DigestOutput {
    static func json(_ digests: [TableDigest]) -> JSONValue {
        .array(
            digests.map { digest in
                [
                    "table": .string(digest.name), "rows": .integer(Int64(digest.rows)),
                    "sha256": .string(digest.sha256),
                ]
            }
        )
    }

    /// How much that is, in words.
    static func extent(_ digests: [TableDigest]) -> String {
        let rows = digests.reduce(0) { $0 + $1.rows }
        return "\(counted(rows, "row")) of \(counted(digests.count, "table"))"
    }
}
