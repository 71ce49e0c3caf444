package import Domain

/// What becomes of a claimed job; each of these throws ``StoreError/leaseLost(name:)`` and leaves
/// the row as it is when another worker has claimed it meanwhile.
extension JobTable {
    /// Makes sure, inside the transaction that writes what a job does, that it is still ours.
    ///
    /// The row is locked until the transaction ends.
    package static func verify(
        _ claim: ClaimedJob,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let statement: SQL = """
            SELECT id FROM jobs
            WHERE account_id = \(account) AND \(isOurs(claim))
            """
        let rows =
            switch connection.dialect {
            case .sqlite: try connection.rows(statement)
            case .postgres: try connection.rows("\(statement) FOR UPDATE")
            }
        guard !rows.isEmpty else { throw lost(claim) }
    }

    /// Holds a job for longer.
    package static func extend(
        _ claim: ClaimedJob,
        lease: Duration,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        precondition(lease <= longestLease, "no lease is given for longer")
        let count = try connection.execute(
            """
            UPDATE jobs SET leased_until = \(now.advanced(by: lease))
            WHERE account_id = \(account) AND \(isOurs(claim))
            """
        )
        guard count == 1 else { throw lost(claim) }
    }

    /// The job is done.
    package static func complete(
        _ claim: ClaimedJob,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let count = try connection.execute(
            """
            UPDATE jobs SET state = 'done', holder = '', leased_until = NULL, last_error = NULL,
                ended_at = \(now)
            WHERE account_id = \(account) AND \(isOurs(claim))
            """
        )
        guard count == 1 else { throw lost(claim) }
    }

    /// The job failed: it is tried again at `dueAt`, or is dead when this was the last attempt.
    ///
    /// - Returns: Whether it is dead.
    @discardableResult
    package static func fail(
        _ claim: ClaimedJob,
        error: String,
        dueAt: Timestamp,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        guard claim.job.attempts < claim.job.maximumAttempts else {
            try bury(claim, error: error, now: now, account: account, on: connection)
            return true
        }
        try release(
            claim,
            attempts: claim.job.attempts,
            error: shortened(error),
            dueAt: dueAt,
            account: account,
            on: connection
        )
        return false
    }

    /// The job can never be done: it is dead, whatever attempts were left.
    package static func bury(
        _ claim: ClaimedJob,
        error: String,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let count = try connection.execute(
            """
            UPDATE jobs SET state = 'dead', holder = '', leased_until = NULL,
                last_error = \(shortened(error)), ended_at = \(now)
            WHERE account_id = \(account) AND \(isOurs(claim))
            """
        )
        guard count == 1 else { throw lost(claim) }
    }

    /// The job was not tried: it waits until `dueAt`, and the claim does not count.
    package static func giveBack(
        _ claim: ClaimedJob,
        reason: String?,
        dueAt: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try release(
            claim,
            attempts: claim.job.attempts - 1,
            error: reason.map(shortened),
            dueAt: dueAt,
            account: account,
            on: connection
        )
    }

    /// Lets a job wait again, or lets it go when one with its key has come to wait meanwhile.
    private static func release(
        _ claim: ClaimedJob,
        attempts: Int,
        error: String?,
        dueAt: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        // The newcomer inherits failures and back-off: it is the same work.
        let merged = try connection.execute(
            """
            UPDATE jobs SET
                attempts = CASE WHEN attempts < \(attempts) THEN \(attempts) ELSE attempts END,
                due_at = CASE WHEN due_at < \(dueAt) THEN \(dueAt) ELSE due_at END,
                last_error = \(error)
            WHERE account_id = \(account) AND state = 'waiting' AND kind = \(claim.job.kind.name)
                AND waiting_key = (SELECT waiting_key FROM jobs
                    WHERE account_id = \(account) AND \(isOurs(claim)))
            """
        )
        let count =
            merged > 0
            ? try connection.execute(
                "DELETE FROM jobs WHERE account_id = \(account) AND \(isOurs(claim))"
            )
            : try connection.execute(
                """
                UPDATE jobs SET state = 'waiting', holder = '', leased_until = NULL,
                    attempts = \(attempts), last_error = \(error), due_at = \(dueAt)
                WHERE account_id = \(account) AND \(isOurs(claim))
                """
            )
        guard count == 1 else { throw lost(claim) }
        try AccountTable.wakeFollowers(of: account, on: connection)
    }

    private static func isOurs(_ claim: ClaimedJob) -> SQL {
        """
        id = \(claim.job.id) AND fence = \(claim.fence) AND holder = \(claim.holder.text)
        AND state = 'running'
        """
    }

    private static func lost(_ claim: ClaimedJob) -> StoreError {
        .leaseLost(name: "\(claim.job.kind) \(claim.job.id)")
    }

    // MARK: By hand and by time

    /// Gives a dead job all its attempts again.
    ///
    /// - Returns: Whether there is such a dead job.
    /// - Throws: ``StoreError/constraint(detail:)`` when the same work waits already.
    package static func revive(
        _ id: String,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let count = try connection.execute(
            """
            UPDATE jobs SET state = 'waiting', attempts = 0, due_at = \(now), ended_at = NULL
            WHERE account_id = \(account) AND id = \(id) AND state = 'dead'
            """
        )
        try AccountTable.wakeFollowers(of: account, on: connection)
        return count == 1
    }

    /// Takes away what waits or is dead; what runs is its worker's.
    ///
    /// - Returns: Whether there was such a job.
    package static func discard(
        _ id: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try connection.execute(
            """
            DELETE FROM jobs
            WHERE account_id = \(account) AND id = \(id) AND state IN ('waiting', 'dead')
            """
        ) == 1
    }

    /// Takes away those of a kind that wait under keys for being kept that begin so.
    ///
    /// - Parameters:
    ///   - kind: Of which.
    ///   - beginning: Ends with a slash, so that it is the beginning of no other key.
    ///   - account: Whose.
    ///   - connection: A transaction.
    /// - Throws: What the database refuses.
    package static func discard(
        _ kind: JobKind,
        keysBeginning beginning: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        precondition(beginning.utf8.last == UInt8(ascii: "/"), "a beginning ends with a slash")
        // A zero is what comes after a slash: a range is found by the index of the keys.
        let end = beginning.dropLast() + "0"
        try connection.execute(
            """
            DELETE FROM jobs
            WHERE account_id = \(account) AND kind = \(kind.name) AND state = 'waiting'
                AND once_key > \(beginning) AND once_key < \(String(end))
            """
        )
    }

    /// Removes jobs that ended long ago, a bounded number.
    ///
    /// - Returns: The number of rows removed; less than `limit` when nothing is left.
    package static func prune(
        doneBefore done: Timestamp,
        deadBefore dead: Timestamp,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        try connection.execute(
            """
            DELETE FROM jobs
            WHERE account_id = \(account) AND id IN (
                SELECT id FROM jobs
                WHERE account_id = \(account) AND (
                    (state = 'done' AND ended_at < \(done))
                    OR (state = 'dead' AND ended_at < \(dead)))
                ORDER BY id LIMIT \(limit))
            """
        )
    }
}
