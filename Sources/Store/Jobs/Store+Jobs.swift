package import Domain

extension Database {
    /// Wakes whoever waits for something new in these accounts, in a transaction of its own.
    ///
    /// On SQLite a commit tells of itself.
    package func wakeFollowers(of accounts: [AccountID]) async throws {
        switch dialect {
        case .sqlite: return
        case .postgres:
            try await write { connection in
                for account in accounts {
                    try AccountTable.wakeFollowers(of: account, on: connection)
                }
            }
        }
    }
}

extension Store {
    /// Adds a job in a transaction of its own; see ``JobTable/enqueue(_:account:on:)``.
    @discardableResult
    package func enqueue(_ draft: Job.Draft) async throws -> Bool {
        try await writeOutsideFeed { connection, account in
            try JobTable.enqueue(draft, account: account, on: connection)
        }
    }

    /// Takes due jobs; see ``JobTable/claim(_:isDead:account:on:)``.
    package func claim(_ request: JobTable.ClaimRequest) async throws -> [ClaimedJob] {
        try await writeOutsideFeed { connection, account in
            try JobTable.claim(request, account: account, on: connection)
        }
    }

    /// Writes what becomes of a claimed job.
    ///
    /// - Throws: ``StoreError/leaseLost(name:)`` when it is no longer ours.
    package func end(_ claim: ClaimedJob, _ ending: JobEnding) async throws {
        let now = clock.now()
        for attempt in 1... {
            do {
                try await writeOutsideFeed { connection, account in
                    try ending.write(claim, now: now, account: account, on: connection)
                }
                return
            } catch StoreError.constraint where attempt < Self.maximumEndings {
                // The same work was enqueued between two statements; now it is there to be seen.
            }
        }
    }

    /// How often the same work can be enqueued at just the wrong moment before we wonder.
    private static var maximumEndings: Int { 8 }

    /// Removes jobs that ended long ago.
    ///
    /// - Returns: The number of rows removed.
    package func pruneJobs(_ retention: JobRetention = JobRetention()) async throws -> Int {
        let now = clock.now()
        var total = 0
        while true {
            let count = try await writeOutsideFeed { connection, account in
                try JobTable.prune(
                    doneBefore: now.advanced(by: .zero - retention.done),
                    deadBefore: now.advanced(by: .zero - retention.dead),
                    limit: retention.batch,
                    account: account,
                    on: connection
                )
            }
            total += count
            guard count == retention.batch else { return total }
        }
    }
}

/// How long ended jobs are kept.
package struct JobRetention: Sendable {
    /// Services repeat a delivery for three days at most; someone may look for it a while longer.
    package var done = Duration.seconds(7 * 86_400)
    /// Long enough to be noticed by whoever looks once a month.
    package var dead = Duration.seconds(60 * 86_400)
    /// Rows in a transaction.
    package var batch = 1_000

    /// The usual ones.
    package init() {}
}

/// What becomes of a job that was run.
package enum JobEnding: Sendable, Equatable {
    case done
    /// Tried again at an instant, unless it was the last attempt.
    case failed(error: String, retryAt: Timestamp)
    /// Not tried: waits until an instant, and the attempt does not count.
    case givenBack(reason: String?, until: Timestamp)
    /// Never to be tried again.
    case hopeless(error: String)

    func write(
        _ claim: ClaimedJob,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        switch self {
        case .done:
            try JobTable.complete(claim, now: now, account: account, on: connection)
        case .failed(let error, let retryAt):
            try JobTable.fail(
                claim,
                error: error,
                dueAt: retryAt,
                now: now,
                account: account,
                on: connection
            )
        case .givenBack(let reason, let until):
            try JobTable.giveBack(
                claim,
                reason: reason,
                dueAt: until,
                account: account,
                on: connection
            )
        case .hopeless(let error):
            try JobTable.bury(claim, error: error, now: now, account: account, on: connection)
        }
    }
}
