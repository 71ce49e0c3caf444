package import Domain

/// Issues in the order of their last change, for lists that go on where they stopped.
package enum IssueListTable {
    /// A place in the list: behind the issue of that instant and identifier.
    package struct Place: Sendable, Equatable {
        package var updatedAt: Timestamp
        package var issue: IssueID

        package init(updatedAt: Timestamp, issue: IssueID) {
            self.updatedAt = updatedAt
            self.issue = issue
        }
    }

    /// The live issues that pass, the latest change first.
    package static func page(
        matching filter: IssueFilter,
        after place: Place?,
        offset: Int,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueSummary] {
        var conditions: [SQL] = [
            PassageTable.condition(filter, account, connection.dialect)
        ]
        if let place {
            conditions.append(
                """
                (i.updated_at < \(place.updatedAt)
                    OR i.updated_at = \(place.updatedAt) AND i.id < \(place.issue))
                """
            )
        }
        return try connection.rows(
            """
            SELECT i.id, i.project_id, p.path, t.name AS tracker, i.kind, i.key, i.title, i.state,
                i.url, i.external_id, i.created_at, i.updated_at
            FROM issues AS i
            JOIN projects AS p ON p.account_id = i.account_id AND p.id = i.project_id
            JOIN trackers AS t ON t.account_id = p.account_id AND t.id = p.tracker_id
            WHERE i.account_id = \(account) AND \(conditions, separator: " AND ")
            ORDER BY i.updated_at DESC, i.id DESC
            LIMIT \(limit) OFFSET \(offset)
            """
        ).map(PassageTable.summary)
    }
}
