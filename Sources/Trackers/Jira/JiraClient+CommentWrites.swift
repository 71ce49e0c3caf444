package import Domain
import HTTPClient

extension JiraClient: CommentWriter {
    /// Adds a comment; after an unknown outcome the issue's newest comments are looked through.
    package func addComment(
        _ body: String,
        to issue: IssueReference,
        in project: RemoteProject,
        replyingTo parent: String?
    ) async throws(TrackerError) -> Comment {
        var markdown = body
        if let parent {
            let path = "\(path(issue))/comment/\(percentEncoded(parent))"
            let original = try read(try await session.document(TrackerRequest(path: path)).value)
            markdown = "\(original.quotation)\n\n\(body)"
        }
        let text = text(markdown)
        let expected = JiraText(text).markdown
        let path = "\(path(issue))/comment"
        let earliest = session.now().advanced(by: .seconds(-60))
        return try await session.writeOnce(
            .json("POST", path, ["body": text]),
            read: { (value) throws(TrackerError) in try read(value) },
            find: { () async throws(TrackerError) in
                // Server takes any order for the default one: newest or oldest, the list is whole.
                let query = QueryString(["orderBy": "-created", "maxResults": "50"])
                let list = try await session.list(
                    TrackerRequest(path: path, query: query),
                    at: ["comments"]
                )
                let reader = JiraIssueReader(browseURL: "")
                let rows = list.read { (row) throws(FieldError) in try reader.comment(row) }
                return rows.compactMap { try? $0.get() }.first {
                    $0.createdAt >= earliest && haveEqualBytes($0.body, expected)
                }
            }
        )
    }

    /// Replaces a comment's text; of a document what is unchanged keeps its form.
    package func updateComment(
        _ id: String,
        of issue: IssueReference,
        in project: RemoteProject,
        body: String
    ) async throws(TrackerError) -> Comment {
        let path = "\(path(issue))/comment/\(percentEncoded(id))"
        let (present, _) = try await session.document(TrackerRequest(path: path))
        let comment = try read(present)
        guard !haveEqualBytes(comment.body, body) else { return comment }
        var text = text(body)
        if dialect == .cloud, let original = present["body"], !original.isNull {
            text = ADFPatch.document(fromMarkdown: body, patching: original)
        }
        let request = TrackerRequest.json("PUT", path, ["body": text])
        return try read(try await session.write(request, isIdempotent: true).value)
    }

    private func read(_ value: JSONValue) throws(TrackerError) -> Comment {
        let reader = JiraIssueReader(browseURL: "")
        return try readAnswer(value) { (row) throws(FieldError) in try reader.comment(row) }
    }
}
