/// A tracker's token or password; printing it shows nothing.
package struct TrackerCredential: Sendable, Equatable {
    /// The secret itself, for a request header and nothing else.
    package let rawValue: String

    package init(_ rawValue: String) {
        self.rawValue = rawValue
    }
}

extension TrackerCredential: CustomStringConvertible, CustomDebugStringConvertible {
    /// Always `<redacted>`.
    package var description: String { "<redacted>" }
    /// Always `<redacted>`.
    package var debugDescription: String { "<redacted>" }
}

/// How a service wants to be shown the credential.
package enum TrackerAuthorization: Sendable, Equatable {
    /// `Authorization: Bearer …`: GitHub, Jira Server's personal access tokens.
    case bearer
    /// `PRIVATE-TOKEN: …`: GitLab.
    case privateToken
    /// `Authorization: Basic …` with a user name or e-mail: Jira Cloud, Jira Server passwords.
    case basic(userName: String)
}
