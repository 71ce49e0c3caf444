package import Domain

/// The link by which the first user of an account is made; one at a time.
package enum SetupLinkTable {
    /// Puts a new link in the place of the one before.
    package static func replace(
        digest: [UInt8],
        expiresAt: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO setup_links (account_id, digest, expires_at)
            VALUES (\(account), \(digest), \(expiresAt))
            ON CONFLICT (account_id)
            DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at
            """
        )
    }

    /// Whether a link is good.
    package static func isValid(
        digest: [UInt8],
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try !connection.rows(
            """
            SELECT account_id FROM setup_links
            WHERE account_id = \(account) AND digest = \(digest) AND expires_at > \(instant)
            """
        ).isEmpty
    }

    /// Removes the link: it has been used, or is needed no more.
    package static func remove(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute("DELETE FROM setup_links WHERE account_id = \(account)")
    }
}
