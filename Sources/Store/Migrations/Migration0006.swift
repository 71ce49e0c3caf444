extension Migration {
    /// Users, their sessions and keys, and the answers that repeated requests get again.
    ///
    /// Of passwords, refresh tokens, keys and set-up links only digests are kept. `login_names` has
    /// no account of its own: it is where a name leads to one.
    static let users = Migration(
        number: 6,
        name: "users",
        statements: [
            """
            CREATE TABLE users (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                name TEXT NOT NULL,
                email TEXT,
                -- Of scrypt, with its parameters and salt; null for nobody who signs in by one.
                password_hash TEXT,
                role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'viewer')),
                is_active BOOLEAN NOT NULL,
                created_at TIMESTAMPTZ NOT NULL,
                last_login_at TIMESTAMPTZ,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, name)
            )
            """,
            """
            CREATE TABLE login_names (
                name TEXT PRIMARY KEY,
                account_id BIGINT NOT NULL,
                user_id BIGINT NOT NULL
            )
            """,
            """
            CREATE TABLE sessions (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                user_id BIGINT NOT NULL,
                created_at TIMESTAMPTZ NOT NULL,
                -- No refresh goes beyond it.
                expires_at TIMESTAMPTZ NOT NULL,
                last_used_at TIMESTAMPTZ NOT NULL,
                revoked_at TIMESTAMPTZ,
                -- signed_out, reuse, password, user.
                revocation TEXT,
                PRIMARY KEY (account_id, id)
            )
            """,
            "CREATE INDEX sessions_by_user ON sessions (account_id, user_id)",
            """
            CREATE TABLE refresh_tokens (
                account_id BIGINT NOT NULL,
                -- SHA-256 of the token.
                digest BYTEA NOT NULL,
                session_id BIGINT NOT NULL,
                issued_at TIMESTAMPTZ NOT NULL,
                expires_at TIMESTAMPTZ NOT NULL,
                -- A token is good once; who comes with a used one stole it, or was stolen from.
                used_at TIMESTAMPTZ,
                PRIMARY KEY (account_id, digest)
            )
            """,
            "CREATE INDEX refresh_tokens_by_session ON refresh_tokens (account_id, session_id)",
            """
            CREATE TABLE api_keys (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                user_id BIGINT NOT NULL,
                name TEXT NOT NULL,
                -- The beginning of the key, to tell keys apart.
                prefix TEXT NOT NULL,
                -- SHA-256 of the key.
                digest BYTEA NOT NULL,
                -- Separated by spaces; empty for everything its user may do.
                scopes TEXT NOT NULL,
                created_at TIMESTAMPTZ NOT NULL,
                expires_at TIMESTAMPTZ,
                last_used_at TIMESTAMPTZ,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, digest),
                UNIQUE (account_id, user_id, name)
            )
            """,
            """
            CREATE TABLE setup_links (
                account_id BIGINT NOT NULL,
                -- SHA-256 of the link's token.
                digest BYTEA NOT NULL,
                expires_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id)
            )
            """,
            """
            CREATE TABLE idempotent_requests (
                account_id BIGINT NOT NULL,
                user_id BIGINT NOT NULL,
                idempotency_key TEXT NOT NULL,
                -- SHA-256 of method, path and body: a key is good for one request alone.
                request_digest BYTEA NOT NULL,
                created_at TIMESTAMPTZ NOT NULL,
                -- Null while the first request is under way.
                status BIGINT,
                content_type TEXT,
                body BYTEA,
                PRIMARY KEY (account_id, user_id, idempotency_key)
            )
            """,
            """
            CREATE INDEX idempotent_requests_by_time
            ON idempotent_requests (account_id, created_at)
            """,
        ]
    )
}
