import Domain
import Trackers

/// Comments in answers.
enum CommentAnswer {
    /// A comment of the conversation or on a line, with the thread it is in.
    static func json(_ remark: PullRequestComment, of key: String) -> JSONValue {
        let comment = remark.comment
        return [
            "id": .string(comment.externalID), "target": .string(key),
            "comment_type": .string(type(of: remark)), "author": JSONValue(comment.author),
            "body": .string(prefix(of: comment.body, bytes: TrackerDesk.shownBytes)),
            "created_at": .string(comment.createdAt.iso8601),
            "updated_at": .string(comment.updatedAt.iso8601),
            "thread_id": JSONValue(remark.threadID), "in_reply_to": JSONValue(remark.replyTo),
            "path": JSONValue(remark.place?.path),
            "line": remark.place?.line.map { .integer(Int64($0)) } ?? .null,
            "resolved": remark.isResolved.map(JSONValue.bool) ?? .null,
        ]
    }

    /// The word that `update_comment` takes for it.
    static func type(of remark: PullRequestComment) -> String {
        remark.place == nil ? "issue_comment" : "review_comment"
    }

    /// What a tool answers that wrote a comment.
    static func answer(
        _ remark: PullRequestComment,
        on target: TrackerDesk.Target,
        warnings: [String] = []
    ) -> JSONValue {
        [
            "comment": json(remark, of: target.reference.key),
            "warnings": JSONValue(warnings),
        ]
    }

    /// Its schema.
    static let schema = Schema.answer([
        "comment": Schema.writtenComment, "warnings": Schema.warnings,
    ])
}
