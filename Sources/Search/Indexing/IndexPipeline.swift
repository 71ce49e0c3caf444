package import Domain
package import Embeddings
import Glibc
package import Store

/// Everything that follows the feed, in its order: windows and vectors, words, the vector index,
/// pairs.
///
/// Runs beside a scan and drains at its end:
///
///     let pipeline = try await IndexPipeline(store: store, embedder: embedder, directory: path)
///     async let indexed = pipeline.run(following: wakeUps)  // until they end
///     …                                                      // the scan; then finish `wakeUps`
///     let report = try await indexed                         // everything is drained and saved
package actor IndexPipeline {
    let store: Store
    private let indexer: Indexer
    private let duplicates: Duplicates
    /// Where vectors are searched.
    package nonisolated let windows: any WindowIndex
    /// The index in memory, which snapshots are saved of; nil when the database searches.
    package nonisolated var index: SearchIndex? { windows as? SearchIndex }
    /// The model whose vectors are made and searched.
    package nonisolated var model: EmbeddingModelID { windows.model }
    /// The model, when its vectors are mirrored.
    private let mirrored: EmbeddingModelTable.Row?
    /// The lexical index.
    package nonisolated let lexical: LexicalIndex
    /// Searches what is indexed.
    package nonisolated let search: IssueSearch

    /// Changes between two snapshots while a long backlog is worked off: a process that is killed
    /// leaves so many for the next to insert again.
    private static let changesBetweenSnapshots = 8_192

    /// Opens the indexes of a store.
    ///
    /// - Parameters:
    ///   - store: Whose issues are indexed.
    ///   - embedder: Makes the vectors; its model becomes the current one.
    ///   - directory: Where the account's index files are; made with mode 0700 when missing.
    ///   - backend: Where vectors are searched.
    ///   - options: What the user has chosen for the index in memory.
    ///   - fence: What every write of vectors, their mirror and pairs asks for first; nil where
    ///     several indexers may be at work.
    ///   - isReplacingModel: Whether the embedder's model takes the place of another one although
    ///     another process uses that.
    ///   - limits: How much the indexer holds at a time.
    ///   - duplicateLimits: How pairs are looked for.
    /// - Throws: ``SearchError/file(path:code:)``, ``SearchError/noMirror(reason:advice:)``,
    ///   ``SearchError/otherModel(current:own:user:)``, and what the store refuses.
    package init(
        store: Store,
        embedder: any Embedder,
        directory: String,
        backend: VectorBackend = .memory,
        options: SearchIndex.Options = SearchIndex.Options(),
        fence: Fence? = nil,
        replacingModel isReplacingModel: Bool = false,
        limits: Indexer.Limits = Indexer.Limits(),
        duplicateLimits: Duplicates.Limits = Duplicates.Limits()
    ) async throws {
        try IndexDirectory.make(directory)
        // What is made once, tables of the mirror and the model's row, needs no lease.
        let unfenced = store
        let model = try await Indexer.registerModel(
            of: embedder,
            in: unfenced,
            replacing: isReplacingModel
        )
        let store = store.fenced(by: fence)
        self.store = store
        indexer = Indexer(store: store, embedder: embedder, model: model, limits: limits)
        lexical = try await LexicalIndex(path: "\(directory)/lexical.sqlite", of: store)
        let identity = embedder.model
        let row = EmbeddingModelTable.Row(
            id: indexer.model,
            name: identity.name,
            revision: identity.revision,
            dimension: identity.dimension,
            isCurrent: true
        )
        switch backend {
        case .memory:
            windows = try await SearchIndex(
                store: store,
                identity: identity,
                model: row.id,
                directory: directory,
                role: .writer,
                options: options
            )
            let state = try await VectorMirror.prepare(unfenced)
            mirrored = state.isReady ? row : nil
        case .pgvector:
            windows = try await DatabaseIndex(store: store, model: row)
            mirrored = row
        }
        search = IssueSearch(store: store, embedder: embedder, index: windows, lexical: lexical)
        duplicates = Duplicates(search: search, limits: duplicateLimits)
    }

    /// Works off the backlog whenever it is woken, and a last time when the wake-ups end.
    package func run(
        following wakeUps: AsyncStream<Void>,
        progress: @Sendable (IndexReport) -> Void = { _ in }
    ) async throws -> IndexReport {
        var report = IndexReport()
        for await _ in wakeUps {
            try await work(&report, progress)
        }
        report += try await drain(progress: progress)
        return report
    }

    /// Works off everything that is waiting, drops what old models left, and saves a snapshot when
    /// it spares readers work.
    ///
    /// The mirror's index is none of it: making it takes minutes and waits for everybody's old
    /// transactions, and whoever drains keeps others from indexing.
    package func drain(
        progress: @Sendable (IndexReport) -> Void = { _ in }
    ) async throws -> IndexReport {
        var report = IndexReport()
        try await work(&report, progress)
        report.dropped += try await indexer.dropOldModels()
        if let mirrored {
            // What was written before there was a mirror, or by a program that knows of none.
            try await VectorMirror.catchUp(store, with: mirrored)
        }
        try await windows.saveIfWorthwhile()
        return report
    }

    /// Changed issues and comments not yet looked at.
    package func backlog() async throws -> Int {
        try await indexer.backlog()
    }

    /// Closes the files.
    package func close() async throws {
        try await lexical.close()
    }

    /// Windows that are not as their texts say, by issue.
    func verifyTexts() async throws -> [IssueID: Indexer.WindowFaults] {
        try await indexer.verifyTexts()
    }

    func restartIndexer() async throws {
        try await indexer.restart()
    }

    func restartDuplicates() async throws {
        try await duplicates.restart()
    }

    /// Embeds what is waiting; beside it what has vectors is compared, so that the encoder does not
    /// wait for the comparing.
    private func work(
        _ report: inout IndexReport,
        _ progress: @Sendable (IndexReport) -> Void
    ) async throws {
        let (steps, step) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        async let compared = compare(after: steps)
        do {
            var course = Indexer.Course()
            while let done = try await indexer.step(&course) {
                report += done
                progress(report)
                step.yield()
            }
            step.finish()
            report.compared += try await compared
        } catch {
            step.finish()
            // The next run need not insert again what this one has.
            if error is CancellationError { try await windows.saveIfWorthwhile() }
            throw error
        }
    }

    /// Compares whenever vectors were written, and a last time at the end: an earlier run may have
    /// left something behind.
    ///
    /// - Returns: The number of issues compared.
    @concurrent
    nonisolated private func compare(after steps: AsyncStream<Void>) async throws -> Int {
        var count = 0
        for await _ in steps { count += try await compare() }
        return count + (try await compare())
    }

    nonisolated private func compare() async throws -> Int {
        try await lexical.follow(store)
        try await windows.refresh()
        var count = 0
        while let compared = try await duplicates.step() {
            count += compared
            try await windows.saveIfWorthwhile(after: Self.changesBetweenSnapshots)
        }
        return count
    }
}

/// The directory of an account's index files.
package enum IndexDirectory {
    /// Makes it, and what is missing above it, for its owner only.
    package static func make(_ path: String) throws {
        var made = ""
        for part in path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        {
            made += String(decoding: part, as: UTF8.self)
            if !made.isEmpty, unsafe mkdir(made, 0o700) != 0, errno != EEXIST {
                let code = errno
                // A directory above may be unwritable and still be there.
                guard unsafe access(made, F_OK) == 0 else {
                    throw SearchError.file(path: made, code: code)
                }
            }
            made += "/"
        }
    }
}
