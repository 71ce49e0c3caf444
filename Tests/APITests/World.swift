import Domain
import Store
import StoreTestSupport

/// A tracker with two projects and their issues, in any account.
struct World {
    var tracker: TrackerID
    var organization: OrganizationID
    var projects: [ProjectID]
    /// Of the first project, then of the second.
    var issues: [IssueID]

    static let start = Timestamp(milliseconds: 1_700_000_000_000)

    init(
        in store: Store,
        named name: String = "hub",
        kind: TrackerKind = .github
    ) async throws {
        let made = try await store.write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            try TrackerTable.insert(
                Tracker(
                    id: ids[0],
                    kind: kind,
                    deployment: .cloud,
                    name: name,
                    url: "https://\(name)",
                    createdAt: Self.start
                ),
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            let organization = try OrganizationTable.upsert(
                externalID: "acme",
                path: "acme",
                name: "acme",
                tracker: ids[0],
                account: account,
                on: connection
            )
            let projects = try ["acme/app", "acme/site"].map { path in
                try Self.fill(path, name, ids[0], organization, account, connection)
            }
            return (ids[0], organization, projects)
        }
        (tracker, organization, projects) = made
        issues = try await store.read { connection, account in
            try PassageTable.issues(matching: IssueFilter(), account: account, on: connection)
        }
    }

    private static func fill(
        _ path: String,
        _ name: String,
        _ tracker: TrackerID,
        _ organization: OrganizationID,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> ProjectID {
        let project = try ProjectTable.upsert(
            ProjectDescription(
                trackerID: tracker,
                organizationID: organization,
                externalID: path,
                path: path,
                name: path,
                url: "https://\(name)/\(path)"
            ),
            account: account,
            on: connection
        ).now.id
        let items = (1...3).map { number -> IncomingIssue in
            var issue = Domain.Issue(
                externalID: "\(path)#\(number)",
                number: number,
                key: "\(path)#\(number)",
                title: "crash number \(number) of \(path)",
                body: "what happened",
                createdAt: start.advanced(by: .seconds(number)),
                updatedAt: start.advanced(by: .seconds(number)),
                url: "https://\(name)/\(path)/issues/\(number)"
            )
            issue.labels = number == 1 ? ["bug"] : []
            issue.state = number == 3 ? .closed : .open
            let comment = Comment(
                externalID: "c\(number)",
                author: "bob",
                body: "me too",
                createdAt: start,
                updatedAt: start
            )
            return IncomingIssue(issue, comments: .complete([comment]))
        }
        let batch = IssueBatch(
            project: project,
            tracker: tracker,
            items: items,
            present: start,
            trust: .confirmed
        )
        _ = try IssueTable.upsert(batch, account: account, on: connection)
        return project
    }
}

extension World {
    /// A server, what is in its store, and the key of its owner.
    static func served(
        _ setup: RunningServer.Setup = RunningServer.Setup()
    ) async throws -> (RunningServer, World, String) {
        let server = try await RunningServer(setup)
        let world = try await World(in: server.scratch.store)
        _ = try await server.add("ann", .owner)
        return (server, world, try await server.key("ann"))
    }
}
