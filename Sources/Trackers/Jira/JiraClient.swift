import Domain
import HTTPClient

/// Reads Jira Cloud or Jira Server and Data Center.
///
/// Walks are anchored on issues (``JiraCursor``). Cloud's search lags behind writes; since a scan
/// does not write, it cannot name issues to reconcile and leaves the overlap to its caller, while
/// ``presence(of:in:)`` asks for the issue itself, which does not lag. Jira has no entity tags:
/// pages carry no validator.
package struct JiraClient: TrackerClient {
    let session: TrackerSession
    let dialect: JiraDialect
    /// 20,000 projects on Cloud; Server's list is one page.
    private static let maximumListPageCount = 400

    /// Makes a client; no request is sent yet.
    ///
    /// With a user name the token is shown as its password (Cloud's API tokens, Server's
    /// passwords), without one as a bearer token (OAuth, Server's personal access tokens).
    ///
    /// - Throws: ``TrackerError/invalidResponse(detail:)`` when there is no usable site address.
    package init(_ parameters: TrackerClients.Parameters) throws(TrackerError) {
        dialect = parameters.deployment == .cloud ? .cloud : .server
        let authorization: TrackerAuthorization =
            parameters.userName.map { .basic(userName: $0) } ?? .bearer
        session = parameters.session(
            TrackerSession.Configuration(
                baseURL: try Self.baseURL(parameters.url),
                authorization: authorization,
                headers: [HTTPField("Accept", "application/json")]
            )
        )
    }

    /// Jira's comments come with their issue; what a search cuts off is read issue by issue.
    package var commentListing: CommentListing { .perIssue }

    /// The site's address without a final slash or API path; a context path stays.
    static func baseURL(_ configured: String?) throws(TrackerError) -> String {
        guard var url = configured, !url.isEmpty else {
            throw .invalidResponse(detail: "a Jira tracker needs the address of its site")
        }
        if !url.contains("://") { url = "https://" + url }
        guard url.hasPrefix("https://") || url.hasPrefix("http://") else {
            throw .invalidResponse(detail: "`\(url)` is no web address")
        }
        while url.hasSuffix("/") { url.removeLast() }
        for path in ["/rest/api/2", "/rest/api/3", "/rest/api/latest"] where url.hasSuffix(path) {
            url.removeLast(path.count)
        }
        return url
    }

    /// The account behind the token; an answer without one is a stranger's.
    package func verify() async throws(TrackerError) -> TrackerIdentity {
        let request = TrackerRequest(path: "\(dialect.apiPath)/myself")
        let (value, _) = try await session.document(request)
        let name = ["displayName", "emailAddress", "name", "key", "accountId"].lazy
            .compactMap { value[$0]?.string }.first { !$0.isEmpty }
        guard let name, value["accountId"] != nil || value["key"] != nil || value["name"] != nil
        else {
            throw .unauthenticated(
                detail: "`/myself` names no account",
                cure: session.tokenCure
            )
        }
        return TrackerIdentity(userName: sanitized(name))
    }

    /// The site: a Jira is one organisation.
    package func organizations() async throws(TrackerError) -> [RemoteOrganization] {
        let site = try await site()
        return [RemoteOrganization(externalID: site.host, path: site.host, name: site.title)]
    }

    /// Every project the token can see, in the service's order.
    package func projects(
        of organization: RemoteOrganization
    ) async throws(TrackerError) -> ProjectList {
        let site = try await site()
        var projects = ProjectRows<RemoteProject>()
        var start = 0
        var isLast = false
        for _ in 0..<Self.maximumListPageCount where !isLast {
            let list = try await projectPage(startAt: start)
            let rows = list.read { (row) throws(FieldError) in
                try Self.project(row, site: site.url)
            }
            projects.add(rows, pathField: "key")
            start += list.elements.count
            isLast =
                dialect == .server || list.elements.isEmpty
                || list.envelope["isLast"]?.bool ?? true
        }
        if !isLast { projects.noteRest(after: Self.maximumListPageCount) }
        // A stranger is shown an empty site.
        if start == 0 { _ = try await verify() }
        return ProjectList(projects.rows, unreadable: projects.unreadable)
    }

    private func projectPage(startAt: Int) async throws(TrackerError) -> TrackerList {
        switch dialect {
        case .server:
            return try await session.list(TrackerRequest(path: "\(dialect.apiPath)/project"))
        case .cloud:
            let request = TrackerRequest(
                path: "\(dialect.apiPath)/project/search",
                query: QueryString(["startAt": "\(startAt)", "maxResults": "50", "orderBy": "key"]),
                paging: PageParameters(size: "maxResults")
            )
            return try await session.list(request, at: ["values"])
        }
    }

    static func project(
        _ row: FieldReader,
        site: String
    ) throws(FieldError) -> RemoteProject {
        let key = try row.text("key")
        return RemoteProject(
            externalID: try row.identifier("id"),
            path: key,
            name: try row.optionalText("name") ?? key,
            url: "\(site)/browse/\(key)"
        )
    }

    /// Where the site is for people, and what it is called.
    func site() async throws(TrackerError) -> (url: String, host: String, title: String) {
        let request = TrackerRequest(
            path: "\(dialect.apiPath)/serverInfo",
            acceptedStatuses: [401, 403, 404]
        )
        let (value, _) = try await session.document(request)
        var url = session.configuration.baseURL
        // The base URL a Server reports is often one that only it can reach; Cloud's is needed
        // where the API is reached through `api.atlassian.com`.
        if dialect == .cloud, let reported = value["baseUrl"]?.string,
            let address = try? Self.baseURL(reported)
        {
            url = address
        }
        let authority = url.split(separator: "/", maxSplits: 2).dropFirst().first ?? ""
        let host = String(authority.split(separator: "/").first ?? authority)
        let title = value["serverTitle"]?.string ?? ""
        return (url, host, title.isEmpty ? host : "\(sanitized(title)) (\(host))")
    }
}
