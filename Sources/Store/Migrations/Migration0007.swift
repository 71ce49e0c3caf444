extension Migration {
    /// The audit: every decision and call, in a chain of hashes for each account.
    ///
    /// It takes the place of `tool_calls`, whose rows stay until they are old enough to be removed.
    /// Words such as decisions are not listed in the schema: they grow with the program, which
    /// checks them when it reads. Documents are texts, since they are hashed byte by byte.
    static let audit = Migration(
        number: 7,
        name: "audit",
        statements: [
            """
            CREATE TABLE audit_events (
                account_id BIGINT NOT NULL,
                -- 1, 2, 3… without gaps.
                sequence BIGINT NOT NULL,
                kind TEXT NOT NULL,
                happened_at TIMESTAMPTZ NOT NULL,
                -- What belongs to one call has its identifier.
                call_id TEXT,
                caller TEXT NOT NULL,
                channel TEXT,
                client TEXT,
                session TEXT,
                -- Whose tool it is; NULL for the gateway's own.
                server TEXT,
                tool TEXT,
                decision TEXT,
                outcome TEXT,
                rule TEXT,
                policy_version BIGINT,
                approval_id TEXT,
                reason TEXT,
                -- Redacted.
                arguments TEXT,
                findings TEXT,
                -- Under the account's key, so that nobody can try what they were.
                arguments_digest BYTEA,
                result_digest BYTEA,
                result_bytes BIGINT,
                duration_us BIGINT,
                trace_parent TEXT,
                -- SHA-256 over the hash before it and all of the above.
                hash BYTEA NOT NULL,
                PRIMARY KEY (account_id, sequence)
            )
            """,
            "CREATE INDEX audit_events_by_call ON audit_events (account_id, call_id)",
            "CREATE INDEX audit_events_by_time ON audit_events (account_id, happened_at)",
            """
            CREATE TABLE audit_chains (
                account_id BIGINT NOT NULL,
                -- Where the chain ends; the row is the lock of whoever goes on with it.
                sequence BIGINT NOT NULL,
                hash BYTEA NOT NULL,
                signed_at TIMESTAMPTZ NOT NULL,
                -- Which key has signed; empty, like the signature, before the first event.
                key_id TEXT NOT NULL,
                signature BYTEA NOT NULL,
                PRIMARY KEY (account_id)
            )
            """,
            """
            CREATE TABLE audit_checkpoints (
                account_id BIGINT NOT NULL,
                -- cut, where the chain begins after older events were removed; mark, on the way.
                kind TEXT NOT NULL,
                sequence BIGINT NOT NULL,
                hash BYTEA NOT NULL,
                signed_at TIMESTAMPTZ NOT NULL,
                key_id TEXT NOT NULL,
                signature BYTEA NOT NULL,
                PRIMARY KEY (account_id, kind, sequence)
            )
            """,
        ]
    )
}
