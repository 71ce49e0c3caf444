import Domain
package import Store

extension Store {
    /// Stores the tracker `hub`, which nobody asks, with projects of the organisation `acme` and
    /// their issues, as a scan leaves them.
    package func addTracker(
        at url: String,
        projects: [(path: String, issues: [IncomingIssue])]
    ) async throws {
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        try await write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            try TrackerTable.insert(
                Tracker(
                    id: ids[0],
                    kind: .github,
                    deployment: .cloud,
                    name: "hub",
                    url: url,
                    createdAt: now
                ),
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            for (path, issues) in projects {
                let organization = try OrganizationTable.upsert(
                    externalID: "acme",
                    path: "acme",
                    name: "acme",
                    tracker: ids[0],
                    account: account,
                    on: connection
                )
                let project = try ProjectTable.upsert(
                    ProjectDescription(
                        trackerID: ids[0],
                        organizationID: organization,
                        externalID: path,
                        path: path,
                        name: path,
                        url: "\(url)/\(path)"
                    ),
                    account: account,
                    on: connection
                ).now.id
                let batch = IssueBatch(
                    project: project,
                    tracker: ids[0],
                    items: issues,
                    present: now,
                    trust: .confirmed
                )
                _ = try IssueTable.upsert(batch, account: account, on: connection)
            }
        }
    }
}
