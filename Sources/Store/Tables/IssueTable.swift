package import Domain

/// Issues and pull requests: content, tombstones, and what their comments still need.
///
/// Every change of a row draws a revision; a row with the stored content hash is not touched.
package enum IssueTable {
    /// Keys in one IN list; far below both engines' limits on binds.
    static let lookupCount = 400

    /// Writes what is new or changed, with the comments that came along.
    ///
    /// An issue known in another project of the same tracker is moved and keeps its identifier. A
    /// snapshot older than the stored one is refused, and its comments with it. A deleted issue
    /// that appears again is revived.
    package static func upsert(
        _ batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> IssueBatchResult {
        let items = newestOfEach(batch.items)
        let current = try current(of: items, in: batch, account: account, on: connection)
        let decided = items.map { item in
            let hash = item.issue.contentHash
            return DecidedIssue(
                item: item,
                hash: hash,
                change: IssueChange(
                    of: item.issue,
                    hash: hash,
                    from: current[Key(item.issue)],
                    in: batch
                )
            )
        }
        var result = IssueBatchResult()
        for issue in decided { result.count(issue) }
        let ids = try write(decided, of: batch, account: account, on: connection)
        var complete: [CommentTable.Complete] = []
        for (issue, id) in zip(decided, ids) {
            guard let id, case .complete(let comments) = issue.item.comments else { continue }
            complete.append(CommentTable.Complete(issue: id, comments: comments))
        }
        result.comments += try CommentTable.replace(
            with: complete,
            in: batch.project,
            present: batch.present,
            account: account,
            on: connection
        )
        return result
    }

    /// The rows' identifiers in the order of `issues`; nil for a refused one.
    private static func write(
        _ issues: [DecidedIssue],
        of batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueID?] {
        let createdCount = issues.count { $0.change == .create }
        let writtenCount = issues.count { $0.change.isWritten }
        var newIDs: [IssueID] = try AccountTable.nextIDs(
            createdCount,
            account: account,
            on: connection
        )
        var revisions = try AccountTable.nextRevisions(
            writtenCount,
            account: account,
            on: connection
        )
        // Both are given out from the end.
        newIDs.reverse()
        revisions.reverse()
        var ids: [IssueID?] = []
        var created = SQLTable(rowKinds)
        var (changed, moved) = (SQLTable(rowKinds), SQLTable(rowKinds))
        for issue in issues {
            switch issue.change {
            case .refuse:
                ids.append(nil)
            case .keep(let row):
                ids.append(row.id)
            case .create:
                guard let id = newIDs.popLast(), let revision = revisions.popLast() else {
                    throw .unexpectedValue(column: "accounts.last_id")
                }
                created.append(row(issue, id, revision, batch, account))
                ids.append(id)
            case .change(let current), .revive(let current), .move(let current):
                guard let revision = revisions.popLast() else {
                    throw .unexpectedValue(column: "accounts.revision")
                }
                let row = row(issue, current.id, revision, batch, account)
                if current.hasPlace(of: issue.item.issue, in: batch.project) {
                    changed.append(row)
                } else {
                    moved.append(row)
                }
                ids.append(current.id)
            }
        }
        try connection.execute(batch: [insert(created), update(changed), move(moved)])
        try writeRelations(
            of: zip(issues, ids).compactMap { issue, id in
                id.flatMap { issue.change.isWritten ? ($0, issue) : nil }
            },
            batch: batch,
            account: account,
            on: connection
        )
        return ids
    }

    /// Links, and the comments that revived and moved issues take along.
    private static func writeRelations(
        of issues: [(id: IssueID, issue: DecidedIssue)],
        batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try LinkTable.replace(
            with: issues.map { id, issue in
                LinkTable.Links(
                    issue: id,
                    links: issue.item.issue.links,
                    isNew: issue.change == .create
                )
            },
            tracker: batch.tracker,
            account: account,
            on: connection
        )
        let targets = issues.filter { $0.issue.change.isNewTarget(key: $0.issue.item.issue.key) }
        try LinkTable.resolve(
            targets.map { id, issue in (issue.item.issue.key, id) },
            tracker: batch.tracker,
            account: account,
            on: connection
        )
        for (id, issue) in issues {
            switch issue.change {
            case .revive, .move:
                try CommentTable.touch(
                    of: id,
                    project: batch.project,
                    account: account,
                    on: connection
                )
            case .create, .change, .keep, .refuse:
                break
            }
        }
    }

    /// The types of a row's columns, as ``insert(_:)`` and ``update(_:)`` name them.
    private static let rowKinds: [SQLKind] = [
        .integer, .integer, .integer, .text, .text, .integer, .text, .text, .text, .text, .text,
        .text, .json, .text, .json, .text, .text, .timestamp, .timestamp, .text, .integer, .bool,
        .blob, .integer,
    ]

    private static func row(
        _ decided: DecidedIssue,
        _ id: IssueID,
        _ revision: Revision,
        _ batch: IssueBatch,
        _ account: AccountID
    ) -> [SQLValue] {
        let issue = decided.item.issue
        return [
            SQLValue(account), SQLValue(id), SQLValue(batch.project), .text(issue.externalID),
            .text(issue.kind.rawValue), SQLValue(issue.number), .text(issue.key),
            .text(issue.title), .text(issue.body), SQLValue(issue.source),
            .text(issue.state.rawValue), SQLValue(issue.status), .json(JSONValue(issue.labels)),
            SQLValue(issue.author), .json(JSONValue(issue.assignees)), SQLValue(issue.priority),
            SQLValue(issue.type), .timestamp(issue.createdAt), .timestamp(issue.updatedAt),
            .text(issue.url), SQLValue(issue.commentCount), .bool(decided.areCommentsDue),
            .blob(decided.hash), SQLValue(revision),
        ]
    }

    private static func insert(_ rows: SQLTable) -> SQL {
        """
        INSERT INTO issues (account_id, id, project_id, external_id, kind, number, key, title,
            body, source, state, status, labels, author, assignees, priority, type, created_at,
            updated_at, url, comment_count, comments_due, content_hash, revision)
        \(rows: rows)
        """
    }

    /// For rows that stay where they are: SQLite writes the indexes of all columns that are named,
    /// and most changes are of texts and states.
    private static func update(_ rows: SQLTable) -> SQL {
        update(rows, also: "")
    }

    /// For rows that get another project, number or key.
    private static func move(_ rows: SQLTable) -> SQL {
        update(
            rows,
            also: "project_id = given.project_id, number = given.number, key = given.key, "
        )
    }

    private static func update(_ rows: SQLTable, also places: StaticString) -> SQL {
        """
        WITH given (account_id, id, project_id, external_id, kind, number, key, title, body, source,
            state, status, labels, author, assignees, priority, type, created_at, updated_at, url,
            comment_count, comments_due, content_hash, revision) AS (\(rows: rows))
        UPDATE issues SET \(raw: places)title = given.title, body = given.body,
            source = given.source, state = given.state, status = given.status,
            labels = given.labels, author = given.author, assignees = given.assignees,
            priority = given.priority, type = given.type, created_at = given.created_at,
            updated_at = given.updated_at, url = given.url, comment_count = given.comment_count,
            comments_due = given.comments_due, content_hash = given.content_hash,
            deleted_at = NULL, revision = given.revision
        FROM given WHERE issues.account_id = given.account_id AND issues.id = given.id
        """
    }
}

// MARK: What is stored

extension IssueTable {
    /// What tells issues of one tracker apart.
    struct Key: Hashable {
        var kind: IssueKind
        var externalID: String

        init(_ issue: Issue) {
            kind = issue.kind
            externalID = issue.externalID
        }

        init(kind: IssueKind, externalID: String) {
            self.kind = kind
            self.externalID = externalID
        }
    }

    /// The newest of each item: one that moves under an offset walk is in the list twice.
    private static func newestOfEach(_ items: [IncomingIssue]) -> [IncomingIssue] {
        var places: [Key: Int] = [:]
        var kept: [IncomingIssue] = []
        for item in items {
            if let place = places[Key(item.issue)] {
                if item.issue.updatedAt >= kept[place].issue.updatedAt { kept[place] = item }
            } else {
                places[Key(item.issue)] = kept.count
                kept.append(item)
            }
        }
        return kept
    }

    private static func current(
        of items: [IncomingIssue],
        in batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Key: CurrentIssue] {
        var found: [Key: CurrentIssue] = [:]
        let rows = try connection.rows(
            currentStatement(
                of: items.map(\.issue.externalID),
                tracker: batch.tracker,
                account: account
            )
        )
        for row in rows {
            let issue = try CurrentIssue(row)
            // A row of this project goes before one that another project left behind.
            if let other = found[issue.key], other.projectID == batch.project { continue }
            found[issue.key] = issue
        }
        return found
    }
}

extension IssueTable {
    /// Neither a join nor in the order of a key: PostgreSQL would begin with the project, SQLite
    /// with the key, and look at all issues.
    static func currentStatement(
        of externalIDs: [String],
        tracker: TrackerID,
        account: AccountID
    ) -> SQL {
        """
        SELECT i.id, i.project_id, i.kind, i.external_id, i.key, i.number, i.updated_at,
            i.comment_count, i.comments_due, i.content_hash, i.deleted_at
        FROM issues i
        WHERE i.account_id = \(account) AND i.external_id \(among: externalIDs)
            AND (
                SELECT p.tracker_id FROM projects p
                WHERE p.account_id = i.account_id AND p.id = i.project_id
            ) = \(tracker)
        ORDER BY +i.id
        """
    }
}

extension Array {
    /// The elements in runs of at most `count`.
    func chunks(of count: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: count).map { start in
            self[start..<Swift.min(start + count, self.count)]
        }
    }
}
