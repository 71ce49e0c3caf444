import Domain
import MCP
import Store
import Trackers

/// `add_comment`: comments, replies, remarks on lines.
struct AddCommentTool: Tool {
    let desk: TrackerDesk

    var needs: AccountMeans { .tracker }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "add_comment",
            title: "Add a comment",
            summary: """
                Comment on an issue or a pull request. `path` with `line` puts the comment on a \
                line of a pull request's diff; `in_reply_to` answers another comment.
                """,
            inputSchema: Schema.object(
                [
                    "target": Schema.commentTarget,
                    "comment": Schema.words("The text, in Markdown."),
                    "path": Schema.text("A file that the pull request changes."),
                    "line": Schema.line("A line of that file."),
                    "side": Schema.side,
                    "in_reply_to": Schema.text("The comment it answers, by its id."),
                ],
                required: ["target", "comment"]
            ),
            outputSchema: CommentAnswer.schema,
            annotations: .init(isReadOnly: false, isIdempotent: false, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let (path, parent) = (
            arguments.optionalText("path"), arguments.optionalText("in_reply_to")
        )
        guard (path != nil) == arguments.has("line"), path == nil || parent == nil else {
            throw ToolFailure(
                "`path` and `line` go together, and not with `in_reply_to`",
                hint: "give both for a comment on a line, or none"
            )
        }
        guard path != nil || arguments.text("side") != DiffSide.left.rawValue else {
            throw ToolFailure(
                "`side` says nothing without a line",
                hint: "give `path` and `line`, or leave `side` out"
            )
        }
        let target = try await desk.target(
            arguments.text("target"),
            kind: path == nil ? nil : .pullRequest,
            context
        )
        if let path {
            let line = LineComment(
                path: path,
                line: arguments.integer("line", default: 1),
                side: DiffSide(rawValue: arguments.text("side")) ?? .right,
                body: arguments.text("comment")
            )
            // Remarks on lines are not stored: scans do not read them either.
            let remark = try await target.pullRequests().addReviewComment(
                line,
                to: target.reference,
                in: target.place.remote
            )
            return CommentAnswer.answer(remark, on: target)
        }
        let body = arguments.text("comment")
        if let parent, let remark = try await reply(body, to: parent, on: target) {
            return CommentAnswer.answer(remark, on: target)
        }
        let comment = try await target.place.writers.comments.addComment(
            body,
            to: target.reference,
            in: target.place.remote,
            replyingTo: parent
        )
        let warnings =
            [comment.warning(given: body)].compactMap { $0 }
            + (await desk.keep(comment, on: target, context))
        return CommentAnswer.answer(
            PullRequestComment(comment: comment),
            on: target,
            warnings: warnings
        )
    }

    /// The reply in the thread of a remark; nil when `parent` is a comment of the conversation.
    ///
    /// A reply may be a remark on a line itself, so it is left to the next scan.
    private func reply(
        _ body: String,
        to parent: String,
        on target: TrackerDesk.Target
    ) async throws -> PullRequestComment? {
        guard target.reference.kind == .pullRequest,
            let writer = target.place.writers.pullRequests
        else { return nil }
        do throws(TrackerError) {
            return try await writer.reply(
                body,
                toReviewComment: parent,
                of: target.reference,
                in: target.place.remote
            )
        } catch {
            guard case .notFound = error else { throw error }
            return nil
        }
    }
}
