package import Domain

/// An item of a tracker that could not be understood, kept as received.
package struct QuarantinedItem: Sendable, Equatable {
    /// The tracker's identifier, or a digest of the bytes when even that could not be read.
    package var externalID: String
    /// At most ``QuarantineTable/maximumRawBytes`` of what was received.
    package var raw: [UInt8]
    package var reason: String

    package init(externalID: String, raw: [UInt8], reason: String) {
        self.externalID = externalID
        self.raw = raw
        self.reason = reason
    }
}

/// Items that could not be understood; each leaves as soon as it can be.
package enum QuarantineTable {
    /// Kept of one item: enough to see what is wrong with it, not enough for a service that sends
    /// nothing but such items to fill the disk.
    package static let maximumRawBytes = 1 << 20

    /// Keeps an item, or notes that it was seen again.
    package static func put(
        _ item: QuarantinedItem,
        in project: ProjectID,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let raw = Array(item.raw.prefix(maximumRawBytes))
        let known = try connection.execute(
            """
            UPDATE quarantine SET raw = \(raw), reason = \(item.reason), last_seen_at = \(instant)
            WHERE account_id = \(account) AND project_id = \(project)
                AND external_id = \(item.externalID)
            """
        )
        guard known == 0 else { return }
        let ids: [Identifier<QuarantinedItem>] = try AccountTable.nextIDs(
            1,
            account: account,
            on: connection
        )
        for id in ids {
            try connection.execute(
                """
                INSERT INTO quarantine (account_id, id, project_id, external_id, raw, reason,
                    first_seen_at, last_seen_at)
                VALUES (\(account), \(id), \(project), \(item.externalID), \(raw),
                    \(item.reason), \(instant), \(instant))
                """
            )
        }
    }

    /// Lets go of items that have been understood since.
    package static func remove(
        _ externalIDs: [String],
        from project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        for chunk in externalIDs.chunks(of: IssueTable.lookupCount) {
            let identifiers = chunk.map { identifier -> SQL in "\(identifier)" }
            try connection.execute(
                """
                DELETE FROM quarantine
                WHERE account_id = \(account) AND project_id = \(project)
                    AND external_id IN (\(identifiers))
                """
            )
        }
    }

    /// How many items of the project wait.
    package static func count(
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        try IssueTable.count(
            """
            SELECT COUNT(*) AS count FROM quarantine
            WHERE account_id = \(account) AND project_id = \(project)
            """,
            on: connection
        )
    }

    /// The project's items, oldest first.
    package static func list(
        in project: ProjectID,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [QuarantinedItem] {
        try connection.rows(
            """
            SELECT external_id, raw, reason FROM quarantine
            WHERE account_id = \(account) AND project_id = \(project)
            ORDER BY first_seen_at, id LIMIT \(limit)
            """
        ).map { (row) throws(StoreError) in
            QuarantinedItem(
                externalID: try row.text("external_id"),
                raw: try row.blob("raw"),
                reason: try row.text("reason")
            )
        }
    }
}
