import Domain
import TestSupport
import Testing

@testable import Trackers

/// What both trackers do with pull requests, over real HTTP.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct PullRequestWriterTests {
    private static let targets = [WriteTarget.github, .gitlab]

    private func pulls(_ fixture: WritingFixture) throws -> any PullRequestWriter {
        try #require(fixture.writers.pullRequests)
    }

    @Test func `Jira has no pull requests`() async throws {
        let fixture = try await WritingFixture(.jiraCloud)
        defer { fixture.fake.stop() }
        #expect(fixture.writers.pullRequests == nil)
    }

    @Test(arguments: targets)
    func `a pull request comes with its diff and as a scan reads it`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(9, kind: .pullRequest)
        let pull = try await pulls(fixture).pullRequest(
            reference,
            in: fixture.project,
            parts: .all
        )
        #expect(pull.sourceBranch == "mend")
        #expect(pull.targetBranch == "main")
        #expect(!pull.headRevision.isEmpty)
        #expect(!pull.isDraft)
        #expect(!pull.isMerged)
        let file = try #require(pull.files.first)
        #expect(file.patch?.hasPrefix("@@") == true)
        #expect(pull.additions == pull.files.reduce(0) { $0 + $1.additions })
        #expect(pull.deletions == pull.files.reduce(0) { $0 + $1.deletions })
        #expect(pull.changedFileCount == pull.files.count)
        let read = try await ProjectReading(fixture.client, fixture.project, withComments: false)
        #expect(read.issues.first { $0.kind == .pullRequest } == pull.issue)
    }

    @Test(arguments: targets)
    func `an issue is no pull request`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = IssueReference(
            externalID: "",
            kind: .pullRequest,
            number: 1,
            key: "acme/tool#1"
        )
        let error = await trackerError {
            _ = try await pulls(fixture).pullRequest(reference, in: fixture.project, parts: [])
        }
        guard case .notFound? = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: targets)
    func `a pull request is created, changed and closed`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        var draft = PullRequestDraft(
            title: "Mend the crash",
            body: "Fixes #1",
            sourceBranch: "mend-2",
            targetBranch: "main"
        )
        draft.isDraft = true
        draft.labels = ["bug"]
        let created = try await pulls(fixture).createPullRequest(draft, in: fixture.project)
        #expect(created.isDraft)
        #expect(created.sourceBranch == "mend-2")
        #expect(created.issue.labels == ["bug"])
        #expect(created.issue.kind == .pullRequest)
        var change = PullRequestChange()
        change.title = "Mend it at last"
        change.labels = .change(adding: ["ready"], removing: [])
        let reference = IssueReference(created.issue)
        let changed = try await pulls(fixture).updatePullRequest(
            reference,
            in: fixture.project,
            change
        )
        // GitLab's drafts are told by their titles: a new title alone changes nothing.
        let title = target == .gitlab ? "Draft: Mend it at last" : "Mend it at last"
        #expect(changed.issue.title == title)
        #expect(changed.issue.labels == ["bug", "ready"])
        change = PullRequestChange()
        change.state = .closed
        let closed = try await pulls(fixture).updatePullRequest(
            reference,
            in: fixture.project,
            change
        )
        #expect(closed.issue.state == .closed)
        #expect(!closed.isMerged)
    }

    @Test func `a branch that is missing is refused`() async throws {
        let fixture = try await WritingFixture(.github)
        defer { fixture.fake.stop() }
        let refused = await refusal {
            _ = try await pulls(fixture).createPullRequest(
                PullRequestDraft(title: "x", sourceBranch: "", targetBranch: "main"),
                in: fixture.project
            )
        }
        #expect(refused?.fields.map(\.field) == ["head"])
    }

    @Test(arguments: targets)
    func `a pull request is approved`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(9, kind: .pullRequest)
        let approved = try await pulls(fixture).review(
            reference,
            in: fixture.project,
            ReviewDraft(.approve)
        )
        #expect(approved.reviews.map(\.verdict) == [.approved])
        #expect(approved.reviews.first?.author == "fake-user")
        #expect(approved.warnings.isEmpty)
    }

    @Test(arguments: targets)
    func `changes are requested, in words at least`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(9, kind: .pullRequest)
        let refused = await refusal {
            _ = try await pulls(fixture).review(
                reference,
                in: fixture.project,
                ReviewDraft(.requestChanges)
            )
        }
        #expect(refused?.fields.map(\.field) == ["review_body"])
        let pull = try await pulls(fixture).review(
            reference,
            in: fixture.project,
            ReviewDraft(.requestChanges, body: "Not like this")
        )
        switch target {
        case .github: #expect(pull.reviews.map(\.verdict) == [.changesRequested])
        default:
            // The reference service knows no such command.
            #expect(pull.warnings.count == 1)
            let read = try await pulls(fixture).pullRequest(
                reference,
                in: fixture.project,
                parts: [.comments]
            )
            #expect(read.comments.map(\.comment.body) == ["Not like this"])
        }
    }

    @Test func `GitHub - remarks on lines, with a review and alone, and replies`() async throws {
        let fixture = try await WritingFixture(.github)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(9, kind: .pullRequest)
        let writer = try pulls(fixture)
        let remark = LineComment(path: "src/a.c", line: 12, body: "Why?")
        _ = try await writer.review(
            reference,
            in: fixture.project,
            ReviewDraft(.comment, body: "Some questions", comments: [remark])
        )
        let alone = try await writer.addReviewComment(
            LineComment(path: "src/b.c", line: 3, side: .left, body: "And this?"),
            to: reference,
            in: fixture.project
        )
        #expect(alone.place?.path == "src/b.c")
        #expect(alone.place?.line == 3)
        let reply = try await writer.reply(
            "Because",
            toReviewComment: alone.comment.externalID,
            of: reference,
            in: fixture.project
        )
        #expect(reply.replyTo == alone.comment.externalID)
        let pull = try await writer.pullRequest(
            reference,
            in: fixture.project,
            parts: [.comments, .reviews]
        )
        #expect(pull.comments.map(\.comment.body) == ["Why?", "And this?", "Because"])
        #expect(pull.reviews.map(\.verdict) == [.commented])
    }
}
