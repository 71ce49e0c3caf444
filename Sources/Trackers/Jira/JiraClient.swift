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
        else { throw .unauthenticated(detail: "`/myself` names no account") }
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
    ) async throws(TrackerError) -> [RemoteProject] {
        let site = try await site()
        var projects: [RemoteProject] = []
        var isLast = false
        while !isLast {
            let list = try await projectPage(startAt: projects.count)
            for element in list.elements {
                projects.append(try Self.project(list.raw(element), site: site.url))
            }
            isLast =
                dialect == .server || list.elements.isEmpty
                || list.envelope["isLast"]?.bool ?? true
        }
        // A stranger is shown an empty site.
        if projects.isEmpty { _ = try await verify() }
        return projects
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

    private static func project(
        _ bytes: [UInt8],
        site: String
    ) throws(TrackerError) -> RemoteProject {
        do {
            let row = try FieldReader(try JSONParser.parse(bytes))
            let key = try row.text("key")
            return RemoteProject(
                externalID: try row.identifier("id"),
                path: key,
                name: try row.optionalText("name") ?? key,
                url: "\(site)/browse/\(key)"
            )
        } catch {
            throw .invalidResponse(detail: "a project in the list is unreadable: \(error)")
        }
    }

    /// Where the site is for people, and what it is called.
    private func site() async throws(TrackerError) -> (url: String, host: String, title: String) {
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
