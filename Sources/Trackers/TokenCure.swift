package import Domain

/// What an operator can do about a token that does not work, in the words of whoever made the
/// client: it knows what the tracker is called and whether it is stored yet.
package struct TokenCure: Equatable, Sendable {
    /// What to do.
    package var advice: String
    /// Whether the token could not be read here, so that the service refused nothing.
    package var isUnread: Bool

    /// A cure for a token that the service refuses, or that cannot be read.
    package init(_ advice: String, isUnread: Bool = false) {
        self.advice = advice
        self.isUnread = isUnread
    }
}

extension TrackerKind {
    /// What the token of such a tracker must allow, for the person who makes one.
    package func tokenNeeds(_ deployment: TrackerDeployment) -> String {
        switch (self, deployment) {
        case (.github, _):
            "a GitHub token needs the scopes repo and read:org, or as a fine-grained one read "
                + "access to issues, pull requests and metadata"
        case (.gitlab, _): "a GitLab token needs the scope read_api"
        case (.jira, .cloud):
            "Jira Cloud needs an API token, and with --user the e-mail address of its owner"
        case (.jira, .server):
            "Jira Server needs a personal access token of a user who may browse the projects"
        }
    }
}
