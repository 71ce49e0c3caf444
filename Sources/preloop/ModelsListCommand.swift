import ArgumentParser
import Bootstrap
import Domain
import Embeddings
import Search
import Store

/// `preloop models list`: the models that are there and the one that is used.
struct ModelsListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the models whose vectors are stored."
    )

    @OptionGroup var output: OutputOptions

    private struct Entry {
        var name: String
        var revision: String
        var dimension: Int
        /// Its vectors are stored.
        var isStored: Bool
        /// Its vectors are searched.
        var isCurrent: Bool
        /// The environment chooses it.
        var isConfigured: Bool
    }

    func run() async throws {
        let installation = try await Installation.open()
        let rows = try await attempt("cannot list the models") {
            try await installation.embeddingModels()
        }
        let configured = try await configuredModel(of: installation)
        var entries = rows.map { row in
            Entry(
                name: row.name,
                revision: row.revision,
                dimension: row.dimension,
                isStored: true,
                isCurrent: row.isCurrent,
                isConfigured: configured
                    == ModelIdentity(row)
            )
        }
        if let configured, !entries.contains(where: \.isConfigured) {
            entries.append(
                Entry(
                    name: configured.name,
                    revision: configured.revision,
                    dimension: configured.dimension,
                    isStored: false,
                    isCurrent: false,
                    isConfigured: true
                )
            )
        }
        try report(entries)
    }

    /// The model the environment chooses; nil when it is not there.
    ///
    /// A provider is not asked.
    private func configuredModel(
        of installation: Installation
    ) async throws(CommandFailure) -> ModelIdentity? {
        guard installation.modelDirectory != nil else { return nil }
        return try await attempt("cannot load the model") {
            do {
                return try await installation.embedder().model
            } catch EmbeddingError.missingFile {
                return nil
            }
        }
    }

    private func report(_ entries: [Entry]) throws {
        guard !output.isJSON else {
            try Output.result(["models": .array(entries.map(json))])
            return
        }
        guard !entries.isEmpty else {
            try Output.text(["There is no model. Fetch one with `preloop models fetch`."])
            return
        }
        var table = TextTable(["NAME", "DIMENSION", "REVISION", "STATE"])
        for entry in entries {
            let words = [
                entry.isConfigured ? "configured" : "", entry.isCurrent ? "searched" : "",
                entry.isStored ? "" : "not yet used",
            ]
            table.append([
                entry.name, "\(entry.dimension)", String(entry.revision.prefix(12)),
                words.filter { !$0.isEmpty }.joined(separator: ", "),
            ])
        }
        try Output.text(table.lines)
    }

    private func json(_ entry: Entry) -> JSONValue {
        [
            "name": .string(entry.name), "revision": .string(entry.revision),
            "dimension": .integer(Int64(entry.dimension)), "stored": .bool(entry.isStored),
            "current": .bool(entry.isCurrent), "configured": .bool(entry.isConfigured),
        ]
    }
}
