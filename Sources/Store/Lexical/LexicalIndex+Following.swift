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
        var progress = Progress()
        var batches = 0
        while batches < maximumBatches ?? .max {
            try Task.checkCancellation()
            do {
                try reopenIfReplaced()
                let cursor = try await revision()
                switch try await followOnce(store, from: cursor) {
                case .nothing: return progress.written
                case .wrote(let count): progress.advance(by: count)
                case .stayed: try await recover(&progress, at: cursor)
                }
                batches += 1
            } catch StoreError.corrupt where !progress.isReplaced {
                // Damaged behind the head of the file: found only now, made anew once.
                progress.isReplaced = true
                try replaceDamaged()
            }
        }
        return progress.written
    }

    /// Makes the index anew from the store.
    package func rebuild(from store: Store) async throws {
        try await reset()
        try await follow(store)
    }

    /// How far one call of ``follow(_:maximumBatches:)`` has come.
    private struct Progress {
        var written = 0
        var isReplaced = false
        /// Attempts in a row that left the cursor where it was.
        var stays = 0
        var cursor: Revision?

        mutating func advance(by count: Int) {
            written += count
            stays = 0
        }
    }

    private enum Outcome {
        /// Nothing is waiting.
        case nothing
        /// So many documents were written or removed.
        case wrote(Int)
        /// Nothing was written: another process moved the cursor, or the index was ahead.
        case stayed
    }

    /// After the second attempt from one cursor the file is opened anew, for it may have been
    /// replaced while it was in use; when that does not help, following gives up.
    private func recover(_ progress: inout Progress, at cursor: Revision) async throws {
        progress.stays = progress.cursor == cursor ? progress.stays + 1 : 1
        progress.cursor = cursor
        switch progress.stays {
        case 1, 3: break
        case 2: try reopen()
        default:
            throw StoreError.unavailable(detail: "the lexical index `\(path)` takes no documents")
        }
    }

    private func followOnce(_ store: Store, from cursor: Revision) async throws -> Outcome {
        let batch = try await store.read { connection, account in
            try Self.read(after: cursor, account: account, on: connection)
        }
        guard let batch else { return .nothing }
        if batch.isBehindIndex {
            // The store was restored from a backup: what the index knows is of a future that is
            // gone.
            try await reset()
            return .stayed
        }
        let isWritten = try await apply(
            batch.documents,
            removing: batch.removed,
            from: cursor,
            to: batch.revision
        )
        return isWritten ? .wrote(batch.documents.count + batch.removed.count) : .stayed
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
