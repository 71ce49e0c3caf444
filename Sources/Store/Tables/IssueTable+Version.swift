package import Domain

/// How an issue is stored, with all that belongs to it.
package struct IssueVersion: Sendable, Equatable {
    package var id: IssueID
    package var project: ProjectID
    package var externalID: String
    package var number: Int
    package var key: String
    package var isDeleted: Bool
    /// The greatest of its own and its comments': nobody has written any of them since when it is
    /// the same.
    package var revision: Revision
}

extension IssueTable {
    /// How the issue that a tracker means is stored; nil when it is not.
    ///
    /// - Parameters:
    ///   - externalID: The tracker's identifier; empty when only the number is known.
    ///   - number: Its number in `project`; only asked when there is no identifier.
    ///   - kind: An issue or a pull request.
    ///   - project: Where it is said to be; it may be stored in another one of the tracker.
    ///   - tracker: Whose it is.
    ///   - account: Whose rows.
    ///   - connection: Inside a transaction.
    /// - Returns: Of several rows, left behind by moves, the one that lives.
    /// - Throws: ``StoreError``.
    package static func version(
        externalID: String,
        number: Int,
        kind: IssueKind,
        project: ProjectID?,
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> IssueVersion? {
        let condition: SQL =
            externalID.isEmpty
            ? "i.project_id = \(project ?? ProjectID(0)) AND i.number = \(number)"
            : "i.external_id = \(externalID)"
        let rows = try connection.rows(
            """
            SELECT i.id, i.project_id, i.external_id, i.number, i.key, i.deleted_at, i.revision,
                (SELECT MAX(c.revision) FROM comments AS c
                    WHERE c.account_id = i.account_id AND c.issue_id = i.id) AS comment_revision
            FROM issues AS i
            JOIN projects AS p ON p.account_id = i.account_id AND p.id = i.project_id
            WHERE i.account_id = \(account) AND p.tracker_id = \(tracker)
                AND i.kind = \(kind.rawValue) AND \(condition)
            ORDER BY i.deleted_at IS NOT NULL, i.id DESC
            LIMIT 1
            """
        )
        guard let row = rows.first else { return nil }
        let own = try row.integer("revision")
        return IssueVersion(
            id: try row.identifier("id"),
            project: try row.identifier("project_id"),
            externalID: try row.text("external_id"),
            number: Int(try row.integer("number")),
            key: try row.text("key"),
            isDeleted: try row.optionalTimestamp("deleted_at") != nil,
            revision: Revision(max(own, try row.optionalInteger("comment_revision") ?? 0))
        )
    }
}
