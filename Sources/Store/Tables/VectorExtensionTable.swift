/// What the database knows of pgvector, and the tables that need it.
///
/// They are no step of the schema: the extension may come long after it, when an administrator has
/// made it, and a database without it has everything else.
enum VectorExtensionTable {
    /// What a look at the catalogue found.
    struct Look {
        /// The version that is made in this database.
        var version: String?
        /// Whether the server has the extension's files.
        var isAvailable: Bool
        /// Whether its types are found by the search path.
        var isVisible: Bool
        /// Where it was made.
        var schema: String?
        /// Whether the search path has `public`, where extensions are by habit.
        var hasPublic: Bool
        /// Whether the mirror's tables are there.
        var isMade: Bool
        /// Whether they have the index of an earlier program (``renewIndexes(on:)``).
        var hasFormerIndex: Bool
        /// The dimensions with an index that is whole.
        var dimensions: Set<Int>
        /// Bytes of the mirror's table, without what stands beside it
        /// (``PassageVectorTable/roughCount(bytes:dimension:)``).
        var byteCount: Int
        /// The database's name, for advice.
        var database: String
    }

    static func look(on connection: any SQLConnection) throws(StoreError) -> Look {
        let rows = try connection.rows(
            """
            SELECT e.extversion AS version, n.nspname::text AS schema,
                EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')
                    AS is_available,
                to_regtype('halfvec') IS NOT NULL AS is_visible,
                'public' = ANY(current_schemas(false)) AS has_public,
                \(mirror) IS NOT NULL
                    AND \(CurrentSchema.relation("vector_mirrors")) IS NOT NULL AS is_made,
                \(CurrentSchema.relation("passage_vectors_by_issue")) IS NOT NULL AS has_former,
                pg_relation_size(\(mirror)) AS size,
                current_database()::text AS database
            FROM (SELECT 1) AS one
            LEFT JOIN pg_extension AS e ON e.extname = 'vector'
            LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace
            """
        )
        guard let row = rows.first else { throw .unexpectedValue(column: "pg_extension") }
        return Look(
            version: try row.optionalText("version"),
            isAvailable: try row.bool("is_available"),
            isVisible: try row.bool("is_visible"),
            schema: try row.optionalText("schema"),
            hasPublic: try row.bool("has_public"),
            isMade: try row.bool("is_made"),
            hasFormerIndex: try row.bool("has_former"),
            dimensions: try dimensions(on: connection),
            byteCount: Int(try row.optionalInteger("size") ?? 0),
            database: try row.text("database")
        )
    }

    /// The mirror's table; one of another installation may be visible from here as well.
    private static var mirror: SQL { PassageVectorTable.relation }
    private static let indexPrefix = "passage_vectors_hnsw_"

    /// The dimensions whose index is there and valid.
    private static func dimensions(
        on connection: any SQLConnection
    ) throws(StoreError) -> Set<Int> {
        let rows = try connection.rows(
            """
            SELECT c.relname::text AS name FROM pg_index AS x
            JOIN pg_class AS c ON c.oid = x.indexrelid
            WHERE x.indrelid = \(mirror) AND x.indisvalid AND x.indisready
            ORDER BY c.relname
            """
        )
        var found: Set<Int> = []
        for row in rows {
            let name = try row.text("name")
            guard name.hasPrefix(indexPrefix) else { continue }
            if let dimension = Int(name.dropFirst(indexPrefix.utf8.count)) {
                found.insert(dimension)
            }
        }
        return found
    }

    /// Lets one process at a time make the extension, which belongs to the whole database.
    static func lock(on connection: any SQLConnection) throws(StoreError) {
        // SchemaTable.lock has the number before it.
        _ = try connection.rows("SELECT pg_advisory_xact_lock(1886351981) AS locked")
    }

    /// Makes the extension; in `public` where that is looked through, for there others find it too.
    static func create(inPublic: Bool, on connection: any SQLConnection) throws(StoreError) {
        try connection.execute(
            inPublic
                ? "CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public"
                : "CREATE EXTENSION IF NOT EXISTS vector"
        )
    }

    /// Makes the mirror's tables.
    ///
    /// Half of a number's bits are enough: rounding moves a cosine by 0.00001, and table and index
    /// take half the room (docs/decisions/0008-pgvector.md). One table holds vectors of all
    /// lengths; the index of each length is one of an expression.
    static func createTables(on connection: any SQLConnection) throws(StoreError) {
        try connection.execute(batch: [
            """
            CREATE TABLE IF NOT EXISTS vector_mirrors (
                account_id BIGINT NOT NULL,
                model_id BIGINT NOT NULL,
                -- No window of the model up to here is missing from the mirror.
                revision BIGINT NOT NULL,
                PRIMARY KEY (account_id, model_id)
            )
            """,
            """
            CREATE TABLE IF NOT EXISTS passage_vectors (
                account_id BIGINT NOT NULL,
                passage_id BIGINT NOT NULL,
                model_id BIGINT NOT NULL,
                issue_id BIGINT NOT NULL,
                -- That of the window the vector was taken from.
                revision BIGINT NOT NULL,
                dimension BIGINT NOT NULL,
                vector halfvec NOT NULL,
                PRIMARY KEY (account_id, passage_id)
            )
            """,
        ])
        try connection.execute(batch: indexes)
    }

    /// The indexes beside the primary key and those of vectors.
    ///
    /// The model comes last in the one by which rows are compared one by one: on the way down to an
    /// issue it is hardly ever looked at. Of 50,000 windows those of 5,000 issues take 6.4 ms in
    /// place of 7.2.
    private static let indexes: [SQL] = [
        """
        CREATE INDEX IF NOT EXISTS passage_vectors_of_issue
        ON passage_vectors (account_id, issue_id, model_id)
        """,
        """
        CREATE INDEX IF NOT EXISTS passage_vectors_of_model
        ON passage_vectors (account_id, model_id, passage_id)
        """,
    ]

    /// Makes the indexes of a mirror that an earlier program made, in place of the one it had,
    /// which the planner might go on to choose.
    ///
    /// Who writes waits for as long as it takes, a second for a million rows.
    ///
    /// - Throws: ``StoreError/busy`` when others are in the way for ``dropTimeout``.
    static func renewIndexes(on connection: any SQLConnection) throws(StoreError) {
        try connection.liftLimits()
        _ = try connection.rows(
            "SELECT set_config('lock_timeout', \(dropTimeout), true) AS timeout"
        )
        try connection.execute(
            batch: indexes + ["DROP INDEX IF EXISTS passage_vectors_by_issue"]
        )
    }

    /// Whether somebody is making an index of the mirror at this moment.
    static func isIndexing(on connection: any SQLConnection) throws(StoreError) -> Bool {
        try !connection.rows(
            """
            SELECT pid FROM pg_stat_progress_create_index
            WHERE datname = current_database() AND relid = \(mirror)
            """
        ).isEmpty
    }

    /// Whether who makes or removes an index of the mirror waits for others at this moment.
    static func isIndexingBlocked(on connection: any SQLConnection) throws(StoreError) -> Bool {
        // That lock keeps others from making indexes, and is held until the end.
        try !connection.rows(
            """
            WITH locks AS (
                SELECT pid, granted, mode = 'ShareUpdateExclusiveLock'
                    AND relation = \(mirror) AS is_ours
                FROM pg_locks
                WHERE database IS NULL OR database = (
                    SELECT oid FROM pg_database WHERE datname = current_database()))
            SELECT pid FROM locks
            WHERE NOT granted AND (is_ours OR pid IN (
                SELECT pid FROM locks WHERE granted AND is_ours))
            """
        ).isEmpty
    }

    /// The arguments of the advisory lock under which an index of the mirror is made: a number that
    /// neither ``lock(on:)`` nor ``SchemaTable`` has, and the table, for each schema has one.
    static let indexingLock: SQL = "1886351982, \(mirror)::oid::int4"

    /// Milliseconds: an automatic VACUUM, which holds the same lock, gives way after one second.
    private static let dropTimeout = "2000"

    /// Removes what is left of an index whose making was broken off; one that is whole, or is being
    /// made, stays.
    ///
    /// The lock is the one that who makes an index holds to the end: nobody does while it is ours,
    /// so that an index that is not whole is nobody's. Those who use the table wait while it goes,
    /// for ``dropTimeout`` at most; that nobody comes in between is worth it.
    ///
    /// - Throws: ``StoreError/busy`` when others are in the way.
    static func dropBroken(dimension: Int, on connection: any SQLConnection) throws(StoreError) {
        let index = "\(indexPrefix)\(dimension)"
        let broken: SQL = """
            SELECT 1 AS one FROM pg_index
            WHERE indexrelid = \(CurrentSchema.relation(index)) AND NOT indisvalid
            """
        guard try !connection.rows(broken).isEmpty else { return }
        _ = try connection.rows(
            "SELECT set_config('lock_timeout', \(dropTimeout), true) AS timeout"
        )
        try connection.execute("LOCK TABLE passage_vectors IN SHARE UPDATE EXCLUSIVE MODE")
        guard try !connection.rows(broken).isEmpty else { return }
        try connection.execute("DROP INDEX passage_vectors_hnsw_\(number: dimension)")
    }

    /// Makes the index of one length, beside those who write.
    ///
    /// Inner products: all vectors have length 1, so they rank as cosines do. `m` and
    /// `ef_construction` are pgvector's defaults: with them 0.998 of the nearest ten of 50,000 are
    /// found at `ef_search` 200.
    static func createIndex(dimension: Int) -> SQL {
        """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS passage_vectors_hnsw_\(number: dimension)
        ON passage_vectors USING hnsw ((vector::halfvec(\(number: dimension))) halfvec_ip_ops)
        WITH (m = 16, ef_construction = 64) WHERE dimension = \(number: dimension)
        """
    }
}
