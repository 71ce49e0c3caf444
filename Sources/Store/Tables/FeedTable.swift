package import Domain

/// One row of the change feed: something is now as its table says, or gone.
package struct FeedChange: Sendable, Equatable {
    /// The change's place; a later change of the same row moves it forwards.
    package var revision: Revision
    /// What changed.
    package var subject: Subject
    /// Whether the row is a tombstone.
    package var isDeleted: Bool

    /// What a change is about.
    package enum Subject: Sendable, Hashable {
        case issue(IssueID)
        case comment(CommentID, of: IssueID)
        case passage(PassageID, of: IssueID, model: EmbeddingModelID)
    }
}

/// The change feed: issues, comments and passages in the order of their revisions.
package enum FeedTable {
    /// Which tables a follower wants to hear of.
    package enum Kind: Sendable, CaseIterable {
        case issue
        case comment
        case passage
    }

    /// The changes after a revision, oldest first.
    ///
    /// A page shorter than `limit` means that the follower is up to date with
    /// ``AccountTable/currentRevision(account:on:)`` of the same transaction.
    ///
    /// - Complexity: O(`limit`) by each table's index on the revision.
    package static func changes(
        after revision: Revision,
        limit: Int,
        kinds: Set<Kind> = Set(Kind.allCases),
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [FeedChange] {
        guard limit > 0, !kinds.isEmpty else { return [] }
        let parts = Kind.allCases.filter(kinds.contains).map { kind in
            select(kind, after: revision, limit: limit, account: account)
        }
        let rows = try connection.rows(
            """
            SELECT revision, kind, id, issue_id, model_id, is_deleted
            FROM (\(parts, separator: " UNION ALL ")) AS feed
            ORDER BY revision
            LIMIT \(limit)
            """
        )
        var changes: [FeedChange] = []
        changes.reserveCapacity(rows.count)
        for row in rows {
            changes.append(
                FeedChange(
                    revision: Revision(try row.integer("revision")),
                    subject: try subject(row),
                    isDeleted: try row.bool("is_deleted")
                )
            )
        }
        return changes
    }

    private static func select(
        _ kind: Kind,
        after revision: Revision,
        limit: Int,
        account: AccountID
    ) -> SQL {
        switch kind {
        case .issue:
            """
            SELECT * FROM (
                SELECT revision, 1 AS kind, id, id AS issue_id, 0 AS model_id,
                    deleted_at IS NOT NULL AS is_deleted
                FROM issues
                WHERE account_id = \(account) AND revision > \(revision)
                ORDER BY revision LIMIT \(limit)) AS changed_issues
            """
        case .comment:
            """
            SELECT * FROM (
                SELECT revision, 2 AS kind, id, issue_id, 0 AS model_id,
                    deleted_at IS NOT NULL AS is_deleted
                FROM comments
                WHERE account_id = \(account) AND revision > \(revision)
                ORDER BY revision LIMIT \(limit)) AS changed_comments
            """
        case .passage:
            """
            SELECT * FROM (
                SELECT revision, 3 AS kind, id, issue_id, model_id,
                    deleted_at IS NOT NULL AS is_deleted
                FROM passages
                WHERE account_id = \(account) AND revision > \(revision)
                ORDER BY revision LIMIT \(limit)) AS changed_passages
            """
        }
    }

    private static func subject(_ row: SQLRow) throws(StoreError) -> FeedChange.Subject {
        let issue: IssueID = try row.identifier("issue_id")
        switch try row.integer("kind") {
        case 1: return .issue(issue)
        case 2: return .comment(try row.identifier("id"), of: issue)
        case 3:
            return .passage(
                try row.identifier("id"),
                of: issue,
                model: try row.identifier("model_id")
            )
        default: throw .unexpectedValue(column: "kind")
        }
    }
}
