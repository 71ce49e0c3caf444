import Store

extension IssueSearch {
    /// Batches of words that are taken in at once; a long first scan is the scan's to follow.
    private static let keptBatches = 8

    /// Takes in what the store has, and keeps it for whoever opens the indexes next.
    ///
    /// Without this a process that only takes changes in, and is never asked, leaves all of them to
    /// the first question of the next one.
    ///
    /// - Parameter changes: A snapshot is written when more than so many were taken in since the
    ///   last, or when there is none.
    /// - Returns: Whether a snapshot was written.
    /// - Throws: What the store and the index files refuse.
    @discardableResult
    package func checkpoint(after changes: Int = SearchIndex.saveThreshold) async throws -> Bool {
        _ = try await lexical.follow(store, maximumBatches: Self.keptBatches)
        try await index.refresh()
        return try await index.saveIfWorthwhile(after: changes)
    }

    /// Closes the words index, whose journal is then in its file; nothing is asked afterwards.
    package func close() async throws { try await lexical.close() }
}
