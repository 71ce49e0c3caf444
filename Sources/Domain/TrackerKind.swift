/// The services Preloop reads.
package enum TrackerKind: String, Sendable, CaseIterable {
    case github
    case gitlab
    case jira

    /// Whether there are pull or merge requests.
    package var hasPullRequests: Bool { self != .jira }
}

/// Whose machine the service runs on; it decides base path, API version and text format.
package enum TrackerDeployment: String, Sendable, CaseIterable {
    /// github.com, gitlab.com, Jira Cloud (REST v3, ADF bodies).
    case cloud
    /// GitHub Enterprise Server, self-managed GitLab, Jira Server and Data Center (REST v2, wiki
    /// markup).
    case server
}
