package import Domain

/// One configured tracker, read page by page: GitHub, GitLab or one of the two Jiras.
///
/// Every call may be repeated without harm. A client retries what is transient by itself, obeys the
/// service's rate budget, and throws ``TrackerError`` only when it has given up. Cancelling the
/// calling task ends the call promptly, waits included.
package protocol TrackerClient: Sendable {
    /// Whether comments are read for a whole project or issue by issue.
    var commentListing: CommentListing { get }

    /// Asks the service who the token belongs to; no absence is believed before it answers.
    func verify() async throws(TrackerError) -> TrackerIdentity

    /// Every owner, group or site the token can see.
    func organizations() async throws(TrackerError) -> [RemoteOrganization]

    /// Every project of an organisation the token can see, and what of the list cannot be read.
    func projects(of organization: RemoteOrganization) async throws(TrackerError) -> ProjectList

    /// One page of a walk over a project's issues and pull requests.
    ///
    /// - Parameters:
    ///   - project: Whose issues.
    ///   - walk: Which issues, in which order.
    ///   - page: Nil for the first page, else the ``IssuePage/next`` of the page before; it stays
    ///     valid across processes, so a killed scan goes on where it stopped.
    ///   - validator: ``IssuePage/validator`` of an earlier first page of the same walk.
    /// - Returns: The page, in the walk's order.
    /// - Throws: ``TrackerError`` after the client's own retries.
    func issues(
        of project: RemoteProject,
        walk: IssueWalk,
        page: PageToken?,
        validator: String?
    ) async throws(TrackerError) -> IssuePage

    /// One page of comments of a project or of one issue, according to ``commentListing``.
    func comments(
        of project: RemoteProject,
        walk: CommentWalk,
        page: PageToken?
    ) async throws(TrackerError) -> CommentPage

    /// What became of one issue; asked before a tombstone is written.
    func presence(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> IssuePresence
}

/// How a service lists comments cheaply.
package enum CommentListing: Sendable {
    /// One list for the repository (GitHub).
    case perProject
    /// One list an issue (GitLab notes), or embedded and completed by the client (Jira).
    case perIssue
}

/// Where a walk goes on; opaque to everyone but the client that made it.
package struct PageToken: Sendable, Hashable {
    package let rawValue: String

    package init(_ rawValue: String) {
        self.rawValue = rawValue
    }
}

/// Which issues a walk visits.
package enum IssueWalk: Sendable, Equatable {
    /// All, in creation or id order, so that an issue that changes meanwhile is not skipped.
    case everything
    /// Those updated at or after the instant, oldest change first.
    ///
    /// The client re-anchors on the times it sees instead of counting pages, so that an issue that
    /// moves meanwhile hides no other.
    case changed(since: Timestamp)
    /// All, as cheaply as the service allows; pages may hold sightings instead of issues.
    case census
    /// The most recently updated one alone: the watermark a first scan starts from.
    case newest
}

/// One page of an ``IssueWalk``.
package struct IssuePage: Sendable {
    package var items: [PageItem]
    /// Nil on the last page.
    package var next: PageToken?
    /// An entity tag for the first page; nil when the service has none.
    package var validator: String?
    /// The service answered that nothing changed since `validator` was given; `items` is empty.
    package var isNotModified: Bool
    /// When the service answered, by its own clock; nil when it does not tell.
    package var servedAt: Timestamp?
    /// How many issues the walk has after this page; nil where the answer does not tell.
    ///
    /// Of ``IssueWalk/newest`` how many the project has. At most a page too many; only for show.
    package var remainingCount: Int?

    /// The totals of services that are believed: sums of them fit an integer.
    package static let believableCounts = 0...1_000_000_000

    package init(
        items: [PageItem],
        next: PageToken? = nil,
        validator: String? = nil,
        isNotModified: Bool = false,
        servedAt: Timestamp? = nil
    ) {
        self.items = items
        self.next = next
        self.validator = validator
        self.isNotModified = isNotModified
        self.servedAt = servedAt
    }
}

/// What a page holds in one place.
package enum PageItem: Sendable {
    case issue(Issue, comments: EmbeddedComments)
    /// Seen in a census, not read.
    case sighting(IssueSighting)
    /// Could not be understood; kept with its bytes, it does not cost its page.
    case malformed(MalformedItem)
}

/// The comments that came with an issue.
package enum EmbeddedComments: Sendable, Equatable {
    /// None came; ask when the count or the time moved.
    case notIncluded
    /// All of them: those not in the list are deleted.
    case complete([Comment])
}

/// Proof in a census that an issue exists.
package struct IssueSighting: Sendable, Equatable {
    package var externalID: String
    package var kind: IssueKind
    /// When the service tells it.
    package var updatedAt: Timestamp?

    package init(externalID: String, kind: IssueKind, updatedAt: Timestamp? = nil) {
        self.externalID = externalID
        self.kind = kind
        self.updatedAt = updatedAt
    }
}

/// An item of a page that is not what it should be.
package struct MalformedItem: Sendable, Equatable {
    /// Its identity as far as it could be read.
    package var externalID: String?
    /// The item's bytes as received.
    package var raw: [UInt8]
    /// Which field is wrong and how.
    package var reason: String

    package init(externalID: String?, raw: [UInt8], reason: String) {
        self.externalID = externalID
        self.raw = raw
        self.reason = reason
    }
}

/// Which comments a walk visits.
package enum CommentWalk: Sendable, Equatable {
    /// The project's, those updated at or after the instant, oldest change first; nil for all in
    /// the same order, which hides none that is edited or deleted meanwhile. Pages may overlap.
    /// Only for ``CommentListing/perProject``.
    case project(since: Timestamp?)
    /// All of one issue, oldest first.
    case issue(IssueReference)
}

/// One page of a ``CommentWalk``.
package struct CommentPage: Sendable {
    package var comments: [FetchedComment]
    package var malformed: [MalformedItem]
    /// Nil on the last page.
    package var next: PageToken?

    package init(
        comments: [FetchedComment],
        malformed: [MalformedItem] = [],
        next: PageToken? = nil
    ) {
        self.comments = comments
        self.malformed = malformed
        self.next = next
    }
}

/// A comment with the issue it belongs to.
package struct FetchedComment: Sendable, Equatable {
    package var comment: Comment
    /// The issue's number within the project; issue and pull request share the number space where
    /// ``CommentListing/perProject`` is used.
    package var issueNumber: Int

    package init(comment: Comment, issueNumber: Int) {
        self.comment = comment
        self.issueNumber = issueNumber
    }
}

/// How an issue is addressed.
package struct IssueReference: Sendable, Hashable {
    package var externalID: String
    package var kind: IssueKind
    package var number: Int
    package var key: String

    package init(externalID: String, kind: IssueKind, number: Int, key: String) {
        self.externalID = externalID
        self.kind = kind
        self.number = number
        self.key = key
    }
}

/// What became of an issue.
package enum IssuePresence: Sendable, Equatable {
    /// It is still there; `issue` is its present state, `projectExternalID` where it lives now.
    case present(Issue, comments: EmbeddedComments, projectExternalID: String?)
    /// It has left the project: transferred, or a redirect or new key leads elsewhere.
    case moved(toKey: String?)
    /// The service says it is gone, or does not know it although the project answers.
    case gone
    /// The project itself does not answer: access was lost, nothing may be concluded.
    case inaccessible
}

/// Whose token it is.
package struct TrackerIdentity: Sendable, Equatable {
    /// Login, e-mail or display name.
    package var userName: String
    /// Scopes the service reports; empty when it reports none.
    package var scopes: [String]
    /// What the token cannot do that Preloop would like, for the operator.
    package var warnings: [String]

    package init(userName: String, scopes: [String] = [], warnings: [String] = []) {
        self.userName = userName
        self.scopes = scopes
        self.warnings = warnings
    }
}

/// A GitHub owner, GitLab group or Jira site.
package struct RemoteOrganization: Sendable, Hashable {
    /// The service's immutable identifier, or the host name for a Jira site.
    package var externalID: String
    /// The name in URLs and scope rules: `owner`, `group/subgroup`, host.
    package var path: String
    package var name: String

    package init(externalID: String, path: String, name: String) {
        self.externalID = externalID
        self.path = path
        self.name = name
    }
}

/// A repository, GitLab project or Jira project.
package struct RemoteProject: Sendable, Hashable {
    /// The service's immutable identifier; survives renames.
    package var externalID: String
    /// The name in URLs, scope rules and keys: `owner/repo`, `group/project`, `KEY`.
    package var path: String
    package var name: String
    package var url: String

    package init(externalID: String, path: String, name: String, url: String) {
        self.externalID = externalID
        self.path = path
        self.name = name
        self.url = url
    }
}
