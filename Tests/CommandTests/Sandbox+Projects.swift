import Domain
import Store
import Testing

extension Sandbox {
    /// Stores a project of the first tracker, as a scan leaves it.
    func follow(_ path: String) async throws {
        try await store().write { connection, account in
            let trackers = try TrackerTable.list(account: account, on: connection)
            let tracker = try #require(trackers.first)
            let organization = try OrganizationTable.upsert(
                externalID: "1",
                path: "acme",
                name: "acme",
                tracker: tracker.id,
                account: account,
                on: connection
            )
            _ = try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: tracker.id,
                    organizationID: organization,
                    externalID: "2",
                    path: path,
                    name: path,
                    url: "https://example.com/\(path)"
                ),
                account: account,
                on: connection
            )
        }
    }
}
