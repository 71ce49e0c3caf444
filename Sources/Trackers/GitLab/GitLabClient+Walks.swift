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
        return IssuePage(
            items: items.elements.map(PageItem.init),
            next: next,
            servedAt: items.servedAt
        )
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

    /// Rows of one page of one list, and the query of the page after it.
    private func rows(
        of project: RemoteProject,
        _ stream: GitLabStream,
        _ query: QueryString
    ) async throws(TrackerError) -> (
        elements: [Result<Issue, MalformedElement>], next: QueryString?, servedAt: Timestamp?
    ) {
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
            return ([], nil, list.response.servedAt)
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
        return (elements, anchor.nextQuery(after: list, linked: linked), list.response.servedAt)
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
        for stream in GitLabStream.allCases {
            var query = firstQuery(.newest)
            query["per_page"] = "5"
            // The bound takes care of such rows; our clock and the service's may differ a little.
            query["updated_before"] = horizon.iso8601
            let rows = try await rows(of: project, stream, query)
            servedAt = servedAt ?? rows.servedAt
            // Unreadable rows are quarantined by the walks; they make no watermark.
            let issue = rows.elements.compactMap { try? $0.get() }.first { $0.updatedAt <= horizon }
            if let issue, issue.updatedAt >= newest?.updatedAt ?? issue.updatedAt { newest = issue }
        }
        return IssuePage(
            items: newest.map { [.issue($0, comments: .notIncluded)] } ?? [],
            servedAt: servedAt
        )
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
