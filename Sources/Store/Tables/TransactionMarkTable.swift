import Domain

/// What each connection to PostgreSQL has committed last: by it a transaction is told from one that
/// did not take place, when the answer to COMMIT is lost.
///
/// A row a connection, written with the first statement of each transaction that may write: until
/// the transaction has ended the row is locked, and afterwards it says what has become of it.
/// Nothing else does in every case: the number that `pg_xact_status` takes may be given to somebody
/// else's transaction after a server has crashed before its log was on disk.
///
/// The table is the engine's own: it is not part of the schema, of archives or of any account.
enum TransactionMarkTable {
    /// One transaction of one connection.
    struct Mark: Sendable, Equatable {
        /// Random, of one connection.
        var session: String
        var number: Int64
    }

    /// How long checking may wait for the row before it is tried again.
    private static let lockTimeout = Duration.seconds(2)

    /// Whether the table is there; always where it is not needed.
    static func exists(on connection: any SQLConnection) throws(StoreError) -> Bool {
        guard connection.dialect == .postgres else { return true }
        let rows = try connection.rows(
            "SELECT EXISTS (SELECT 1 FROM pg_class WHERE \(isOurs)) AS is_there"
        )
        return try rows.first?.bool("is_there") ?? false
    }

    /// A table of another installation may be visible from here as well.
    private static let isOurs: SQL =
        "relname = 'transaction_marks' AND relnamespace = \(CurrentSchema.namespace)"

    /// A condition: whether the table is there and the role may use it.
    static let isUsable: SQL = """
        EXISTS (
            SELECT 1 FROM pg_class WHERE \(isOurs) AND has_table_privilege(oid, 'SELECT')
                AND has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE')
        )
        """

    /// Whether a failure is that of a table that is not there any more, or may not be used.
    static func isMissing(_ failure: PostgresFailure) -> Bool {
        ["42P01", "42501"].contains(failure.state)
            && failure.message.contains("transaction_marks")
    }

    /// Makes the table.
    static func create(on connection: any SQLConnection) throws(StoreError) {
        try connection.execute(
            """
            CREATE TABLE IF NOT EXISTS transaction_marks (
                session_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
                mark BIGINT NOT NULL,
                marked_at TIMESTAMPTZ NOT NULL
            )
            """
        )
    }

    /// Notes which transaction of its connection this is.
    static func note(_ mark: Mark) -> SQL {
        """
        INSERT INTO transaction_marks (session_id, mark, marked_at)
        VALUES (\(mark.session), \(mark.number), now())
        ON CONFLICT (session_id) DO UPDATE
            SET mark = EXCLUDED.mark, marked_at = EXCLUDED.marked_at
        """
    }

    /// Whether there is something to remove; see ``removeOld(on:)``.
    static func hasOld(on connection: any SQLConnection) throws(StoreError) -> Bool {
        guard connection.dialect == .postgres else { return false }
        let rows = try connection.rows("SELECT \(isUsable) AS is_usable")
        guard try rows.first?.bool("is_usable") == true else { return false }
        return try !connection.rows(
            "SELECT 1 AS one FROM transaction_marks WHERE \(isOld) LIMIT 1"
        ).isEmpty
    }

    /// Removes what connections have left that are long gone, in a transaction of its own: whose
    /// row it is has to wait for its end.
    static func removeOld(on connection: any SQLConnection) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM transaction_marks WHERE session_id IN (
                SELECT session_id FROM transaction_marks WHERE \(isOld) FOR UPDATE SKIP LOCKED
            )
            """
        )
    }

    /// Each start from cron leaves some: those of two days are read in a moment, and nobody asks
    /// for a mark longer than minutes.
    private static let isOld: SQL = "marked_at < now() - INTERVAL '2 days'"

    /// A transaction that waits until the one of a mark has ended, and gives the last mark of its
    /// connection as `mark`: the row that it asks for by writing it may not be there yet.
    static func fate(of mark: Mark) -> [SQL] {
        let limit = String(Int64(lockTimeout / .milliseconds(1)))
        return [
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            """
            SELECT set_config('lock_timeout', \(limit), true),
                set_config('statement_timeout', '0', true)
            """,
            """
            INSERT INTO transaction_marks (session_id, mark, marked_at)
            VALUES (\(mark.session), 0, now())
            ON CONFLICT (session_id) DO UPDATE SET marked_at = EXCLUDED.marked_at
            RETURNING mark
            """,
            "COMMIT",
        ]
    }
}
