package import Domain

/// Links between issues, kept as written; the target is filled in once its key is seen.
///
/// A link draws no revision of its own: it is content of the issue that carries it. Self references
/// and cycles are links like others.
package enum LinkTable {
    /// All links of one issue.
    struct Links {
        var issue: IssueID
        var links: [IssueLink]
        /// Whether none can be stored yet.
        var isNew: Bool
    }

    /// Stores issues' links in place of those stored before and resolves what can be resolved.
    ///
    /// Keys mean issues of this tracker; another may use the same ones.
    static func replace(
        with links: [Links],
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let known = links.filter { !$0.isNew }.map(\.issue)
        var statements = known.chunks(of: IssueTable.lookupCount).map { chunk -> SQL in
            """
            DELETE FROM links
            WHERE account_id = \(account) AND issue_id \(among: chunk)
            """
        }
        var rows = SQLTable([.integer, .integer, .text, .text, .text])
        for links in links {
            for link in links.links {
                rows.append([
                    SQLValue(account), SQLValue(links.issue), .text(link.relation),
                    .text(link.targetKey), SQLValue(link.targetExternalID),
                ])
            }
        }
        statements.append(
            """
            WITH given (account_id, issue_id, relation, target_key, target_external_id)
                AS (\(rows: rows))
            INSERT INTO links (account_id, issue_id, relation, target_key, target_external_id,
                target_issue_id)
            SELECT account_id, issue_id, relation, target_key, target_external_id, (
                SELECT i.id FROM issues i
                JOIN projects p ON p.account_id = i.account_id AND p.id = i.project_id
                WHERE i.account_id = \(account) AND i.key = given.target_key
                    AND p.tracker_id = \(tracker) AND i.deleted_at IS NULL
                ORDER BY i.id DESC LIMIT 1)
            FROM given WHERE TRUE
            ON CONFLICT (account_id, issue_id, relation, target_key) DO NOTHING
            """
        )
        try connection.execute(batch: statements)
    }

    /// Points to issues the links that wait for their keys or lead to a deleted issue with one.
    ///
    /// Of two issues with one key the later one gets the links.
    static func resolve(
        _ targets: [(key: String, issue: IssueID)],
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        var places: [[UInt8]: Int] = [:]
        var unique: [(key: String, issue: IssueID)] = []
        for target in targets {
            let bytes = Array(target.key.utf8)
            if let place = places[bytes] {
                unique[place] = target
            } else {
                places[bytes] = unique.count
                unique.append(target)
            }
        }
        let waiting = try keysWithLinks(
            among: unique.map(\.key),
            account: account,
            on: connection
        )
        var rows = SQLTable([.integer, .text, .integer])
        for target in unique where waiting.contains(Array(target.key.utf8)) {
            rows.append([SQLValue(account), .text(target.key), SQLValue(target.issue)])
        }
        // Values instead of joins: they leave no choice but to begin with the links.
        try connection.execute(
            """
            WITH given (account_id, target_key, issue_id) AS (\(rows: rows))
            UPDATE links SET target_issue_id = given.issue_id
            FROM given
            WHERE links.account_id = given.account_id AND links.target_key = given.target_key
                AND (links.target_issue_id IS NULL OR (
                    SELECT t.deleted_at FROM issues t
                    WHERE t.account_id = links.account_id AND t.id = links.target_issue_id
                ) IS NOT NULL)
                AND (
                    SELECT p.tracker_id FROM issues i
                    JOIN projects p ON p.account_id = i.account_id AND p.id = i.project_id
                    WHERE i.account_id = links.account_id AND i.id = links.issue_id
                ) = \(tracker)
            """
        )
    }

    /// Those of the keys to which a link leads, as bytes.
    ///
    /// Nothing waits for most new issues, and the update is dear for each that it looks at: SQLite
    /// runs it once a row, PostgreSQL knows little of young tables and began with all issues.
    private static func keysWithLinks(
        among keys: [String],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Set<[UInt8]> {
        guard !keys.isEmpty else { return [] }
        var found: Set<[UInt8]> = []
        let rows = try connection.rows(
            """
            SELECT DISTINCT target_key FROM links
            WHERE account_id = \(account) AND target_key \(among: keys)
            """
        )
        for row in rows { found.insert(Array(try row.text("target_key").utf8)) }
        return found
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
