extension Migration {
    /// What trackers sign their deliveries with, and which deliveries have come.
    ///
    /// A delivery is kept so that the same one is not worked on twice; what it makes necessary is a
    /// job.
    static let webhooks = Migration(
        number: 5,
        name: "webhooks",
        statements: [
            """
            CREATE TABLE webhooks (
                account_id BIGINT NOT NULL,
                organization_id BIGINT NOT NULL,
                -- Sealed for the row.
                secret BYTEA NOT NULL,
                -- The one before, which counts until all hooks of the tracker have the new one.
                previous_secret BYTEA,
                previous_until TIMESTAMPTZ,
                created_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, organization_id)
            )
            """,
            """
            CREATE TABLE webhook_deliveries (
                account_id BIGINT NOT NULL,
                organization_id BIGINT NOT NULL,
                -- The tracker's own, or the digest of the body.
                id TEXT NOT NULL,
                -- In the tracker's words, such as issues.closed.
                action TEXT NOT NULL,
                received_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, organization_id, id)
            )
            """,
            """
            CREATE INDEX webhook_deliveries_by_time
            ON webhook_deliveries (account_id, received_at)
            """,
        ]
    )
}
