extension Migration {
    /// MCP servers behind the gateway, and the definitions of their tools that were accepted.
    static let upstreams = Migration(
        number: 10,
        name: "upstreams",
        statements: [
            """
            CREATE TABLE upstream_servers (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                name TEXT NOT NULL,
                transport TEXT NOT NULL
                    CHECK (transport IN ('streamable-http', 'sse', 'stdio')),
                -- Empty for a program.
                url TEXT NOT NULL,
                -- A JSON list: the program and its arguments; empty for an address.
                command TEXT NOT NULL,
                auth_type TEXT NOT NULL
                    CHECK (auth_type IN ('none', 'bearer', 'api_key', 'oauth')),
                auth_header TEXT NOT NULL,
                -- Sealed for the row; empty for none.
                credential BYTEA NOT NULL,
                prefix_mode TEXT NOT NULL
                    CHECK (prefix_mode IN ('always', 'conflict', 'never')),
                holds_new_tools BOOLEAN NOT NULL,
                status TEXT NOT NULL CHECK (status IN ('new', 'active', 'error')),
                last_scan_at TIMESTAMPTZ,
                last_error TEXT,
                created_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, name)
            )
            """,
            """
            CREATE TABLE upstream_tools (
                account_id BIGINT NOT NULL,
                server_id BIGINT NOT NULL,
                name TEXT NOT NULL,
                -- JSON as the server gave it; null when none was ever accepted.
                definition TEXT,
                -- SHA-256 of the canonical form of the accepted definition.
                digest BYTEA,
                -- What waits to be accepted.
                proposed TEXT,
                state TEXT NOT NULL CHECK (state IN ('accepted', 'held', 'gone')),
                -- A JSON list of what somebody should look at.
                flags TEXT NOT NULL,
                seen_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, server_id, name)
            )
            """,
        ]
    )
}
