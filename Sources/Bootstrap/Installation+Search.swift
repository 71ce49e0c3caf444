import Domain
package import Embeddings
import HTTPClient
import LinearAlgebra
package import Search
package import Store

extension Installation {
    /// The model that `preloop models fetch` brings.
    package static let defaultModelName = "all-MiniLM-L6-v2"

    /// Where the account's index files are.
    package var indexDirectory: String { "\(home.indexes)/\(store.account)" }
    /// The vector index's file.
    package var snapshotPath: String { "\(indexDirectory)/vectors.snapshot" }
    /// The words index's file.
    package var lexicalIndexPath: String { "\(indexDirectory)/lexical.sqlite" }

    /// The local model's directory, whether it exists or not; nil when vectors come from a
    /// provider.
    package var modelDirectory: String? {
        switch settings.embedding {
        case .local(let directory): directory ?? "\(home.models)/\(Self.defaultModelName)"
        case .remote: nil
        }
    }

    /// Whether the account gets no vectors: a provider is the operator's, and costs with every text
    /// and question, so accounts that strangers made do without unless the operator allows it.
    package var searchesByWordsAlone: Bool {
        guard !isOwn, case .remote(let model) = settings.embedding else { return false }
        return !model.isForRegistered
    }

    /// What makes vectors, as the environment says.
    ///
    /// - Throws: ``CommandFailure`` for an account that gets none, and what the model throws.
    package func embedder() async throws -> any Embedder {
        guard !searchesByWordsAlone else {
            throw CommandFailure(
                .failure,
                "the embedding service is the operator's, and this account is not given it",
                hint: "the operator can allow it: PRELOOP_EMBEDDING_REGISTERED=allow"
            )
        }
        return try await Self.embedder(settings)
    }

    /// In which numbers texts are embedded for the index: eight-bit ones where the machine has
    /// instructions for them (docs/decisions/0005-precision.md).
    package static var indexingPrecision: EncodingPrecision {
        KernelLevel.machine >= .vnni ? .int8 : .float32
    }

    /// What makes vectors; needs the model, but no store.
    ///
    /// `precision` is that of the local model where the environment says nothing.
    package static func embedder(
        _ settings: Settings,
        precision: EncodingPrecision = indexingPrecision
    ) async throws -> any Embedder {
        switch settings.embedding {
        case .local(let directory):
            let models = HomeDirectory(settings.home).models
            var configuration = LocalEmbedder.Configuration()
            configuration.precision = settings.precision ?? precision
            do throws(EmbeddingError) {
                return try LocalEmbedder(
                    directory: directory ?? "\(models)/\(defaultModelName)",
                    configuration: configuration
                )
            } catch {
                guard let directory else { throw error }
                // What `preloop models fetch` brings goes elsewhere.
                throw CommandFailure(
                    error == .cancelled ? .interrupted : .failure,
                    "cannot load the model",
                    reason: "\(error)",
                    hint: "put a sentence-transformers model into `\(directory)`, the directory "
                        + "that PRELOOP_EMBEDDING_MODEL names, or name another one; without the "
                        + "variable the fetched model is used"
                )
            }
        case .remote(let model):
            var configuration = RemoteEmbedder.Configuration(
                baseURL: model.url,
                model: model.name
            )
            configuration.apiKey = model.apiKey.map { APIKey($0.reveal()) }
            configuration.dimension = model.dimension
            configuration.requestsDimension = model.dimension != nil
            return try await RemoteEmbedder.connect(configuration, transport: transport(settings))
        }
    }

    /// Opens the indexes for questions: nothing is rebuilt that can be used.
    ///
    /// For ``SearchRequest/Mode/text`` the model is neither needed nor loaded. `recall` is what
    /// searches of vectors shall find; nil for what the environment says.
    package func search(
        mode: SearchRequest.Mode = .hybrid,
        recall: Double? = nil
    ) async throws(CommandFailure) -> IssueSearch {
        guard recall == nil || settings.vectorBackend == .memory else {
            throw CommandFailure(
                .usage,
                "--recall is for the index in memory, and the database searches the vectors",
                hint: "leave it out, or set PRELOOP_VECTOR_BACKEND to `memory`"
            )
        }
        return try await attempt("cannot open the indexes") {
            guard mode != .text else { return try await wordSearch() }
            let embedder = try await embedder()
            let identity = embedder.model
            let model = try await embeddingModels().first { row in
                row.name == identity.name && row.revision == identity.revision
                    && row.dimension == identity.dimension
            }
            guard let model else {
                throw CommandFailure(
                    .failure,
                    "nothing is indexed with the model `\(identity.name)` yet",
                    hint: "run `preloop-sync scan all`, or `preloop index rebuild`"
                )
            }
            return try await search(with: embedder, model: model, recall: recall)
        }
    }

    /// Words alone: the windows shown are those of the model in use, whatever is installed now.
    private func wordSearch() async throws -> IssueSearch {
        let current = try await embeddingModels().first(where: \.isCurrent)
        let identity =
            current.map { row in
                ModelIdentity(name: row.name, revision: row.revision, dimension: row.dimension)
            } ?? AbsentEmbedder.noModel
        // No row has the identifier 0: without a model there are no windows to show.
        let model =
            current
            ?? EmbeddingModelTable.Row(
                id: EmbeddingModelID(0),
                name: identity.name,
                revision: identity.revision,
                dimension: identity.dimension,
                isCurrent: true
            )
        // Nothing is asked of the vectors: not even whether the database can search them.
        return try await search(with: AbsentEmbedder(model: identity), model: model, .memory)
    }

    private func search(
        with embedder: any Embedder,
        model: EmbeddingModelTable.Row,
        _ backend: VectorBackend? = nil,
        recall: Double? = nil
    ) async throws -> IssueSearch {
        try IndexDirectory.make(indexDirectory)
        var options = settings.index
        if let recall { options.recall = recall }
        let index: any WindowIndex =
            switch backend ?? settings.vectorBackend {
            case .memory:
                try await SearchIndex(
                    store: store,
                    identity: embedder.model,
                    model: model.id,
                    directory: indexDirectory,
                    role: .reader,
                    options: options
                )
            case .pgvector: try await DatabaseIndex(store: store, model: model)
            }
        let lexical = try await LexicalIndex(path: lexicalIndexPath, of: store)
        return IssueSearch(store: store, embedder: embedder, index: index, lexical: lexical)
    }

    /// The models whose vectors are stored, oldest first.
    package func embeddingModels() async throws -> [EmbeddingModelTable.Row] {
        try await store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
        }
    }

    /// Opens the indexes to bring them up to date.
    ///
    /// `fence` is what every write asks for first; see ``IndexTurn``. `embedder` is one that is
    /// loaded already, for who opens the indexes of several accounts; nil for loading one. An
    /// account that gets no vectors has no use for either: its texts are followed without a window.
    /// `isReplacingModel` is for who changes the model on purpose, whoever uses another one.
    package func pipeline(
        fence: Fence? = nil,
        embedder loaded: (any Embedder)? = nil,
        replacingModel isReplacingModel: Bool = false
    ) async throws -> IndexPipeline {
        let embedder: any Embedder
        if searchesByWordsAlone {
            embedder = AbsentEmbedder(model: AbsentEmbedder.noModel)
        } else if let loaded {
            embedder = loaded
        } else {
            embedder = try await self.embedder()
        }
        return try await IndexPipeline(
            store: store,
            embedder: embedder,
            directory: indexDirectory,
            // Without vectors nothing is asked of the database's.
            backend: searchesByWordsAlone ? .memory : settings.vectorBackend,
            options: settings.index,
            fence: fence,
            replacingModel: isReplacingModel
        )
    }

    /// The issue a person means by a URL, `owner/repo#1` or `KEY-1`; needs neither model nor index.
    package func issue(_ reference: String) async throws -> IssueSummary {
        let found = try await store.read { connection, account in
            try PassageTable.summaries(
                forReference: reference,
                account: account,
                on: connection
            )
        }
        guard let first = found.first else { throw SearchError.unknownIssue(reference: reference) }
        guard found.count == 1 else {
            throw SearchError.ambiguousIssue(
                reference: reference,
                candidates: found.prefix(5).map { $0.url.isEmpty ? $0.key : $0.url }
            )
        }
        return first
    }

    /// The projects of these paths; case does not matter, as in the trackers themselves.
    ///
    /// - Throws: ``CommandFailure`` with status 5 for a path nothing was read from.
    package func projects(_ paths: [String]) async throws -> [StoredProject] {
        guard !paths.isEmpty else { return [] }
        let all = try await store.read { connection, account in
            try ProjectTable.list(account: account, on: connection)
        }
        return try paths.flatMap { path in
            let wanted = path.lowercased()
            let found = all.filter { $0.path.lowercased() == wanted }
            guard !found.isEmpty else {
                throw CommandFailure(
                    .notFound,
                    "there is no project `\(path)`",
                    hint: "`preloop-sync status` shows the projects"
                )
            }
            return found
        }
    }
}
