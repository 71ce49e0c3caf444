extension Migration {
    /// Which MCP servers nobody has looked at yet, and what each may take for a call.
    static let firstScans = Migration(
        number: 11,
        name: "first scans",
        statements: [
            // Of what is there already nothing is trusted anew.
            """
            ALTER TABLE upstream_servers
                ADD COLUMN awaits_first_scan BOOLEAN NOT NULL DEFAULT FALSE
            """,
            """
            ALTER TABLE upstream_servers
                ADD COLUMN time_limit_seconds BIGINT NOT NULL DEFAULT 110
            """,
        ]
    )
}
