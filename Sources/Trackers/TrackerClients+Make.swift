import Domain

extension TrackerClients {
    /// The client for a configured tracker; nothing is sent yet.
    package static func make(_ parameters: Parameters) throws(TrackerError) -> any TrackerClient {
        switch parameters.kind {
        case .github: GitHubClient(parameters)
        case .gitlab: GitLabClient(parameters)
        case .jira: try JiraClient(parameters)
        }
    }
}
