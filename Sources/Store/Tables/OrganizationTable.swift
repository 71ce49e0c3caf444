package import Domain

/// A stored GitHub owner, GitLab group or Jira site.
package struct StoredOrganization: Sendable, Equatable {
    /// Its row.
    package var id: OrganizationID
    /// Whose it is.
    package var trackerID: TrackerID
    /// The service's immutable identifier.
    package var externalID: String
    /// The name in URLs and scope rules.
    package var path: String
    /// The name people read.
    package var name: String
}

/// The organisations seen in each tracker.
package enum OrganizationTable {
    /// Makes an organisation or gives an existing one its present path and name.
    ///
    /// - Returns: Its row.
    package static func upsert(
        externalID: String,
        path: String,
        name: String,
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> OrganizationID {
        let known = try connection.rows(
            """
            UPDATE organizations SET path = \(path), name = \(name)
            WHERE account_id = \(account) AND tracker_id = \(tracker)
                AND external_id = \(externalID)
            RETURNING id
            """
        )
        if let row = known.first { return try row.identifier("id") }
        let drawn: [OrganizationID] = try AccountTable.nextIDs(1, account: account, on: connection)
        try connection.execute(
            """
            INSERT INTO organizations (account_id, id, tracker_id, external_id, path, name)
            VALUES (\(account), \(drawn[0]), \(tracker), \(externalID), \(path), \(name))
            """
        )
        return drawn[0]
    }

    /// A tracker's organisations, by path.
    package static func list(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [StoredOrganization] {
        try connection.rows(
            """
            SELECT id, tracker_id, external_id, path, name FROM organizations
            WHERE account_id = \(account) AND tracker_id = \(tracker)
            ORDER BY path, id
            LIMIT 100000
            """
        ).map(organization)
    }

    /// Every organisation, by identifier.
    package static func all(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [StoredOrganization] {
        try connection.rows(
            """
            SELECT id, tracker_id, external_id, path, name FROM organizations
            WHERE account_id = \(account)
            ORDER BY id
            LIMIT 100000
            """
        ).map(organization)
    }

    /// One organisation.
    package static func find(
        _ id: OrganizationID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> StoredOrganization? {
        try connection.rows(
            """
            SELECT id, tracker_id, external_id, path, name FROM organizations
            WHERE account_id = \(account) AND id = \(id)
            """
        ).first.map(organization)
    }

    private static func organization(_ row: SQLRow) throws(StoreError) -> StoredOrganization {
        StoredOrganization(
            id: try row.identifier("id"),
            trackerID: try row.identifier("tracker_id"),
            externalID: try row.text("external_id"),
            path: try row.text("path"),
            name: try row.text("name")
        )
    }
}
