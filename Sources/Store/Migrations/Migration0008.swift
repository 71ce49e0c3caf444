extension Migration {
    /// Calls that wait for an approval, what happened to them, and the links that decide.
    ///
    /// Arguments and results are sealed like credentials; what people are shown is a redacted copy.
    /// Of links only digests are kept.
    static let approvals = Migration(
        number: 8,
        name: "approvals",
        statements: [
            """
            CREATE TABLE approval_requests (
                account_id BIGINT NOT NULL,
                -- Made by the caller, in the order of time.
                id TEXT NOT NULL,
                -- call, or question: something asked for in words, with nothing to run.
                kind TEXT NOT NULL,
                tool TEXT NOT NULL,
                -- On whose behalf, such as user:ann, and by which credential.
                requester TEXT NOT NULL,
                credential TEXT,
                channel TEXT NOT NULL,
                -- The workflow's name, and its terms as they were then.
                workflow TEXT NOT NULL,
                terms JSONB NOT NULL,
                rule TEXT,
                message TEXT,
                justification TEXT,
                policy_version BIGINT NOT NULL,
                -- SHA-256 of the exact call.
                digest BYTEA NOT NULL,
                -- What would run, sealed for the row.
                sealed_call BYTEA NOT NULL,
                -- What approvers see of the arguments.
                shown JSONB NOT NULL,
                status TEXT NOT NULL,
                requested_at TIMESTAMPTZ NOT NULL,
                expires_at TIMESTAMPTZ NOT NULL,
                escalated_at TIMESTAMPTZ,
                resolved_at TIMESTAMPTZ,
                resolved_by TEXT,
                resolution TEXT,
                votes JSONB NOT NULL,
                -- Until when the same call may run again without being asked about.
                remembered_until TIMESTAMPTZ,
                -- none, claimed or done: a claim is made once, before anything runs.
                execution TEXT NOT NULL DEFAULT 'none',
                claimed_at TIMESTAMPTZ,
                claimed_by TEXT,
                executed_at TIMESTAMPTZ,
                sealed_result BYTEA,
                -- Grows with every change of the request's life.
                version BIGINT NOT NULL DEFAULT 0,
                PRIMARY KEY (account_id, id)
            )
            """,
            """
            CREATE INDEX approval_requests_by_status
            ON approval_requests (account_id, status, requested_at)
            """,
            """
            CREATE INDEX approval_requests_by_resolution
            ON approval_requests (account_id, resolved_at)
            """,
            """
            CREATE INDEX approval_requests_by_digest
            ON approval_requests (account_id, digest)
            """,
            """
            CREATE TABLE approval_events (
                account_id BIGINT NOT NULL,
                request_id TEXT NOT NULL,
                number BIGINT NOT NULL,
                kind TEXT NOT NULL,
                actor TEXT,
                detail TEXT,
                created_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, request_id, number)
            )
            """,
            """
            CREATE TABLE approval_tokens (
                account_id BIGINT NOT NULL,
                -- SHA-256 of the token.
                digest BYTEA NOT NULL,
                request_id TEXT NOT NULL,
                -- In whose name it decides, such as user:ann or link:slack.
                approver TEXT NOT NULL,
                issued_at TIMESTAMPTZ NOT NULL,
                expires_at TIMESTAMPTZ NOT NULL,
                used_at TIMESTAMPTZ,
                PRIMARY KEY (account_id, digest)
            )
            """,
            """
            CREATE INDEX approval_tokens_by_request
            ON approval_tokens (account_id, request_id)
            """,
        ]
    )
}
