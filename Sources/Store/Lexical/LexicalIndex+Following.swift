package import Domain

extension LexicalIndex {
    /// Issues and comments taken from the feed at a time; their texts are what memory holds.
    private static let batchSize = 128

    /// Follows the feed: reads changed issues and comments and replaces their documents.
    ///
    /// - Parameters:
    ///   - store: The store the index belongs to.
    ///   - maximumBatches: Stop after so many batches although more is waiting; nil for none.
    /// - Returns: The number of documents written or removed.
    /// - Throws: ``StoreError``; what was written until then stays.
    @discardableResult
    package func follow(_ store: Store, maximumBatches: Int? = nil) async throws -> Int {
        var written = 0
        var batches = 0
        var resets = 0
        while batches < maximumBatches ?? .max {
            try Task.checkCancellation()
            do {
                guard let count = try await followOnce(store) else { return written }
                written += count
                batches += 1
            } catch StoreError.corrupt where resets == 0 {
                // Damaged behind the head of the file: found only now, made anew once.
                resets += 1
                try reset()
            }
        }
        return written
    }

    /// Makes the index anew from the store.
    package func rebuild(from store: Store) async throws {
        try reset()
        try await follow(store)
    }

    /// One batch; nil when nothing is waiting.
    private func followOnce(_ store: Store) async throws -> Int? {
        let cursor = try await state().revision
        let batch = try await store.read { connection, account in
            try Self.read(after: cursor, account: account, on: connection)
        }
        guard let batch else { return nil }
        if batch.isBehindIndex {
            // The store was restored from a backup: what the index knows is of a future that is
            // gone.
            try reset()
            return 0
        }
        let written = try await apply(
            batch.documents,
            removing: batch.removed,
            from: cursor,
            to: batch.revision
        )
        return written ? batch.documents.count + batch.removed.count : 0
    }

    private struct Batch: Sendable {
        var documents: [LexicalDocument] = []
        var removed: [IssueID] = []
        var revision: Revision
        var isBehindIndex = false
    }

    private static func read(
        after cursor: Revision,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> Batch? {
        let head = try AccountTable.currentRevision(account: account, on: connection)
        guard head >= cursor else { return Batch(revision: .zero, isBehindIndex: true) }
        let changes = try PassageTable.changedTexts(
            after: cursor,
            limit: batchSize,
            account: account,
            on: connection
        )
        guard let last = changes.last else {
            // Vectors have revisions, too: stepping over them tells others how fresh the index is.
            return head > cursor ? Batch(revision: head) : nil
        }
        let issues = Array(Set(changes.map(\.issue))).sorted()
        let documents = try documents(of: issues, account: account, on: connection)
        let live = Set(documents.map(\.issue))
        return Batch(
            documents: documents,
            removed: issues.filter { !live.contains($0) },
            revision: last.revision
        )
    }

    /// The documents of the issues among `issues` that are not deleted.
    package static func documents(
        of issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> [LexicalDocument] {
        let texts = try PassageTable.issueTexts(of: issues, account: account, on: connection)
        let comments = try PassageTable.commentTexts(
            ofIssues: issues,
            account: account,
            on: connection
        )
        let byIssue = Dictionary(grouping: comments, by: \.issue)
        return texts.filter { !$0.isDeleted }.map { text in
            LexicalDocument(
                issue: text.issue,
                title: text.title,
                body: text.body,
                comments: (byIssue[text.issue] ?? []).map(\.body)
            )
        }
    }
}
