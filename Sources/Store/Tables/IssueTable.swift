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
        for (issue, id) in zip(decided, ids) {
            guard let id, case .complete(let comments) = issue.item.comments else { continue }
            result.comments += try CommentTable.replace(
                with: comments,
                of: id,
                in: batch.project,
                present: batch.present,
                account: account,
                on: connection
            )
        }
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
                try insert(
                    issue,
                    id: id,
                    revision: revision,
                    batch: batch,
                    account: account,
                    on: connection
                )
                ids.append(id)
            case .change(let row), .revive(let row), .move(let row):
                guard let revision = revisions.popLast() else {
                    throw .unexpectedValue(column: "accounts.revision")
                }
                try update(
                    issue,
                    row: row,
                    revision: revision,
                    batch: batch,
                    account: account,
                    on: connection
                )
                ids.append(row.id)
            }
        }
        for (issue, id) in zip(issues, ids) where issue.change.isWritten {
            guard let id else { continue }
            try writeRelations(
                of: issue,
                id: id,
                batch: batch,
                account: account,
                on: connection
            )
        }
        return ids
    }

    /// Links, and the comments that a revived or moved issue takes along.
    private static func writeRelations(
        of issue: DecidedIssue,
        id: IssueID,
        batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try LinkTable.replace(
            with: issue.item.issue.links,
            of: id,
            tracker: batch.tracker,
            account: account,
            on: connection
        )
        if issue.change.isNewTarget(key: issue.item.issue.key) {
            try LinkTable.resolve(
                targetKey: issue.item.issue.key,
                to: id,
                tracker: batch.tracker,
                account: account,
                on: connection
            )
        }
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

    private static func insert(
        _ decided: DecidedIssue,
        id: IssueID,
        revision: Revision,
        batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let issue = decided.item.issue
        try connection.execute(
            """
            INSERT INTO issues (account_id, id, project_id, external_id, kind, number, key, title,
                body, source, state, status, labels, author, assignees, priority, type, created_at,
                updated_at, url, comment_count, comments_due, content_hash, revision)
            VALUES (\(account), \(id), \(batch.project), \(issue.externalID),
                \(issue.kind.rawValue), \(issue.number), \(issue.key), \(issue.title),
                \(issue.body), \(issue.source), \(issue.state.rawValue), \(issue.status),
                \(JSONValue(issue.labels)), \(issue.author), \(JSONValue(issue.assignees)),
                \(issue.priority), \(issue.type), \(issue.createdAt), \(issue.updatedAt),
                \(issue.url), \(issue.commentCount), \(decided.areCommentsDue), \(decided.hash),
                \(revision))
            """
        )
    }

    private static func update(
        _ decided: DecidedIssue,
        row: CurrentIssue,
        revision: Revision,
        batch: IssueBatch,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let issue = decided.item.issue
        try connection.execute(
            """
            UPDATE issues SET project_id = \(batch.project), number = \(issue.number),
                key = \(issue.key), title = \(issue.title), body = \(issue.body),
                source = \(issue.source), state = \(issue.state.rawValue),
                status = \(issue.status), labels = \(JSONValue(issue.labels)),
                author = \(issue.author), assignees = \(JSONValue(issue.assignees)),
                priority = \(issue.priority), type = \(issue.type),
                created_at = \(issue.createdAt), updated_at = \(issue.updatedAt),
                url = \(issue.url), comment_count = \(issue.commentCount),
                comments_due = \(decided.areCommentsDue), content_hash = \(decided.hash),
                deleted_at = NULL, revision = \(revision)
            WHERE account_id = \(account) AND id = \(row.id)
            """
        )
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
        for chunk in items.chunks(of: lookupCount) {
            let identifiers = chunk.map { item -> SQL in "\(item.issue.externalID)" }
            let rows = try connection.rows(
                """
                SELECT i.id, i.project_id, i.kind, i.external_id, i.key, i.updated_at,
                    i.comment_count, i.comments_due, i.content_hash, i.deleted_at
                FROM issues i
                JOIN projects p ON p.account_id = i.account_id AND p.id = i.project_id
                WHERE i.account_id = \(account) AND p.tracker_id = \(batch.tracker)
                    AND i.external_id IN (\(identifiers))
                ORDER BY i.id
                """
            )
            for row in rows {
                let issue = try CurrentIssue(row)
                // A row of this project goes before one that another project left behind.
                if let other = found[issue.key], other.projectID == batch.project { continue }
                found[issue.key] = issue
            }
        }
        return found
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
