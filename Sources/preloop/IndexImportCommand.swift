import ArgumentParser
import Bootstrap
import Domain
import Glibc
import Search

/// `preloop index import --jsonl FILE`: a corpus that comes from no tracker.
struct IndexImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Import issues from a file and index them.",
        discussion: """
            Each line is an object with id, source, title and body; a source becomes a project of \
            the tracker `import`.
            """
    )

    @Option(help: "The file.")
    var jsonl: String

    @OptionGroup var output: OutputOptions

    /// Before anything is made or loaded: nothing is imported from a file that cannot be read.
    private func checkFile() throws(CommandFailure) {
        var status = stat()
        var code: Int32 = 0
        let isThere = unsafe stat(jsonl, &status) == 0
        let isReadable = unsafe access(jsonl, R_OK) == 0
        if !isThere || !isReadable {
            code = errno
        } else if status.st_mode & S_IFMT == S_IFDIR {
            code = EISDIR
        }
        guard code != 0 else { return }
        throw CommandFailure(
            .usage,
            "cannot read the import file `\(jsonl)`; nothing was imported",
            reason: systemMessage(code),
            hint: "check the path and that this user may read the file"
        )
    }

    func run() async throws {
        try checkFile()
        let installation = try await Installation.create(Settings.read())
        let pipeline = try await attempt("cannot open the indexes") {
            try await installation.pipeline()
        }
        let imported = try await attempt("the import is incomplete") {
            try await IssueImport(store: installation.store).run(path: jsonl)
        }
        let indexed = try await attempt("the index is incomplete; the import is done") {
            let report = try await pipeline.drain()
            try await pipeline.close()
            await VectorIndexing(installation).runTelling()
            try await installation.close()
            return report
        }
        guard !output.isJSON else {
            try Output.result([
                "lines": .integer(Int64(imported.lines)),
                "created": .integer(Int64(imported.created)),
                "changed": .integer(Int64(imported.changed)),
                "unchanged": .integer(Int64(imported.unchanged)), "index": indexed.json,
            ])
            return
        }
        try Output.text([
            "Read \(counted(imported.lines, "line")): \(imported.created) new, "
                + "\(imported.changed) changed, \(imported.unchanged) unchanged; "
                + "embedded \(counted(indexed.embedded, "passage"))."
        ])
    }
}
