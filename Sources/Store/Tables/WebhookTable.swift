package import Domain

/// What trackers sign their deliveries with, one secret an organisation.
package enum WebhookTable {
    /// Whose deliveries are believed, and by what.
    package struct Row: Sendable, Equatable {
        package var organization: OrganizationID
        package var tracker: TrackerID
        package var kind: TrackerKind
        package var deployment: TrackerDeployment
        package var secret: SealedSecret
        /// The secret before, and until when it counts.
        package var previous: SealedSecret?
        package var previousUntil: Timestamp?
        package var createdAt: Timestamp
    }

    /// Stores the secret of an organisation; the one it takes the place of counts until
    /// `previousUntil`.
    ///
    /// - Parameters:
    ///   - secret: The new one.
    ///   - organization: Whose deliveries are verified by it.
    ///   - previousUntil: Until when the one before counts.
    ///   - instant: When it was made.
    ///   - account: Whose tracker it is.
    ///   - connection: Where to write.
    /// - Returns: Whether it has taken the place of one.
    /// - Throws: What the store refuses.
    @discardableResult
    package static func set(
        _ secret: SealedSecret,
        of organization: OrganizationID,
        keepingPreviousUntil previousUntil: Timestamp,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let rows = try connection.rows(
            """
            INSERT INTO webhooks (account_id, organization_id, secret, created_at)
            VALUES (\(account), \(organization), \(secret.bytes), \(instant))
            ON CONFLICT (account_id, organization_id) DO UPDATE SET
                previous_secret = webhooks.secret, previous_until = \(previousUntil),
                secret = excluded.secret, created_at = excluded.created_at
            RETURNING previous_secret
            """
        )
        // SQLite 3.40 answers `RETURNING previous_secret IS NOT NULL` with 1 where it is NULL.
        guard case .blob? = try rows.first?.value("previous_secret") else { return false }
        return true
    }

    /// Has the secret before count no longer than until `end`.
    package static func endPrevious(
        of organization: OrganizationID,
        at end: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE webhooks SET previous_until = \(end)
            WHERE account_id = \(account) AND organization_id = \(organization)
                AND previous_until > \(end)
            """
        )
    }

    /// The webhook of an organisation; nil when it has none, or its tracker was removed.
    package static func find(
        _ organization: OrganizationID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        try rows("w.organization_id = \(organization)", account: account, on: connection).first
    }

    /// The webhooks of a tracker's organisations, by age.
    package static func list(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        try rows("o.tracker_id = \(tracker)", account: account, on: connection)
    }

    /// Forgets the secret of an organisation: its deliveries are refused from now on.
    ///
    /// - Parameters:
    ///   - organization: Whose.
    ///   - account: Whose tracker it is.
    ///   - connection: Where to write.
    /// - Returns: Whether there was one.
    /// - Throws: What the store refuses.
    package static func remove(
        _ organization: OrganizationID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let count = try connection.execute(
            """
            DELETE FROM webhooks
            WHERE account_id = \(account) AND organization_id = \(organization)
            """
        )
        return count > 0
    }

    private static func rows(
        _ condition: SQL,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let rows = try connection.rows(
            """
            SELECT w.organization_id, o.tracker_id, t.kind, t.deployment, w.secret,
                w.previous_secret, w.previous_until, w.created_at
            FROM webhooks AS w
            JOIN organizations AS o
                ON o.account_id = w.account_id AND o.id = w.organization_id
            JOIN trackers AS t ON t.account_id = o.account_id AND t.id = o.tracker_id
            WHERE w.account_id = \(account) AND \(condition)
            ORDER BY w.organization_id
            """
        )
        return try rows.map { row throws(StoreError) in try webhook(row) }
    }

    private static func webhook(_ row: SQLRow) throws(StoreError) -> Row {
        guard let kind = TrackerKind(rawValue: try row.text("kind")) else {
            throw .unexpectedValue(column: "trackers.kind")
        }
        guard let deployment = TrackerDeployment(rawValue: try row.text("deployment")) else {
            throw .unexpectedValue(column: "trackers.deployment")
        }
        var previous: SealedSecret?
        if case .blob(let bytes) = try row.value("previous_secret") {
            previous = SealedSecret(bytes: bytes)
        }
        return Row(
            organization: try row.identifier("organization_id"),
            tracker: try row.identifier("tracker_id"),
            kind: kind,
            deployment: deployment,
            secret: SealedSecret(bytes: try row.blob("secret")),
            previous: previous,
            previousUntil: try row.optionalTimestamp("previous_until"),
            createdAt: try row.timestamp("created_at")
        )
    }
}
