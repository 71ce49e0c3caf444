package import Domain

/// The accounts, each with the two counters of its feed.
///
/// The counters are advanced by an UPDATE of the account's row. That row is the feed lock: it stays
/// locked until the transaction ends, so revisions become visible in the order in which they are
/// drawn. A transaction takes it before it reads, for what it decides on must stay true.
package enum AccountTable {
    /// The account of an installation that has only one.
    package static let defaultID = AccountID(1)

    /// Makes an account unless it exists.
    package static func create(
        _ account: AccountID,
        name: String,
        createdAt: Timestamp,
        on connection: any SQLConnection
    ) throws(StoreError) {
        // Of any key: where only the identifier's may conflict, PostgreSQL refuses the name of a
        // row that another transaction is inserting at this moment.
        try connection.execute(
            """
            INSERT INTO accounts (id, name, created_at)
            VALUES (\(account), \(name), \(createdAt))
            ON CONFLICT DO NOTHING
            """
        )
    }

    /// Makes an account with the next free identifier.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when another one was made at this moment.
    package static func create(
        name: String,
        createdAt: Timestamp,
        on connection: any SQLConnection
    ) throws(StoreError) -> AccountID {
        let rows = try connection.rows(
            """
            INSERT INTO accounts (id, name, created_at)
            SELECT COALESCE(MAX(id), 0) + 1, \(name), \(createdAt) FROM accounts
            RETURNING id
            """
        )
        guard let row = rows.first else { throw .unexpectedValue(column: "accounts.id") }
        return try row.identifier("id")
    }

    /// Every account, oldest first.
    ///
    /// The limit bounds one answer; an installation has one or a handful.
    package static func list(on connection: any SQLConnection) throws(StoreError) -> [AccountID] {
        let rows = try connection.rows("SELECT id FROM accounts ORDER BY id LIMIT 100000")
        return try rows.map { row throws(StoreError) in try row.identifier("id") }
    }

    /// Makes files that follow the account as it was strangers to it; see ``StoreIdentity``.
    static func renewIdentity(
        of account: AccountID,
        at now: Timestamp,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute("UPDATE accounts SET created_at = \(now) WHERE id = \(account)")
    }

    /// The account's name.
    package static func name(
        of account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> String? {
        try connection.rows("SELECT name FROM accounts WHERE id = \(account)").first?.text("name")
    }

    /// Whether the account exists.
    package static func exists(
        _ account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try !connection.rows("SELECT id FROM accounts WHERE id = \(account)").isEmpty
    }

    /// Takes the feed lock: until the transaction ends nobody else writes in the account.
    ///
    /// SQLite's write transactions have it from their beginning.
    package static func lockFeed(
        of account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        switch connection.dialect {
        case .sqlite: break
        case .postgres:
            // Not the stronger FOR UPDATE, which would wait for rows that refer to the account.
            _ = try connection.rows(
                "SELECT id FROM accounts WHERE id = \(account) FOR NO KEY UPDATE"
            )
        }
    }

    /// Takes the feed lock and draws revisions, one for each row that is written or deleted.
    ///
    /// They come in ascending order, greater than all that any reader has seen. A `count` of zero
    /// takes no lock.
    package static func nextRevisions(
        _ count: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Revision] {
        guard count > 0 else { return [] }
        let rows = try connection.rows(
            """
            UPDATE accounts SET revision = revision + \(count)
            WHERE id = \(account)
            RETURNING revision AS last\(wakeUp(connection.dialect))
            """
        )
        return try drawn(count, from: rows).map(Revision.init)
    }

    /// Wakes the account's followers when the transaction commits.
    ///
    /// PostgreSQL sends equal notifications of one transaction once. They say only "look".
    private static func wakeUp(_ dialect: SQLDialect) -> SQL {
        switch dialect {
        case .sqlite: ""
        case .postgres:
            ", pg_notify('\(raw: PostgresListener.channel)', id::text) AS notified"
        }
    }

    /// Wakes whoever waits for something new in the account when the transaction commits.
    ///
    /// On SQLite a commit tells of itself.
    static func wakeFollowers(
        of account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        switch connection.dialect {
        case .sqlite: break
        case .postgres:
            _ = try connection.rows(
                """
                SELECT pg_notify('\(raw: PostgresListener.channel)', id::text) AS notified
                FROM accounts WHERE id = \(account)
                """
            )
        }
    }

    /// Takes the feed lock and draws identifiers, never used before in the account by any table.
    ///
    /// They come in ascending order. A `count` of zero takes no lock.
    package static func nextIDs<Entity>(
        _ count: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Identifier<Entity>] {
        guard count > 0 else { return [] }
        let rows = try connection.rows(
            """
            UPDATE accounts SET last_id = last_id + \(count)
            WHERE id = \(account)
            RETURNING last_id AS last
            """
        )
        return try drawn(count, from: rows).map { Identifier<Entity>($0) }
    }

    /// The newest revision drawn; every follower that has come so far is up to date.
    package static func currentRevision(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Revision {
        let rows = try connection.rows("SELECT revision FROM accounts WHERE id = \(account)")
        guard let row = rows.first else { throw .unexpectedValue(column: "accounts.id") }
        return Revision(try row.integer("revision"))
    }

    private static func drawn(
        _ count: Int,
        from rows: [SQLRow]
    ) throws(StoreError) -> ClosedRange<Int64> {
        guard let row = rows.first else { throw .unexpectedValue(column: "accounts.id") }
        let last = try row.integer("last")
        return (last - Int64(count) + 1)...last
    }
}
