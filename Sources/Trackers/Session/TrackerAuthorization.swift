/// How a service wants to be shown the credential.
package enum TrackerAuthorization: Sendable, Equatable {
    /// `Authorization: Bearer …`: GitHub, Jira Server's personal access tokens.
    case bearer
    /// `PRIVATE-TOKEN: …`: GitLab.
    case privateToken
    /// `Authorization: Basic …` with a user name or e-mail: Jira Cloud, Jira Server passwords.
    case basic(userName: String)
}
