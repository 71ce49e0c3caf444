import Domain
import HTTPClient

extension JiraClient {
    /// One page of a walk; `validator` is ignored.
    package func issues(
        of project: RemoteProject,
        walk: IssueWalk,
        page: PageToken?,
        validator: String?
    ) async throws(TrackerError) -> IssuePage {
        var cursor = JiraCursor(walk: walk)
        if let page { cursor = try JiraCursor(page, walk: walk) }
        guard let cursor else {
            let query = JQL.newestFirst(ofProject: project.externalID)
            let found = try await search(
                query,
                in: project,
                size: 1,
                fields: JiraDialect.issueFields
            )
            if found.list.elements.isEmpty { _ = try await verify() }
            var page = IssuePage(
                items: try await items(found.list, of: project).items,
                servedAt: found.list.response.servedAt
            )
            page.remainingCount = Self.total(of: found.list)
            return page
        }
        return try await issues(of: project, at: cursor)
    }

    private func issues(
        of project: RemoteProject,
        at cursor: JiraCursor
    ) async throws(TrackerError) -> IssuePage {
        var isCensus = false
        if case .census = cursor { isCensus = true }
        let found = try await search(
            cursor.jql(project: project.externalID),
            in: project,
            size: isCensus ? dialect.censusPageSize : JiraDialect.issuePageSize,
            fields: isCensus ? "id" : JiraDialect.issueFields,
            anchor: cursor.anchor
        )
        // Cloud shows a stranger an empty list; it means nothing before the account answers.
        if cursor.isStart, found.list.elements.isEmpty { _ = try await verify() }
        let (items, places) =
            isCensus ? sightings(found.list) : try await items(found.list, of: project)
        let next = try cursor.next(after: places, isLast: found.isLast)
        var page = IssuePage(
            items: items,
            next: next?.token,
            servedAt: found.list.response.servedAt
        )
        // Each page is a search of its own for all that is left; that for one second is not.
        if case .ties = cursor { return page }
        page.remainingCount = Self.total(of: found.list).map { max(0, $0 - items.count) }
        return page
    }

    /// What the search finds in all; Cloud does not say.
    private static func total(of list: TrackerList) -> Int? {
        let total = list.envelope["total"]?.integer.flatMap { Int(exactly: $0) }
        return total.flatMap { IssuePage.believableCounts.contains($0) ? $0 : nil }
    }

    // MARK: - Rows

    private func sightings(_ list: TrackerList) -> (items: [PageItem], places: [JiraRowPlace]) {
        var items: [PageItem] = []
        var places: [JiraRowPlace] = []
        let rows = list.read { (row) throws(FieldError) in try row.identifier("id") }
        for row in rows {
            switch row {
            case .success(let id):
                items.append(.sighting(IssueSighting(externalID: id, kind: .issue)))
                places.append(JiraRowPlace(id: Int64(id)))
            case .failure(let error):
                items.append(.malformed(error.item))
                places.append(JiraRowPlace())
            }
        }
        return (items, places)
    }

    private func items(
        _ list: TrackerList,
        of project: RemoteProject
    ) async throws(TrackerError) -> (items: [PageItem], places: [JiraRowPlace]) {
        var items: [PageItem] = []
        var places: [JiraRowPlace] = []
        for row in await read(list, reader(for: project)) {
            switch row {
            case .success(let found):
                places.append(
                    JiraRowPlace(
                        id: Int64(found.issue.externalID),
                        updatedAt: found.issue.updatedAt
                    )
                )
                items.append(.issue(found.issue, comments: try await comments(of: found)))
            case .failure(let error):
                places.append(JiraRowPlace(malformed: error.item))
                items.append(.malformed(error.item))
            }
        }
        return (items, places)
    }

    /// Converting a page of long documents takes milliseconds, and not of the caller's actor.
    @concurrent
    private func read(
        _ list: TrackerList,
        _ reader: JiraIssueReader
    ) async -> [Result<JiraIssue, MalformedElement>] {
        list.read { (row) throws(FieldError) in try reader.issue(row) }
    }

    /// The reader for a project's issues, which are shown beside the project.
    func reader(for project: RemoteProject) -> JiraIssueReader {
        let suffix = "/browse/\(project.path)"
        guard project.url.hasSuffix(suffix) else {
            return JiraIssueReader(browseURL: session.configuration.baseURL + "/browse")
        }
        return JiraIssueReader(browseURL: project.url.dropLast(project.path.count + 1) + "")
    }

    // MARK: - Search

    /// Pages without rows that are followed in one call; a service that sends more is broken.
    private static let maximumEmptyPages = 50

    /// One page of a search.
    ///
    /// - Parameters:
    ///   - query: JQL.
    ///   - project: Whose issues; looked at when the service refuses the query.
    ///   - size: The rows asked for; fewer may come.
    ///   - fields: Separated by commas.
    ///   - anchor: The issue the query names, which may be deleted by now.
    /// - Returns: The rows and whether they are the last; without rows they always are.
    /// - Throws: What ``refusal(_:project:anchor:)`` makes of a 400, else the session's error.
    func search(
        _ query: String,
        in project: RemoteProject,
        size: Int,
        fields: String,
        anchor: Int64? = nil
    ) async throws(TrackerError) -> (list: TrackerList, isLast: Bool) {
        var request = TrackerRequest(
            path: dialect.searchPath,
            query: QueryString(["jql": query, "maxResults": "\(size)", "fields": fields]),
            acceptedStatuses: [400],
            paging: PageParameters(size: "maxResults")
        )
        var seen: Set<String> = []
        while true {
            let list = try await session.list(request, at: ["issues"])
            guard list.response.status != 400 else {
                throw try await refusal(list, project: project, anchor: anchor)
            }
            guard dialect == .cloud else {
                let total = list.envelope["total"]?.integer ?? .max
                let isLast = list.elements.isEmpty || Int64(list.elements.count) >= total
                return (list, isLast)
            }
            guard let token = list.envelope["nextPageToken"]?.string else { return (list, true) }
            guard list.elements.isEmpty else { return (list, false) }
            // A page may be empty in the middle; only a missing token is the end.
            guard seen.insert(token).inserted, seen.count <= Self.maximumEmptyPages else {
                throw .invalidResponse(detail: "the search brings no rows and does not end")
            }
            request.query["nextPageToken"] = token
        }
    }

    /// Why a query was refused: Jira answers 400 for a project the token cannot see, in the
    /// language of the token's owner, so the project itself is asked.
    private func refusal(
        _ list: TrackerList,
        project: RemoteProject,
        anchor: Int64?
    ) async throws(TrackerError) -> TrackerError {
        let detail = ErrorDetail(list.response).text
        guard try await isVisible(project) else { return .notFound(detail: detail) }
        // The issue a page is anchored on has been deleted meanwhile.
        if let anchor, anchor > 0, detail.contains("\(anchor)") { return .pageTokenExpired }
        return .invalidResponse(detail: detail)
    }

    /// Whether the project itself answers to the token.
    func isVisible(_ project: RemoteProject) async throws(TrackerError) -> Bool {
        let request = TrackerRequest(
            path: "\(dialect.apiPath)/project/\(percentEncoded(project.externalID))",
            acceptedStatuses: [403, 404]
        )
        let (value, response) = try await session.document(request)
        guard response.status < 300 else { return false }
        let id = value["id"]?.string ?? value["id"]?.integer.map { String($0) }
        return id == project.externalID
    }
}

extension JiraRowPlace {
    /// What can be told of a row that could not be read as an issue.
    fileprivate init(malformed item: MalformedItem) {
        id = item.externalID.flatMap { Int64($0) }
        // A row that is no JSON at all has no place; its neighbours tell where the page ends.
        let value = try? JSONParser.parse(item.raw)
        updatedAt = value?["fields"]?["updated"]?.string.flatMap { Timestamp(parsing: $0) }
    }
}
