import ArgumentParser
import Bootstrap
import Domain
import Store
import Sync

/// `preloop trackers remove`: takes out a tracker with everything that was read from it.
struct TrackersRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a tracker, its token and its issues.",
        discussion: """
            Our webhooks at the tracker are taken away first. Where the tracker refuses, the \
            command says which stay there, and goes on: what they deliver is refused.
            """
    )

    @Argument(help: "The tracker's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let tracker = try await installation.tracker(named: name)
        let removed = try await attempt("the tracker `\(name)` was not removed") {
            try await installation.removeWithWebhooks(tracker, by: Installation.localAuthor)
        }
        try await installation.close()
        for line in removed.leftovers {
            standardError("warning: a webhook may stay at the tracker; \(line)\n")
        }
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name), "issues_removed": .integer(Int64(removed.issues)),
                "webhooks_left": JSONValue(removed.leftovers),
            ])
            return
        }
        try Output.text(["Removed \(name) with \(counted(removed.issues, "issue"))."])
    }
}

extension Installation {
    /// Takes our webhooks away from a tracker, as far as it lets us, and removes it.
    ///
    /// - Parameters:
    ///   - tracker: Which; one that is being scanned stays as it is.
    ///   - author: Who removes it, for the record.
    ///   - check: Asked in the transaction that removes it.
    /// - Returns: The number of issues that went, and what stays at the tracker, a line each.
    /// - Throws: `StoreError.leaseHeld` while a scan runs, what the store refuses, and why it
    ///   cannot be recorded.
    func removeWithWebhooks(
        _ tracker: Tracker,
        by author: String,
        check: @escaping @Sendable (any SQLConnection, AccountID) throws -> Void = { _, _ in }
    ) async throws -> (issues: Int, leftovers: [String]) {
        let now = store.clock.now()
        let lease = ScanRunner.leaseName(of: tracker.id)
        let holder = try await store.read { connection, account in
            try LeaseTable.holder(of: lease, now: now, account: account, on: connection)
        }
        // Before anything is done at the tracker: the removal would be refused afterwards.
        if let holder { throw StoreError.leaseHeld(name: lease, holder: holder.description) }
        let leftovers = try await takeBackWebhooks(of: tracker, by: author)
        return (try await remove(tracker, by: author, check), leftovers)
    }

    /// Removes a tracker with all that was read from it; gives the number of issues.
    private func remove(
        _ tracker: Tracker,
        by author: String,
        _ check: @escaping @Sendable (any SQLConnection, AccountID) throws -> Void
    ) async throws -> Int {
        let now = store.clock.now()
        return try await store.write { connection, account in
            try check(connection, account)
            // A running scan would write into projects that are no longer there.
            let lease = try LeaseTable.acquire(
                ScanRunner.leaseName(of: tracker.id),
                holder: .current(),
                duration: .seconds(60),
                now: now,
                account: account,
                on: connection
            )
            // By the name it has now; nil when somebody else was faster.
            let current = try TrackerTable.find(tracker.id, account: account, on: connection)
            let count = try TrackerRemoval.remove(
                tracker.id,
                deletedAt: now,
                account: account,
                on: connection
            )
            try LeaseTable.release(lease, account: account, on: connection)
            if let current {
                try recordRemoval(of: current, issues: count, by: author, on: connection)
            }
            return count
        }
    }
}
