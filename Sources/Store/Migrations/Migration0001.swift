extension Migration {
    /// The first schema: trackers, what they hold, passages with vectors, pairs, work in progress.
    ///
    /// One text serves both engines: SQLite takes any type name and gives BIGINT integer,
    /// TIMESTAMPTZ, BOOLEAN, JSONB and BYTEA numeric affinity, which leaves integers, JSON objects
    /// and blobs alone.
    static let initial = Migration(
        number: 1,
        name: "initial",
        statements: [
            """
            CREATE TABLE accounts (
                id BIGINT NOT NULL PRIMARY KEY,
                name TEXT NOT NULL UNIQUE,
                created_at TIMESTAMPTZ NOT NULL,
                -- The feed: both counters move only under the account's feed lock.
                revision BIGINT NOT NULL DEFAULT 0,
                last_id BIGINT NOT NULL DEFAULT 0
            )
            """,
            """
            CREATE TABLE trackers (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                kind TEXT NOT NULL CHECK (kind IN ('github', 'gitlab', 'jira')),
                deployment TEXT NOT NULL CHECK (deployment IN ('cloud', 'server')),
                name TEXT NOT NULL,
                url TEXT NOT NULL,
                user_name TEXT,
                -- AES-GCM, sealed with the installation's key; never in clear.
                credential BYTEA NOT NULL,
                status TEXT NOT NULL DEFAULT 'new'
                    CHECK (status IN ('new', 'valid', 'invalid')),
                status_detail TEXT,
                checked_at TIMESTAMPTZ,
                created_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, name)
            )
            """,
            """
            CREATE TABLE scope_rules (
                account_id BIGINT NOT NULL,
                tracker_id BIGINT NOT NULL,
                position BIGINT NOT NULL,
                rule TEXT NOT NULL CHECK (rule IN ('include', 'exclude')),
                pattern TEXT NOT NULL,
                PRIMARY KEY (account_id, tracker_id, position)
            )
            """,
            """
            CREATE TABLE organizations (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                tracker_id BIGINT NOT NULL,
                external_id TEXT NOT NULL,
                path TEXT NOT NULL,
                name TEXT NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, tracker_id, external_id)
            )
            """,
            """
            CREATE TABLE projects (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                tracker_id BIGINT NOT NULL,
                organization_id BIGINT NOT NULL,
                external_id TEXT NOT NULL,
                path TEXT NOT NULL,
                name TEXT NOT NULL,
                url TEXT NOT NULL,
                -- active: scanned; excluded: out of scope; inaccessible: access lost, rows kept.
                state TEXT NOT NULL DEFAULT 'active'
                    CHECK (state IN ('active', 'excluded', 'inaccessible')),
                -- Where the scan stands, as Sync writes it (Sync.ProjectCursor).
                cursor JSONB NOT NULL DEFAULT '{}',
                last_scan_at TIMESTAMPTZ,
                last_census_at TIMESTAMPTZ,
                last_error TEXT,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, tracker_id, external_id)
            )
            """,
            "CREATE INDEX projects_by_path ON projects (account_id, tracker_id, path)",
            """
            CREATE TABLE issues (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                project_id BIGINT NOT NULL,
                external_id TEXT NOT NULL,
                kind TEXT NOT NULL CHECK (kind IN ('issue', 'pull_request')),
                number BIGINT NOT NULL,
                key TEXT NOT NULL,
                title TEXT NOT NULL,
                body TEXT NOT NULL,
                -- The body before conversion to Markdown; NULL when there was none.
                source TEXT,
                state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
                status TEXT,
                labels JSONB NOT NULL,
                author TEXT,
                assignees JSONB NOT NULL,
                priority TEXT,
                type TEXT,
                created_at TIMESTAMPTZ NOT NULL,
                updated_at TIMESTAMPTZ NOT NULL,
                url TEXT NOT NULL,
                -- As the tracker last told; NULL when it does not tell. Compared with the comments
                -- stored.
                comment_count BIGINT,
                -- Its comments must be read (again); survives a kill between an issue and its
                -- comments.
                comments_due BOOLEAN NOT NULL DEFAULT FALSE,
                -- comment_count when they were last read one by one: the service may count comments
                -- it does not show, and asking again would not help.
                comments_read_count BIGINT,
                -- SHA-256 over the bytes of all content columns; an equal hash rewrites nothing.
                content_hash BYTEA NOT NULL,
                -- A tombstone: the row and its revision stay.
                deleted_at TIMESTAMPTZ,
                revision BIGINT NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, project_id, kind, external_id)
            )
            """,
            "CREATE UNIQUE INDEX issues_by_revision ON issues (account_id, revision)",
            "CREATE INDEX issues_by_number ON issues (account_id, project_id, number)",
            "CREATE INDEX issues_by_key ON issues (account_id, key)",
            // Finds an issue that was moved from another project of its tracker.
            "CREATE INDEX issues_by_external_id ON issues (account_id, external_id)",
            """
            CREATE INDEX issues_with_comments_due ON issues (account_id, project_id, id)
            WHERE comments_due
            """,
            """
            CREATE TABLE comments (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                project_id BIGINT NOT NULL,
                issue_id BIGINT NOT NULL,
                external_id TEXT NOT NULL,
                author TEXT,
                body TEXT NOT NULL,
                source TEXT,
                created_at TIMESTAMPTZ NOT NULL,
                updated_at TIMESTAMPTZ NOT NULL,
                content_hash BYTEA NOT NULL,
                deleted_at TIMESTAMPTZ,
                revision BIGINT NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, issue_id, external_id)
            )
            """,
            "CREATE UNIQUE INDEX comments_by_revision ON comments (account_id, revision)",
            "CREATE INDEX comments_by_issue ON comments (account_id, issue_id, created_at)",
            """
            CREATE TABLE links (
                account_id BIGINT NOT NULL,
                issue_id BIGINT NOT NULL,
                relation TEXT NOT NULL,
                target_key TEXT NOT NULL,
                target_external_id TEXT,
                -- NULL while the target has not been seen.
                target_issue_id BIGINT,
                PRIMARY KEY (account_id, issue_id, relation, target_key)
            )
            """,
            "CREATE INDEX links_by_target_key ON links (account_id, target_key)",
            """
            CREATE TABLE quarantine (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                project_id BIGINT NOT NULL,
                external_id TEXT NOT NULL,
                raw BYTEA NOT NULL,
                reason TEXT NOT NULL,
                first_seen_at TIMESTAMPTZ NOT NULL,
                last_seen_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, project_id, external_id)
            )
            """,
            """
            -- What a running census has seen, kept here so that a killed census goes on and a large
            -- project needs no memory. Empty between censuses.
            CREATE TABLE census_marks (
                account_id BIGINT NOT NULL,
                project_id BIGINT NOT NULL,
                kind TEXT NOT NULL CHECK (kind IN ('issue', 'pull_request')),
                external_id TEXT NOT NULL,
                -- seen: in the list; gone: missing there, and the service confirmed that it is
                -- gone.
                verdict TEXT NOT NULL CHECK (verdict IN ('seen', 'gone')),
                PRIMARY KEY (account_id, project_id, kind, external_id)
            )
            """,
            """
            CREATE TABLE embedding_models (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                name TEXT NOT NULL,
                model_revision TEXT NOT NULL,
                dimension BIGINT NOT NULL,
                -- The one whose vectors are searched.
                is_current BOOLEAN NOT NULL,
                created_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, name, model_revision, dimension)
            )
            """,
            """
            CREATE TABLE passages (
                account_id BIGINT NOT NULL,
                id BIGINT NOT NULL,
                model_id BIGINT NOT NULL,
                issue_id BIGINT NOT NULL,
                -- 0 for the issue's own text, so that the unique key has no NULL.
                comment_id BIGINT NOT NULL DEFAULT 0,
                part TEXT NOT NULL CHECK (part IN ('title', 'body', 'comment')),
                -- The window's place within its part, from 0.
                position BIGINT NOT NULL,
                -- UTF-8 byte range of the window in the part's text.
                text_start BIGINT NOT NULL,
                text_end BIGINT NOT NULL,
                text_hash BYTEA NOT NULL,
                -- dimension little-endian IEEE 754 binary32 values, norm 1; empty in a tombstone.
                vector BYTEA NOT NULL,
                deleted_at TIMESTAMPTZ,
                revision BIGINT NOT NULL,
                PRIMARY KEY (account_id, id),
                UNIQUE (account_id, model_id, issue_id, comment_id, part, position)
            )
            """,
            "CREATE UNIQUE INDEX passages_by_revision ON passages (account_id, revision)",
            """
            CREATE TABLE duplicate_pairs (
                account_id BIGINT NOT NULL,
                -- INVARIANT: first_issue_id < second_issue_id.
                first_issue_id BIGINT NOT NULL,
                second_issue_id BIGINT NOT NULL,
                -- The calibrated probability, 0...1.
                score DOUBLE PRECISION NOT NULL,
                -- The measurements it was made from.
                features JSONB NOT NULL,
                updated_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, first_issue_id, second_issue_id)
            )
            """,
            "CREATE INDEX duplicate_pairs_by_score ON duplicate_pairs (account_id, score)",
            """
            CREATE INDEX duplicate_pairs_by_second
            ON duplicate_pairs (account_id, second_issue_id)
            """,
            """
            CREATE TABLE duplicate_verdicts (
                account_id BIGINT NOT NULL,
                first_issue_id BIGINT NOT NULL,
                second_issue_id BIGINT NOT NULL,
                verdict TEXT NOT NULL
                    CHECK (verdict IN ('duplicate', 'related', 'not_duplicate')),
                decided_by TEXT,
                decided_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, first_issue_id, second_issue_id)
            )
            """,
            """
            CREATE TABLE followers (
                account_id BIGINT NOT NULL,
                name TEXT NOT NULL,
                revision BIGINT NOT NULL,
                PRIMARY KEY (account_id, name)
            )
            """,
            """
            CREATE TABLE leases (
                account_id BIGINT NOT NULL,
                name TEXT NOT NULL,
                holder TEXT NOT NULL,
                -- Grows with every new holder; a writer proves with it that it still holds the
                -- lease.
                fence BIGINT NOT NULL,
                expires_at TIMESTAMPTZ NOT NULL,
                PRIMARY KEY (account_id, name)
            )
            """,
        ]
    )
}
