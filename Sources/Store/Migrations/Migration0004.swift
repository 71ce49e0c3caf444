extension Migration {
    /// Work that is to be done once, later, by whichever process is free, and when each tracker is
    /// to be scanned.
    ///
    /// The key of a job is made by whoever enqueues it, not drawn from the account's counter: a
    /// delivery must not wait for the feed lock.
    static let jobs = Migration(
        number: 4,
        name: "jobs and schedules",
        statements: [
            """
            CREATE TABLE jobs (
                account_id BIGINT NOT NULL,
                -- Of the time it was made and chance, so that equal due times keep their order.
                id TEXT NOT NULL,
                kind TEXT NOT NULL,
                payload JSONB NOT NULL,
                -- Collapses what is asked for again while it waits.
                waiting_key TEXT,
                -- Refuses what has come before, as long as its row is kept.
                once_key TEXT,
                state TEXT NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'running', 'done', 'dead')),
                due_at TIMESTAMPTZ NOT NULL,
                attempts BIGINT NOT NULL DEFAULT 0,
                maximum_attempts BIGINT NOT NULL,
                last_error TEXT,
                -- Who runs it, as LeaseHolder writes it; empty when nobody does.
                holder TEXT NOT NULL DEFAULT '',
                -- Grows with every claim; whoever runs the job proves with it that it is still his.
                fence BIGINT NOT NULL DEFAULT 0,
                leased_until TIMESTAMPTZ,
                created_at TIMESTAMPTZ NOT NULL,
                ended_at TIMESTAMPTZ,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, kind, once_key)
            )
            """,
            "CREATE INDEX jobs_by_due ON jobs (account_id, state, due_at, id)",
            """
            CREATE UNIQUE INDEX jobs_by_waiting_key ON jobs (account_id, kind, waiting_key)
            WHERE state = 'waiting'
            """,
            """
            CREATE TABLE scan_schedules (
                account_id BIGINT NOT NULL,
                tracker_id BIGINT NOT NULL,
                -- NULL for the installation's own; 0 for never.
                interval_s BIGINT,
                -- NULL until the scheduler has seen the tracker.
                next_at TIMESTAMPTZ,
                -- Scans that failed one after the other.
                failures BIGINT NOT NULL DEFAULT 0,
                last_error TEXT,
                last_started_at TIMESTAMPTZ,
                last_ended_at TIMESTAMPTZ,
                PRIMARY KEY (account_id, tracker_id)
            )
            """,
        ]
    )
}
