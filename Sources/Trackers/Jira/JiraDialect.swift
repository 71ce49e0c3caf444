/// What differs between the two Jiras.
enum JiraDialect: Sendable, Equatable {
    /// Jira Cloud, REST version 3: token paging, bodies as Atlassian documents.
    case cloud
    /// Jira Server and Data Center, REST version 2: offset paging, bodies as wiki markup.
    case server

    /// Below the base URL.
    var apiPath: String {
        switch self {
        case .cloud: "/rest/api/3"
        case .server: "/rest/api/2"
        }
    }

    /// Cloud has removed the older address.
    var searchPath: String {
        switch self {
        case .cloud: "\(apiPath)/search/jql"
        case .server: "\(apiPath)/search"
        }
    }

    /// Rows of a search for identifiers alone: the services' own upper limits.
    var censusPageSize: Int {
        switch self {
        case .cloud: 5000
        case .server: 1000
        }
    }

    /// Rows of a search with all fields; Cloud gives no more than this.
    static let issuePageSize = 100

    /// The fields a scan reads.
    ///
    /// Named one by one: Cloud's default is the identifier alone, Server's
    /// default is everything.
    static let issueFields = [
        "summary", "description", "status", "created", "updated", "labels", "assignee", "reporter",
        "creator", "issuetype", "comment", "issuelinks", "priority", "resolution", "project",
    ].joined(separator: ",")
}
