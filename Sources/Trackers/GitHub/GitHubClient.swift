import Domain
import HTTPClient

/// GitHub and GitHub Enterprise Server over REST v3.
///
/// Repositories are addressed by their numeric id (`/repositories/ID/…`, as GitHub's own `Link` and
/// `Location` headers do), so that neither a rename nor a new repository under an old name can mix
/// two of them up. Pull requests come with the issues, whose number space they share.
package struct GitHubClient: TrackerClient {
    package let commentListing = CommentListing.perProject

    let session: TrackerSession
    let now: @Sendable () -> Timestamp
    private let access: GitHubAccess
    private let catalogue = ProjectCatalogue<GitHubRepository>()

    /// The largest page GitHub serves.
    static let pageSize = 100

    package init(_ parameters: TrackerClients.Parameters) {
        var configuration = TrackerSession.Configuration(
            baseURL: Self.baseURL(parameters.url, deployment: parameters.deployment),
            authorization: .bearer
        )
        configuration.headers = [
            HTTPField("Accept", "application/vnd.github+json"),
            HTTPField("X-GitHub-Api-Version", "2022-11-28"),
        ]
        let access = GitHubAccess(parameters, configuration)
        self.access = access
        session = parameters.session(configuration) { () async throws(TrackerError) in
            try await access.credential()
        }
        now = parameters.now
    }

    /// Where the API lives: the URL as configured, with two exceptions made for what people paste.
    ///
    /// Nothing and `https://github.com` mean `https://api.github.com`; an Enterprise Server without
    /// a path has its API below `/api/v3`. A URL with a path is the API itself.
    static func baseURL(_ configured: String?, deployment: TrackerDeployment) -> String {
        let address = trimmedAddress(configured ?? "")
        switch address.lowercased() {
        case "", "https://github.com", "https://www.github.com", "https://api.github.com":
            return "https://api.github.com"
        default:
            let isBareServer = deployment == .server && hasNoPath(address)
            return isBareServer ? address + "/api/v3" : address
        }
    }

    // MARK: - Who and what

    /// The user behind the token, with a warning when a classic token lacks `repo`; or the App,
    /// with a warning for each permission it lacks.
    ///
    /// An App's installation token has no user and is accepted when it may list its repositories.
    package func verify() async throws(TrackerError) -> TrackerIdentity {
        if let app = try await access.app() {
            let identity = try await access.identity(of: app)
            _ = try await installationIdentity()
            return identity
        }
        let request = TrackerRequest(path: "/user", acceptedStatuses: [403])
        let (user, response) = try await session.document(request)
        if response.status == 403 { return try await installationIdentity() }
        guard let login = user["login"]?.string else {
            throw .invalidResponse(detail: "`/user` names no login")
        }
        let scopes = (response.headers["X-OAuth-Scopes"] ?? "")
            .split { $0 == "," || $0 == " " }.map(String.init)
        var warnings: [String] = []
        // Fine-grained tokens report no scopes; there the header is absent or empty.
        if !scopes.isEmpty, !scopes.contains("repo") {
            warnings.append("the token lacks the scope `repo`: private repositories are not seen")
        }
        return TrackerIdentity(userName: sanitized(login), scopes: scopes, warnings: warnings)
    }

    /// An App's installation token has no user; it answers for the repositories it was given.
    private func installationIdentity() async throws(TrackerError) -> TrackerIdentity {
        let request = TrackerRequest(
            path: "/installation/repositories",
            query: QueryString(["per_page": "1"])
        )
        _ = try await session.document(request)
        return TrackerIdentity(userName: "GitHub App installation")
    }

    /// The owners of all repositories the token was given; reads that list anew.
    package func organizations() async throws(TrackerError) -> [RemoteOrganization] {
        let repositories = try await readCatalogue()
        try repositories.requireSome()
        var seen: Set<String> = []
        return repositories.rows.map(\.owner).filter { seen.insert($0.externalID).inserted }
    }

    /// The owner's repositories with issues switched on, from the list read last.
    ///
    /// An owner outside that list is asked for by name: as an organisation, then as a user.
    package func projects(
        of organization: RemoteOrganization
    ) async throws(TrackerError) -> ProjectList {
        let known: [GitHubRepository]
        if let repositories = catalogue.rows {
            known = repositories
        } else {
            known = try await readCatalogue().rows
        }
        let owned = known.filter { $0.owner.path.lowercased() == organization.path.lowercased() }
        if !owned.isEmpty {
            return ProjectList(owned.map(\.project), unreadable: catalogue.takeUnreadable())
        }
        // Not among the token's own: a public owner that was named explicitly.
        let owner = percentEncoded(organization.path)
        if let listed = try await repositories(at: "/orgs/\(owner)/repos", mayBeMissing: true) {
            return list(listed)
        }
        return list(try await repositories(at: "/users/\(owner)/repos") ?? ProjectRows())
    }

    private func list(_ found: ProjectRows<GitHubRepository>) -> ProjectList {
        ProjectList(
            found.rows.map(\.project),
            unreadable: found.unreadable + catalogue.takeUnreadable()
        )
    }

    /// Every repository the token was given; one request for each hundred.
    private func readCatalogue() async throws(TrackerError) -> ProjectRows<GitHubRepository> {
        var found: ProjectRows<GitHubRepository>?
        if try await access.app() == nil {
            found = try await repositories(at: "/user/repos", mayBeMissing: true)
        }
        if found == nil {
            let path = "/installation/repositories"
            found = try await repositories(at: path, in: ["repositories"])
        }
        let repositories = found ?? ProjectRows()
        catalogue.replace(with: repositories)
        return repositories
    }

    /// Nil when the list is refused (403, 404) and that was to be expected.
    private func repositories(
        at path: String,
        in keys: [String] = [],
        mayBeMissing: Bool = false
    ) async throws(TrackerError) -> ProjectRows<GitHubRepository>? {
        var repositories = try await session.projects(
            at: path,
            QueryString(["per_page": String(Self.pageSize)]),
            in: keys,
            mayBeMissing: mayBeMissing,
            as: ProjectForm(
                pathField: "full_name",
                read: GitHubRepository.init,
                paging: Self.paging
            )
        )
        repositories?.rows.removeAll { !$0.hasIssues }
        return repositories
    }

    /// With a cursor the page number means nothing, so it must not be recomputed.
    static func paging(_ query: QueryString) -> PageParameters {
        PageParameters(size: "per_page", page: query["after"] == nil ? "page" : nil)
    }
}
