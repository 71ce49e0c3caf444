package import Domain

/// The texts that passages and lexical documents are made from.
extension PassageTable {
    /// How much of a text is read at most, in characters: eight windows of 256 tokens and more.
    private static let bodyLimit = 32_768
    /// Four windows and more.
    private static let commentLimit = 16_384
    /// Comments of an issue that its lexical document is made from, oldest first.
    private static let commentsInDocument = 40
    /// Characters of each of them.
    private static let documentCommentLimit = 4_096

    /// An issue or a comment that changed.
    package struct TextChange: Sendable, Equatable {
        package var issue: IssueID
        /// Nil when the issue itself changed.
        package var comment: CommentID?
        package var revision: Revision
    }

    /// An issue's own text.
    package struct IssueText: Sendable {
        package var issue: IssueID
        package var title: String
        /// The start of the body.
        package var body: String
        package var isDeleted: Bool
    }

    /// A comment's text.
    package struct CommentText: Sendable {
        package var comment: CommentID
        package var issue: IssueID
        /// The start of the body.
        package var body: String
        /// It or its issue is deleted.
        package var isDeleted: Bool
    }

    /// Issues and comments that changed after a revision, oldest change first.
    package static func changedTexts(
        after revision: Revision,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [TextChange] {
        // Limited on both sides, so that each walks its index only as far as it is needed.
        try connection.rows(
            """
            SELECT issue_id, comment_id, revision FROM (
                SELECT * FROM (
                    SELECT id AS issue_id, 0 AS comment_id, revision FROM issues
                    WHERE account_id = \(account) AND revision > \(revision)
                    ORDER BY revision LIMIT \(limit)
                ) AS changed_issues
                UNION ALL
                SELECT * FROM (
                    SELECT issue_id, id AS comment_id, revision FROM comments
                    WHERE account_id = \(account) AND revision > \(revision)
                    ORDER BY revision LIMIT \(limit)
                ) AS changed_comments
            ) AS changed
            ORDER BY revision
            LIMIT \(limit)
            """
        ).map { row throws(StoreError) -> TextChange in
            let comment = try row.integer("comment_id")
            return TextChange(
                issue: try row.identifier("issue_id"),
                comment: comment == 0 ? nil : CommentID(comment),
                revision: Revision(try row.integer("revision"))
            )
        }
    }

    /// How many issues and comments changed after a revision: what followers have before them.
    package static func changedTextCount(
        after revision: Revision,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT (
                SELECT COUNT(*) FROM issues
                WHERE account_id = \(account) AND revision > \(revision)
            ) + (
                SELECT COUNT(*) FROM comments
                WHERE account_id = \(account) AND revision > \(revision)
            ) AS changed
            """
        )
        return Int(try rows.first?.integer("changed") ?? 0)
    }

    /// The texts of issues, by identifier.
    package static func issueTexts(
        of issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueText] {
        guard !issues.isEmpty else { return [] }
        return try connection.rows(
            """
            SELECT id, title, substr(body, 1, CAST(\(bodyLimit) AS INTEGER)) AS body,
                deleted_at IS NOT NULL AS is_deleted
            FROM issues WHERE account_id = \(account) AND id \(among: issues)
            ORDER BY id
            """
        ).map { row throws(StoreError) -> IssueText in
            IssueText(
                issue: try row.identifier("id"),
                title: try row.text("title"),
                body: try row.text("body"),
                isDeleted: try row.bool("is_deleted")
            )
        }
    }

    /// The texts of comments, by identifier.
    package static func commentTexts(
        _ comments: [CommentID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [CommentText] {
        guard !comments.isEmpty else { return [] }
        return try connection.rows(
            """
            SELECT c.id, c.issue_id, substr(c.body, 1, CAST(\(commentLimit) AS INTEGER)) AS body,
                c.deleted_at IS NOT NULL OR i.deleted_at IS NOT NULL AS is_deleted
            FROM comments AS c
            JOIN issues AS i ON i.account_id = c.account_id AND i.id = c.issue_id
            WHERE c.account_id = \(account) AND c.id \(among: comments)
            ORDER BY c.id
            """
        ).map(commentText)
    }

    /// Live comments whose windows are tombstones because their issue was deleted and came back; by
    /// identifier, only those after `comment`, for reading page by page.
    package static func revivedComments(
        of issue: IssueID,
        after comment: CommentID,
        model: EmbeddingModelID,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [CommentText] {
        try connection.rows(
            """
            SELECT c.id, c.issue_id, substr(c.body, 1, CAST(\(commentLimit) AS INTEGER)) AS body,
                FALSE AS is_deleted
            FROM comments AS c
            JOIN passages AS p ON p.account_id = c.account_id AND p.model_id = \(model)
                AND p.issue_id = c.issue_id AND p.comment_id = c.id AND p.position = 0
            WHERE c.account_id = \(account) AND c.issue_id = \(issue) AND c.id > \(comment)
                AND c.deleted_at IS NULL AND p.deleted_at IS NOT NULL
            ORDER BY c.id
            LIMIT \(limit)
            """
        ).map(commentText)
    }

    /// The first live comments of each issue, by issue and age.
    package static func commentTexts(
        ofIssues issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [CommentText] {
        guard !issues.isEmpty else { return [] }
        return try connection.rows(
            """
            SELECT id, issue_id, body, FALSE AS is_deleted FROM (
                SELECT id, issue_id,
                    substr(body, 1, CAST(\(documentCommentLimit) AS INTEGER)) AS body,
                    ROW_NUMBER() OVER (PARTITION BY issue_id ORDER BY created_at, id) AS place
                FROM comments
                WHERE account_id = \(account) AND issue_id \(among: issues)
                    AND deleted_at IS NULL
            ) AS numbered
            WHERE place <= \(commentsInDocument)
            ORDER BY issue_id, place
            """
        ).map(commentText)
    }

    private static func commentText(_ row: SQLRow) throws(StoreError) -> CommentText {
        CommentText(
            comment: try row.identifier("id"),
            issue: try row.identifier("issue_id"),
            body: try row.text("body"),
            isDeleted: try row.bool("is_deleted")
        )
    }
}
