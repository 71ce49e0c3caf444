package import Domain

/// Comments on issues.
///
/// A comment of a deleted issue counts as deleted, whatever its own row says.
package enum CommentTable {
    /// A comment with the issue it belongs to.
    package struct Incoming: Sendable, Equatable {
        package var issue: IssueID
        package var comment: Comment

        package init(issue: IssueID, comment: Comment) {
            self.issue = issue
            self.comment = comment
        }
    }

    /// What is stored of a comment, as far as a new snapshot is compared with it.
    private struct Current {
        var id: CommentID
        var contentHash: [UInt8]
        var updatedAt: Timestamp
        var isDeleted: Bool
    }

    private struct Key: Hashable {
        var issue: IssueID
        var externalID: String
    }

    private struct Write {
        var incoming: Incoming
        var hash: [UInt8]
        var id: CommentID?
    }

    /// Writes what is new or changed; older snapshots are refused as those of issues are.
    package static func upsert(
        _ comments: [Incoming],
        in project: ProjectID,
        present: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> CommentResult {
        let current = try current(
            of: Set(comments.map(\.issue)),
            account: account,
            on: connection
        )
        return try upsert(
            comments,
            over: current,
            in: project,
            present: present,
            account: account,
            on: connection
        )
    }

    /// All comments that an issue has now.
    struct Complete {
        var issue: IssueID
        var comments: [Comment]
    }

    /// Writes the complete comments of an issue: those not in the list become tombstones.
    package static func replace(
        with comments: [Comment],
        of issue: IssueID,
        in project: ProjectID,
        present: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> CommentResult {
        try replace(
            with: [Complete(issue: issue, comments: comments)],
            in: project,
            present: present,
            account: account,
            on: connection
        )
    }

    /// Writes the complete comments of several issues.
    static func replace(
        with issues: [Complete],
        in project: ProjectID,
        present: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> CommentResult {
        guard !issues.isEmpty else { return CommentResult() }
        let current = try current(
            of: Set(issues.map(\.issue)),
            account: account,
            on: connection
        )
        let incoming = issues.flatMap { complete in
            complete.comments.map { Incoming(issue: complete.issue, comment: $0) }
        }
        var result = try upsert(
            incoming,
            over: current,
            in: project,
            present: present,
            account: account,
            on: connection
        )
        result.deleted = try delete(
            from: current,
            keeping: Set(incoming.map { Key(issue: $0.issue, externalID: $0.comment.externalID) }),
            at: present,
            account: account,
            on: connection
        )
        return result
    }

    /// Makes tombstones of the issue's comments that are not among `kept`.
    ///
    /// - Returns: How many.
    package static func deleteMissing(
        of issue: IssueID,
        keeping kept: Set<String>,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let current = try current(of: [issue], account: account, on: connection)
        return try delete(
            from: current,
            keeping: Set(kept.map { Key(issue: issue, externalID: $0) }),
            at: instant,
            account: account,
            on: connection
        )
    }

    /// Gives the live comments of an issue a new revision and the project the issue is in now, for
    /// those who follow the feed have dropped or filed them elsewhere.
    package static func touch(
        of issue: IssueID,
        project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let rows = try connection.rows(
            """
            SELECT id FROM comments
            WHERE account_id = \(account) AND issue_id = \(issue) AND deleted_at IS NULL
            ORDER BY +id
            """
        )
        let revisions = try AccountTable.nextRevisions(
            rows.count,
            account: account,
            on: connection
        )
        var statements: [SQL] = []
        for (row, revision) in zip(rows, revisions) {
            let id: CommentID = try row.identifier("id")
            statements.append(
                """
                UPDATE comments SET project_id = \(project), revision = \(revision)
                WHERE account_id = \(account) AND id = \(id)
                """
            )
        }
        try connection.execute(batch: statements)
    }
}

// MARK: Writing

extension CommentTable {
    private static func upsert(
        _ comments: [Incoming],
        over current: [Key: Current],
        in project: ProjectID,
        present: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> CommentResult {
        var result = CommentResult()
        var writes: [Key: Write] = [:]
        var order: [Key] = []
        for incoming in comments {
            let comment = incoming.comment
            let key = Key(issue: incoming.issue, externalID: comment.externalID)
            let hash = comment.contentHash
            if let earlier = writes[key], earlier.incoming.comment.updatedAt > comment.updatedAt {
                continue
            }
            if let row = current[key], isKept(row, over: comment, hash: hash, present: present) {
                result.unchanged += 1
                continue
            }
            if writes[key] == nil { order.append(key) }
            writes[key] = Write(incoming: incoming, hash: hash, id: current[key]?.id)
        }
        let ordered = order.compactMap { writes[$0] }
        result.changed = ordered.count { $0.id != nil }
        result.created = ordered.count - result.changed
        try write(ordered, in: project, account: account, on: connection)
        return result
    }

    private static func isKept(
        _ row: Current,
        over comment: Comment,
        hash: [UInt8],
        present: Timestamp
    ) -> Bool {
        if row.isDeleted { return false }
        return row.contentHash == hash
            || (comment.updatedAt < row.updatedAt && row.updatedAt <= present)
    }

    private static func write(
        _ writes: [Write],
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        var newIDs: [CommentID] = try AccountTable.nextIDs(
            writes.count { $0.id == nil },
            account: account,
            on: connection
        )
        newIDs.reverse()
        let revisions = try AccountTable.nextRevisions(
            writes.count,
            account: account,
            on: connection
        )
        var (created, changed) = (SQLTable(rowKinds), SQLTable(rowKinds))
        for (write, revision) in zip(writes, revisions) {
            if let id = write.id {
                changed.append(row(write, id, revision, project, account))
            } else if let id = newIDs.popLast() {
                created.append(row(write, id, revision, project, account))
            }
        }
        try connection.execute(batch: [insert(created), update(changed)])
    }

    /// The types of a row's columns, as ``insert(_:)`` and ``update(_:)`` name them.
    private static let rowKinds: [SQLKind] = [
        .integer, .integer, .integer, .integer, .text, .text, .text, .text, .timestamp,
        .timestamp, .blob, .integer,
    ]

    private static func row(
        _ write: Write,
        _ id: CommentID,
        _ revision: Revision,
        _ project: ProjectID,
        _ account: AccountID
    ) -> [SQLValue] {
        let comment = write.incoming.comment
        return [
            SQLValue(account), SQLValue(id), SQLValue(project), SQLValue(write.incoming.issue),
            .text(comment.externalID), SQLValue(comment.author), .text(comment.body),
            SQLValue(comment.source), .timestamp(comment.createdAt),
            .timestamp(comment.updatedAt), .blob(write.hash), SQLValue(revision),
        ]
    }

    private static func insert(_ rows: SQLTable) -> SQL {
        """
        INSERT INTO comments (account_id, id, project_id, issue_id, external_id, author, body,
            source, created_at, updated_at, content_hash, revision)
        \(rows: rows)
        """
    }

    private static func update(_ rows: SQLTable) -> SQL {
        """
        WITH given (account_id, id, project_id, issue_id, external_id, author, body, source,
            created_at, updated_at, content_hash, revision) AS (\(rows: rows))
        UPDATE comments SET project_id = given.project_id, author = given.author, body = given.body,
            source = given.source, created_at = given.created_at, updated_at = given.updated_at,
            content_hash = given.content_hash, deleted_at = NULL, revision = given.revision
        FROM given WHERE comments.account_id = given.account_id AND comments.id = given.id
        """
    }

    private static func delete(
        from current: [Key: Current],
        keeping kept: Set<Key>,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let missing = current.filter { !$0.value.isDeleted && !kept.contains($0.key) }
            .map(\.value.id).sorted()
        let revisions = try AccountTable.nextRevisions(
            missing.count,
            account: account,
            on: connection
        )
        try connection.execute(
            batch: zip(missing, revisions).map { id, revision in
                """
                UPDATE comments SET deleted_at = \(instant), revision = \(revision)
                WHERE account_id = \(account) AND id = \(id)
                """
            }
        )
        return missing.count
    }

    private static func current(
        of issues: Set<IssueID>,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Key: Current] {
        var found: [Key: Current] = [:]
        for chunk in issues.sorted().chunks(of: IssueTable.lookupCount) {
            let identifiers = chunk.map { issue -> SQL in "\(issue)" }
            let rows = try connection.rows(
                """
                SELECT id, issue_id, external_id, content_hash, updated_at, deleted_at
                FROM comments
                WHERE account_id = \(account) AND issue_id IN (\(identifiers))
                """
            )
            for row in rows {
                let key = Key(
                    issue: try row.identifier("issue_id"),
                    externalID: try row.text("external_id")
                )
                found[key] = Current(
                    id: try row.identifier("id"),
                    contentHash: try row.blob("content_hash"),
                    updatedAt: try row.timestamp("updated_at"),
                    isDeleted: try row.optionalTimestamp("deleted_at") != nil
                )
            }
        }
        return found
    }
}
