package import Domain

/// Which issues a search is about; empty lists and nil do not restrict.
package struct IssueFilter: Sendable, Equatable {
    /// Names of trackers, any of them.
    package var trackers: [String] = []
    /// Paths of organisations, any of them.
    package var organizations: [String] = []
    /// Paths of projects, any of them; case does not matter, as in the trackers themselves.
    package var projects: [String] = []
    /// Projects by identity, any of them.
    package var projectIDs: [ProjectID] = []
    package var state: IssueState?
    package var kind: IssueKind?
    /// The tracker's type, `Bug` for example.
    package var type: String?
    /// Labels an issue must have, all of them.
    package var labels: [String] = []
    package var assignee: String?
    package var author: String?
    /// The tracker's own status, `In Progress` for example; case does not matter.
    package var status: String?
    /// The tracker's own priority; case does not matter.
    package var priority: String?
    /// Updated at or after.
    package var updatedSince: Timestamp?
    /// Updated before.
    package var updatedBefore: Timestamp?

    /// No restriction.
    package init() {}

    /// Whether something goes by a name that may change without any issue's doing so.
    package var hasNames: Bool {
        !(trackers.isEmpty && organizations.isEmpty && projects.isEmpty)
    }

    /// Whether every issue passes.
    package var isEmpty: Bool { self == IssueFilter() }
}

extension PassageTable {
    /// More projects than that are left to the statement that looks for issues.
    package static let maximumResolved = 500

    /// The same filter with projects by identity in place of everything that goes by a name.
    ///
    /// - Returns: The filter as it is where too many projects have such names; nil when none has,
    ///   so that nothing passes.
    package static func resolved(
        _ filter: IssueFilter,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> IssueFilter? {
        guard filter.hasNames else { return filter }
        var named = IssueFilter()
        named.trackers = filter.trackers
        named.organizations = filter.organizations
        named.projects = filter.projects
        named.projectIDs = filter.projectIDs
        guard let condition = projects(named, account) else { return filter }
        let rows = try connection.rows(
            """
            SELECT i.project_id AS id
            FROM (SELECT id AS project_id FROM projects WHERE account_id = \(account)) AS i
            WHERE \(condition) ORDER BY i.project_id LIMIT \(maximumResolved + 1)
            """
        )
        guard !rows.isEmpty else { return nil }
        guard rows.count <= maximumResolved else { return filter }
        var resolved = filter
        (resolved.trackers, resolved.organizations, resolved.projects) = ([], [], [])
        resolved.projectIDs = try rows.map { row throws(StoreError) -> ProjectID in
            try row.identifier("id")
        }
        return resolved
    }

    /// The live issues that pass, ascending.
    package static func issues(
        matching filter: IssueFilter,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueID] {
        let rows = try connection.rows(
            """
            SELECT \(joined(.issue, connection.dialect)) AS ids
            FROM issues AS i
            WHERE i.account_id = \(account) AND \(condition(filter, account, connection.dialect))
            """
        )
        return try identifiers(rows)
    }

    /// The live windows of the issues that pass, ascending.
    package static func passages(
        matching filter: IssueFilter,
        model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [PassageID] {
        let rows = try connection.rows(
            """
            SELECT \(joined(.passage, connection.dialect)) AS ids
            FROM issues AS i
            JOIN passages AS p ON p.account_id = i.account_id AND p.model_id = \(model)
                AND p.issue_id = i.id
            WHERE i.account_id = \(account) AND p.deleted_at IS NULL
                AND \(condition(filter, account, connection.dialect))
            """
        )
        return try identifiers(rows)
    }

    /// Live windows of issues that were deleted after the indexer's last step: not to be found any
    /// more although their tombstones are not written yet.
    package static func orphans(
        after revision: Revision,
        model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [PassageID] {
        // The revision is a bind: PostgreSQL takes one that a subquery reads for a third of all
        // rows, and walks the table.
        let rows = try connection.rows(
            """
            SELECT p.id AS id FROM issues AS i
            JOIN passages AS p ON p.account_id = i.account_id AND p.model_id = \(model)
                AND p.issue_id = i.id
            WHERE i.account_id = \(account) AND i.revision > \(revision)
                AND i.deleted_at IS NOT NULL AND p.deleted_at IS NULL
            UNION ALL
            SELECT p.id AS id FROM comments AS c
            JOIN passages AS p ON p.account_id = c.account_id AND p.model_id = \(model)
                AND p.issue_id = c.issue_id AND p.comment_id = c.id
            WHERE c.account_id = \(account) AND c.revision > \(revision)
                AND c.deleted_at IS NOT NULL AND p.deleted_at IS NULL
            """
        )
        return try rows.map { row throws(StoreError) -> PassageID in
            try row.identifier("id")
        }.sorted()
    }

    private enum Joined {
        case issue
        case passage
    }

    /// All identifiers in one text: a hundred thousand rows would take longer to carry than to
    /// find.
    private static func joined(_ column: Joined, _ dialect: SQLDialect) -> SQL {
        switch (column, dialect) {
        case (.issue, .sqlite): "group_concat(i.id)"
        case (.passage, .sqlite): "group_concat(p.id)"
        case (.issue, .postgres): "string_agg(i.id::text, ',')"
        case (.passage, .postgres): "string_agg(p.id::text, ',')"
        }
    }

    private static func identifiers<Entity>(
        _ rows: [SQLRow]
    ) throws(StoreError) -> [Identifier<Entity>] {
        guard let text = try rows.first?.optionalText("ids") else { return [] }
        var identifiers: [Identifier<Entity>] = []
        var number: Int64 = 0
        for byte in text.utf8 {
            switch byte {
            case 48...57:
                let (product, overflow) = number.multipliedReportingOverflow(by: 10)
                guard !overflow else { throw .unexpectedValue(column: "ids") }
                number = product + Int64(byte - 48)
            case UInt8(ascii: ","):
                identifiers.append(Identifier(number))
                number = 0
            default: throw .unexpectedValue(column: "ids")
            }
        }
        identifiers.append(Identifier(number))
        identifiers.sort()
        return identifiers
    }

    /// What an issue `i` must be like to pass, and not deleted.
    static func condition(
        _ filter: IssueFilter,
        _ account: AccountID,
        _ dialect: SQLDialect
    ) -> SQL {
        var conditions: [SQL] = ["i.deleted_at IS NULL"]
        if let state = filter.state { conditions.append("i.state = \(state.rawValue)") }
        if let kind = filter.kind { conditions.append("i.kind = \(kind.rawValue)") }
        if let type = filter.type { conditions.append("lower(i.type) = \(lowercased(type))") }
        if let author = filter.author { conditions.append("i.author = \(author)") }
        if let status = filter.status {
            conditions.append("lower(i.status) = \(lowercased(status))")
        }
        if let priority = filter.priority {
            conditions.append("lower(i.priority) = \(lowercased(priority))")
        }
        if let since = filter.updatedSince { conditions.append("i.updated_at >= \(since)") }
        if let end = filter.updatedBefore { conditions.append("i.updated_at < \(end)") }
        for label in filter.labels {
            conditions.append(contains(label, column: "i.labels", dialect))
        }
        if let assignee = filter.assignee {
            conditions.append(contains(assignee, column: "i.assignees", dialect))
        }
        if let projects = projects(filter, account) { conditions.append(projects) }
        return "\(conditions, separator: " AND ")"
    }

    /// In lower case as the engines' `lower` puts the columns, which are compared by their bytes:
    /// the letters of ASCII alone.
    static func lowercased(_ text: String) -> String {
        let bytes = text.utf8.map { byte in (65...90).contains(byte) ? byte + 32 : byte }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether a JSON array of texts has an element.
    private static func contains(
        _ text: String,
        column: StaticString,
        _ dialect: SQLDialect
    ) -> SQL {
        switch dialect {
        case .sqlite:
            "EXISTS (SELECT 1 FROM json_each(\(raw: column)) AS e WHERE e.value = \(text))"
        case .postgres: "\(raw: column) @> \(JSONValue([text]))"
        }
    }

    private static func projects(_ filter: IssueFilter, _ account: AccountID) -> SQL? {
        var conditions: [SQL] = []
        if !filter.projectIDs.isEmpty {
            // Few, and a subquery would keep the planner from walking an index of vectors.
            let projects = filter.projectIDs.map { project -> SQL in "\(project)" }
            conditions.append("i.project_id IN (\(projects))")
        }
        if !filter.projects.isEmpty {
            let paths = filter.projects.map { path -> SQL in "\(lowercased(path))" }
            conditions.append(
                """
                i.project_id IN (SELECT id FROM projects WHERE account_id = \(account)
                    AND lower(path) IN (\(paths, separator: ", ")))
                """
            )
        }
        if !filter.organizations.isEmpty {
            let paths = filter.organizations.map { path -> SQL in "\(lowercased(path))" }
            conditions.append(
                """
                i.project_id IN (
                    SELECT r.id FROM projects AS r
                    JOIN organizations AS o ON o.account_id = r.account_id
                        AND o.id = r.organization_id
                    WHERE r.account_id = \(account) AND lower(o.path) IN (\(paths, separator: ", "))
                )
                """
            )
        }
        if !filter.trackers.isEmpty {
            let names = filter.trackers.map { name -> SQL in "\(name)" }
            conditions.append(
                """
                i.project_id IN (
                    SELECT r.id FROM projects AS r
                    JOIN trackers AS t ON t.account_id = r.account_id AND t.id = r.tracker_id
                    WHERE r.account_id = \(account) AND t.name IN (\(names, separator: ", "))
                )
                """
            )
        }
        return conditions.isEmpty ? nil : "\(conditions, separator: " AND ")"
    }
}
