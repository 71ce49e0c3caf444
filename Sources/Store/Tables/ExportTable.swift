package import Domain

/// The store's content as an export shows it, read row by row on one snapshot.
package enum ExportTable {
    /// An issue with the names of where it is.
    package struct Row: Sendable {
        /// Its row.
        package var id: IssueID
        /// What the tracker tells; links and comments are read apart.
        package var issue: Issue
        /// When it was found deleted.
        package var deletedAt: Timestamp?
    }

    /// Reads a project's issues of one kind behind `(number, id)`, in that order.
    package static func issues(
        of project: ProjectID,
        kind: IssueKind,
        after place: (number: Int, id: IssueID)?,
        withDeleted: Bool,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let number = place?.number ?? -1
        let id = place?.id ?? IssueID(0)
        let rows = try connection.rows(
            """
            SELECT id, external_id, number, key, title, body, state, status, labels, author,
                assignees, priority, type, created_at, updated_at, url, deleted_at
            FROM issues
            WHERE account_id = \(account) AND project_id = \(project) AND kind = \(kind.rawValue)
                AND number >= \(number) AND (number > \(number) OR id > \(id))
                AND (deleted_at IS NULL OR \(withDeleted))
            ORDER BY number, id
            LIMIT \(limit)
            """
        )
        var found: [Row] = []
        for row in rows { found.append(try issue(row, kind: kind)) }
        return found
    }

    /// Reads one issue that is not deleted.
    package static func issue(
        _ id: IssueID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT id, external_id, kind, number, key, title, body, state, status, labels, author,
                assignees, priority, type, created_at, updated_at, url, deleted_at
            FROM issues WHERE account_id = \(account) AND id = \(id) AND deleted_at IS NULL
            """
        )
        guard let row = rows.first else { return nil }
        guard let kind = IssueKind(rawValue: try row.text("kind")) else {
            throw .unexpectedValue(column: "issues.kind")
        }
        return try issue(row, kind: kind)
    }

    private static func issue(_ row: SQLRow, kind: IssueKind) throws(StoreError) -> Row {
        guard let state = IssueState(rawValue: try row.text("state")) else {
            throw .unexpectedValue(column: "issues.state")
        }
        return Row(
            id: try row.identifier("id"),
            issue: Issue(
                externalID: try row.text("external_id"),
                kind: kind,
                number: Int(try row.integer("number")),
                key: try row.text("key"),
                title: try row.text("title"),
                body: try row.text("body"),
                state: state,
                status: try row.optionalText("status"),
                labels: try texts(row, "labels"),
                author: try row.optionalText("author"),
                assignees: try texts(row, "assignees"),
                priority: try row.optionalText("priority"),
                type: try row.optionalText("type"),
                createdAt: try row.timestamp("created_at"),
                updatedAt: try row.timestamp("updated_at"),
                url: try row.text("url")
            ),
            deletedAt: try row.optionalTimestamp("deleted_at")
        )
    }

    private static func texts(
        _ row: SQLRow,
        _ column: String
    ) throws(StoreError) -> [String] {
        guard let elements = try row.json(column).array else {
            throw .unexpectedValue(column: column)
        }
        return elements.compactMap(\.string)
    }

    /// Reads an issue's comments, oldest first, of the same instant by external identifier.
    ///
    /// The order depends only on what the tracker told, not on when it was read.
    package static func comments(
        of issue: IssueID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Comment] {
        let rows = try connection.rows(
            """
            SELECT external_id, author, body, created_at, updated_at FROM comments
            WHERE account_id = \(account) AND issue_id = \(issue) AND deleted_at IS NULL
            ORDER BY created_at, LENGTH(external_id), external_id
            LIMIT 1000000
            """
        )
        var comments: [Comment] = []
        for row in rows {
            comments.append(
                Comment(
                    externalID: try row.text("external_id"),
                    author: try row.optionalText("author"),
                    body: try row.text("body"),
                    createdAt: try row.timestamp("created_at"),
                    updatedAt: try row.timestamp("updated_at")
                )
            )
        }
        return comments
    }
}
