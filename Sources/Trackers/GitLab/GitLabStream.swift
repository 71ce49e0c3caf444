import Domain

/// The two lists of a project.
enum GitLabStream: String, CaseIterable, Sendable {
    case issues
    case mergeRequests = "merge_requests"

    init(_ kind: IssueKind) {
        switch kind {
        case .issue: self = .issues
        case .pullRequest: self = .mergeRequests
        }
    }

    var kind: IssueKind {
        switch self {
        case .issues: .issue
        case .mergeRequests: .pullRequest
        }
    }

    /// The list that is walked after this one.
    var following: GitLabStream? { self == .issues ? .mergeRequests : nil }

    /// The mark between project and number in a key.
    var mark: String { self == .issues ? "#" : "!" }
}
