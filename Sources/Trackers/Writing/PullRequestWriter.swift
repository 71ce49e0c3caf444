package import Domain

/// Reads whole pull or merge requests and writes them, under the terms of ``IssueWriter``.
package protocol PullRequestWriter: Sendable {
    /// One pull request as it is now, with the parts asked for.
    func pullRequest(
        _ pull: IssueReference,
        in project: RemoteProject,
        parts: PullRequestParts
    ) async throws(TrackerError) -> PullRequest

    /// Creates a pull request for branches that exist.
    func createPullRequest(
        _ draft: PullRequestDraft,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequest

    /// Changes what `change` names and nothing else.
    func updatePullRequest(
        _ pull: IssueReference,
        in project: RemoteProject,
        _ change: PullRequestChange
    ) async throws(TrackerError) -> PullRequest

    /// Gives a verdict, with remarks on lines that appear together with it.
    func review(
        _ pull: IssueReference,
        in project: RemoteProject,
        _ review: ReviewDraft
    ) async throws(TrackerError) -> PullRequest

    /// Starts a thread on a line of the diff.
    func addReviewComment(
        _ comment: LineComment,
        to pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment

    /// Adds to a thread; `parent` is a comment of it, or of GitLab the thread itself.
    func reply(
        _ body: String,
        toReviewComment parent: String,
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment

    /// Changes a remark's text, or resolves its thread, or opens it again.
    func updateReviewComment(
        _ id: String,
        of pull: IssueReference,
        in project: RemoteProject,
        _ change: ReviewCommentChange
    ) async throws(TrackerError) -> PullRequestComment
}

/// What is read of a pull request besides itself; each part costs requests.
package struct PullRequestParts: OptionSet, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// The changed files with their patches.
    package static let files = PullRequestParts(rawValue: 1)
    /// Comments, and remarks on lines with their threads.
    package static let comments = PullRequestParts(rawValue: 2)
    /// Verdicts.
    package static let reviews = PullRequestParts(rawValue: 4)
    /// What automatic checks say about the last commit.
    package static let checks = PullRequestParts(rawValue: 8)

    package static let all: PullRequestParts = [.files, .comments, .reviews, .checks]
}

/// A pull or merge request as it is now.
package struct PullRequest: Sendable, Equatable {
    /// What a scan reads of it.
    package var issue: Issue
    package var sourceBranch: String
    package var targetBranch: String
    /// The last commit of the source branch.
    package var headRevision: String
    package var isDraft = false
    package var isMerged = false
    /// The tracker's word for whether it can be merged; nil while it does not know.
    package var mergeStatus: String?
    /// Those asked for a review who have not given it.
    package var reviewers: [String] = []
    /// Nil where the tracker does not count.
    package var additions: Int?
    package var deletions: Int?
    package var changedFileCount: Int?
    package var files: [FileChange] = []
    package var reviews: [Review] = []
    /// Nil where there are none or the token may not see them.
    package var checks: Checks?
    package var comments: [PullRequestComment] = []
    /// What was cut or left out, for the caller.
    package var warnings: [String] = []
}

/// One file of a diff.
package struct FileChange: Sendable, Equatable {
    /// What became of it.
    package enum Status: String, Sendable {
        case added, removed, modified, renamed
    }

    package var path: String
    /// Where it was before, when it was renamed.
    package var previousPath: String?
    package var status: Status
    package var additions: Int
    package var deletions: Int
    /// Unified diff; nil for binary and for very large files.
    package var patch: String?
}

/// A verdict on a pull request.
package struct Review: Sendable, Equatable {
    /// What it says.
    package enum Verdict: String, Sendable {
        case approved
        case changesRequested = "changes_requested"
        case commented, dismissed, pending
    }

    package var externalID: String
    package var author: String?
    package var verdict: Verdict
    package var body: String
    /// Nil where the tracker does not tell.
    package var submittedAt: Timestamp?
}

/// What automatic checks say about a commit.
package struct Checks: Sendable, Equatable {
    /// How it ended, or that it has not.
    package enum State: String, Sendable {
        case success, failure, pending
    }

    /// One check.
    package struct Check: Sendable, Equatable {
        package var name: String
        package var state: State
        package var url: String?
    }

    package var checks: [Check]

    /// A failure counts before what still runs.
    package var state: State {
        if checks.contains(where: { $0.state == .failure }) { return .failure }
        return checks.contains { $0.state == .pending } ? .pending : .success
    }
}

/// Which side of a diff a line stands on.
package enum DiffSide: String, Sendable {
    /// The old file.
    case left = "LEFT"
    /// The new file.
    case right = "RIGHT"
}

/// A comment on a pull request or on a line of it.
package struct PullRequestComment: Sendable, Equatable {
    package var comment: Comment
    /// Where it stands; nil for comments on the whole.
    package var place: Place?
    /// What resolves it, and what replies go to.
    package var threadID: String?
    /// Nil where there is no thread or the tracker does not tell.
    package var isResolved: Bool?
    /// The comment it answers.
    package var replyTo: String?

    /// A line of a diff; the line is nil when it is no longer part of it.
    package struct Place: Sendable, Equatable {
        package var path: String
        package var line: Int?
        package var side: DiffSide
    }

    package init(
        comment: Comment,
        place: Place? = nil,
        threadID: String? = nil,
        isResolved: Bool? = nil,
        replyTo: String? = nil
    ) {
        self.comment = comment
        self.place = place
        self.threadID = threadID
        self.isResolved = isResolved
        self.replyTo = replyTo
    }
}

/// A remark to put on a line of a diff.
package struct LineComment: Sendable, Equatable {
    package var path: String
    package var line: Int
    package var side: DiffSide
    /// Markdown.
    package var body: String

    package init(path: String, line: Int, side: DiffSide = .right, body: String) {
        self.path = path
        self.line = line
        self.side = side
        self.body = body
    }
}

/// A pull request to create.
package struct PullRequestDraft: Sendable, Equatable {
    package var title: String
    /// Markdown.
    package var body: String
    /// The branch with the changes; on GitHub also `owner:branch`.
    package var sourceBranch: String
    package var targetBranch: String
    package var isDraft = false
    package var labels: [String] = []
    package var assignees: [String] = []
    package var reviewers: [String] = []
    /// An open milestone's title.
    package var milestone: String?
    /// GitLab: make one commit of all when merging.
    package var squashes: Bool?
    /// GitLab: delete the branch when merging.
    package var removesSourceBranch: Bool?

    package init(title: String, body: String = "", sourceBranch: String, targetBranch: String) {
        self.title = title
        self.body = body
        self.sourceBranch = sourceBranch
        self.targetBranch = targetBranch
    }
}

/// What is to be changed about a pull request; nil leaves a field as it is.
package struct PullRequestChange: Sendable, Equatable {
    package var title: String?
    /// Markdown.
    package var body: String?
    package var state: IssueState?
    package var isDraft: Bool?
    package var targetBranch: String?
    /// All there shall be; on GitHub `owner/team` asks a team.
    package var reviewers: [String]?
    package var assignees: [String]?
    package var labels: LabelChange?
    /// A reaction of the token's user to give: GitHub's word for it, or GitLab's name of the emoji.
    package var addedReaction: String?
    /// A reaction of the token's user to take back.
    package var removedReaction: String?

    package init() {}

    /// The part that is changed as of an issue.
    var issueChange: IssueChange {
        var change = IssueChange()
        change.title = title
        change.body = body
        change.state = state
        change.assignees = assignees
        change.labels = labels
        return change
    }
}

/// A verdict to give.
package struct ReviewDraft: Sendable, Equatable {
    /// What it does.
    package enum Action: String, Sendable {
        case approve
        case requestChanges = "request_changes"
        case comment
    }

    package var action: Action
    /// Markdown; what is asked for or remarked.
    package var body: String
    package var comments: [LineComment]

    package init(_ action: Action, body: String = "", comments: [LineComment] = []) {
        self.action = action
        self.body = body
        self.comments = comments
    }

    /// Refuses what no tracker takes.
    func check() throws(TrackerError) {
        if action != .approve, body.isEmpty, comments.isEmpty {
            throw .invalid("review_body", "is missing: say what has to change")
        }
    }
}

/// What is to be changed about a remark on a line.
package struct ReviewCommentChange: Sendable, Equatable {
    package var body: String?
    package var isResolved: Bool?
    /// The thread, where the tracker does not tell it of the comment.
    package var threadID: String?

    package init(body: String? = nil, isResolved: Bool? = nil, threadID: String? = nil) {
        self.body = body
        self.isResolved = isResolved
        self.threadID = threadID
    }
}

/// Bounds on what is read of one pull request, so that none fills the memory or the answer.
enum PullRequestLimits {
    /// A thousand files, comments, or reviews.
    static let pageCount = 10
    /// Patches beyond this together are left out: no reader takes in more.
    static let patchByteCount = 2 << 20
}

extension PullRequest {
    /// Takes files over until their patches are more than anyone reads.
    mutating func add(files new: [FileChange], isComplete: Bool) {
        var byteCount = 0
        var left = 0
        files = new.map { file in
            var file = file
            byteCount += file.patch?.utf8.count ?? 0
            if byteCount > PullRequestLimits.patchByteCount, file.patch != nil {
                file.patch = nil
                left += 1
            }
            return file
        }
        if left > 0 { warnings.append("the patches of \(left) files are left out: too much text") }
        if !isComplete { warnings.append("only the first \(files.count) files are listed") }
    }
}
