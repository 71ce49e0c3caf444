package import Domain
import HTTPClient

extension GitHubClient: CommentWriter {
    /// Adds a comment; after an unknown outcome the issue's newest comments are looked through.
    package func addComment(
        _ body: String,
        to issue: IssueReference,
        in project: RemoteProject,
        replyingTo parent: String?
    ) async throws(TrackerError) -> Comment {
        var text = body
        if let parent {
            let original = try await fetched(parent, in: project).comment
            text = "\(original.quotation)\n\n\(body)"
        }
        let path = "\(Self.path(project, issue))/comments"
        let start = now()
        return try await session.writeOnce(
            .json("POST", path, ["body": .string(text)]),
            read: { (value) throws(TrackerError) in try read(value) },
            find: { () async throws(TrackerError) in
                let since = start.advanced(by: .zero - Self.clockTolerance)
                let query = QueryString(["since": since.iso8601, "per_page": "100"])
                let list = try await session.list(TrackerRequest(path: path, query: query))
                let rows = list.read(GitHubReading.comment)
                return rows.compactMap { try? $0.get().comment }.last {
                    $0.createdAt >= since && haveEqualBytes($0.body, text)
                }
            }
        )
    }

    /// Replaces a comment's text.
    package func updateComment(
        _ id: String,
        of issue: IssueReference,
        in project: RemoteProject,
        body: String
    ) async throws(TrackerError) -> Comment {
        let path = "\(Self.path(project))/issues/comments/\(percentEncoded(id))"
        // The address does not name the issue, so that any comment of the repository would do.
        let present = try await fetched(id, in: project)
        guard present.issueNumber == issue.number else {
            throw .notFound(detail: "it is a comment of #\(present.issueNumber)")
        }
        let request = TrackerRequest.json("PATCH", path, ["body": .string(body)])
        return try read(try await session.write(request, isIdempotent: true).value)
    }

    private func fetched(
        _ id: String,
        in project: RemoteProject
    ) async throws(TrackerError) -> FetchedComment {
        let path = "\(Self.path(project))/issues/comments/\(percentEncoded(id))"
        let (value, _) = try await session.document(TrackerRequest(path: path))
        return try readAnswer(value, GitHubReading.comment)
    }

    private func read(_ value: JSONValue) throws(TrackerError) -> Comment {
        try readAnswer(value, GitHubReading.comment).comment
    }
}
