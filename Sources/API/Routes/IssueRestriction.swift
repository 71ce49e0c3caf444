import Domain
import HTTPTypes
import Store

/// The restrictions that lists and searches of issues share.
struct IssueRestriction: Sendable {
    let store: Store

    /// The parameters, on a route.
    static func parameters(of route: Route) -> Route {
        route.query("project_id", Shape.list(of: Shape.identifier, atMost: 100))
            .query(
                "project",
                Shape.text(
                    1_000,
                    "A project's path, or `tracker:path`; \(synonym("project_id"))"
                )
            )
            .query("organization", Shape.text(1_000, "An organisation's path."))
            .query("tracker", Shape.text(100, "A tracker's name."))
            .query(
                "state",
                Shape.choice(
                    ["open", "closed", "all"],
                    "Any when not given; \(synonym("status"))"
                )
            )
            .query("kind", Shape.choice(IssueKind.allCases.map(\.rawValue)))
            .query("labels", Shape.list(of: Shape.text(255), atMost: 20))
            .query("assignee", Shape.text(255)).query("author", Shape.text(255))
            .query("issue_type", Shape.text(255))
            .query("updated_after", Shape.instant(synonym("last_updated_after")))
            .query("updated_before", Shape.instant(synonym("last_updated_before")))
            .query(
                "status",
                Shape.text(
                    255,
                    "`open`, `opened`, `closed`, `all`: \(synonym("state")) Else a tracker's own "
                        + "status, which goes with any `state`."
                )
            )
            .query("priority", Shape.text(255)).query("organization_id", Shape.identifier)
            .query("last_updated_after", Shape.instant(synonym("updated_after")))
            .query("last_updated_before", Shape.instant(synonym("updated_before")))
    }

    /// What is said of a parameter that has another name besides.
    private static func synonym(_ name: String) -> String {
        "means what `\(name)` means, and is refused beside one that says something else."
    }

    /// What the parameters of a request mean.
    ///
    /// - Throws: ``Problem``: 404 for what it names and there is not, 400 for what may be several,
    ///   422 for two parameters that say of one thing what cannot both be.
    func filter(_ request: APIRequest) async throws -> IssueFilter {
        let arguments = request.arguments
        var filter = IssueFilter()
        filter.projectIDs = Self.projects("project_id", arguments)
        filter.organizations = [arguments["organization"]?.string].compactMap { $0 }
        filter.trackers = [arguments["tracker"]?.string].compactMap { $0 }
        try await checkNamed(filter, of: try request.user().account)
        if let path = arguments["project"]?.string {
            let named = try await projects(path, of: request)
            guard filter.projectIDs.isEmpty || Set(filter.projectIDs) == Set(named) else {
                throw Problem.contradiction("project_id", "project")
            }
            filter.projectIDs = named
        }
        if let id = arguments["organization_id"]?.integer {
            try await restrict(&filter, to: OrganizationID(id), of: request)
        }
        (filter.state, filter.status) = try Self.state(arguments)
        filter.priority = arguments["priority"]?.string
        filter.kind = (arguments["kind"]?.string).flatMap(IssueKind.init(rawValue:))
        filter.labels = (arguments["labels"]?.array ?? []).compactMap(\.string)
        filter.assignee = arguments["assignee"]?.string
        filter.author = arguments["author"]?.string
        filter.type = arguments["issue_type"]?.string
        filter.updatedSince = try Self.instant("updated_after", "last_updated_after", arguments)
        filter.updatedBefore = try Self.instant("updated_before", "last_updated_before", arguments)
        return filter
    }

    /// The state by either of its names, nil for any, and the tracker's own word for one.
    private static func state(
        _ arguments: JSONObject
    ) throws(Problem) -> (state: IssueState?, status: String?) {
        let (state, status) = (arguments["state"]?.string, arguments["status"]?.string)
        let common: String
        switch status {
        case "open", "opened": common = "open"
        case "closed": common = "closed"
        case "all": common = "all"
        // The tracker's own word says more than a state does: both count.
        default: return (state.flatMap(IssueState.init(rawValue:)), status)
        }
        guard state == nil || state == common else { throw .contradiction("state", "status") }
        return (IssueState(rawValue: common), nil)
    }

    /// The projects that a parameter lists.
    static func projects(_ name: String, _ arguments: JSONObject) -> [ProjectID] {
        (arguments[name]?.array ?? []).compactMap { value in value.integer.map { ProjectID($0) } }
    }

    /// Refuses what a filter names and there is not; what names nothing costs no look.
    private func checkNamed(_ filter: IssueFilter, of account: AccountID) async throws {
        let (projects, organizations) = (filter.projectIDs, filter.organizations)
        let trackers = filter.trackers
        guard !(projects.isEmpty && organizations.isEmpty && trackers.isEmpty) else { return }
        try await store.viewed(by: account).read { connection, account in
            try Self.check(projects, account, connection)
            try Self.check(organizations, trackers, account, connection)
        }
    }

    /// Refuses projects that there are not: an empty answer would say that they have no issues.
    ///
    /// - Throws: ``Problem``: 404; and what the store throws.
    static func check(
        _ projects: [ProjectID],
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        for id in projects {
            guard try ProjectTable.find(id, account: account, on: connection) != nil else {
                throw Problem(.notFound, "there is no project with the identifier \(id)")
            }
        }
    }

    /// The same of organisations by their paths, and of trackers by their names.
    private static func check(
        _ organizations: [String],
        _ trackers: [String],
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        for name in trackers {
            guard try TrackerTable.find(name: name, account: account, on: connection) != nil else {
                throw Problem(.notFound, "there is no tracker `\(name)`")
            }
        }
        guard !organizations.isEmpty else { return }
        let paths = try OrganizationTable.all(account: account, on: connection)
            .map { $0.path.lowercased() }
        for path in organizations where !paths.contains(path.lowercased()) {
            throw Problem(.notFound, "there is no organisation `\(path)`")
        }
    }

    /// The instant under either name.
    private static func instant(
        _ name: String,
        _ synonym: String,
        _ arguments: JSONObject
    ) throws(Problem) -> Timestamp? {
        var found: Timestamp?
        for given in [name, synonym] {
            guard let text = arguments[given]?.string else { continue }
            guard let instant = Timestamp(parsing: text) else {
                throw .invalid(given, "must be an instant such as 2026-01-31")
            }
            guard found == nil || found == instant else { throw .contradiction(name, synonym) }
            found = instant
        }
        return found
    }

    /// Restricts to one organisation of one tracker.
    private func restrict(
        _ filter: inout IssueFilter,
        to id: OrganizationID,
        of request: APIRequest
    ) async throws {
        let account = try request.user().account
        let found = try await store.viewed(by: account).read { connection, account in
            try OrganizationTable.find(id, account: account, on: connection).map { organization in
                let tracker = try TrackerTable.find(
                    organization.trackerID,
                    account: account,
                    on: connection
                )
                return (path: organization.path, tracker: tracker?.name ?? "")
            }
        }
        guard let found else {
            throw Problem(.notFound, "there is no organisation with the identifier \(id)")
        }
        let isOther = filter.organizations.contains { $0.lowercased() != found.path.lowercased() }
        guard !isOther else { throw Problem.contradiction("organization", "organization_id") }
        guard filter.trackers.allSatisfy({ $0 == found.tracker }) else {
            throw Problem.contradiction("tracker", "organization_id")
        }
        filter.organizations = [found.path]
        filter.trackers = [found.tracker]
    }

    /// The projects of a path; one that is in several trackers has to be told apart.
    private func projects(_ reference: String, of request: APIRequest) async throws -> [ProjectID] {
        let wanted = reference.lowercased()
        let account = try request.user().account
        let found = try await store.viewed(by: account).read { connection, account in
            let trackers = try TrackerTable.list(account: account, on: connection)
            return try ProjectTable.list(account: account, on: connection).filter { project in
                let tracker = trackers.first { $0.id == project.trackerID }?.name ?? ""
                let path = project.path.lowercased()
                return path == wanted || "\(tracker.lowercased()):\(path)" == wanted
            }
        }
        guard !found.isEmpty else {
            throw Problem(.notFound, "there is no project `\(reference)`")
        }
        guard found.count == 1 else {
            throw Problem(
                .badRequest,
                "`\(reference)` is in several trackers; write `tracker:path`",
                code: "ambiguous_project"
            )
        }
        return found.map(\.id)
    }
}
