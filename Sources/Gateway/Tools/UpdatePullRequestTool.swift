import Domain
import MCP
import Store
import Trackers

/// `update_pull_request`: fields, state, and a review.
struct UpdatePullRequestTool: Tool {
    let desk: TrackerDesk

    /// GitHub takes more, but no reviewer reads them.
    private static let remarkLimit: Int64 = 100

    var needs: AccountMeans { .pullRequests }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "update_pull_request",
            title: "Update a pull request",
            summary: """
                Change a pull or merge request: only what is given, everything else stays. \
                `review_action` gives a verdict, with `review_body` and `review_comments` on lines.
                """,
            inputSchema: Schema.object(
                [
                    "pull_request": Schema.pullRequestReference,
                    "title": Schema.text("The new title."),
                    "description": Schema.markdown("The new text, in Markdown; empty for none."),
                    "state": Schema.choice("Open it again, or close it.", ["open", "closed"]),
                    "labels": Schema.texts("All labels there shall be; empty for none."),
                    "assignees": Schema.texts("All assignees there shall be; empty for none."),
                    "reviewers": Schema.texts("All reviewers there shall be; empty for none."),
                    "draft": Schema.wish("Whether it is a draft, not ready for review."),
                    "target_branch": Schema.text("The branch the changes shall go to."),
                    "review_action": Schema.choice(
                        "The verdict.",
                        ["approve", "request_changes", "comment"]
                    ),
                    "review_body": Schema.markdown(
                        "What the verdict rests on, in Markdown; approve alone may go without."
                    ),
                    "review_comments": [
                        "type": "array", "items": Self.remark, "minItems": 1,
                        "maxItems": .integer(Self.remarkLimit),
                        "description": "Remarks on lines that appear with the verdict.",
                    ],
                    "add_reaction": Schema.text(
                        "A reaction to give: +1, -1, laugh, confused, heart, hooray, rocket or "
                            + "eyes; on GitLab any emoji by its name."
                    ),
                    "remove_reaction": Schema.text("Such a reaction of one's own to take back."),
                ],
                required: ["pull_request"]
            ),
            outputSchema: PullRequestAnswer.schema,
            annotations: .init(
                isReadOnly: false,
                isDestructive: true,
                isIdempotent: false,
                isOpenWorld: true
            )
        )
    }

    private static let remark = Schema.object(
        [
            "path": Schema.text("A file that the pull request changes."),
            "line": Schema.line("A line of that file."),
            "body": Schema.words("The text, in Markdown."),
            "side": Schema.side,
        ],
        required: ["path", "line", "body"]
    )

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let change = Self.change(arguments)
        let review = Self.review(arguments)
        guard review != nil || !(arguments.has("review_body") || arguments.has("review_comments"))
        else {
            throw ToolFailure("a review has a verdict", hint: "give `review_action`")
        }
        guard change != PullRequestChange() || review != nil else {
            throw ToolFailure("there is nothing to change", hint: "give what shall be different")
        }
        if let review, review.action != .approve, review.body.isEmpty, review.comments.isEmpty {
            // Before anything is sent: half of the call must not be done.
            throw ToolFailure(
                "`\(review.action.rawValue)` needs words",
                hint: "give `review_body` or `review_comments`"
            )
        }
        let target = try await desk.target(
            arguments.text("pull_request"),
            kind: .pullRequest,
            context
        )
        let (pull, warnings) = try await apply(change, review, to: target)
        return PullRequestAnswer.json(
            pull,
            in: target.place,
            warnings: warnings + (await desk.keep(pull.issue, in: target.place, context))
        )
    }

    private func apply(
        _ change: PullRequestChange,
        _ review: ReviewDraft?,
        to target: TrackerDesk.Target
    ) async throws -> (PullRequest, warnings: [String]) {
        let writer = try target.pullRequests()
        let (reference, project) = (target.reference, target.place.remote)
        guard let review else {
            return (try await writer.updatePullRequest(reference, in: project, change), [])
        }
        guard change != PullRequestChange() else {
            return (try await writer.review(reference, in: project, review), [])
        }
        let changed = try await writer.updatePullRequest(reference, in: project, change)
        do throws(TrackerError) {
            let reviewed = try await writer.review(reference, in: project, review)
            return (reviewed, changed.warnings)
        } catch {
            // Half of it is done: the caller must know which half.
            let hint = error.hint.map { "; \($0)" } ?? ""
            return (changed, ["the fields are changed, the review failed: \(error)\(hint)"])
        }
    }

    private static func change(_ arguments: ToolArguments) -> PullRequestChange {
        var change = PullRequestChange()
        change.title = arguments.optionalText("title")
        change.body = arguments.has("description") ? arguments.text("description") : nil
        change.state = IssueState(rawValue: arguments.text("state"))
        change.labels = arguments.optionalTexts("labels").map { .set($0) }
        change.assignees = arguments.optionalTexts("assignees")
        change.reviewers = arguments.optionalTexts("reviewers")
        change.isDraft = arguments.optionalFlag("draft")
        change.targetBranch = arguments.optionalText("target_branch")
        change.addedReaction = arguments.optionalText("add_reaction")
        change.removedReaction = arguments.optionalText("remove_reaction")
        return change
    }

    private static func review(_ arguments: ToolArguments) -> ReviewDraft? {
        guard let action = ReviewDraft.Action(rawValue: arguments.text("review_action")) else {
            return nil
        }
        let remarks = arguments.members["review_comments"]?.array ?? []
        return ReviewDraft(
            action,
            body: arguments.text("review_body"),
            comments: remarks.map { remark in
                LineComment(
                    path: remark["path"]?.string ?? "",
                    line: remark["line"]?.integer.flatMap(Int.init(exactly:)) ?? 1,
                    side: DiffSide(rawValue: remark["side"]?.string ?? "") ?? .right,
                    body: remark["body"]?.string ?? ""
                )
            }
        )
    }
}
