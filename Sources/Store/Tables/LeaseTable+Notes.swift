package import Domain

/// Notes: who did something last, and until when that matters. A lease keeps others out, a note
/// only tells them.
extension LeaseTable {
    /// Makes a note in the place of the one there is.
    package static func note(
        _ name: String,
        by holder: LeaseHolder,
        until end: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO leases (account_id, name, holder, fence, expires_at)
            VALUES (\(account), \(name), \(holder.text), 0, \(end))
            ON CONFLICT (account_id, name) DO UPDATE
            SET holder = excluded.holder, expires_at = excluded.expires_at
            """
        )
    }

    /// A note that still matters; nil for one that is over.
    ///
    /// - Parameters:
    ///   - name: The note's name.
    ///   - now: The time.
    ///   - longest: How long such a note matters at most: an end further away was written by a
    ///     clock that was wrong.
    ///   - account: The account.
    ///   - connection: The connection.
    /// - Returns: Who made it, and until when it matters.
    /// - Throws: ``StoreError``.
    package static func noted(
        _ name: String,
        now: Timestamp,
        atMost longest: Duration,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> (holder: LeaseHolder, end: Timestamp)? {
        let rows = try connection.rows(
            """
            SELECT holder, expires_at FROM leases
            WHERE account_id = \(account) AND name = \(name) AND expires_at > \(now)
                AND expires_at <= \(now.advanced(by: longest))
            """
        )
        guard let row = rows.first, let holder = LeaseHolder(text: try row.text("holder"))
        else { return nil }
        return (holder, try row.timestamp("expires_at"))
    }
}
