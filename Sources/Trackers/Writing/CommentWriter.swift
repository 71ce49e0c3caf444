package import Domain

/// Writes comments on issues and pull requests, under the terms of ``IssueWriter``.
package protocol CommentWriter: Sendable {
    /// Adds a comment.
    ///
    /// - Parameters:
    ///   - body: Markdown.
    ///   - issue: What to comment on.
    ///   - project: Where it lives.
    ///   - parent: The comment to reply to, by ``Comment/externalID``. Trackers without threads get
    ///     the beginning of that comment quoted above the reply.
    /// - Returns: The comment as the tracker shows it.
    /// - Throws: ``TrackerError``.
    func addComment(
        _ body: String,
        to issue: IssueReference,
        in project: RemoteProject,
        replyingTo parent: String?
    ) async throws(TrackerError) -> Comment

    /// Replaces a comment's text.
    func updateComment(
        _ id: String,
        of issue: IssueReference,
        in project: RemoteProject,
        body: String
    ) async throws(TrackerError) -> Comment
}

extension Comment {
    /// A quotation of the comment's beginning, to stand above a reply.
    var quotation: String {
        // Three lines remind the reader; more repeat the comment.
        let lines = withLineFeeds(body).utf8.split(separator: 0x0A).prefix(3).map {
            "> " + String(decoding: Array($0.prefix(300)), as: UTF8.self)
        }
        let name = author.map { ["> **\($0)** wrote:"] } ?? []
        return (name + lines).joined(separator: "\n")
    }
}
