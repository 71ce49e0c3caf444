package import Domain

/// Takes a tracker and all it holds out of an account.
///
/// Issues, comments and passages become tombstones without content, so that every follower of the
/// feed drops them; nothing of what the tracker told stays readable.
package enum TrackerRemoval {
    /// Removes everything in the caller's transaction; a kill leaves the whole tracker or nothing.
    ///
    /// - Returns: The number of issues that were not yet deleted.
    package static func remove(
        _ tracker: TrackerID,
        deletedAt: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let count = try liveIssues(of: tracker, account: account, on: connection)
        try deletePairs(of: tracker, account: account, on: connection)
        for table in FeedTable.Kind.allCases.reversed() {
            try entomb(table, of: tracker, at: deletedAt, account: account, on: connection)
        }
        try deleteRows(of: tracker, account: account, on: connection)
        return count
    }

    private static func issues(of tracker: TrackerID, account: AccountID) -> SQL {
        """
        SELECT issues.id FROM issues
        JOIN projects ON projects.account_id = issues.account_id
            AND projects.id = issues.project_id
        WHERE issues.account_id = \(account) AND projects.tracker_id = \(tracker)
        """
    }

    private static func liveIssues(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS live FROM issues
            WHERE account_id = \(account) AND deleted_at IS NULL
                AND id IN (\(issues(of: tracker, account: account)))
            """
        )
        return Int(try rows.first?.integer("live") ?? 0)
    }

    /// Gives each row of one table a revision of its own; the content goes.
    private static func entomb(
        _ kind: FeedTable.Kind,
        of tracker: TrackerID,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let members = members(of: kind, tracker: tracker, account: account)
        let rows = try connection.rows("SELECT COUNT(*) AS total FROM (\(members)) AS members")
        let total = Int(try rows.first?.integer("total") ?? 0)
        guard total > 0 else { return }
        let revisions = try AccountTable.nextRevisions(total, account: account, on: connection)
        let base = Revision(revisions[0].rawValue - 1)
        let placed: SQL = """
            SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM (\(members)) AS members
            """
        switch kind {
        case .issue:
            try connection.execute(
                """
                UPDATE issues
                SET title = '', body = '', source = NULL, status = NULL, labels = '[]',
                    author = NULL, assignees = '[]', priority = NULL, type = NULL, url = '',
                    comments_due = FALSE, content_hash = \([UInt8]()), deleted_at = \(instant),
                    revision = \(base) + placed.place
                FROM (\(placed)) AS placed
                WHERE issues.account_id = \(account) AND issues.id = placed.id
                """
            )
        case .comment:
            try connection.execute(
                """
                UPDATE comments
                SET author = NULL, body = '', source = NULL, content_hash = \([UInt8]()),
                    deleted_at = \(instant), revision = \(base) + placed.place
                FROM (\(placed)) AS placed
                WHERE comments.account_id = \(account) AND comments.id = placed.id
                """
            )
        case .passage:
            let isMirrored = try PassageVectorTable.exists(on: connection)
            if isMirrored {
                try connection.execute(
                    batch: PassageVectorTable.announce(
                        revisions[0]...revisions[total - 1],
                        model: nil,
                        account: account
                    )
                )
            }
            try connection.execute(
                """
                UPDATE passages
                SET vector = \([UInt8]()), text_hash = \([UInt8]()), deleted_at = \(instant),
                    revision = \(base) + placed.place
                FROM (\(placed)) AS placed
                WHERE passages.account_id = \(account) AND passages.id = placed.id
                """
            )
            guard isMirrored else { return }
            try connection.execute(
                PassageVectorTable.delete(
                    ofIssues: issues(of: tracker, account: account),
                    account: account
                )
            )
        }
    }

    private static func members(
        of kind: FeedTable.Kind,
        tracker: TrackerID,
        account: AccountID
    ) -> SQL {
        let issues = issues(of: tracker, account: account)
        return switch kind {
        case .issue: issues
        case .comment:
            "SELECT id FROM comments WHERE account_id = \(account) AND issue_id IN (\(issues))"
        case .passage:
            "SELECT id FROM passages WHERE account_id = \(account) AND issue_id IN (\(issues))"
        }
    }

    /// Pairs and verdicts that speak of an issue of the tracker, and the links it carries.
    private static func deletePairs(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let issues = issues(of: tracker, account: account)
        try connection.execute(batch: [
            """
            DELETE FROM duplicate_pairs
            WHERE account_id = \(account)
                AND (first_issue_id IN (\(issues)) OR second_issue_id IN (\(issues)))
            """,
            """
            DELETE FROM duplicate_verdicts
            WHERE account_id = \(account)
                AND (first_issue_id IN (\(issues)) OR second_issue_id IN (\(issues)))
            """,
            "DELETE FROM links WHERE account_id = \(account) AND issue_id IN (\(issues))",
            """
            UPDATE links SET target_issue_id = NULL
            WHERE account_id = \(account) AND target_issue_id IN (\(issues))
            """,
        ])
    }

    private static func deleteRows(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let projects: SQL = """
            SELECT id FROM projects WHERE account_id = \(account) AND tracker_id = \(tracker)
            """
        let organizations: SQL = """
            SELECT id FROM organizations WHERE account_id = \(account) AND tracker_id = \(tracker)
            """
        try connection.execute(batch: [
            """
            DELETE FROM webhooks
            WHERE account_id = \(account) AND organization_id IN (\(organizations))
            """,
            """
            DELETE FROM webhook_deliveries
            WHERE account_id = \(account) AND organization_id IN (\(organizations))
            """,
            "DELETE FROM quarantine WHERE account_id = \(account) AND project_id IN (\(projects))",
            """
            DELETE FROM census_marks
            WHERE account_id = \(account) AND project_id IN (\(projects))
            """,
            "DELETE FROM projects WHERE account_id = \(account) AND tracker_id = \(tracker)",
            "DELETE FROM organizations WHERE account_id = \(account) AND tracker_id = \(tracker)",
            "DELETE FROM scope_rules WHERE account_id = \(account) AND tracker_id = \(tracker)",
            """
            DELETE FROM scan_schedules
            WHERE account_id = \(account) AND tracker_id = \(tracker)
            """,
            "DELETE FROM trackers WHERE account_id = \(account) AND id = \(tracker)",
        ])
    }
}
