package import Domain

/// A repository, GitLab project or Jira project as stored.
package struct StoredProject: Sendable, Equatable {
    package var id: ProjectID
    package var trackerID: TrackerID
    package var organizationID: OrganizationID
    package var externalID: String
    package var path: String
    package var name: String
    package var url: String
    package var state: ProjectState
    /// Where the scan stands, in the form Sync writes it.
    package var cursor: JSONValue
    /// When a scan of the project last came to its end.
    package var lastScanAt: Timestamp?
    package var lastCensusAt: Timestamp?
    /// Why the last scan failed or waits; nil when it did not.
    package var lastError: String?

    /// A project as the tracker describes it, under an identifier, never scanned.
    package init(_ description: ProjectDescription, id: ProjectID) {
        self.init(
            id: id,
            trackerID: description.trackerID,
            organizationID: description.organizationID,
            externalID: description.externalID,
            path: description.path,
            name: description.name,
            url: description.url,
            state: .active,
            cursor: .object(JSONObject())
        )
    }

    init(
        id: ProjectID,
        trackerID: TrackerID,
        organizationID: OrganizationID,
        externalID: String,
        path: String,
        name: String,
        url: String,
        state: ProjectState,
        cursor: JSONValue,
        lastScanAt: Timestamp? = nil,
        lastCensusAt: Timestamp? = nil,
        lastError: String? = nil
    ) {
        self.id = id
        self.trackerID = trackerID
        self.organizationID = organizationID
        self.externalID = externalID
        self.path = path
        self.name = name
        self.url = url
        self.state = state
        self.cursor = cursor
        self.lastScanAt = lastScanAt
        self.lastCensusAt = lastCensusAt
        self.lastError = lastError
    }
}

/// Whether a project is scanned.
package enum ProjectState: String, Sendable, CaseIterable {
    case active
    /// Out of scope by the operator's rules; its rows stay as they are.
    case excluded
    /// The token does not see it any more; its rows stay, for lost access is not deletion.
    case inaccessible
}

/// What a tracker tells about a project.
package struct ProjectDescription: Sendable, Equatable {
    package var trackerID: TrackerID
    package var organizationID: OrganizationID
    package var externalID: String
    package var path: String
    package var name: String
    package var url: String

    package init(
        trackerID: TrackerID,
        organizationID: OrganizationID,
        externalID: String,
        path: String,
        name: String,
        url: String
    ) {
        self.trackerID = trackerID
        self.organizationID = organizationID
        self.externalID = externalID
        self.path = path
        self.name = name
        self.url = url
    }
}

/// How a scan of a project ended; a nil instant leaves the stored one as it is.
package struct ScanEnd: Sendable, Equatable {
    /// Set when the scan came to its end.
    package var scanAt: Timestamp?
    /// Set when it finished a census.
    package var censusAt: Timestamp?
    /// Why it did not come to its end.
    package var error: String?

    package init(scanAt: Timestamp? = nil, censusAt: Timestamp? = nil, error: String? = nil) {
        self.scanAt = scanAt
        self.censusAt = censusAt
        self.error = error
    }
}

/// The projects of an account's trackers.
package enum ProjectTable {
    private static let columns: SQL = """
        id, tracker_id, organization_id, external_id, path, name, url, state, cursor,
        last_scan_at, last_census_at, last_error
        """

    /// Stores what the tracker tells; a renamed project keeps its row, found by external id.
    ///
    /// - Returns: The project as it was before, nil when it is new, and as it is now.
    package static func upsert(
        _ project: ProjectDescription,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> (before: StoredProject?, now: StoredProject) {
        let before = try find(
            externalID: project.externalID,
            tracker: project.trackerID,
            account: account,
            on: connection
        )
        if let before, before.matches(project) { return (before, before) }
        if let before {
            try connection.execute(
                """
                UPDATE projects SET organization_id = \(project.organizationID),
                    path = \(project.path), name = \(project.name), url = \(project.url)
                WHERE account_id = \(account) AND id = \(before.id)
                """
            )
        } else {
            let ids: [ProjectID] = try AccountTable.nextIDs(1, account: account, on: connection)
            for id in ids {
                try connection.execute(
                    """
                    INSERT INTO projects (account_id, id, tracker_id, organization_id,
                        external_id, path, name, url)
                    VALUES (\(account), \(id), \(project.trackerID), \(project.organizationID),
                        \(project.externalID), \(project.path), \(project.name), \(project.url))
                    """
                )
            }
        }
        let now = try find(
            externalID: project.externalID,
            tracker: project.trackerID,
            account: account,
            on: connection
        )
        guard let now else { throw .unexpectedValue(column: "projects.external_id") }
        return (before, now)
    }

    /// The project with the tracker's own identifier.
    package static func find(
        externalID: String,
        tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> StoredProject? {
        try connection.rows(
            """
            SELECT \(columns) FROM projects
            WHERE account_id = \(account) AND tracker_id = \(tracker)
                AND external_id = \(externalID)
            """
        ).first.map(project)
    }

    /// One project.
    package static func find(
        _ id: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> StoredProject? {
        try connection.rows(
            "SELECT \(columns) FROM projects WHERE account_id = \(account) AND id = \(id)"
        ).first.map(project)
    }

    /// Projects ordered by path, then identifier.
    ///
    /// `tracker` is nil for those of all trackers.
    package static func list(
        tracker: TrackerID? = nil,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [StoredProject] {
        let condition: SQL = if let tracker { "AND tracker_id = \(tracker)" } else { "" }
        return try connection.rows(
            """
            SELECT \(columns) FROM projects WHERE account_id = \(account) \(condition)
            ORDER BY path, id
            """
        ).map(project)
    }

    /// Stores where the scan stands.
    package static func setCursor(
        _ cursor: JSONValue,
        of project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE projects SET cursor = \(cursor)
            WHERE account_id = \(account) AND id = \(project)
            """
        )
    }

    /// Stores whether the project is scanned and, for the operator, why not.
    package static func setState(
        _ state: ProjectState,
        error: String?,
        of project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE projects SET state = \(state.rawValue), last_error = \(error)
            WHERE account_id = \(account) AND id = \(project)
            """
        )
    }

    /// The names of issues' trackers and the paths of their projects.
    package static func names(
        ofIssues issues: [IssueID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueID: (tracker: String, path: String)] {
        guard !issues.isEmpty else { return [:] }
        let rows = try connection.rows(
            """
            SELECT i.id, t.name AS tracker, p.path FROM issues AS i
            JOIN projects AS p ON p.account_id = i.account_id AND p.id = i.project_id
            JOIN trackers AS t ON t.account_id = p.account_id AND t.id = p.tracker_id
            WHERE i.account_id = \(account) AND i.id \(among: issues)
            """
        )
        var names: [IssueID: (tracker: String, path: String)] = [:]
        for row in rows {
            names[try row.identifier("id")] = (try row.text("tracker"), try row.text("path"))
        }
        return names
    }

    /// Stores how a scan of the project ended.
    package static func endScan(
        _ end: ScanEnd,
        of project: ProjectID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE projects SET last_scan_at = COALESCE(\(end.scanAt), last_scan_at),
                last_census_at = COALESCE(\(end.censusAt), last_census_at),
                last_error = \(end.error)
            WHERE account_id = \(account) AND id = \(project)
            """
        )
    }

    private static func project(_ row: SQLRow) throws(StoreError) -> StoredProject {
        guard let state = ProjectState(rawValue: try row.text("state")) else {
            throw .unexpectedValue(column: "state")
        }
        return StoredProject(
            id: try row.identifier("id"),
            trackerID: try row.identifier("tracker_id"),
            organizationID: try row.identifier("organization_id"),
            externalID: try row.text("external_id"),
            path: try row.text("path"),
            name: try row.text("name"),
            url: try row.text("url"),
            state: state,
            cursor: try row.json("cursor"),
            lastScanAt: try row.optionalTimestamp("last_scan_at"),
            lastCensusAt: try row.optionalTimestamp("last_census_at"),
            lastError: try row.optionalText("last_error")
        )
    }
}

extension StoredProject {
    fileprivate func matches(_ description: ProjectDescription) -> Bool {
        organizationID == description.organizationID
            && haveEqualBytes(path, description.path) && haveEqualBytes(name, description.name)
            && haveEqualBytes(url, description.url)
    }
}
