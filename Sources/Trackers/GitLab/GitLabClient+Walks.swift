import Domain
import HTTPClient

extension GitLabClient {
    private static let itemParameters: Set<String> = [
        "scope", "state", "order_by", "sort", "per_page", "page", "cursor", "pagination",
        "created_after", "updated_after", "id_after",
    ]
    private static let noteParameters: Set<String> = [
        "order_by", "sort", "per_page", "page", "cursor", "pagination",
    ]
    private static let streams = Set(GitLabStream.allCases.map(\.rawValue))

    /// One page of a walk: all issues, then all merge requests; `validator` is ignored.
    package func issues(
        of project: RemoteProject,
        walk: IssueWalk,
        page: PageToken?,
        validator: String?
    ) async throws(TrackerError) -> IssuePage {
        if walk == .newest { return try await newest(of: project) }
        var stream = GitLabStream.issues
        var query = firstQuery(walk)
        if let page {
            let (name, rest) = try page.decoded(
                streams: Self.streams,
                parameters: Self.itemParameters
            )
            guard let named = GitLabStream(rawValue: name) else { throw .pageTokenExpired }
            stream = named
            query = rest
        }
        let items = try await rows(of: project, stream, query)
        var next = items.next.map { PageToken(stream: stream.rawValue, query: $0) }
        if next == nil, let following = stream.following {
            next = PageToken(stream: following.rawValue, query: firstQuery(walk))
        }
        var result = IssuePage(
            items: items.elements.map(PageItem.init),
            next: next,
            servedAt: items.servedAt
        )
        // The rows of the other list are not in the count.
        if stream.following == nil { result.remainingCount = items.remainingCount }
        return result
    }

    private func firstQuery(_ walk: IssueWalk) -> QueryString {
        var query = QueryString([
            "scope": "all", "state": "all", "order_by": "created_at", "sort": "asc",
            "per_page": String(Self.pageSize),
        ])
        switch walk {
        case .everything, .census: break
        case .newest:
            query["order_by"] = "updated_at"
            query["sort"] = "desc"
        case .changed(let since):
            query["order_by"] = "updated_at"
            let bound = min(since, now())
            if bound.milliseconds > 0 { query["updated_after"] = bound.iso8601 }
        }
        return query
    }

    /// One page of one list.
    private struct Rows {
        var elements: [Result<Issue, MalformedElement>] = []
        /// The query of the page that follows.
        var next: QueryString?
        var servedAt: Timestamp?
        /// Rows of this list after the page; nil beyond 10,000 rows, where GitLab does not count.
        var remainingCount: Int?
    }

    private func rows(
        of project: RemoteProject,
        _ stream: GitLabStream,
        _ query: QueryString
    ) async throws(TrackerError) -> Rows {
        let path = "\(Self.path(project))/\(stream.rawValue)"
        let list = try await session.list(
            TrackerRequest(
                path: path,
                query: query,
                acceptedStatuses: [403, 404, 405],
                paging: Self.paging
            )
        )
        switch list.response.status {
        case 403, 404:
            let detail = ErrorDetail(list.response)
            // A project with the feature switched off has an empty list; else access is lost.
            guard try await isSwitchedOff(stream, in: project) else {
                guard list.response.status == 403 else { throw .notFound(detail: detail.text) }
                throw .forbidden(detail: detail.text, missingScope: detail.missingScope)
            }
            return Rows(servedAt: list.response.servedAt, remainingCount: 0)
        case 405:
            // Tens of thousands of rows with one and the same time.
            throw .invalidResponse(detail: ErrorDetail(list.response).text)
        default: break
        }
        let elements = list.read { (fields) throws(FieldError) in
            try GitLabReading.item(fields, stream: stream, projectPath: project.path)
        }
        let isByUpdate = query["order_by"] == "updated_at"
        let anchor = Anchor(
            parameter: isByUpdate ? "updated_after" : "created_after",
            field: isByUpdate ? "updated_at" : "created_at",
            format: { $0.iso8601 }
        )
        let linked = list.response.headers.nextPageQuery
        return Rows(
            elements: elements,
            next: anchor.nextQuery(after: list, linked: linked),
            servedAt: list.response.servedAt,
            remainingCount: Self.remainingCount(after: list)
        )
    }

    private static func remainingCount(after list: TrackerList) -> Int? {
        guard let total = list.response.headers["X-Total"].flatMap({ Int($0) }),
            IssuePage.believableCounts.contains(total),
            let size = list.query["per_page"].flatMap({ Int($0) }), (1...100).contains(size)
        else { return nil }
        let page = list.query["page"].flatMap { Int($0) } ?? 1
        guard (1...1_000_000).contains(page) else { return nil }
        return max(0, total - (page - 1) * size - list.elements.count)
    }

    private func isSwitchedOff(
        _ stream: GitLabStream,
        in project: RemoteProject
    ) async throws(TrackerError) -> Bool {
        let (value, response) = try await session.document(
            TrackerRequest(path: Self.path(project), acceptedStatuses: [403, 404])
        )
        guard response.status == 200 else { return false }
        let key = stream == .issues ? "issues_enabled" : "merge_requests_enabled"
        return value[key]?.bool == false
    }

    /// The most recently updated row of both lists that does not lie in the future: imported rows
    /// may, and would hide every real change behind them.
    private func newest(of project: RemoteProject) async throws(TrackerError) -> IssuePage {
        let horizon = now().advanced(by: .seconds(300))
        var newest: Issue?
        var servedAt: Timestamp?
        var count: Int? = 0
        for stream in GitLabStream.allCases {
            var query = firstQuery(.newest)
            query["per_page"] = "5"
            // The bound takes care of such rows; our clock and the service's may differ a little.
            query["updated_before"] = horizon.iso8601
            let rows = try await rows(of: project, stream, query)
            servedAt = servedAt ?? rows.servedAt
            let listed = rows.remainingCount.map { $0 + rows.elements.count }
            count = count.flatMap { count in listed.map { count + $0 } }
            // Unreadable rows are quarantined by the walks; they make no watermark.
            let issue = rows.elements.compactMap { try? $0.get() }.first { $0.updatedAt <= horizon }
            if let issue, issue.updatedAt >= newest?.updatedAt ?? issue.updatedAt { newest = issue }
        }
        var page = IssuePage(
            items: newest.map { [.issue($0, comments: .notIncluded)] } ?? [],
            servedAt: servedAt
        )
        page.remainingCount = count
        return page
    }

    /// One page of an issue's or merge request's notes, oldest first, without system notes.
    ///
    /// GitLab has no list of a project's notes: such a walk is a programmer's error.
    package func comments(
        of project: RemoteProject,
        walk: CommentWalk,
        page: PageToken?
    ) async throws(TrackerError) -> CommentPage {
        guard case .issue(let issue) = walk else {
            preconditionFailure("GitLab lists comments issue by issue: see commentListing")
        }
        var query = QueryString([
            "order_by": "created_at", "sort": "asc", "per_page": String(Self.pageSize),
        ])
        if let page {
            query = try page.decoded(streams: ["notes"], parameters: Self.noteParameters).query
        }
        let stream = GitLabStream(issue.kind)
        let list = try await session.list(
            TrackerRequest(
                path: "\(Self.path(project))/\(stream.rawValue)/\(issue.number)/notes",
                query: query,
                paging: Self.paging
            )
        )
        var result = CommentPage(comments: [])
        result.next = list.response.headers.nextPageQuery.map {
            PageToken(stream: "notes", query: $0)
        }
        let notes = list.read { (fields) throws(FieldError) in
            try GitLabReading.note(fields)
        }
        for note in notes {
            switch note {
            case .success(let comment?):
                result.comments.append(FetchedComment(comment: comment, issueNumber: issue.number))
            case .success(nil): break
            case .failure(let element): result.malformed.append(element.item)
            }
        }
        return result
    }

    static func path(_ project: RemoteProject) -> String {
        "/projects/\(percentEncoded(project.externalID))"
    }
}
