package import Domain

/// Sessions of those who signed in, and the refresh tokens that keep them going.
package enum SessionTable {
    /// Why a session ended before its time.
    package enum Revocation: String, Sendable {
        case signedOut = "signed_out"
        /// A refresh token came a second time.
        case reuse
        /// The password was changed.
        case password
        /// The user was deactivated.
        case user
    }

    /// A session.
    package struct Row: Sendable, Equatable {
        package var id: SessionID
        package var user: UserID
        package var expiresAt: Timestamp
        package var revokedAt: Timestamp?

        package init(
            id: SessionID,
            user: UserID,
            expiresAt: Timestamp,
            revokedAt: Timestamp? = nil
        ) {
            self.id = id
            self.user = user
            self.expiresAt = expiresAt
            self.revokedAt = revokedAt
        }
    }

    /// A refresh token that somebody came with.
    package struct Token: Sendable, Equatable {
        package var session: SessionID
        package var expiresAt: Timestamp
        package var usedAt: Timestamp?
    }

    /// Begins a session.
    package static func insert(
        _ row: Row,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO sessions (account_id, id, user_id, created_at, expires_at, last_used_at)
            VALUES (\(account), \(row.id), \(row.user), \(instant), \(row.expiresAt), \(instant))
            """
        )
    }

    private static let columns: SQL = "id, user_id, expires_at, revoked_at"

    /// One session.
    package static func find(
        _ id: SessionID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM sessions
            WHERE account_id = \(account) AND id = \(id)
            """
        )
        return try rows.first.map { row throws(StoreError) in try session(row) }
    }

    /// Those of some sessions that there are, oldest first.
    package static func list(
        _ ids: [SessionID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM sessions
            WHERE account_id = \(account) AND id \(among: ids)
            ORDER BY id
            LIMIT \(ids.count)
            """
        )
        return try rows.map { row throws(StoreError) in try session(row) }
    }

    private static func session(_ row: SQLRow) throws(StoreError) -> Row {
        Row(
            id: try row.identifier("id"),
            user: try row.identifier("user_id"),
            expiresAt: try row.timestamp("expires_at"),
            revokedAt: try row.optionalTimestamp("revoked_at")
        )
    }

    /// Keeps the digest of a new refresh token.
    package static func insertToken(
        _ digest: [UInt8],
        of session: SessionID,
        issuedAt: Timestamp,
        expiresAt: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO refresh_tokens (account_id, digest, session_id, issued_at, expires_at)
            VALUES (\(account), \(digest), \(session), \(issuedAt), \(expiresAt))
            """
        )
        try connection.execute(
            """
            UPDATE sessions SET last_used_at = \(issuedAt)
            WHERE account_id = \(account) AND id = \(session)
            """
        )
    }

    /// The refresh token of a digest.
    package static func token(
        _ digest: [UInt8],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Token? {
        let rows = try connection.rows(
            """
            SELECT session_id, expires_at, used_at FROM refresh_tokens
            WHERE account_id = \(account) AND digest = \(digest)
            """
        )
        guard let row = rows.first else { return nil }
        return Token(
            session: try row.identifier("session_id"),
            expiresAt: try row.timestamp("expires_at"),
            usedAt: try row.optionalTimestamp("used_at")
        )
    }

    /// Uses a refresh token up.
    package static func useToken(
        _ digest: [UInt8],
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE refresh_tokens SET used_at = \(instant)
            WHERE account_id = \(account) AND digest = \(digest)
            """
        )
    }

    /// How many sessions of a user are neither ended nor over.
    package static func openCount(
        of user: UserID,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS sessions FROM sessions
            WHERE account_id = \(account) AND user_id = \(user) AND revoked_at IS NULL
                AND expires_at > \(instant)
            """
        )
        return Int(try rows.first?.integer("sessions") ?? 0)
    }

    /// Ends one session, or every session of a user.
    package static func revoke(
        _ session: SessionID?,
        of user: UserID,
        because reason: Revocation,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE sessions SET revoked_at = \(instant), revocation = \(reason.rawValue)
            WHERE account_id = \(account) AND user_id = \(user) AND revoked_at IS NULL
                AND id = COALESCE(\(session), id)
            """
        )
    }

    /// Removes what nobody can use any more.
    package static func purge(
        before instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(batch: [
            """
            DELETE FROM refresh_tokens
            WHERE account_id = \(account) AND session_id IN (
                SELECT s.id FROM sessions s
                WHERE s.account_id = \(account) AND s.expires_at < \(instant))
            """,
            "DELETE FROM sessions WHERE account_id = \(account) AND expires_at < \(instant)",
        ])
    }
}
