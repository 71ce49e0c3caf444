package import Domain

/// How much of each project is stored, for `preloop-sync status`.
package enum ProjectCounts {
    /// The counts of one project.
    package struct Row: Sendable, Equatable {
        /// Issues that are not deleted.
        package var issues = 0
        /// Pull requests that are not deleted.
        package var pullRequests = 0
        /// Comments that are not deleted.
        package var comments = 0
        /// Issues and pull requests that are deleted.
        package var deleted = 0
        /// Items that could not be understood.
        package var quarantined = 0

        /// Of a project without rows.
        package init() {}
    }

    /// The counts of every project that has any row.
    package static func all(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID: Row] {
        var counts = try texts(account: account, on: connection)
        try addQuarantined(to: &counts, account: account, on: connection)
        return counts
    }

    /// The counts of issues, pull requests and comments.
    ///
    /// Whatever changes one draws a revision.
    package static func texts(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID: Row] {
        let rows = try connection.rows(
            """
            SELECT project_id, 'issue' AS what, COUNT(*) AS total FROM issues
            WHERE account_id = \(account) AND deleted_at IS NULL AND kind = 'issue'
            GROUP BY project_id
            UNION ALL
            SELECT project_id, 'pull_request' AS what, COUNT(*) AS total FROM issues
            WHERE account_id = \(account) AND deleted_at IS NULL AND kind = 'pull_request'
            GROUP BY project_id
            UNION ALL
            SELECT project_id, 'deleted' AS what, COUNT(*) AS total FROM issues
            WHERE account_id = \(account) AND deleted_at IS NOT NULL
            GROUP BY project_id
            UNION ALL
            SELECT project_id, 'comment' AS what, COUNT(*) AS total FROM comments
            WHERE account_id = \(account) AND deleted_at IS NULL
            GROUP BY project_id
            """
        )
        var counts: [ProjectID: Row] = [:]
        for row in rows {
            let project: ProjectID = try row.identifier("project_id")
            let total = Int(try row.integer("total"))
            switch try row.text("what") {
            case "issue": counts[project, default: Row()].issues = total
            case "pull_request": counts[project, default: Row()].pullRequests = total
            case "comment": counts[project, default: Row()].comments = total
            case "deleted": counts[project, default: Row()].deleted = total
            default: throw .unexpectedValue(column: "what")
            }
        }
        return counts
    }

    /// Adds how many items of each project could not be understood; these have no revision.
    package static func addQuarantined(
        to counts: inout [ProjectID: Row],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let rows = try connection.rows(
            """
            SELECT project_id, COUNT(*) AS total FROM quarantine
            WHERE account_id = \(account)
            GROUP BY project_id
            """
        )
        for row in rows {
            let project: ProjectID = try row.identifier("project_id")
            counts[project, default: Row()].quarantined = Int(try row.integer("total"))
        }
    }

    /// How many issues and comments of each project changed after a revision; projects without any
    /// are left out.
    package static func changedTexts(
        after revision: Revision,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID: Int] {
        let rows = try connection.rows(
            """
            SELECT project_id, COUNT(*) AS total FROM issues
            WHERE account_id = \(account) AND revision > \(revision)
            GROUP BY project_id
            UNION ALL
            SELECT project_id, COUNT(*) AS total FROM comments
            WHERE account_id = \(account) AND revision > \(revision)
            GROUP BY project_id
            """
        )
        var counts: [ProjectID: Int] = [:]
        for row in rows {
            let project: ProjectID = try row.identifier("project_id")
            counts[project, default: 0] += Int(try row.integer("total"))
        }
        return counts
    }
}
