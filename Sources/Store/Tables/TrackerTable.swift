package import Domain

/// The configured trackers.
package enum TrackerTable {
    /// Adds a tracker whose identifier has been drawn, so that its credential can be sealed for it.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when the account has a tracker of that name.
    package static func insert(
        _ tracker: Tracker,
        credential: SealedSecret,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO trackers
                (account_id, id, kind, deployment, name, url, user_name, credential, status,
                    status_detail, checked_at, created_at, is_vetted)
            VALUES
                (\(account), \(tracker.id), \(tracker.kind.rawValue),
                    \(tracker.deployment.rawValue), \(tracker.name), \(tracker.url),
                    \(tracker.userName), \(credential.bytes), \(tracker.status.rawValue),
                    \(tracker.statusDetail), \(tracker.checkedAt), \(tracker.createdAt),
                    \(tracker.isVetted))
            """
        )
    }

    /// The account's trackers, by name.
    ///
    /// An operator adds them one by one; 1,000 is beyond any.
    package static func list(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Tracker] {
        try trackers(
            connection.rows(
                """
                SELECT id, kind, deployment, name, url, user_name, status, status_detail,
                    checked_at, created_at, is_vetted
                FROM trackers
                WHERE account_id = \(account)
                ORDER BY name, id
                LIMIT 1000
                """
            )
        )
    }

    /// The tracker of that name.
    package static func find(
        name: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Tracker? {
        try trackers(
            connection.rows(
                """
                SELECT id, kind, deployment, name, url, user_name, status, status_detail,
                    checked_at, created_at, is_vetted
                FROM trackers
                WHERE account_id = \(account) AND name = \(name)
                """
            )
        ).first
    }

    /// The tracker of that identifier.
    package static func find(
        _ id: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Tracker? {
        try trackers(
            connection.rows(
                """
                SELECT id, kind, deployment, name, url, user_name, status, status_detail,
                    checked_at, created_at, is_vetted
                FROM trackers
                WHERE account_id = \(account) AND id = \(id)
                """
            )
        ).first
    }

    /// A tracker's sealed credential; nil when there is no such tracker.
    package static func credential(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> SealedSecret? {
        let rows = try connection.rows(
            """
            SELECT credential FROM trackers
            WHERE account_id = \(account) AND id = \(tracker)
            """
        )
        guard let row = rows.first else { return nil }
        return SealedSecret(bytes: try row.blob("credential"))
    }

    /// Stores a new credential, which has to be checked again.
    package static func setCredential(
        _ credential: SealedSecret,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE trackers
            SET credential = \(credential.bytes), status = 'new', status_detail = NULL,
                checked_at = NULL
            WHERE account_id = \(account) AND id = \(tracker)
            """
        )
    }

    /// Stores another name, by which people mean the tracker.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when the account has a tracker of that name.
    package static func setName(
        _ name: String,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE trackers SET name = \(name)
            WHERE account_id = \(account) AND id = \(tracker)
            """
        )
    }

    /// Stores the service's new address, which has to be checked again.
    ///
    /// - Parameters:
    ///   - url: The base URL.
    ///   - userName: The user the token belongs to.
    ///   - isVetted: Whether the address came over the server.
    ///   - tracker: Whose.
    ///   - account: Whose tracker it is.
    ///   - connection: Where to write.
    /// - Throws: What the store refuses.
    package static func setAddress(
        url: String,
        userName: String?,
        isVetted: Bool,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE trackers
            SET url = \(url), user_name = \(userName), is_vetted = \(isVetted), status = 'new',
                status_detail = NULL, checked_at = NULL
            WHERE account_id = \(account) AND id = \(tracker)
            """
        )
    }

    /// Notes what a check of the token said.
    package static func setStatus(
        _ status: TrackerStatus,
        detail: String?,
        checkedAt: Timestamp,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE trackers
            SET status = \(status.rawValue), status_detail = \(detail), checked_at = \(checkedAt)
            WHERE account_id = \(account) AND id = \(tracker)
            """
        )
    }

    private static func trackers(_ rows: [SQLRow]) throws(StoreError) -> [Tracker] {
        var trackers: [Tracker] = []
        for row in rows {
            guard let kind = TrackerKind(rawValue: try row.text("kind")),
                let deployment = TrackerDeployment(rawValue: try row.text("deployment")),
                let status = TrackerStatus(rawValue: try row.text("status"))
            else { throw .unexpectedValue(column: "trackers.kind") }
            trackers.append(
                Tracker(
                    id: try row.identifier("id"),
                    kind: kind,
                    deployment: deployment,
                    name: try row.text("name"),
                    url: try row.text("url"),
                    userName: try row.optionalText("user_name"),
                    status: status,
                    statusDetail: try row.optionalText("status_detail"),
                    checkedAt: try row.optionalTimestamp("checked_at"),
                    createdAt: try row.timestamp("created_at"),
                    isVetted: try row.bool("is_vetted")
                )
            )
        }
        return trackers
    }
}
