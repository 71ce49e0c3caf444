extension Migration {
    /// Calls of tools, written before a call runs and again when it has ended.
    ///
    /// The key is made by the caller, not drawn from the account's counter: a call must not wait
    /// for the feed lock. Arguments themselves are not kept, only a digest that tells equal calls.
    static let toolCalls = Migration(
        number: 3,
        name: "tool calls",
        statements: [
            """
            CREATE TABLE tool_calls (
                account_id BIGINT NOT NULL,
                id TEXT NOT NULL,
                tool TEXT NOT NULL,
                caller TEXT NOT NULL,
                channel TEXT NOT NULL,
                -- What the client says of itself; not verified by anybody.
                client TEXT,
                -- SHA-256 of the arguments as JSON with sorted keys.
                arguments_digest BYTEA NOT NULL,
                decision TEXT NOT NULL CHECK (decision IN ('allow', 'deny', 'none')),
                reason TEXT,
                -- running: begun, and its end not written (yet).
                outcome TEXT NOT NULL CHECK (outcome IN ('running', 'succeeded', 'failed',
                    'denied', 'invalid', 'unknown_tool', 'cancelled', 'timed_out')),
                started_at TIMESTAMPTZ NOT NULL,
                ended_at TIMESTAMPTZ,
                duration_us BIGINT,
                result_bytes BIGINT,
                trace_parent TEXT,
                PRIMARY KEY (account_id, id)
            )
            """,
            "CREATE INDEX tool_calls_by_start ON tool_calls (account_id, started_at)",
        ]
    )
}
