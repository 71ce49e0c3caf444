import Store

extension IssueSearch {
    /// Changed texts that are embedded at once: some seconds of work at most.
    private static let writtenTexts = 64
    /// Pages they may take.
    private static let writtenSteps = 3

    /// Embeds what waits when it is little, so that what was just written is found by its meaning.
    ///
    /// More than a page is left to the next indexing, and so are the pairs of duplicates. Another
    /// indexer may run at the same time (see ``Indexer``).
    ///
    /// - Returns: Whether nothing waits any more.
    @discardableResult
    package func embedWritten() async throws -> Bool {
        let model = index.model
        let isCurrent = try await store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
                .contains { $0.isCurrent && $0.id == model }
        }
        // Another process may have changed the model: then this one's vectors are of no use.
        guard isCurrent else { return false }
        let indexer = Indexer(store: store, embedder: embedder, model: model)
        guard try await indexer.backlog() <= Self.writtenTexts else {
            return false
        }
        // A scan beside us writes on: its own indexer takes what is more than this.
        var course = Indexer.Course()
        for _ in 0..<Self.writtenSteps where try await indexer.step(&course) == nil { return true }
        return false
    }
}
