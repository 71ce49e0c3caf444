import ArgumentParser
import Bootstrap
import Domain
import Embeddings
import Search
import Store

/// `preloop index verify`: compares the indexes with the store.
struct IndexVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare passages with the texts, and the indexes with the store, row by row.",
        discussion: """
            Ends with 1 when they differ, or when an index file cannot be used: searches then \
            answer from an index made anew in memory, which takes its time. The accounts come one \
            after the other.
            """
    )

    @OptionGroup var output: OutputOptions

    private static let failure = "the indexes cannot be verified"

    /// What was found of an account.
    private struct Outcome {
        var account: AccountID
        /// Its name for people; nil for the installation's own.
        var title: String?
        /// The index files as they lay there.
        var files: [Finding]
        /// Nil when one of the files cannot be used.
        var result: IndexVerification?

        /// Why the command fails; nil when all is well.
        var failure: CommandFailure? {
            guard let result else {
                let unusable = files.filter { $0.grade != .good }
                return CommandFailure(
                    .failure,
                    "an index file cannot be used",
                    reason: unusable.map { singleLine($0.detail) }.joined(separator: "; "),
                    hint: unusable.first?.advice
                )
            }
            guard !result.isSound else { return nil }
            return CommandFailure(
                .failure,
                "the indexes differ from the texts or the store",
                hint: "make them anew with `preloop index rebuild`"
            )
        }
    }

    func run() async throws {
        let installation = try await Installation.open()
        let accounts = try await attempt(Self.failure) { try await installation.accounts() }
        let own = installation.store.account
        var embedder: (any Embedder)?
        var outcomes: [Outcome] = []
        var failures = AccountFailures()
        for account in accounts {
            let viewed = try await attempt(Self.failure) {
                try await installation.indexable(account)
            }
            guard let viewed else { continue }
            let title = account == own ? nil : await viewed.accountTitle()
            // First: opening the indexes for use puts others in the place of those that cannot be
            // used.
            let files = [await viewed.examineVectorIndex(), await viewed.examineLexicalIndex()]
            var outcome = Outcome(account: account, title: title, files: files)
            if files.allSatisfy({ $0.grade == .good }) {
                if embedder == nil {
                    // Without it no account can be verified.
                    embedder = try await attempt(Self.failure) {
                        try await installation.embedder()
                    }
                }
                do throws(CommandFailure) {
                    outcome.result = try await compare(in: viewed, with: embedder)
                } catch {
                    try failures.note(error, of: title)
                    continue
                }
            }
            if let failure = outcome.failure { try failures.note(failure, of: title) }
            outcomes.append(outcome)
        }
        if !outcomes.isEmpty { try write(outcomes, own) }
        try failures.throwWorst()
    }

    private func compare(
        in installation: Installation,
        with embedder: (any Embedder)?
    ) async throws(CommandFailure) -> IndexVerification {
        try await attempt(Self.failure) {
            let pipeline = try await installation.pipeline(embedder: embedder)
            let result = try await pipeline.verify()
            try await pipeline.close()
            return result
        }
    }

    private func write(_ outcomes: [Outcome], _ own: AccountID) throws {
        guard !output.isJSON else {
            let first = outcomes.first { $0.account == own }
            let accounts = outcomes.map { outcome -> JSONValue in
                [
                    "account": .integer(outcome.account.rawValue),
                    "index": outcome.result?.json ?? .null,
                    "files": .array(outcome.files.map(\.json)),
                ]
            }
            try Output.result([
                "index": first?.result?.json ?? .null,
                "files": .array(first?.files.map(\.json) ?? []),
                "accounts": .array(accounts),
            ])
            return
        }
        try Output.text(
            outcomes.flatMap { outcome in
                let found = outcome.files.map { "\($0.subject): \(singleLine($0.detail))" }
                let heading = outcome.title.map { ["\($0):"] } ?? []
                return heading + found + (outcome.result.map(lines) ?? [])
            }
        )
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
