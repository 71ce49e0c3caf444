package import Domain

extension JobTable {
    /// The statement that adds many jobs, each unless one of its kind with its key waits.
    ///
    /// For work whose result does not depend on when it was asked for: a job that waits, or begins
    /// at this moment, does it for all. So it does not wait for whoever is claiming one of the same
    /// key, either. Whoever adds from several processes gives the drafts in the order of their
    /// keys, lest two transactions wait for each other.
    ///
    /// Nobody is woken in the transaction, for on PostgreSQL those that notify commit one after the
    /// other; see ``Database/wakeFollowers(of:)``.
    ///
    /// - Parameters:
    ///   - drafts: All unique while they wait.
    ///   - account: Whose.
    /// - Returns: The statement; it is run for none where there are none.
    /// - Throws: ``StoreError/constraint(detail:)`` when a payload is too large.
    package static func addition(
        of drafts: [Job.Draft],
        account: AccountID
    ) throws(StoreError) -> SQL {
        var rows = SQLTable([
            .integer, .text, .text, .json, .text, .timestamp, .integer, .timestamp,
        ])
        for draft in drafts {
            guard case .whileWaiting(let key) = draft.uniqueness else {
                preconditionFailure("many jobs are told apart by their keys")
            }
            let size = draft.payload.serialized().count
            guard size <= maximumPayloadBytes else {
                throw .constraint(detail: "a job's payload has \(size) bytes")
            }
            rows.append([
                SQLValue(account), .text(draft.id), .text(draft.kind.name), .json(draft.payload),
                .text(key), .timestamp(draft.dueAt), .integer(Int64(draft.maximumAttempts)),
                .timestamp(draft.createdAt),
            ])
        }
        // Not NOT EXISTS: that would be a join, and without statistics one with all jobs.
        return """
            WITH given (account_id, id, kind, payload, waiting_key, due_at, maximum_attempts,
                created_at) AS (\(rows: rows))
            INSERT INTO jobs (account_id, id, kind, payload, waiting_key, due_at,
                maximum_attempts, created_at)
            SELECT account_id, id, kind, payload, waiting_key, due_at, maximum_attempts,
                created_at
            FROM given
            WHERE (
                SELECT same.id FROM jobs AS same
                WHERE same.account_id = \(account) AND same.kind = given.kind
                    AND same.waiting_key = given.waiting_key AND same.state = 'waiting'
                LIMIT 1
            ) IS NULL
            ON CONFLICT (account_id, kind, waiting_key) WHERE state = 'waiting' DO NOTHING
            """
    }
}
