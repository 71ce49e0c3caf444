package import Domain

/// One read of the feed: changes and how far the reader has come with them.
package struct FeedPage: Sendable, Equatable {
    /// The changes after the revision asked for, oldest first.
    package var changes: [FeedChange]
    /// Where to go on: everything up to here has been seen.
    package var position: Revision
    /// Whether there was nothing more when the page was read.
    package var isLast: Bool
}

extension Store {
    /// Reads the next page of the feed on one snapshot.
    ///
    /// `revision` is the ``FeedPage/position`` of the page before or a follower's cursor. Changes
    /// hold identifiers only, so a `limit` of thousands is cheap.
    package func feed(
        after revision: Revision,
        limit: Int = 1000,
        kinds: Set<FeedTable.Kind> = Set(FeedTable.Kind.allCases)
    ) async throws -> FeedPage {
        precondition(limit > 0, "a page has room for a change")
        return try await read { connection, account in
            let changes = try FeedTable.changes(
                after: revision,
                limit: limit,
                kinds: kinds,
                account: account,
                on: connection
            )
            guard changes.count < limit else {
                return FeedPage(
                    changes: changes,
                    position: changes[changes.count - 1].revision,
                    isLast: false
                )
            }
            // Nothing is left: skip revisions of other kinds and of rows that moved on, too.
            let current = try AccountTable.currentRevision(account: account, on: connection)
            return FeedPage(changes: changes, position: max(current, revision), isLast: true)
        }
    }
}
