import Domain
import MCP
import Store
import Trackers

/// `create_pull_request`: for branches that exist.
struct CreatePullRequestTool: Tool {
    let desk: TrackerDesk

    var needs: AccountMeans { .pullRequests }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "create_pull_request",
            title: "Create a pull request",
            summary: "Open a pull or merge request for branches that exist.",
            inputSchema: Schema.object(
                [
                    "project": Schema.writableProject,
                    "title": Schema.text("The title."),
                    "source_branch": Schema.text(
                        "The branch with the changes; on GitHub owner:branch for one of a fork."
                    ),
                    "target_branch": Schema.text("The branch they shall go to."),
                    "description": Schema.markdown("The text, in Markdown."),
                    "draft": Schema.flag("Not ready for review yet.", default: false),
                    "labels": Schema.texts("Labels to set."),
                    "assignees": Schema.texts("Who it is for, by login."),
                    "reviewers": Schema.texts(
                        "Who shall review it, by login; on GitHub owner/team for a team."
                    ),
                    "milestone": Schema.text("An open milestone, by its title."),
                    "extra_options": Schema.options,
                ],
                required: ["project", "title", "source_branch", "target_branch"]
            ),
            outputSchema: PullRequestAnswer.schema,
            annotations: .init(isReadOnly: false, isIdempotent: false, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let place = try await desk.place(arguments.text("project"))
        var draft = PullRequestDraft(
            title: arguments.text("title"),
            body: arguments.text("description"),
            sourceBranch: arguments.text("source_branch"),
            targetBranch: arguments.text("target_branch")
        )
        draft.isDraft = arguments.flag("draft", default: false)
        draft.labels = arguments.texts("labels")
        draft.assignees = arguments.texts("assignees")
        draft.reviewers = arguments.texts("reviewers")
        draft.milestone = arguments.optionalText("milestone")
        let options = arguments.members["extra_options"]
        draft.squashes = options?["squash"]?.bool
        draft.removesSourceBranch = options?["remove_source_branch"]?.bool
        let pull = try await place.pullRequests().createPullRequest(draft, in: place.remote)
        return PullRequestAnswer.json(
            pull,
            in: place,
            warnings: await desk.keep(pull.issue, in: place, context)
        )
    }
}

extension Schema {
    /// What only some trackers know.
    fileprivate static let options: JSONValue = {
        var schema = object([
            "squash": wish("GitLab: one commit of all when merging."),
            "remove_source_branch": wish("GitLab: delete the branch when merging."),
        ])
        if case .object(var members) = schema {
            members["description"] = "What only some trackers know."
            schema = .object(members)
        }
        return schema
    }()
}
