import Domain
package import Store

/// Writes issues as lines of JSON, ordered by tracker, project, kind and number.
///
/// The lines depend on what the trackers told and on nothing else: neither on when it was read nor
/// in which order. Names are ordered by bytes.
package struct IssueExport: Sendable {
    /// Issues read at a time: with bodies of the largest size trackers allow (1 MB) they still fit.
    private static let pageSize = 50

    private let withDeleted: Bool

    /// - Parameter withDeleted: Whether tombstones are written too.
    package init(withDeleted: Bool) {
        self.withDeleted = withDeleted
    }

    /// Writes all issues of the store, as they are on one snapshot, to standard output.
    package func write(_ store: Store) async throws {
        try await store.read { connection, account in
            var output = Output()
            for tracker in try Self.trackers(account: account, on: connection) {
                let projects = try ProjectTable.list(
                    tracker: tracker.id,
                    account: account,
                    on: connection
                )
                for project in projects.sorted(by: { precedes($0.path, $1.path) }) {
                    for kind in [IssueKind.issue, .pullRequest] {
                        try write(
                            Origin(tracker: tracker.name, project: project.path),
                            of: project.id,
                            kind: kind,
                            account: account,
                            on: connection,
                            to: &output
                        )
                    }
                }
            }
            try output.flush()
        }
    }

    private static func trackers(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Tracker] {
        try TrackerTable.list(account: account, on: connection)
            .sorted { precedes($0.name, $1.name) }
    }

    /// The names a line begins with.
    private struct Origin {
        var tracker: String
        var project: String
    }

    private func write(
        _ origin: Origin,
        of project: ProjectID,
        kind: IssueKind,
        account: AccountID,
        on connection: any SQLConnection,
        to output: inout Output
    ) throws {
        var place: (number: Int, id: IssueID)?
        while true {
            let page = try ExportTable.issues(
                of: project,
                kind: kind,
                after: place,
                withDeleted: withDeleted,
                limit: Self.pageSize,
                account: account,
                on: connection
            )
            let links = try LinkTable.list(
                of: page.map(\.id),
                account: account,
                on: connection
            )
            for row in page {
                let comments = try ExportTable.comments(
                    of: row.id,
                    account: account,
                    on: connection
                )
                let own = links.filter { $0.issue == row.id }.map(\.link)
                try output.line(Self.line(row, origin: origin, comments: comments, links: own))
            }
            guard page.count == Self.pageSize, let last = page.last else { return }
            place = (last.issue.number, last.id)
        }
    }

    private static func line(
        _ row: ExportTable.Row,
        origin: Origin,
        comments: [Comment],
        links: [IssueLink]
    ) -> JSONValue {
        let issue = row.issue
        return [
            "tracker": .string(origin.tracker), "project": .string(origin.project),
            "number": .integer(Int64(issue.number)), "key": .string(issue.key),
            "kind": .string(issue.kind.rawValue), "external_id": .string(issue.externalID),
            "title": .string(issue.title), "body": .string(issue.body),
            "state": .string(issue.state.rawValue), "labels": JSONValue(issue.labels),
            "author": JSONValue(issue.author), "assignees": JSONValue(issue.assignees),
            "priority": JSONValue(issue.priority), "type": JSONValue(issue.type),
            "created_at": .string(issue.createdAt.iso8601),
            "updated_at": .string(issue.updatedAt.iso8601), "url": .string(issue.url),
            "deleted_at": JSONValue(row.deletedAt?.iso8601),
            "comments": .array(comments.map(line)), "links": .array(links.map(line)),
        ]
    }

    private static func line(_ comment: Comment) -> JSONValue {
        [
            "external_id": .string(comment.externalID), "author": JSONValue(comment.author),
            "body": .string(comment.body), "created_at": .string(comment.createdAt.iso8601),
            "updated_at": .string(comment.updatedAt.iso8601),
        ]
    }

    private static func line(_ link: IssueLink) -> JSONValue {
        [
            "relation": .string(link.relation), "target_key": .string(link.targetKey),
            "target_external_id": JSONValue(link.targetExternalID),
        ]
    }
}

private func precedes(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
}
