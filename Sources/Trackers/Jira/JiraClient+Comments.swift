import Domain

extension JiraClient {
    /// The most one request brings on Cloud.
    private static let commentPageSize = 100
    /// A list that changes while it is read is read again so often.
    private static let maximumReadings = 3
    /// Twenty times what Cloud keeps of an issue, 5,000 comments.
    ///
    /// A service whose list is longer with every page would be read for ever.
    private static let maximumCommentPages = 1_000

    /// One page of an issue's comments, oldest first.
    ///
    /// Jira has no list of a project's comments: such a walk is refused.
    package func comments(
        of project: RemoteProject,
        walk: CommentWalk,
        page: PageToken?
    ) async throws(TrackerError) -> CommentPage {
        guard case .issue(let issue) = walk else {
            throw .invalidResponse(detail: "Jira lists comments by issue only")
        }
        var start = 0
        if let page {
            let parts = page.rawValue.split(separator: ":")
            guard parts.count == 2, parts[0] == "comments", let place = Int(parts[1]), place >= 0
            else { throw .pageTokenExpired }
            start = place
        }
        let found = try await commentPage(of: issue.externalID, startAt: start)
        var result = CommentPage(comments: [])
        for row in found.rows {
            switch row {
            case .success(let comment):
                let fetched = FetchedComment(comment: comment, issueNumber: issue.number)
                result.comments.append(fetched)
            case .failure(let error): result.malformed.append(error.item)
            }
        }
        let end = start + found.rows.count
        if end < found.total, !found.rows.isEmpty { result.next = PageToken("comments:\(end)") }
        return result
    }

    /// All comments of an issue of which some came with it.
    func comments(of found: JiraIssue) async throws(TrackerError) -> EmbeddedComments {
        if let comments = found.completeComments { return .complete(comments) }
        // Without a total or with an unreadable comment the caller lists them when it needs them.
        guard found.comments != nil else { return .notIncluded }
        for _ in 0..<Self.maximumReadings {
            do throws(TrackerError) {
                if let comments = try await allComments(of: found.issue.externalID) {
                    return .complete(comments)
                }
            } catch .notFound {
                // Deleted since the search; a census will find that, the page need not fail.
                return .notIncluded
            }
        }
        return .notIncluded
    }

    /// Every comment, or nil when the list moved under the reader or holds an unreadable one.
    ///
    /// - Throws: ``TrackerError/invalidResponse(detail:)`` for a list that does not end.
    private func allComments(of issue: String) async throws(TrackerError) -> [Comment]? {
        var comments: [Comment] = []
        var seen: Set<String> = []
        var start = 0
        for _ in 0..<Self.maximumCommentPages {
            let page = try await commentPage(of: issue, startAt: start)
            for row in page.rows {
                guard case .success(let comment) = row else { return nil }
                if seen.insert(comment.externalID).inserted { comments.append(comment) }
            }
            start += page.rows.count
            guard start < page.total, !page.rows.isEmpty else {
                return comments.count == page.total ? comments : nil
            }
        }
        throw .invalidResponse(
            detail: "the comments of issue \(issue) do not end after "
                + "\(Self.maximumCommentPages) pages"
        )
    }

    private func commentPage(
        of issue: String,
        startAt: Int
    ) async throws(TrackerError) -> (rows: [Result<Comment, MalformedElement>], total: Int) {
        let request = TrackerRequest(
            path: "\(dialect.apiPath)/issue/\(percentEncoded(issue))/comment",
            query: QueryString([
                "startAt": "\(startAt)", "maxResults": "\(Self.commentPageSize)",
                "orderBy": "created",
            ]),
            paging: PageParameters(size: "maxResults")
        )
        let list = try await session.list(request, at: ["comments"])
        let rows = await readComments(list)
        return (rows, Int(clamping: list.envelope["total"]?.integer ?? 0))
    }

    @concurrent
    private func readComments(_ list: TrackerList) async -> [Result<Comment, MalformedElement>] {
        let reader = JiraIssueReader(browseURL: "")
        return list.read { (row) throws(FieldError) in try reader.comment(row) }
    }
}
