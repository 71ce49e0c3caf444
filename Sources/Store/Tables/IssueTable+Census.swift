package import Domain

/// Counts that decide whether a census may be believed.
package struct CensusCounts: Sendable, Equatable {
    /// Live issues in the store.
    package var live: Int
    /// Of those, not seen in the tracker's list.
    package var missing: Int
    /// Of the missing, confirmed as gone.
    package var gone: Int
}

/// A sighting compared with the store.
package struct Sighting: Sendable, Hashable {
    package var kind: IssueKind
    package var externalID: String
    /// When the tracker tells it.
    package var updatedAt: Timestamp?

    package init(kind: IssueKind, externalID: String, updatedAt: Timestamp? = nil) {
        self.kind = kind
        self.externalID = externalID
        self.updatedAt = updatedAt
    }
}

/// Censuses: what a tracker no longer lists becomes a tombstone once the tracker confirms it.
///
/// The ids seen are kept in `census_marks`: a census needs no memory and survives a kill.
extension IssueTable {
    /// Forgets an earlier census of the project.
    package static func clearCensus(
        of project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM census_marks WHERE account_id = \(account) AND project_id = \(project)
            """
        )
    }

    /// Remembers that the tracker's list holds these issues.
    package static func markSeen(
        _ sightings: [Sighting],
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        // One statement may not touch a row twice, and a moving item can be in a page twice.
        let keys = Set(sightings.map { Key(kind: $0.kind, externalID: $0.externalID) })
        var rows = SQLTable([.integer, .integer, .text, .text])
        for key in keys {
            rows.append([
                SQLValue(account), SQLValue(project), .text(key.kind.rawValue),
                .text(key.externalID),
            ])
        }
        // Without WHERE SQLite would take ON for the beginning of a join.
        try connection.execute(
            """
            WITH given (account_id, project_id, kind, external_id) AS (\(rows: rows))
            INSERT INTO census_marks (account_id, project_id, kind, external_id, verdict)
            SELECT account_id, project_id, kind, external_id, 'seen' FROM given WHERE TRUE
            ON CONFLICT (account_id, project_id, kind, external_id)
            DO UPDATE SET verdict = 'seen'
            """
        )
    }

    /// Remembers that the tracker confirmed that the issue has left the project.
    package static func markGone(
        _ issue: DueIssue,
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO census_marks (account_id, project_id, kind, external_id, verdict)
            VALUES (\(account), \(project), \(issue.kind.rawValue), \(issue.externalID), 'gone')
            ON CONFLICT (account_id, project_id, kind, external_id) DO NOTHING
            """
        )
    }

    /// Those of the sighted issues that the store does not hold, or holds in an older version.
    package static func unknown(
        among sightings: [Sighting],
        in project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Sighting] {
        var known: [Key: Timestamp] = [:]
        for chunk in sightings.chunks(of: lookupCount) {
            let identifiers = chunk.map { sighting -> SQL in "\(sighting.externalID)" }
            let rows = try connection.rows(
                """
                SELECT kind, external_id, updated_at FROM issues
                WHERE account_id = \(account) AND project_id = \(project)
                    AND deleted_at IS NULL AND external_id IN (\(identifiers))
                """
            )
            for row in rows {
                guard let kind = IssueKind(rawValue: try row.text("kind")) else {
                    throw .unexpectedValue(column: "kind")
                }
                let key = Key(kind: kind, externalID: try row.text("external_id"))
                known[key] = try row.timestamp("updated_at")
            }
        }
        return sightings.filter { sighting in
            let key = Key(kind: sighting.kind, externalID: sighting.externalID)
            guard let stored = known[key] else { return true }
            return sighting.updatedAt.map { $0 != stored } ?? false
        }
    }

    /// Live issues without a mark, by identifier: neither seen nor confirmed as gone.
    package static func unmarked(
        in project: ProjectID,
        after: IssueID?,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [DueIssue] {
        try connection.rows(
            """
            SELECT i.id, i.external_id, i.kind, i.number, i.key, i.revision, i.comment_count
            FROM issues i
            LEFT JOIN census_marks m ON m.account_id = i.account_id
                AND m.project_id = i.project_id AND m.kind = i.kind
                AND m.external_id = i.external_id
            WHERE i.account_id = \(account) AND i.project_id = \(project)
                AND i.deleted_at IS NULL AND i.id > \(after ?? IssueID(0)) AND m.verdict IS NULL
            ORDER BY i.id LIMIT \(limit)
            """
        ).map(dueIssue)
    }

    /// How the store compares with what the census has seen so far.
    package static func censusCounts(
        of project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> CensusCounts {
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS live,
                COUNT(CASE WHEN m.verdict = 'seen' THEN 1 END) AS seen,
                COUNT(CASE WHEN m.verdict = 'gone' THEN 1 END) AS gone
            FROM issues i
            LEFT JOIN census_marks m ON m.account_id = i.account_id
                AND m.project_id = i.project_id AND m.kind = i.kind
                AND m.external_id = i.external_id
            WHERE i.account_id = \(account) AND i.project_id = \(project)
                AND i.deleted_at IS NULL
            """
        )
        guard let row = rows.first else { return CensusCounts(live: 0, missing: 0, gone: 0) }
        let live = Int(try row.integer("live"))
        return CensusCounts(
            live: live,
            missing: live - Int(try row.integer("seen")),
            gone: Int(try row.integer("gone"))
        )
    }

    /// Makes tombstones of the issues confirmed as gone, at most `limit` of them.
    ///
    /// - Returns: How many; fewer than `limit` when none is left.
    package static func removeGone(
        in project: ProjectID,
        at instant: Timestamp,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT i.id FROM issues i
            JOIN census_marks m ON m.account_id = i.account_id AND m.project_id = i.project_id
                AND m.kind = i.kind AND m.external_id = i.external_id
            WHERE i.account_id = \(account) AND i.project_id = \(project)
                AND i.deleted_at IS NULL AND m.verdict = 'gone'
            ORDER BY i.id LIMIT \(limit)
            """
        )
        var ids: [IssueID] = []
        for row in rows { ids.append(try row.identifier("id")) }
        try delete(ids, at: instant, account: account, on: connection)
        return ids.count
    }

    /// Makes tombstones: rows stay, with new revisions, and their comments count as deleted.
    package static func delete(
        _ issues: [IssueID],
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let revisions = try AccountTable.nextRevisions(
            issues.count,
            account: account,
            on: connection
        )
        try connection.execute(
            batch: zip(issues, revisions).map { issue, revision in
                """
                UPDATE issues SET deleted_at = \(instant), revision = \(revision)
                WHERE account_id = \(account) AND id = \(issue) AND deleted_at IS NULL
                """
            }
        )
    }
}
