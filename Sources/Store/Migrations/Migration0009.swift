extension Migration {
    /// The versions of the policy that calls are decided by.
    static let policies = Migration(
        number: 9,
        name: "policies",
        statements: [
            """
            CREATE TABLE policy_versions (
                account_id BIGINT NOT NULL,
                -- 1, 2, 3… without gaps; the greatest is in force.
                version BIGINT NOT NULL,
                name TEXT NOT NULL,
                -- SHA-256 of the text.
                digest BYTEA NOT NULL,
                author TEXT NOT NULL,
                -- What made it: apply, rollback, edit.
                origin TEXT NOT NULL,
                created_at TIMESTAMPTZ NOT NULL,
                tag TEXT,
                -- YAML; holds no credentials.
                text TEXT NOT NULL,
                -- The tools that were there: a JSON array of server/name.
                known_tools JSONB NOT NULL,
                PRIMARY KEY (account_id, version)
            )
            """
        ]
    )
}
