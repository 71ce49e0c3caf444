import Domain
import HTTPTypes
import Store
import Trackers

/// Organisations and projects, as they were found in the trackers.
struct ProjectRoutes: Sendable {
    let store: Store
    let operations: TrackerOperations

    private static let organizationShape = Shape.object([
        "id": Shape.identifier, "name": Shape.text, "identifier": Shape.text,
        "tracker_id": Shape.identifier,
    ])
    private static let projectShape = Shape.object([
        "id": Shape.identifier, "name": Shape.text, "identifier": Shape.text, "url": Shape.text,
        "organization_id": Shape.identifier, "tracker_id": Shape.identifier, "state": Shape.text,
        "last_synced": Shape.optionalInstant, "last_error": Shape.optionalText,
        "issues": Shape.count, "pull_requests": Shape.count, "comments": Shape.count,
    ])

    /// The routes.
    var routes: [Route] { organizationRoutes + projectRoutes }

    // MARK: - Organisations

    private var organizationRoutes: [Route] {
        let access = Route.Access.permission(.viewIssues)
        let (tag, path) = ("Organizations", "/api/v1/organizations")
        return [
            .on(.get, path, access, tag: tag, "The organisations, by identifier") { request in
                let page = try PageRequest(request)
                let tracker = request.arguments["tracker_id"]?.integer
                let store = store.viewed(by: try request.user().account)
                let all = try await store.read { connection, account in
                    try Self.check(tracker: tracker, account, connection)
                    return try OrganizationTable.all(account: account, on: connection)
                }
                let wanted = all.filter { tracker == nil || $0.trackerID.rawValue == tracker }
                let slice = try page.slice(of: wanted)
                return page.answer(slice.items.map(Self.json), next: slice.next, to: request)
            }.query("tracker_id", Shape.identifier).paged
                .answers(.ok, Shape.list(of: Self.organizationShape)).problems(.notFound),
            .on(.get, "\(path)/{id}", access, tag: tag, "An organisation") { request in
                .json(Self.json(try await organization(request)))
            }.answers(.ok, Self.organizationShape),
            .on(.get, "\(path)/{id}/projects", access, tag: tag, "An organisation's projects") {
                request in
                let organization = try await organization(request)
                return try await list(request) { $0.organizationID == organization.id }
            }.paged.answers(.ok, Shape.list(of: Self.projectShape)),
        ]
    }

    private func organization(_ request: APIRequest) async throws -> StoredOrganization {
        let id: OrganizationID = try request.identifier("id")
        let found = try await store.viewed(by: try request.user().account).read {
            connection,
            account in
            try OrganizationTable.find(id, account: account, on: connection)
        }
        guard let found else { throw Problem.notFound() }
        return found
    }

    private static func json(_ organization: StoredOrganization) -> JSONValue {
        [
            "id": .integer(organization.id.rawValue), "name": .string(organization.name),
            "identifier": .string(organization.path),
            "tracker_id": .integer(organization.trackerID.rawValue),
        ]
    }

    // MARK: - Projects

    private var projectRoutes: [Route] {
        let access = Route.Access.permission(.viewIssues)
        let (tag, path) = ("Projects", "/api/v1/projects")
        return [
            .on(.get, path, access, tag: tag, "The projects, by tracker and path") { request in
                let tracker = request.arguments["tracker_id"]?.integer
                let organization = request.arguments["organization_id"]?.integer
                let store = store.viewed(by: try request.user().account)
                try await store.read { connection, account in
                    try Self.check(tracker: tracker, account, connection)
                    try Self.check(organization: organization, account, connection)
                }
                return try await list(request) { project in
                    (tracker == nil || project.trackerID.rawValue == tracker)
                        && (organization == nil
                            || project.organizationID.rawValue == organization)
                }
            }.query("tracker_id", Shape.identifier).query("organization_id", Shape.identifier)
                .paged.answers(.ok, Shape.list(of: Self.projectShape)).problems(.notFound),
            .on(.get, "\(path)/{id}", access, tag: tag, "A project") { request in
                let id: ProjectID = try request.identifier("id")
                let store = store.viewed(by: try request.user().account)
                let (project, counts) = try await store.read { connection, account in
                    (
                        try ProjectTable.find(id, account: account, on: connection),
                        try ProjectCounts.all(account: account, on: connection)
                    )
                }
                guard let project else { throw Problem.notFound() }
                return .json(Self.json(project, counts[project.id]))
            }.answers(.ok, Self.projectShape),
            .on(
                .post,
                "\(path)/test-connection",
                .permission(.manageTrackers),
                tag: tag,
                "Ask a project's tracker whether the token may read the project",
                handler: testConnection
            ).body(
                Shape.object([
                    "organization": Shape.text(1_000, minimum: 1),
                    "project": Shape.text(1_000, minimum: 1),
                ])
            ).answers(
                .ok,
                Shape.object([
                    "success": Shape.flag, "message": Shape.text, "project_id": Shape.identifier,
                ])
            ).problems(.badGateway, .serviceUnavailable, .notFound),
        ]
    }

    /// Refuses what there is not: an empty list would say that it has nothing.
    private static func check(
        _ kind: String,
        _ id: Int64?,
        isThere: (Int64) throws -> Bool
    ) throws {
        guard let id, try !isThere(id) else { return }
        throw Problem(.notFound, "there is no \(kind) with the identifier \(id)")
    }

    private static func check(
        tracker: Int64?,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        try check("tracker", tracker) { id in
            try TrackerTable.find(TrackerID(id), account: account, on: connection) != nil
        }
    }

    private static func check(
        organization: Int64?,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        try check("organisation", organization) { id in
            try OrganizationTable.find(OrganizationID(id), account: account, on: connection) != nil
        }
    }

    private func list(
        _ request: APIRequest,
        where isWanted: (StoredProject) -> Bool
    ) async throws -> APIResponse {
        let page = try PageRequest(request)
        let store = store.viewed(by: try request.user().account)
        let (projects, counts) = try await store.read { connection, account in
            (
                try ProjectTable.list(account: account, on: connection),
                try ProjectCounts.all(account: account, on: connection)
            )
        }
        let slice = try page.slice(of: projects.filter(isWanted))
        let items = slice.items.map { Self.json($0, counts[$0.id]) }
        return page.answer(items, next: slice.next, to: request)
    }

    @Sendable private func testConnection(_ request: APIRequest) async throws -> APIResponse {
        let account = try request.user().account
        let owner = request.content["organization"]?.string?.lowercased() ?? ""
        let path = request.content["project"]?.string?.lowercased() ?? ""
        let found = try await store.viewed(by: account).read { connection, account in
            let organizations = try OrganizationTable.all(account: account, on: connection)
                .filter { $0.path.lowercased() == owner || $0.name.lowercased() == owner }
                .map(\.id)
            let projects = try ProjectTable.list(account: account, on: connection).filter {
                organizations.contains($0.organizationID)
                    && ($0.path.lowercased() == path || $0.name.lowercased() == path)
            }
            let trackers = try TrackerTable.list(account: account, on: connection)
            return projects.compactMap { project in
                trackers.first { $0.id == project.trackerID }.map { (project, $0) }
            }
        }
        guard let (project, tracker) = found.first else { throw Problem.notFound() }
        guard found.count == 1 else {
            throw Problem.ambiguousProject(found.map { "\($1.name):\($0.path)" })
        }
        let answer = try await ask(tracker, for: project, account)
        return .json([
            "success": .bool(answer.isRead), "message": .string(answer.message),
            "project_id": .integer(project.id.rawValue),
        ])
    }

    /// Whether the tracker lets our token read a project, and why not.
    ///
    /// What says nothing of that, such as a tracker that is away, is thrown.
    private func ask(
        _ tracker: Tracker,
        for project: StoredProject,
        _ account: AccountID
    ) async throws -> (isRead: Bool, message: String) {
        do {
            let identity = try await operations.testProject(project, tracker, account)
            return (true, "the token of \(identity.userName) reads \(project.path)")
        } catch let error as TrackerError {
            switch error {
            case .unauthenticated, .forbidden, .notFound:
                return (false, error.hint.map { "\(error); \($0)" } ?? "\(error)")
            case .rateLimited, .unavailable, .invalidResponse, .pageTokenExpired, .refused,
                .outcomeUnknown, .cancelled:
                throw error
            }
        }
    }

    private static func json(_ project: StoredProject, _ counts: ProjectCounts.Row?) -> JSONValue {
        let counts = counts ?? ProjectCounts.Row()
        return [
            "id": .integer(project.id.rawValue), "name": .string(project.name),
            "identifier": .string(project.path), "url": .string(project.url),
            "organization_id": .integer(project.organizationID.rawValue),
            "tracker_id": .integer(project.trackerID.rawValue),
            "state": .string(project.state.rawValue),
            "last_synced": JSONValue(project.lastScanAt?.iso8601),
            "last_error": JSONValue(project.lastError),
            "issues": .integer(Int64(counts.issues)),
            "pull_requests": .integer(Int64(counts.pullRequests)),
            "comments": .integer(Int64(counts.comments)),
        ]
    }
}
