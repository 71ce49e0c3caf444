/// What PostgreSQL's planner knows of the tables that grow.
///
/// Of a table that was never analysed it takes any account for one of two hundred: it reads all
/// rows of the account to look some of them up by their keys. Its daemon comes once a minute, and
/// a first scan or a storm of deliveries writes 40,000 rows in that time.
enum PlannerStatisticsTable {
    /// The tables that can have many rows.
    static let tables: [StaticString] = [
        "issues", "comments", "links", "quarantine", "passages", "passage_vectors",
        "duplicate_pairs", "projects", "jobs", "webhook_deliveries", "audit_events", "tool_calls",
        "approval_requests", "approval_events", "approval_tokens", "idempotent_requests",
        "sessions", "refresh_tokens", "upstream_tools",
    ]

    /// Smaller ones are read as a whole in no time.
    private static let minimumBytes = 65_536

    /// The tables of some size of which nothing is known.
    static func unknown(on connection: any SQLConnection) throws(StoreError) -> [StaticString] {
        let rows = try connection.rows(
            """
            SELECT c.relname::text AS name FROM pg_class AS c
            WHERE c.relnamespace = \(CurrentSchema.namespace) AND c.relkind = 'r'
                AND pg_relation_size(c.oid) >= \(minimumBytes)
                AND NOT EXISTS (SELECT 1 FROM pg_stats AS s
                    WHERE s.schemaname = current_schema() AND s.tablename = c.relname)
            """
        )
        var names: Set<String> = []
        for row in rows { names.insert(try row.text("name")) }
        return tables.filter { names.contains("\($0)") }
    }

    /// Looks at a sample of a table's rows, unless another process does; takes some tens of
    /// milliseconds.
    ///
    /// - Throws: ``StoreError/busy`` when somebody has a lock on the table, as whoever makes an
    ///   index, who in turn may wait for the end of each transaction.
    static func analyse(
        _ table: StaticString,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let rows = try connection.rows(
            """
            SELECT set_config('lock_timeout', '50ms', true) AS limit,
                pg_try_advisory_xact_lock(\(lock)) AS is_ours
            """
        )
        guard try rows.first?.bool("is_ours") == true else { return }
        try connection.execute("ANALYZE \(raw: table)")
    }

    /// One process at a time does it.
    static let lock: SQL = "hashtext('preloop planner statistics'), hashtext(current_schema())"
}
