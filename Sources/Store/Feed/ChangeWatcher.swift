package import Domain

/// Tells a follower when there is something new in the feed.
///
/// It waits for the engine's sign of a commit, at an interval looks without one, and then reads the
/// account's revision. A wake-up lost or late costs time, never a change: followers read from their
/// cursor.
package struct ChangeWatcher: Sendable {
    /// Short beside the time an embedding takes, and one `PRAGMA` costs microseconds.
    package static let defaultInterval = Duration.milliseconds(250)

    private let store: Store
    private let interval: Duration

    /// A watcher of the store's account.
    package init(_ store: Store, interval: Duration = Self.defaultInterval) {
        self.store = store
        self.interval = interval
    }

    /// Waits until the account's revision is greater than `revision`.
    ///
    /// - Returns: The account's revision then.
    /// - Throws: `CancellationError`, and what the store refuses.
    package func waitForChange(after revision: Revision) async throws -> Revision {
        while true {
            // The token is read before the revision: a commit between the two moves the next token.
            let token = try await store.database.changeToken()
            let current = try await store.read { connection, account in
                try AccountTable.currentRevision(account: account, on: connection)
            }
            if current > revision { return current }
            while try await !store.database.waitForChange(after: token, atMost: interval) {}
        }
    }
}
