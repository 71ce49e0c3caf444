import ArgumentParser
import Bootstrap
import Domain
import Embeddings
import Search
import Store

/// `preloop index rebuild`: makes the indexes anew from the store.
struct IndexRebuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Make the indexes anew from the store.",
        discussion: """
            Vectors are read from the store; only what is not embedded yet is embedded. The \
            accounts come one after the other, and one that fails keeps nothing from the next. \
            The model configured here becomes that of the database, also where another host has \
            used another one: give every host the same.
            """
    )

    @OptionGroup var output: OutputOptions

    private static let failure = "the indexes were not rebuilt"

    /// What was done for an account.
    private struct Rebuilt {
        var account: AccountID
        /// Its name for people; nil for the installation's own.
        var title: String?
        var report: IndexReport
    }

    func run() async throws {
        let installation = try await Installation.open()
        // One for all of them: loading it takes longer than most accounts do.
        let embedder = try await attempt(Self.failure) { try await installation.embedder() }
        let accounts = try await attempt(Self.failure) { try await installation.accounts() }
        let own = installation.store.account
        var all: [Rebuilt] = []
        var failures = AccountFailures()
        for account in accounts {
            var title: String?
            do throws(CommandFailure) {
                let viewed = try await attempt(Self.failure) {
                    try await installation.indexable(account)
                }
                guard let viewed else { continue }
                if account != own { title = await viewed.accountTitle() }
                let report = try await rebuild(viewed, embedder)
                all.append(Rebuilt(account: account, title: title, report: report))
            } catch {
                try failures.note(error, of: title)
            }
        }
        try await attempt(Self.failure) { try await installation.close() }
        if !all.isEmpty { try write(all, own) }
        try failures.throwWorst()
    }

    private func rebuild(
        _ installation: Installation,
        _ embedder: any Embedder
    ) async throws(CommandFailure) -> IndexReport {
        try await attempt(Self.failure) {
            // Who makes everything anew means the model that is configured here.
            let pipeline = try await installation.pipeline(
                embedder: embedder,
                replacingModel: true
            )
            let report = try await pipeline.rebuild()
            try await pipeline.close()
            await VectorIndexing(installation).runTelling()
            return report
        }
    }

    private func write(_ all: [Rebuilt], _ own: AccountID) throws {
        guard !output.isJSON else {
            let accounts = all.map { rebuilt -> JSONValue in
                ["account": .integer(rebuilt.account.rawValue), "index": rebuilt.report.json]
            }
            try Output.result([
                "index": all.first { $0.account == own }?.report.json ?? .null,
                "accounts": .array(accounts),
            ])
            return
        }
        try Output.text(
            all.map { rebuilt in
                let report = rebuilt.report
                let whose = rebuilt.title.map { " of \($0)" } ?? ""
                return "Rebuilt the indexes\(whose); "
                    + "embedded \(counted(report.embedded, "passage")), "
                    + "compared \(counted(report.compared, "issue"))."
            }
        )
    }
}
