import Domain
import MCP
import Store
import Trackers

/// `update_comment`: another text, or a thread resolved.
struct UpdateCommentTool: Tool {
    let desk: TrackerDesk

    var needs: AccountMeans { .tracker }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "update_comment",
            title: "Update a comment",
            summary: """
                Change a comment's text, or resolve a thread of remarks on a pull request or open \
                it again. Without `comment_type` a remark on a line is tried first.
                """,
            inputSchema: Schema.object(
                [
                    "target": Schema.commentTarget,
                    "comment_id": Schema.text("The comment, by its id."),
                    "body": Schema.words("The new text, in Markdown."),
                    "resolved": Schema.wish("Whether the thread shall be resolved."),
                    "thread_id": Schema.text(
                        "The comment's thread, as get_pull_request tells it: found if left out."
                    ),
                    "comment_type": Schema.choice(
                        "A remark on a line, or a comment of the conversation.",
                        ["review_comment", "issue_comment"]
                    ),
                ],
                required: ["target", "comment_id"]
            ),
            outputSchema: CommentAnswer.schema,
            annotations: .init(isReadOnly: false, isDestructive: true, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let body = arguments.optionalText("body")
        let isResolved = arguments.optionalFlag("resolved")
        guard body != nil || isResolved != nil else {
            throw ToolFailure("there is nothing to change", hint: "give `body` or `resolved`")
        }
        let id = arguments.text("comment_id")
        let kind = arguments.optionalText("comment_type")
        guard kind != "issue_comment" || isResolved == nil else {
            throw ToolFailure(
                "a comment of the conversation cannot be resolved",
                hint: "leave out `resolved`, or give the id of a remark on a line"
            )
        }
        let isRemark = kind == "review_comment" || isResolved != nil
        let target = try await desk.target(
            arguments.text("target"),
            kind: isRemark ? .pullRequest : nil,
            context
        )
        let change = ReviewCommentChange(
            body: body,
            isResolved: isResolved,
            threadID: arguments.optionalText("thread_id")
        )
        if isRemark {
            let remark = try await target.pullRequests().updateReviewComment(
                id,
                of: target.reference,
                in: target.place.remote,
                change
            )
            return CommentAnswer.answer(
                remark,
                on: target,
                warnings: await keep(remark, on: target, context)
            )
        }
        if kind == nil, let remark = try await changed(id, change, of: target) {
            return CommentAnswer.answer(
                remark,
                on: target,
                warnings: await keep(remark, on: target, context)
            )
        }
        let comment = try await target.place.writers.comments.updateComment(
            id,
            of: target.reference,
            in: target.place.remote,
            body: body ?? ""
        )
        let remark = PullRequestComment(comment: comment)
        let warnings =
            [comment.warning(given: body ?? "")].compactMap { $0 }
            + (await keep(remark, on: target, context))
        return CommentAnswer.answer(remark, on: target, warnings: warnings)
    }

    /// The remark of a pull request, changed; nil when it has none of that id.
    private func changed(
        _ id: String,
        _ change: ReviewCommentChange,
        of target: TrackerDesk.Target
    ) async throws -> PullRequestComment? {
        guard target.reference.kind == .pullRequest,
            let writer = target.place.writers.pullRequests
        else { return nil }
        do throws(TrackerError) {
            return try await writer.updateReviewComment(
                id,
                of: target.reference,
                in: target.place.remote,
                change
            )
        } catch {
            guard case .notFound = error else { throw error }
            return nil
        }
    }

    /// Remarks on lines are not stored: scans do not read them either.
    private func keep(
        _ remark: PullRequestComment,
        on target: TrackerDesk.Target,
        _ context: CallContext
    ) async -> [String] {
        guard remark.place == nil else { return [] }
        return await desk.keep(remark.comment, on: target, context)
    }
}
