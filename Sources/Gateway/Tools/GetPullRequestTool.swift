import Domain
import MCP
import Store
import Trackers

/// `get_pull_request`: as the tracker has it now.
struct GetPullRequestTool: Tool {
    let desk: TrackerDesk

    var needs: AccountMeans { .pullRequests }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "get_pull_request",
            title: "Get a pull request",
            summary: """
                Get a pull or merge request as its tracker has it at this moment: branches, \
                state, reviews, checks, and with it the changed files and the comments with \
                their threads.
                """,
            inputSchema: Schema.object(
                [
                    "pull_request": Schema.pullRequestReference,
                    "include_comments": Schema.flag("With its comments.", default: true),
                    "include_diff": Schema.flag("With its changed files.", default: true),
                ],
                required: ["pull_request"]
            ),
            outputSchema: PullRequestAnswer.schema,
            annotations: .init(isReadOnly: true, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let target = try await desk.target(
            arguments.text("pull_request"),
            kind: .pullRequest,
            context
        )
        var parts: PullRequestParts = [.reviews, .checks]
        if arguments.flag("include_comments", default: true) { parts.insert(.comments) }
        if arguments.flag("include_diff", default: true) { parts.insert(.files) }
        let pull = try await target.pullRequests().pullRequest(
            target.reference,
            in: target.place.remote,
            parts: parts
        )
        return PullRequestAnswer.json(
            pull,
            in: target.place,
            warnings: await desk.keep(pull.issue, in: target.place, context)
        )
    }
}
