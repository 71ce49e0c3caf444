/// What kind of item an issue number stands for.
package enum IssueKind: String, Sendable, CaseIterable {
    case issue
    /// A GitHub pull request or GitLab merge request.
    case pullRequest = "pull_request"
}

/// The two states every tracker can be reduced to; `Issue.status` keeps the tracker's own word.
package enum IssueState: String, Sendable, CaseIterable {
    case open
    case closed
}

/// An issue or pull request as its tracker shows it, before or after it is stored.
///
/// Text is Markdown: adapters convert ADF and wiki markup and keep the original in ``source``.
/// Text has passed ``sanitized(_:)``; it holds neither NUL nor unpaired surrogates.
package struct Issue: Sendable, Equatable {
    /// The tracker's own immutable identifier; survives renames and moves within the tracker.
    package var externalID: String
    package var kind: IssueKind
    /// The number people use, unique per project and kind.
    package var number: Int
    /// The reference people write: `owner/repo#1`, `group/project!2`, `KEY-1`.
    package var key: String
    package var title: String
    /// Markdown; empty when the tracker has none.
    package var body: String
    package var state: IssueState
    /// The tracker's own word for the state, such as `In Progress`; nil when it has none but open
    /// and closed.
    package var status: String?
    /// In the tracker's order, without repeats.
    package var labels: [String]
    /// Login or display name; nil for deleted users.
    package var author: String?
    package var assignees: [String]
    package var priority: String?
    /// Bug, Task, Story…; nil when the tracker has no types.
    package var type: String?
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    /// Where a person reads it.
    package var url: String
    /// The number of comments the tracker reports; nil when it does not say.
    package var commentCount: Int?
    package var links: [IssueLink]
    /// The body as the tracker sent it (ADF JSON, wiki markup) when ``body`` was converted from it.
    package var source: String?

    package init(
        externalID: String,
        kind: IssueKind = .issue,
        number: Int,
        key: String,
        title: String,
        body: String = "",
        state: IssueState = .open,
        status: String? = nil,
        labels: [String] = [],
        author: String? = nil,
        assignees: [String] = [],
        priority: String? = nil,
        type: String? = nil,
        createdAt: Timestamp,
        updatedAt: Timestamp,
        url: String = "",
        commentCount: Int? = nil,
        links: [IssueLink] = [],
        source: String? = nil
    ) {
        self.externalID = externalID
        self.kind = kind
        self.number = number
        self.key = key
        self.title = title
        self.body = body
        self.state = state
        self.status = status
        self.labels = labels
        self.author = author
        self.assignees = assignees
        self.priority = priority
        self.type = type
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.url = url
        self.commentCount = commentCount
        self.links = links
        self.source = source
    }
}

/// A directed relation to another issue, which may not have been seen yet.
package struct IssueLink: Sendable, Hashable {
    /// Lower-case phrase read from the issue that carries it: `blocks`, `is blocked by`,
    /// `duplicates`, `is duplicated by`, `relates to`, `closes`, or the tracker's own phrase.
    package var relation: String
    /// The other issue's key, in the form of ``Issue/key``.
    package var targetKey: String
    /// The other issue's ``Issue/externalID`` when the tracker gives it.
    package var targetExternalID: String?

    package init(relation: String, targetKey: String, targetExternalID: String? = nil) {
        self.relation = relation
        self.targetKey = targetKey
        self.targetExternalID = targetExternalID
    }
}

/// A comment on an issue; review comments are not read.
package struct Comment: Sendable, Equatable {
    /// The tracker's own identifier, unique within the project.
    package var externalID: String
    package var author: String?
    /// Markdown.
    package var body: String
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    /// The body as the tracker sent it when ``body`` was converted from it.
    package var source: String?

    package init(
        externalID: String,
        author: String? = nil,
        body: String,
        createdAt: Timestamp,
        updatedAt: Timestamp,
        source: String? = nil
    ) {
        self.externalID = externalID
        self.author = author
        self.body = body
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.source = source
    }
}
