import ArgumentParser
import Bootstrap
import Domain
import Search

/// `preloop index verify`: compares the indexes with the store.
struct IndexVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare passages with the texts, and the indexes with the store, row by row.",
        discussion: """
            Ends with 1 when they differ, or when an index file cannot be used: searches then \
            answer from an index made anew in memory, which takes its time.
            """
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        // First: opening the indexes for use puts others in the place of those that cannot be used.
        let files = [
            await installation.examineVectorIndex(), await installation.examineLexicalIndex(),
        ]
        let unusable = files.filter { $0.grade != .good }
        let result = unusable.isEmpty ? try await compare(in: installation) : nil
        if output.isJSON {
            try Output.result([
                "index": result?.json ?? .null, "files": .array(files.map(\.json)),
            ])
        } else {
            let found = files.map { "\($0.subject): \(singleLine($0.detail))" }
            try Output.text(found + (result.map(lines) ?? []))
        }
        guard let result else {
            throw CommandFailure(
                .failure,
                "an index file cannot be used",
                reason: unusable.map { singleLine($0.detail) }.joined(separator: "; "),
                hint: unusable.first?.advice
            )
        }
        guard result.isSound else {
            throw CommandFailure(
                .failure,
                "the indexes differ from the texts or the store",
                hint: "make them anew with `preloop index rebuild`"
            )
        }
    }

    private func compare(
        in installation: Installation
    ) async throws(CommandFailure) -> IndexVerification {
        try await attempt("the indexes cannot be verified") {
            let pipeline = try await installation.pipeline()
            let result = try await pipeline.verify()
            try await pipeline.close()
            return result
        }
    }

    private func lines(_ result: IndexVerification) -> [String] {
        [
            "\(counted(result.unembedded, "passage")) of texts missing in the store, "
                + "\(result.outdated) of texts that are others now",
            "\(counted(result.stored, "passage")) in the store, "
                + "\(result.indexed) in the vector index: "
                + "\(result.missing) missing, \(result.different) different, "
                + "\(result.surplus) too many",
            "\(counted(result.graphFaults, "fault")) in the graph",
            "\(counted(result.lexicalFaults, "fault")) in the lexical index, "
                + "\(counted(result.lexicalSurplus, "document")) too many",
            "\(counted(result.backlog, "text")) waiting to be indexed",
            "\(counted(result.lexicalBacklog, "text")) the words index had to catch up with first",
        ]
    }
}
