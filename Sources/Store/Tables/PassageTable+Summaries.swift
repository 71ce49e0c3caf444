package import Domain

/// An issue as lists of results show it.
package struct IssueSummary: Sendable, Equatable {
    package var issue: IssueID
    package var project: ProjectID
    /// The project's path.
    package var projectPath: String
    /// The tracker's name.
    package var tracker: String
    package var kind: IssueKind
    package var key: String
    package var title: String
    package var state: IssueState
    package var url: String
    package var externalID: String
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
}

extension PassageTable {
    /// The live issues among these, by identifier.
    package static func summaries(
        of issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueSummary] {
        guard !issues.isEmpty else { return [] }
        return try summaries(where: "i.id \(among: issues)", account, connection)
    }

    /// The live issues that a person may mean by a URL, `owner/repo#1`, `group/project!2` or
    /// `KEY-1`; a URL as a browser shows it may point into the page.
    ///
    /// A number means every issue that has it, `!2` only merge requests. One that no issue has as a
    /// number or as the tracker's identifier is the store's own identifier, unless it is marked or
    /// that is not wanted: whoever writes must not reach another issue than the one that is gone.
    package static func summaries(
        forReference reference: String,
        takesIdentifier: Bool = true,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueSummary] {
        if let (number, isPull) = number(reference) {
            let condition: SQL =
                isPull
                ? "(i.number = \(number) AND i.kind = \(IssueKind.pullRequest.rawValue))"
                : "(i.number = \(number) OR i.external_id = \(reference))"
            let found = try summaries(where: condition, account, connection)
            let isMarked = isPull || reference.utf8.first == UInt8(ascii: "#")
            guard found.isEmpty, !isMarked, takesIdentifier else { return found }
            return try summaries(where: "i.id = \(number)", account, connection)
        }
        let exact = try summaries(
            where: "(i.key = \(reference) OR i.url = \(reference) OR i.external_id = \(reference))",
            account,
            connection
        )
        if !exact.isEmpty { return exact }
        let reference = lowercased(pageURL(reference) ?? reference)
        // Trackers do not tell upper from lower case in keys and URLs.
        return try summaries(
            where: "(lower(i.key) = \(reference) OR lower(i.url) = \(reference))",
            account,
            connection
        )
    }

    /// The number of `12`, `#12` and `!12`; nil for anything else.
    private static func number(_ reference: String) -> (number: Int64, isPull: Bool)? {
        let isMarked = reference.utf8.first == UInt8(ascii: "#")
        let isPull = reference.utf8.first == UInt8(ascii: "!")
        let digits = reference.utf8.dropFirst(isMarked || isPull ? 1 : 0)
        guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }),
            let number = Int64(String(decoding: Array(digits), as: UTF8.self))
        else { return nil }
        return (number, isPull)
    }

    /// A URL without query, fragment and final slashes; nil for what is no URL.
    private static func pageURL(_ reference: String) -> String? {
        let bytes = Array(reference.utf8)
        guard let scheme = bytes.firstIndex(of: UInt8(ascii: ":")),
            bytes[scheme...].starts(with: "://".utf8)
        else { return nil }
        var page = bytes.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        while page.last == UInt8(ascii: "/") { page.removeLast() }
        return String(decoding: page, as: UTF8.self)
    }

    /// More would not help anybody to choose, and no list of results is longer.
    private static let summaryLimit = 5_000

    private static func summaries(
        where condition: SQL,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws(StoreError) -> [IssueSummary] {
        try connection.rows(summariesStatement(condition, account)).map(summary)
    }

    private static func summariesStatement(_ condition: SQL, _ account: AccountID) -> SQL {
        """
        SELECT i.id, i.project_id, p.path, t.name AS tracker, i.kind, i.key, i.title, i.state,
            i.url, i.external_id, i.created_at, i.updated_at
        FROM issues AS i
        JOIN projects AS p ON p.account_id = i.account_id AND p.id = i.project_id
        JOIN trackers AS t ON t.account_id = p.account_id AND t.id = p.tracker_id
        WHERE i.account_id = \(account) AND i.deleted_at IS NULL AND \(condition)
        ORDER BY i.id
        LIMIT \(summaryLimit)
        """
    }

    /// What a page of results shows of issues and windows, in one round trip.
    ///
    /// - Returns: ``summaries(of:account:on:)``, ``texts(of:account:on:)`` and
    ///   ``passages(_:account:on:)``.
    package static func details(
        of issues: [IssueID],
        _ ids: [PassageID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> (
        summaries: [IssueSummary], texts: [PassageID: String], passages: [Passage]
    ) {
        guard !issues.isEmpty else { return ([], [:], []) }
        var statements = [summariesStatement("i.id \(among: issues)", account)]
        if !ids.isEmpty {
            statements.append(textsStatement(ids, account, connection.dialect))
            statements.append(passagesStatement(ids, account))
        }
        let rows = try connection.rows(batch: statements)
        let summaries = try rows[0].map(summary)
        guard !ids.isEmpty else { return (summaries, [:], []) }
        return (summaries, try texts(rows[1]), try rows[2].map(passage))
    }

    /// A row of the columns that ``IssueSummary`` has.
    static func summary(_ row: SQLRow) throws(StoreError) -> IssueSummary {
        guard let kind = IssueKind(rawValue: try row.text("kind")) else {
            throw .unexpectedValue(column: "issues.kind")
        }
        guard let state = IssueState(rawValue: try row.text("state")) else {
            throw .unexpectedValue(column: "issues.state")
        }
        return IssueSummary(
            issue: try row.identifier("id"),
            project: try row.identifier("project_id"),
            projectPath: try row.text("path"),
            tracker: try row.text("tracker"),
            kind: kind,
            key: try row.text("key"),
            title: try row.text("title"),
            state: state,
            url: try row.text("url"),
            externalID: try row.text("external_id"),
            createdAt: try row.timestamp("created_at"),
            updatedAt: try row.timestamp("updated_at")
        )
    }

    /// The texts of windows, by window; a window whose text is gone meanwhile is left out.
    package static func texts(
        of passages: [PassageID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [PassageID: String] {
        guard !passages.isEmpty else { return [:] }
        return try texts(connection.rows(textsStatement(passages, account, connection.dialect)))
    }

    private static func textsStatement(
        _ passages: [PassageID],
        _ account: AccountID,
        _ dialect: SQLDialect
    ) -> SQL {
        """
        SELECT p.id, \(slice(dialect)) AS slice
        FROM passages AS p
        JOIN issues AS i ON i.account_id = p.account_id AND i.id = p.issue_id
        LEFT JOIN comments AS c ON c.account_id = p.account_id AND c.id = p.comment_id
        WHERE p.account_id = \(account) AND p.id \(among: passages)
        ORDER BY p.id
        """
    }

    private static func texts(_ rows: [SQLRow]) throws(StoreError) -> [PassageID: String] {
        var texts: [PassageID: String] = [:]
        for row in rows {
            guard case .blob(let bytes) = try row.value("slice") else { continue }
            texts[try row.identifier("id")] = String(decoding: bytes, as: UTF8.self)
        }
        return texts
    }

    /// The window's bytes, cut by the engine: a body may be a megabyte.
    private static func slice(_ dialect: SQLDialect) -> SQL {
        let text: SQL =
            """
            CASE p.part WHEN 'title' THEN i.title WHEN 'body' THEN i.body ELSE c.body END
            """
        return switch dialect {
        case .sqlite:
            "substr(CAST(\(text) AS BLOB), p.text_start + 1, p.text_end - p.text_start)"
        case .postgres:
            """
            substring(convert_to(\(text), 'UTF8') FROM (p.text_start + 1)::int
                FOR (p.text_end - p.text_start)::int)
            """
        }
    }
}

extension PassageTable {
    /// Which issue each live window belongs to.
    package static func owners(
        of passages: [PassageID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Int64: IssueID] {
        guard !passages.isEmpty else { return [:] }
        let rows = try connection.rows(
            """
            SELECT id, issue_id FROM passages
            WHERE account_id = \(account) AND id \(among: passages) AND deleted_at IS NULL
            ORDER BY id
            """
        )
        var owners: [Int64: IssueID] = [:]
        for row in rows { owners[try row.integer("id")] = try row.identifier("issue_id") }
        return owners
    }

    /// The live windows of issues, by identifier.
    package static func windows(
        ofIssues issues: [IssueID],
        model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [(PassageID, IssueID)] {
        guard !issues.isEmpty else { return [] }
        return try connection.rows(
            windowsStatement(ofIssues: issues, model: model, account: account)
        ).map { row throws(StoreError) -> (PassageID, IssueID) in
            (try row.identifier("id"), try row.identifier("issue_id"))
        }
    }

    /// Not in the order of a key, by which SQLite would look at all windows.
    static func windowsStatement(
        ofIssues issues: [IssueID],
        model: EmbeddingModelID,
        account: AccountID
    ) -> SQL {
        """
        SELECT id, issue_id FROM passages
        WHERE account_id = \(account) AND model_id = \(model) AND issue_id \(among: issues)
            AND deleted_at IS NULL
        ORDER BY +id
        """
    }

    /// The issues to which windows of titles and bodies belong, tombstones included, ascending;
    /// those of comments among `passages` count for nothing.
    package static func issuesWithOwnWindows(
        among passages: [PassageID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueID] {
        guard !passages.isEmpty else { return [] }
        let rows = try connection.rows(
            """
            SELECT DISTINCT issue_id FROM passages
            WHERE account_id = \(account) AND id \(among: passages) AND comment_id = 0
            ORDER BY issue_id
            """
        )
        return try rows.map { row throws(StoreError) -> IssueID in
            try row.identifier("issue_id")
        }
    }

    /// The issues among these that are not deleted, ascending.
    package static func liveIssues(
        among issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueID] {
        guard !issues.isEmpty else { return [] }
        return try connection.rows(
            """
            SELECT id FROM issues
            WHERE account_id = \(account) AND id \(among: issues) AND deleted_at IS NULL
            ORDER BY id
            """
        ).map { row throws(StoreError) -> IssueID in try row.identifier("id") }
    }

    /// The projects that have live issues, by age.
    package static func projectsWithIssues(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID] {
        try connection.rows(
            """
            SELECT DISTINCT project_id FROM issues
            WHERE account_id = \(account) AND deleted_at IS NULL
            ORDER BY project_id
            """
        ).map { row throws(StoreError) -> ProjectID in try row.identifier("project_id") }
    }
}
