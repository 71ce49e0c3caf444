package import Domain

/// Writes issues of one configured tracker.
///
/// Every write answers with the item as the tracker shows it afterwards, in the form in which a
/// scan reads it. Nothing is done twice: what may or may not have happened ends with
/// ``TrackerError/outcomeUnknown(detail:)``, what the tracker refuses with
/// ``TrackerError/refused(_:)``. References may leave ``IssueReference/externalID`` empty: then
/// number or key count.
package protocol IssueWriter: Sendable {
    /// The project with this path (`owner/repo`, `group/project`, `KEY`).
    func project(at path: String) async throws(TrackerError) -> RemoteProject

    /// One issue or pull request as it is now.
    func issue(
        _ issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> Issue

    /// Creates an issue.
    func createIssue(
        _ draft: IssueDraft,
        in project: RemoteProject
    ) async throws(TrackerError) -> WrittenIssue

    /// Changes what `change` names and nothing else.
    func updateIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        _ change: IssueChange
    ) async throws(TrackerError) -> WrittenIssue

    /// The states the issue can be brought to from where it is.
    func statusOptions(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [StatusOption]

    /// Closes an issue as the duplicate of another and links the two where the tracker can; where
    /// a comment has to say it, the answer holds that comment.
    func closeIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        asDuplicateOf original: IssueReference
    ) async throws(TrackerError) -> WrittenIssue
}

/// An issue to create.
package struct IssueDraft: Sendable, Equatable {
    package var title: String
    /// Markdown.
    package var body: String
    package var labels: [String]
    /// Logins; of Jira also display names, e-mail addresses, account identifiers.
    package var assignees: [String]
    /// A priority of the tracker's, or the end of a priority label.
    package var priority: String?
    /// Bug, Task, Story…; nil for the tracker's own default.
    package var type: String?
    /// Another state than the one new issues are in, as ``IssueChange/status``.
    package var status: String?

    package init(
        title: String,
        body: String = "",
        labels: [String] = [],
        assignees: [String] = [],
        priority: String? = nil,
        type: String? = nil,
        status: String? = nil
    ) {
        self.title = title
        self.body = body
        self.labels = labels
        self.assignees = assignees
        self.priority = priority
        self.type = type
        self.status = status
    }
}

/// What is to be changed about an issue or pull request; nil leaves a field as it is.
package struct IssueChange: Sendable, Equatable {
    package var title: String?
    /// Markdown.
    ///
    /// One that equals the present text changes nothing, so that what Markdown cannot say is kept.
    package var body: String?
    package var state: IssueState?
    /// A state by the tracker's own word, else `open` or `closed`; goes before ``state``.
    package var status: String?
    /// Why it is closed: Jira's resolution, GitHub's reason.
    package var resolution: String?
    package var labels: LabelChange?
    /// All assignees there shall be; empty for none.
    package var assignees: [String]?
    package var priority: String?
    package var type: String?

    package init() {}

    /// Whether nothing is to be changed.
    package var isEmpty: Bool { self == IssueChange() }
}

/// What is to be done with an issue's labels.
package enum LabelChange: Sendable, Equatable {
    /// These and no others.
    case set([String])
    case change(adding: [String], removing: [String])
}

/// The result of a write.
package struct WrittenIssue: Sendable, Equatable {
    package var issue: Issue
    /// What the tracker did not take without saying so, for the caller.
    package var warnings: [String]
    /// The comment that tells of the write; nil where the tracker needs none.
    package var comment: Comment?

    package init(_ issue: Issue, warnings: [String] = []) {
        self.issue = issue
        self.warnings = warnings
    }
}

/// A state an issue can be brought to.
package struct StatusOption: Sendable, Equatable {
    /// The state's name.
    package var status: String
    package var state: IssueState
    /// What the step to it is called; differs from the state's name in Jira only.
    package var transition: String
    /// Fields the step cannot do without.
    package var requiredFields: [String]

    package init(
        status: String,
        state: IssueState,
        transition: String? = nil,
        requiredFields: [String] = []
    ) {
        self.status = status
        self.state = state
        self.transition = transition ?? status
        self.requiredFields = requiredFields
    }
}

extension IssueReference {
    /// A reference to an issue that was read.
    package init(_ issue: Issue) {
        self.init(
            externalID: issue.externalID,
            kind: issue.kind,
            number: issue.number,
            key: issue.key
        )
    }
}
