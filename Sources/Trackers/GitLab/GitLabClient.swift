import Domain
import HTTPClient

/// GitLab.com and self-managed GitLab over REST v4.
///
/// Issues and merge requests have separate lists and number spaces; a walk reads one list after the
/// other, and its page tokens say which. Lists are walked by creation or update time, never by deep
/// offsets: GitLab refuses those beyond 50,000 rows and offers key sets only on some lists.
package struct GitLabClient: TrackerClient {
    package let commentListing = CommentListing.perIssue

    let session: TrackerSession
    let now: @Sendable () -> Timestamp
    private let catalogue = ProjectCatalogue<GitLabProject>()

    /// The largest page GitLab serves.
    static let pageSize = 100
    static let paging = PageParameters(size: "per_page", page: "page")

    package init(_ parameters: TrackerClients.Parameters) {
        var configuration = TrackerSession.Configuration(
            baseURL: Self.baseURL(parameters.url),
            authorization: .privateToken
        )
        configuration.headers = [HTTPField("Accept", "application/json")]
        session = parameters.session(configuration)
        now = parameters.now
    }

    /// The API below the URL of the installation, which may have a path of its own.
    static func baseURL(_ configured: String?) -> String {
        let address = trimmedAddress(configured ?? "")
        if address.isEmpty { return "https://gitlab.com/api/v4" }
        return address.hasSuffix("/api/v4") ? address : address + "/api/v4"
    }

    // MARK: - Who and what

    /// The user behind the token, with a warning when it lacks `read_api` or ends within 14 days.
    package func verify() async throws(TrackerError) -> TrackerIdentity {
        let (user, _) = try await session.document(TrackerRequest(path: "/user"))
        guard let name = user["username"]?.string else {
            throw .invalidResponse(detail: "`/user` names no user")
        }
        // Only personal, project and group tokens can read themselves; others say nothing.
        let (token, response) = try await session.document(
            TrackerRequest(
                path: "/personal_access_tokens/self",
                acceptedStatuses: [400, 401, 403, 404]
            )
        )
        var scopes: [String] = []
        var warnings: [String] = []
        if response.status == 200 {
            scopes = token["scopes"]?.array?.compactMap(\.string).map(sanitized) ?? []
            if !scopes.isEmpty, !scopes.contains("api"), !scopes.contains("read_api") {
                warnings.append("the token lacks the scope `read_api`")
            }
            if let date = token["expires_at"]?.string, let end = Timestamp(parsing: date),
                end < now().advanced(by: .seconds(14 * 86_400))
            {
                warnings.append("the token expires on \(sanitized(date))")
            }
        }
        return TrackerIdentity(userName: sanitized(name), scopes: scopes, warnings: warnings)
    }

    /// The groups and users that own the projects the token is a member of; reads them anew.
    package func organizations() async throws(TrackerError) -> [RemoteOrganization] {
        let projects = try await readCatalogue()
        try projects.requireSome()
        var seen: Set<String> = []
        return projects.rows.map(\.group).filter { seen.insert($0.externalID).inserted }
    }

    /// The group's own projects, not those of its subgroups, from the list read last.
    ///
    /// A group outside that list is asked for by name: as a group, then as a user.
    package func projects(
        of organization: RemoteOrganization
    ) async throws(TrackerError) -> ProjectList {
        let known: [GitLabProject]
        if let projects = catalogue.rows {
            known = projects
        } else {
            known = try await readCatalogue().rows
        }
        let owned = known.filter { $0.group.path.lowercased() == organization.path.lowercased() }
        if !owned.isEmpty {
            return ProjectList(owned.map(\.project), unreadable: catalogue.takeUnreadable())
        }
        // Not among the token's memberships: a public group or user that was named explicitly.
        let owner = percentEncoded(organization.path)
        let sharing = QueryString(["with_shared": "false", "per_page": String(Self.pageSize)])
        if let listed = try await projects(
            at: "/groups/\(owner)/projects",
            sharing,
            mayBeMissing: true
        ) {
            return list(listed)
        }
        let listed = try await projects(at: "/users/\(owner)/projects", Self.membershipQuery)
        return list(listed ?? ProjectRows())
    }

    private func list(_ found: ProjectRows<GitLabProject>) -> ProjectList {
        ProjectList(
            found.rows.map(\.project),
            unreadable: found.unreadable + catalogue.takeUnreadable()
        )
    }

    private static var membershipQuery: QueryString {
        QueryString(["order_by": "id", "sort": "asc", "per_page": String(pageSize)])
    }

    /// Every project the token is a member of; one request for each hundred.
    private func readCatalogue() async throws(TrackerError) -> ProjectRows<GitLabProject> {
        var query = Self.membershipQuery
        query["membership"] = "true"
        // Key sets keep their speed and have no deepest page.
        query["pagination"] = "keyset"
        let found = try await projects(at: "/projects", query) ?? ProjectRows()
        catalogue.replace(with: found)
        return found
    }

    /// Nil when the list is refused (403, 404) and that was to be expected.
    private func projects(
        at path: String,
        _ first: QueryString,
        mayBeMissing: Bool = false
    ) async throws(TrackerError) -> ProjectRows<GitLabProject>? {
        var projects = try await session.projects(
            at: path,
            first,
            mayBeMissing: mayBeMissing,
            as: ProjectForm(
                pathField: "path_with_namespace",
                read: GitLabProject.init,
                paging: { _ in Self.paging }
            )
        )
        projects?.rows.removeAll { !$0.hasItems }
        return projects
    }
}
