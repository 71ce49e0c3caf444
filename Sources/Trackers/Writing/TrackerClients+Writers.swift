import Domain
import HTTPClient

/// What writes to one configured tracker, by subject.
package struct TrackerWriters: Sendable {
    package var issues: any IssueWriter
    package var comments: any CommentWriter
    /// Nil for trackers that have none.
    package var pullRequests: (any PullRequestWriter)?
    package var webhooks: any WebhookRegistrar

    init(_ writer: some IssueWriter & CommentWriter & WebhookRegistrar) {
        webhooks = writer
        issues = writer
        comments = writer
        pullRequests = writer as? any PullRequestWriter
    }
}

extension TrackerClients {
    /// A person waits for a write: a longer rate limit is told instead of slept away.
    static let writePatience: Duration = .seconds(60)

    /// What writes to a configured tracker; nothing is sent yet.
    package static func writers(
        _ parameters: Parameters
    ) throws(TrackerError) -> TrackerWriters {
        var parameters = parameters
        parameters.priority = .interactive
        let adjust = parameters.adjust
        parameters.adjust = { configuration in
            configuration.retry.patience = writePatience
            adjust(&configuration)
        }
        return switch parameters.kind {
        case .github: TrackerWriters(GitHubClient(parameters))
        case .gitlab: TrackerWriters(GitLabClient(parameters))
        case .jira: TrackerWriters(try JiraClient(parameters))
        }
    }
}
