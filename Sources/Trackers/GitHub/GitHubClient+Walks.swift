import Domain
import HTTPClient

extension GitHubClient {
    private static let issueParameters: Set<String> = [
        "state", "sort", "direction", "per_page", "page", "after", "before", "since",
    ]
    private static let anchor = Anchor(
        parameter: "since",
        field: "updated_at",
        format: { seconds($0) }
    )

    /// One page of a walk; issues and pull requests come together.
    ///
    /// Only a first page that is also the last and has room left carries a validator: a full page
    /// keeps its entity tag when rows follow it.
    package func issues(
        of project: RemoteProject,
        walk: IssueWalk,
        page: PageToken?,
        validator: String?
    ) async throws(TrackerError) -> IssuePage {
        if walk == .newest { return try await newest(of: project, validator: validator) }
        let query = try page.map { (token) throws(TrackerError) in
            try token.decoded(streams: ["issues"], parameters: Self.issueParameters).query
        }
        let first = firstQuery(walk)
        let list = try await list(
            of: project,
            query: query ?? first,
            validator: page == nil ? validator : nil,
            isContinued: page != nil
        )
        if list.response.status == 304 {
            return IssuePage(
                items: [],
                isNotModified: true,
                servedAt: list.response.servedAt
            )
        }
        let linked = list.response.headers.nextPageQuery
        let next: QueryString?
        switch walk {
        case .changed: next = Self.anchor.nextQuery(after: list, linked: linked)
        case .everything, .census, .newest: next = linked
        }
        // A full page keeps its tag when rows follow it; only a last page with room tells all.
        let isWhole = page == nil && next == nil && list.elements.count < Self.pageSize
        var result = IssuePage(
            items: list.read { (fields) throws(FieldError) in
                try GitHubReading.issue(fields, projectPath: project.path)
            }.map(PageItem.init),
            next: next.map { PageToken(stream: "issues", query: $0) },
            validator: isWhole && list.query == first ? list.response.headers["ETag"] : nil,
            servedAt: list.response.servedAt
        )
        result.remainingCount = Self.remainingCount(after: list)
        return result
    }

    /// The rows after a page, as far as its link to the last page tells; lists with cursors, which
    /// GitHub makes of long ones, have no such link.
    private static func remainingCount(after list: TrackerList) -> Int? {
        guard let last = list.response.headers.lastPage, let size = list.query["per_page"],
            let size = Int(size), (1...100).contains(size)
        else { return nil }
        // Both numbers are of links, which may say anything.
        let page = list.query["page"].flatMap { Int($0) } ?? 1
        guard page >= 1 else { return nil }
        return max(0, last - page) * size
    }

    private func firstQuery(_ walk: IssueWalk) -> QueryString {
        var query = QueryString([
            "state": "all", "sort": "created", "direction": "asc",
            "per_page": String(Self.pageSize),
        ])
        if case .changed(let since) = walk {
            query["sort"] = "updated"
            // A bound at the epoch is answered with an empty list: leaving it out means the same.
            // One in the future would find nothing, ever.
            let bound = min(since, now())
            if bound.milliseconds >= 1000 { query["since"] = seconds(bound) }
        }
        return query
    }

    private func list(
        of project: RemoteProject,
        query: QueryString,
        validator: String?,
        isContinued: Bool
    ) async throws(TrackerError) -> TrackerList {
        var request = TrackerRequest(
            path: "/repositories/\(percentEncoded(project.externalID))/issues",
            query: query,
            acceptedStatuses: [304],
            paging: Self.paging(query)
        )
        if let validator { request.headers = [HTTPField("If-None-Match", validator)] }
        // 422: a page too deep, or a cursor GitHub no longer knows. The walk must start again, and
        // then follows the cursors that the links of a large list carry.
        if isContinued { request.acceptedStatuses.insert(422) }
        let list = try await session.list(request)
        guard list.response.status != 422 else { throw .pageTokenExpired }
        return list
    }

    /// The most recently updated row that does not lie in the future: imported rows may, and would
    /// hide every real change behind them.
    private func newest(
        of project: RemoteProject,
        validator: String?
    ) async throws(TrackerError) -> IssuePage {
        let horizon = now().advanced(by: .seconds(300))
        var query: QueryString? = QueryString([
            "state": "all", "sort": "updated", "direction": "desc", "per_page": "5",
        ])
        for round in 0..<20 {
            guard let current = query else { break }
            let list = try await list(
                of: project,
                query: current,
                validator: round == 0 ? validator : nil,
                isContinued: round > 0
            )
            if list.response.status == 304 { return IssuePage(items: [], isNotModified: true) }
            // Unreadable rows are quarantined by the walks; they make no watermark.
            let issues = list.read { (fields) throws(FieldError) in
                try GitHubReading.issue(fields, projectPath: project.path)
            }.compactMap { try? $0.get() }
            if let issue = issues.first(where: { $0.updatedAt <= horizon }) {
                // With such rows on top the page, and so its tag, would never change again.
                let isPlain = round == 0 && issues.allSatisfy { $0.updatedAt <= horizon }
                var page = IssuePage(
                    items: [.issue(issue, comments: .notIncluded)],
                    validator: isPlain ? list.response.headers["ETag"] : nil,
                    servedAt: list.response.servedAt
                )
                page.remainingCount = Self.remainingCount(after: list).map {
                    $0 + list.elements.count
                }
                return page
            }
            query = list.response.headers.nextPageQuery
        }
        return IssuePage(items: [])
    }

    /// One page of comments, by update time for the repository, oldest first for one issue.
    package func comments(
        of project: RemoteProject,
        walk: CommentWalk,
        page: PageToken?
    ) async throws(TrackerError) -> CommentPage {
        let repository = "/repositories/\(percentEncoded(project.externalID))"
        var path = "\(repository)/issues/comments"
        var query = QueryString(["per_page": String(Self.pageSize)])
        var anchor: Anchor?
        switch walk {
        case .issue(let issue): path = "\(repository)/issues/\(issue.number)/comments"
        case .project(let since):
            query["sort"] = "updated"
            query["direction"] = "asc"
            let bound = since.map { min($0, now()) }
            if let bound, bound.milliseconds >= 1000 { query["since"] = seconds(bound) }
            anchor = Self.anchor
        }
        if let page {
            query = try page.decoded(streams: ["comments"], parameters: Self.issueParameters).query
        }
        let list = try await session.list(
            TrackerRequest(
                path: path,
                query: query,
                acceptedStatuses: page == nil ? [] : [422],
                paging: Self.paging(query)
            )
        )
        guard list.response.status != 422 else { throw .pageTokenExpired }
        let linked = list.response.headers.nextPageQuery
        let next = anchor.map { $0.nextQuery(after: list, linked: linked) } ?? linked
        var result = CommentPage(
            comments: [],
            next: next.map { PageToken(stream: "comments", query: $0) }
        )
        for element in list.read(GitHubReading.comment) { result.take(element) }
        return result
    }
}

/// ISO 8601 in whole seconds, the only precision GitHub knows; rounded down.
private func seconds(_ instant: Timestamp) -> String {
    let second = instant.milliseconds - (instant.milliseconds % 1000 + 1000) % 1000
    return String(Timestamp(milliseconds: second).iso8601.prefix(19)) + "Z"
}
