package import Domain

/// Links between issues, kept as written; the target is filled in once its key is seen.
///
/// A link draws no revision of its own: it is content of the issue that carries it. Self references
/// and cycles are links like others.
package enum LinkTable {
    /// Stores the issue's links in place of those stored before and resolves what can be resolved.
    ///
    /// Keys mean issues of this tracker; another may use the same ones.
    package static func replace(
        with links: [IssueLink],
        of issue: IssueID,
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            "DELETE FROM links WHERE account_id = \(account) AND issue_id = \(issue)"
        )
        for link in links {
            try connection.execute(
                """
                INSERT INTO links (account_id, issue_id, relation, target_key, target_external_id,
                    target_issue_id)
                VALUES (\(account), \(issue), \(link.relation), \(link.targetKey),
                    \(link.targetExternalID), (
                        SELECT i.id FROM issues i
                        JOIN projects p ON p.account_id = i.account_id AND p.id = i.project_id
                        WHERE i.account_id = \(account) AND i.key = \(link.targetKey)
                            AND p.tracker_id = \(tracker) AND i.deleted_at IS NULL
                        ORDER BY i.id DESC LIMIT 1))
                ON CONFLICT (account_id, issue_id, relation, target_key) DO NOTHING
                """
            )
        }
    }

    /// Points to `issue` the links that wait for `targetKey` or lead to a deleted issue with it.
    package static func resolve(
        targetKey: String,
        to issue: IssueID,
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE links SET target_issue_id = \(issue)
            WHERE account_id = \(account) AND target_key = \(targetKey)
                AND (target_issue_id IS NULL OR EXISTS (
                    SELECT 1 FROM issues t
                    WHERE t.account_id = links.account_id AND t.id = links.target_issue_id
                        AND t.deleted_at IS NOT NULL))
                AND EXISTS (
                    SELECT 1 FROM issues i
                    JOIN projects p ON p.account_id = i.account_id AND p.id = i.project_id
                    WHERE i.account_id = links.account_id AND i.id = links.issue_id
                        AND p.tracker_id = \(tracker))
            """
        )
    }

    /// A link as stored.
    package struct Stored: Sendable, Equatable {
        package var issue: IssueID
        package var link: IssueLink
        /// Nil while the target has not been seen.
        package var target: IssueID?
    }

    /// The links that these issues carry, by issue, relation and key.
    package static func list(
        of issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Stored] {
        var found: [Stored] = []
        for chunk in issues.chunks(of: IssueTable.lookupCount) {
            let identifiers = chunk.map { issue -> SQL in "\(issue)" }
            let rows = try connection.rows(
                """
                SELECT issue_id, relation, target_key, target_external_id, target_issue_id
                FROM links WHERE account_id = \(account) AND issue_id IN (\(identifiers))
                ORDER BY issue_id, relation, target_key
                """
            )
            for row in rows {
                found.append(
                    Stored(
                        issue: try row.identifier("issue_id"),
                        link: IssueLink(
                            relation: try row.text("relation"),
                            targetKey: try row.text("target_key"),
                            targetExternalID: try row.optionalText("target_external_id")
                        ),
                        target: try row.optionalInteger("target_issue_id").map { IssueID($0) }
                    )
                )
            }
        }
        return found
    }
}
