package import Domain

/// Jobs: enqueued in the transaction that makes them necessary, claimed by one process at a time.
///
/// None of it takes the feed lock (``Store/writeOutsideFeed(_:)``): on PostgreSQL rows are claimed
/// by `FOR UPDATE SKIP LOCKED`, on SQLite a write transaction is alone anyway. A job is run once at
/// least; handlers must bear a repetition, or write what they do in one transaction with
/// ``complete(_:now:account:on:)``.
package enum JobTable {
    /// As JSON: a webhook delivery with long texts; what is larger belongs into a table of its own.
    package static let maximumPayloadBytes = 1_048_576
    /// The beginning of an error tells the most.
    private static let maximumErrorCharacters = 2_000
    /// No lease is given for longer: an end further away was written by a clock that was wrong.
    package static let longestLease = Duration.seconds(600)
    /// Jobs that run at once in an account are those of its workers: more are not looked through.
    private static let maximumRunning = 1_000

    private static let columns: SQL = """
        id, kind, payload, state, due_at, attempts, maximum_attempts, last_error, holder, fence,
        leased_until, created_at, ended_at
        """

    /// Adds a job unless it is the same as one that is there.
    ///
    /// The job it is the same as stays locked until the transaction ends, so that nobody begins it
    /// before what is written here can be seen.
    ///
    /// - Returns: Whether it was added.
    /// - Throws: ``StoreError/constraint(detail:)`` when the payload is too large.
    @discardableResult
    package static func enqueue(
        _ draft: Job.Draft,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let size = draft.payload.serialized().count
        guard size <= maximumPayloadBytes else {
            throw .constraint(
                detail: "a job's payload has \(size) bytes, \(maximumPayloadBytes) are the most"
            )
        }
        var waitingKey: String?
        var onceKey: String?
        var onConflict: SQL = ""
        switch draft.uniqueness {
        case .none: break
        case .whileWaiting(let key):
            waitingKey = key
            onConflict = """
                ON CONFLICT (account_id, kind, waiting_key) WHERE state = 'waiting'
                DO UPDATE SET due_at = CASE WHEN excluded.due_at < jobs.due_at
                    THEN excluded.due_at ELSE jobs.due_at END
                """
        case .whileKept(let key):
            onceKey = key
            onConflict = "ON CONFLICT (account_id, kind, once_key) DO NOTHING"
        }
        let rows = try connection.rows(
            """
            INSERT INTO jobs (account_id, id, kind, payload, waiting_key, once_key, due_at,
                maximum_attempts, created_at)
            VALUES (\(account), \(draft.id), \(draft.kind.name), \(draft.payload), \(waitingKey),
                \(onceKey), \(draft.dueAt), \(draft.maximumAttempts), \(draft.createdAt))
            \(onConflict)
            RETURNING id
            """
        )
        try AccountTable.wakeFollowers(of: account, on: connection)
        guard let row = rows.first else { return false }
        return haveEqualBytes(try row.text("id"), draft.id)
    }

    /// Takes due jobs, the longest due first, and jobs whose worker is gone.
    ///
    /// A job whose worker was lost in its last attempt is dead instead. `isDead` says whether a
    /// holder is known to be dead; outside tests it is left at its default.
    package static func claim(
        _ request: ClaimRequest,
        isDead: (LeaseHolder) -> Bool = \.isKnownDead,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ClaimedJob] {
        precondition(request.lease <= longestLease, "no lease is given for longer")
        guard request.limit > 0, !request.kinds.isEmpty else { return [] }
        let kinds = names(request.kinds)
        let running = try connection.rows(
            """
            SELECT \(columns) FROM jobs
            WHERE account_id = \(account) AND state = 'running' AND kind IN (\(kinds))
            ORDER BY due_at, id LIMIT \(maximumRunning)
            \(skippingLocked(connection.dialect))
            """
        )
        let due = try connection.rows(
            """
            SELECT \(columns) FROM jobs
            WHERE account_id = \(account) AND state = 'waiting' AND due_at <= \(request.now)
                AND kind IN (\(kinds))
            ORDER BY due_at, id LIMIT \(request.limit)
            \(skippingLocked(connection.dialect))
            """
        )
        var found: [SQLRow] = []
        for row in running where try job(row).isLost(at: request.now, isDead: isDead) {
            found.append(row)
        }
        found += due
        var claimed: [ClaimedJob] = []
        for row in found where claimed.count < request.limit {
            if let job = try claim(row, request, account: account, on: connection) {
                claimed.append(job)
            }
        }
        return claimed
    }

    /// Who claims what.
    package struct ClaimRequest: Sendable {
        package var kinds: [JobKind]
        package var limit: Int
        package var holder: LeaseHolder
        /// At most ``JobTable/longestLease``.
        package var lease: Duration
        package var now: Timestamp

        package init(
            _ kinds: [JobKind],
            limit: Int,
            holder: LeaseHolder,
            lease: Duration,
            now: Timestamp
        ) {
            self.kinds = kinds
            self.limit = limit
            self.holder = holder
            self.lease = lease
            self.now = now
        }
    }

    /// Takes every running job from its worker; another one may claim it at once.
    static func forgetHolders(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE jobs SET holder = '', fence = fence + 1, leased_until = NULL
            WHERE account_id = \(account) AND state = 'running'
            """
        )
    }

    /// Nil for a job that is given up.
    private static func claim(
        _ row: SQLRow,
        _ request: ClaimRequest,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> ClaimedJob? {
        var job = try job(row)
        let fence = try row.integer("fence") + 1
        guard job.attempts < job.maximumAttempts else {
            let error = "its worker was lost \(job.attempts) times"
            try connection.execute(
                """
                UPDATE jobs SET state = 'dead', holder = '', fence = \(fence),
                    leased_until = NULL, last_error = \(error), ended_at = \(request.now)
                WHERE account_id = \(account) AND id = \(job.id)
                """
            )
            return nil
        }
        job.state = .running
        job.attempts += 1
        job.holder = request.holder
        try connection.execute(
            """
            UPDATE jobs SET state = 'running', attempts = \(job.attempts), fence = \(fence),
                holder = \(request.holder.text),
                leased_until = \(request.now.advanced(by: request.lease))
            WHERE account_id = \(account) AND id = \(job.id)
            """
        )
        return ClaimedJob(job: job, holder: request.holder, fence: fence)
    }

    private static func skippingLocked(_ dialect: SQLDialect) -> SQL {
        switch dialect {
        case .sqlite: ""
        case .postgres: "FOR UPDATE SKIP LOCKED"
        }
    }

    /// When the next job of these kinds that waits is due; nil when none does.
    package static func nextDue(
        of kinds: [JobKind],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Timestamp? {
        guard !kinds.isEmpty else { return nil }
        return try connection.rows(
            """
            SELECT due_at FROM jobs
            WHERE account_id = \(account) AND state = 'waiting' AND kind IN (\(names(kinds)))
            ORDER BY due_at LIMIT 1
            """
        ).first?.timestamp("due_at")
    }

    /// Whether there is anything of these kinds that a worker might claim: jobs that are due, and
    /// those that run, of which only their claim tells whether their worker is gone.
    package static func hasWork(
        of kinds: [JobKind],
        dueBy now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        guard !kinds.isEmpty else { return false }
        return try !connection.rows(
            """
            SELECT id FROM jobs
            WHERE account_id = \(account) AND state IN ('waiting', 'running')
                AND due_at <= \(now) AND kind IN (\(names(kinds)))
            LIMIT 1
            """
        ).isEmpty
    }

    private static func names(_ kinds: [JobKind]) -> SQL {
        "\(kinds.map { "\($0.name)" as SQL }, separator: ", ")"
    }

    /// A job; nil when there is none of that identifier.
    package static func find(
        _ id: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Job? {
        try connection.rows(
            "SELECT \(columns) FROM jobs WHERE account_id = \(account) AND id = \(id)"
        ).first.map(job)
    }

    /// Jobs in a state, the earliest due first.
    package static func list(
        _ state: Job.State,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Job] {
        try connection.rows(
            """
            SELECT \(columns) FROM jobs
            WHERE account_id = \(account) AND state = \(state.rawValue)
            ORDER BY due_at, id LIMIT \(limit)
            """
        ).map(job)
    }

    /// How many jobs there are, by kind and state.
    package static func counts(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [JobCount] {
        let rows = try connection.rows(
            """
            SELECT kind, state, COUNT(*) AS total FROM jobs WHERE account_id = \(account)
            GROUP BY kind, state ORDER BY kind, state
            """
        )
        var counts: [JobCount] = []
        for row in rows {
            counts.append(
                JobCount(
                    kind: JobKind(try row.text("kind")),
                    state: try state(row),
                    count: Int(try row.integer("total"))
                )
            )
        }
        return counts
    }

    // MARK: Reading rows

    private static func job(_ row: SQLRow) throws(StoreError) -> Job {
        Job(
            id: try row.text("id"),
            kind: JobKind(try row.text("kind")),
            payload: try row.json("payload"),
            state: try state(row),
            dueAt: try row.timestamp("due_at"),
            attempts: Int(try row.integer("attempts")),
            maximumAttempts: Int(try row.integer("maximum_attempts")),
            lastError: try row.optionalText("last_error"),
            createdAt: try row.timestamp("created_at"),
            endedAt: try row.optionalTimestamp("ended_at"),
            holder: LeaseHolder(text: try row.text("holder")),
            leasedUntil: try row.optionalTimestamp("leased_until")
        )
    }

    private static func state(_ row: SQLRow) throws(StoreError) -> Job.State {
        guard let state = Job.State(rawValue: try row.text("state")) else {
            throw .unexpectedValue(column: "jobs.state")
        }
        return state
    }

    /// What is kept of an error.
    static func shortened(_ error: String) -> String {
        String(error.prefix(maximumErrorCharacters))
    }
}
