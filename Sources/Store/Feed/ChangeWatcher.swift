package import Domain

/// Tells a follower when there is something new in the feed.
///
/// It asks for ``Database/changeToken()`` at an interval and reads the account's revision only when
/// the token has moved. A wake-up lost or late costs time, never a change: followers read from
/// their cursor.
package struct ChangeWatcher: Sendable {
    /// Short beside the time an embedding takes, and one `PRAGMA` costs microseconds.
    package static let defaultInterval = Duration.milliseconds(250)

    private let store: Store
    private let interval: Duration
    private let clock: any Clock<Duration>

    /// A watcher of the store's account.
    package init(
        _ store: Store,
        interval: Duration = Self.defaultInterval,
        clock: any Clock<Duration> = .continuous
    ) {
        self.store = store
        self.interval = interval
        self.clock = clock
    }

    /// Waits until the account's revision is greater than `revision`.
    ///
    /// - Returns: The account's revision then.
    /// - Throws: `CancellationError`, and what the store refuses.
    package func waitForChange(after revision: Revision) async throws -> Revision {
        // The token is read before the revision: a commit between the two moves the next token.
        var token = try await store.database.changeToken()
        while true {
            let current = try await store.read { connection, account in
                try AccountTable.currentRevision(account: account, on: connection)
            }
            if current > revision { return current }
            token = try await waitForToken(otherThan: token)
        }
    }

    private func waitForToken(otherThan token: Int64) async throws -> Int64 {
        while true {
            try await clock.sleep(for: interval)
            let next = try await store.database.changeToken()
            if next != token { return next }
        }
    }
}
