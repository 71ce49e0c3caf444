package import Domain

/// An issue whose comments must be read one by one.
package struct DueIssue: Sendable, Equatable {
    package var id: IssueID
    package var externalID: String
    package var kind: IssueKind
    package var number: Int
    package var key: String
    /// The issue's version the decision was made on.
    package var revision: Revision
    package var commentCount: Int?
}

/// Which issues' comments must be read one by one.
extension IssueTable {
    /// Issues whose comments are due, by identifier, at most `limit` of those behind `after`.
    package static func commentsDue(
        in project: ProjectID,
        after: IssueID?,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [DueIssue] {
        try connection.rows(
            """
            SELECT id, external_id, kind, number, key, revision, comment_count FROM issues
            WHERE account_id = \(account) AND project_id = \(project) AND comments_due
                AND deleted_at IS NULL AND id > \(after ?? IssueID(0))
            ORDER BY id LIMIT \(limit)
            """
        ).map(dueIssue)
    }

    /// The projects with issues whose comments are due, by age.
    ///
    /// Each is looked up in the index of such issues, as `commentsDue` does; asked for all at once,
    /// an engine may walk every issue of the account.
    package static func projectsWithCommentsDue(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID] {
        try connection.rows(
            """
            SELECT id FROM projects AS p
            WHERE p.account_id = \(account) AND EXISTS (
                SELECT 1 FROM issues AS i
                WHERE i.account_id = \(account) AND i.project_id = p.id AND i.comments_due
                    AND i.deleted_at IS NULL AND i.id > \(IssueID(0)))
            ORDER BY id
            """
        ).map { row throws(StoreError) -> ProjectID in try row.identifier("id") }
    }

    /// Takes the mark from an issue whose comments are now stored completely.
    ///
    /// The row keeps its revision: nothing that a follower sees has changed. An issue that was
    /// written meanwhile keeps its mark, for its comments may be newer than those read.
    package static func endComments(
        of issue: DueIssue,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE issues SET comments_due = \(false), comments_read_count = \(issue.commentCount)
            WHERE account_id = \(account) AND id = \(issue.id) AND revision = \(issue.revision)
            """
        )
    }

    /// Has the comments of an issue read one by one by the next scan.
    package static func markCommentsDue(
        externalID: String,
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE issues SET comments_due = \(true)
            WHERE account_id = \(account) AND project_id = \(project)
                AND external_id = \(externalID) AND deleted_at IS NULL
            """
        )
    }

    /// Marks the issues of which another number of comments is stored than the tracker reports.
    ///
    /// This finds deleted comments, which move nothing else. An issue that was read one by one
    /// under the same report is left alone: the service counts what it does not show.
    ///
    /// - Returns: How many were marked.
    @discardableResult
    package static func markCommentMismatches(
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        try connection.execute(
            """
            UPDATE issues SET comments_due = \(true)
            WHERE account_id = \(account) AND project_id = \(project) AND deleted_at IS NULL
                AND NOT comments_due AND comment_count IS NOT NULL
                AND (comments_read_count IS NULL OR comments_read_count <> comment_count)
                AND comment_count <> (
                    SELECT COUNT(*) FROM comments c
                    WHERE c.account_id = issues.account_id AND c.issue_id = issues.id
                        AND c.deleted_at IS NULL)
            """
        )
    }

    /// The identifiers of the project's live issues by number; of two with one number the newer.
    package static func identifiers(
        numbers: [Int],
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Int: IssueID] {
        var found: [Int: IssueID] = [:]
        for chunk in numbers.chunks(of: lookupCount) {
            let binds = chunk.map { number -> SQL in "\(number)" }
            let rows = try connection.rows(
                """
                SELECT id, number FROM issues
                WHERE account_id = \(account) AND project_id = \(project)
                    AND number IN (\(binds)) AND deleted_at IS NULL
                ORDER BY +id
                """
            )
            for row in rows {
                found[Int(try row.integer("number"))] = try row.identifier("id")
            }
        }
        return found
    }

    /// The project's live issue with the tracker's identifier.
    package static func find(
        externalID: String,
        kind: IssueKind,
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> IssueID? {
        let rows = try connection.rows(
            """
            SELECT id FROM issues
            WHERE account_id = \(account) AND project_id = \(project)
                AND external_id = \(externalID) AND kind = \(kind.rawValue)
                AND deleted_at IS NULL
            ORDER BY id
            """
        )
        guard let row = rows.first else { return nil }
        return try row.identifier("id")
    }

    static func count(
        _ statement: SQL,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        guard let row = try connection.rows(statement).first else { return 0 }
        return Int(try row.integer("count"))
    }

    static func dueIssue(_ row: SQLRow) throws(StoreError) -> DueIssue {
        guard let kind = IssueKind(rawValue: try row.text("kind")) else {
            throw .unexpectedValue(column: "kind")
        }
        return DueIssue(
            id: try row.identifier("id"),
            externalID: try row.text("external_id"),
            kind: kind,
            number: Int(try row.integer("number")),
            key: try row.text("key"),
            revision: Revision(try row.integer("revision")),
            commentCount: try row.optionalInteger("comment_count").map(Int.init)
        )
    }
}
