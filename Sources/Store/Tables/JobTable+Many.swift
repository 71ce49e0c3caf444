package import Domain

extension JobTable {
    /// Adds many jobs in one statement, each unless one of its kind with its key waits.
    ///
    /// For work whose result does not depend on when it was asked for: a job that waits, or begins
    /// at this moment, does it for all. Whoever adds from several processes gives the drafts in the
    /// order of their keys, lest two transactions wait for each other.
    package static func enqueueMany(
        _ drafts: [Job.Draft],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        guard !drafts.isEmpty else { return }
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
        // Without WHERE SQLite would take ON for the beginning of a join.
        try connection.execute(
            """
            WITH given (account_id, id, kind, payload, waiting_key, due_at, maximum_attempts,
                created_at) AS (\(rows: rows))
            INSERT INTO jobs (account_id, id, kind, payload, waiting_key, due_at,
                maximum_attempts, created_at)
            SELECT account_id, id, kind, payload, waiting_key, due_at, maximum_attempts,
                created_at
            FROM given WHERE TRUE
            ON CONFLICT (account_id, kind, waiting_key) WHERE state = 'waiting' DO NOTHING
            """
        )
        try AccountTable.wakeFollowers(of: account, on: connection)
    }
}
