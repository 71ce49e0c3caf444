import Domain
import Synchronization
import TestSupport
import Testing

@testable import Trackers

/// What the reference services do not have: reviewers, drafts, threads.
struct PullRequestScriptTests {
    private static let reference = IssueReference(
        externalID: "2009",
        kind: .pullRequest,
        number: 9,
        key: "acme/tool#9"
    )

    private func writer(
        _ target: WriteTarget,
        _ service: ScriptedService
    ) throws -> any PullRequestWriter {
        let parameters = try WritingFixture.parameters(
            target,
            url: service.server.origin,
            clock: service.clock
        )
        return try #require(try TrackerClients.writers(parameters).pullRequests)
    }

    /// The writes a service got: method, path, body.
    private func writes(_ service: ScriptedService) -> [String] {
        service.calls.filter { $0.method != "GET" }.map { call in
            "\(call.method) \(call.path) \(call.body.serializedText())"
        }
    }

    // MARK: - GitHub

    private static let pull = """
        {"number":9,"node_id":"PR_9","draft":true,"merged_at":null,"head":{"ref":"mend",
        "sha":"abc"},"base":{"ref":"main"},"requested_reviewers":[{"login":"old"},
        {"login":"Kept"}],"requested_teams":[],"additions":1,"deletions":2,"changed_files":1,
        "mergeable_state":"clean"}
        """

    private func gitHub(_ call: ScriptedService.Call) -> ScriptedHTTPServer.Step? {
        switch (call.method, call.path) {
        case ("GET", "/repositories/7/issues/9"): .answer(text: GitHubFixture.pull(9))
        case ("GET", "/repositories/7/pulls/9"): .answer(text: Self.pull)
        case (_, "/repositories/7/pulls/9/requested_reviewers"): .answer(text: Self.pull)
        case ("POST", "/graphql"): .answer(text: #"{"data":{}}"#)
        default: nil
        }
    }

    @Test func `GitHub - reviewers are asked and no longer asked, people and teams`() async throws {
        let service = try ScriptedService { gitHub($0) }
        var change = PullRequestChange()
        change.reviewers = ["kept", "new", "acme/core"]
        let pull = try await writer(.github, service).updatePullRequest(
            Self.reference,
            in: GitHubFixture.project,
            change
        )
        let path = "/repositories/7/pulls/9/requested_reviewers"
        #expect(
            writes(service) == [
                #"POST \#(path) {"reviewers":["new"],"team_reviewers":["core"]}"#,
                #"DELETE \#(path) {"reviewers":["old"],"team_reviewers":[]}"#,
            ]
        )
        // The script shows what it had.
        #expect(pull.warnings.count == 1)
        #expect(pull.warnings.first?.contains("left out the reviewers `new`:") == true)
    }

    @Test func `GitHub - a draft is made ready by GraphQL, once`() async throws {
        let service = try ScriptedService { gitHub($0) }
        let writer = try writer(.github, service)
        var change = PullRequestChange()
        for isDraft in [true, false] {
            change.isDraft = isDraft
            let pull = try await writer.updatePullRequest(
                Self.reference,
                in: GitHubFixture.project,
                change
            )
            // The script shows a draft all the same.
            #expect(pull.warnings.count == (isDraft ? 0 : 1))
        }
        let sent = service.calls.filter { $0.method == "POST" }
        #expect(sent.map(\.path) == ["/graphql"])
        #expect(sent[0].body["query"]?.string?.contains("markPullRequestReadyForReview") == true)
        #expect(sent[0].body["variables"] == ["id": "PR_9"])
    }

    @Test(arguments: ["+1", ":thumbsup:"])
    func `GitHub - a reaction is given, and found to be taken back`(_ name: String) async throws {
        let path = "/repositories/7/issues/9/reactions"
        let service = try ScriptedService { call in
            switch (call.method, call.path) {
            case ("POST", path): .answer(200, text: #"{"id":31,"content":"+1"}"#)
            case ("DELETE", "\(path)/31"): .answer(204, text: "")
            default: gitHub(call)
            }
        }
        var change = PullRequestChange()
        change.removedReaction = name
        change.addedReaction = "hooray"
        let pull = try await writer(.github, service).updatePullRequest(
            Self.reference,
            in: GitHubFixture.project,
            change
        )
        #expect(pull.warnings.isEmpty)
        #expect(
            writes(service) == [
                #"POST \#(path) {"content":"+1"}"#, "DELETE \(path)/31 null",
                #"POST \#(path) {"content":"hooray"}"#,
            ]
        )
    }

    @Test func `GitHub - a reaction that it does not have is refused before anything is sent`()
        async throws
    {
        let service = try ScriptedService { gitHub($0) }
        let writer = try writer(.github, service)
        for (added, removed, field) in [
            ("wave", nil, "add_reaction"), (nil, "wave", "remove_reaction"),
            ("a b", nil, "add_reaction"), ("+1", "thumbsup", "remove_reaction"),
        ] as [(String?, String?, String)] {
            var change = PullRequestChange()
            change.title = "New"
            change.addedReaction = added
            change.removedReaction = removed
            let refused = await refusal {
                _ = try await writer.updatePullRequest(
                    Self.reference,
                    in: GitHubFixture.project,
                    change
                )
            }
            #expect(refused?.fields.map(\.field) == [field])
        }
        #expect(service.calls.isEmpty)
    }

    @Test func `GitHub - a reaction that fails is told beside what was done`() async throws {
        let service = try ScriptedService { call in
            switch (call.method, call.path) {
            case ("PATCH", "/repositories/7/issues/9"): .answer(text: GitHubFixture.pull(9))
            case ("POST", _): .answer(422, text: #"{"message":"is locked"}"#)
            default: gitHub(call)
            }
        }
        let writer = try writer(.github, service)
        var change = PullRequestChange()
        change.addedReaction = "eyes"
        let refused = await refusal {
            _ = try await writer.updatePullRequest(
                Self.reference,
                in: GitHubFixture.project,
                change
            )
        }
        #expect(refused?.reason == .locked)
        change.title = "New"
        let half = try await writer.updatePullRequest(
            Self.reference,
            in: GitHubFixture.project,
            change
        )
        #expect(half.warnings.contains { $0.contains("but not the reactions") })
    }

    @Test func `GitHub - what GraphQL refuses with 200 is an error`() async throws {
        let service = try ScriptedService { call in
            call.path == "/graphql"
                ? .answer(text: #"{"errors":[{"type":"FORBIDDEN","message":"no"}]}"#)
                : gitHub(call)
        }
        var change = PullRequestChange()
        change.isDraft = false
        let error = await trackerError {
            _ = try await writer(.github, service).updatePullRequest(
                Self.reference,
                in: GitHubFixture.project,
                change
            )
        }
        #expect(error == .forbidden(detail: "no", missingScope: nil))
    }

    @Test func `GitHub - what cannot get all it shall have is created all the same`() async throws {
        let service = try ScriptedService { call in
            switch (call.method, call.path) {
            case ("POST", "/repositories/7/pulls"): .answer(201, text: Self.pull)
            case ("POST", _): .answer(422, text: #"{"message":"not a collaborator"}"#)
            default: gitHub(call)
            }
        }
        var draft = PullRequestDraft(title: "x", sourceBranch: "mend", targetBranch: "main")
        draft.reviewers = ["stranger"]
        let pull = try await writer(.github, service).createPullRequest(
            draft,
            in: GitHubFixture.project
        )
        #expect(pull.issue.number == 9)
        #expect(pull.warnings.first?.contains("not a collaborator") == true)
    }

    @Test func `GitHub - checks of both kinds, and none where they are hidden`() async throws {
        let isHidden = Mutex(false)
        let service = try ScriptedService { call in
            if isHidden.withLock({ $0 }), call.path.contains("/commits/") {
                return .answer(403, text: #"{"message":"Resource not accessible"}"#)
            }
            switch call.path {
            case "/repositories/7/commits/abc/check-runs":
                return .answer(
                    text: """
                        {"total_count":2,"check_runs":[{"name":"build","status":"completed",
                        "conclusion":"success"},{"name":"lint","status":"in_progress",
                        "conclusion":null}]}
                        """
                )
            case "/repositories/7/commits/abc/status":
                return .answer(
                    text: #"{"statuses":[{"context":"ci","state":"failure","target_url":"u"}]}"#
                )
            default: return gitHub(call)
            }
        }
        let writer = try writer(.github, service)
        let project = GitHubFixture.project
        let pull = try await writer.pullRequest(Self.reference, in: project, parts: [.checks])
        #expect(pull.checks?.state == .failure)
        #expect(pull.checks?.checks.map(\.state) == [.success, .pending, .failure])
        isHidden.withLock { $0 = true }
        let hidden = try await writer.pullRequest(Self.reference, in: project, parts: [.checks])
        #expect(hidden.checks == nil)
    }

    @Test(arguments: [WriteTarget.github, .gitlab])
    func `a milestone is found by its title, before anything is written`(
        target: WriteTarget
    ) async throws {
        let isGitHub = target == .github
        let service = try ScriptedService { call in
            switch (call.method, call.path) {
            case ("GET", "/repositories/7/milestones"), ("GET", "/api/v4/projects/7/milestones"):
                return .answer(
                    text: isGitHub
                        ? #"[{"number":4,"id":77,"title":"v1","state":"open"}]"#
                        : #"[{"id":4,"iid":1,"title":"v1","state":"active"},"#
                            + #"{"id":5,"iid":2,"title":"v0","state":"closed"}]"#
                )
            case ("POST", "/repositories/7/pulls"): return .answer(201, text: Self.pull)
            case ("PATCH", "/repositories/7/issues/9"):
                return .answer(text: GitHubFixture.pull(9))
            case ("POST", "/api/v4/projects/7/merge_requests"):
                return .answer(201, text: Self.merge)
            default: return isGitHub ? gitHub(call) : gitLab(call)
            }
        }
        var draft = PullRequestDraft(title: "x", sourceBranch: "mend", targetBranch: "main")
        let writer = try writer(target, service)
        for title in ["v0", "v2"] {
            draft.milestone = title
            let refused = await refusal {
                _ = try await writer.createPullRequest(draft, in: GitHubFixture.project)
            }
            #expect(refused?.fields.map(\.field) == ["milestone"])
            #expect(refused?.cure == "use one of: `v1`")
        }
        #expect(writes(service).isEmpty)
        draft.milestone = "V1"
        let pull = try await writer.createPullRequest(draft, in: GitHubFixture.project)
        #expect(pull.warnings.isEmpty)
        let last = writes(service).last
        #expect(last?.contains(isGitHub ? #"{"milestone":4}"# : #""milestone_id":4"#) == true)
    }

    // MARK: - GitLab

    private static let merge = """
        {"id":309,"iid":9,"project_id":7,"title":"Draft: Mend it","description":"","state":"opened",
        "labels":[],"author":{"username":"ann"},"assignees":[],"draft":true,
        "created_at":"2025-01-02T03:04:05.000Z","updated_at":"2025-01-03T03:04:05.000Z",
        "web_url":"https://gitlab.example.com/acme/tool/-/merge_requests/9","user_notes_count":0,
        "source_branch":"mend","target_branch":"main","sha":"abc","changes_count":"1",
        "diff_refs":{"base_sha":"b","start_sha":"s","head_sha":"h"},
        "head_pipeline":{"status":"running","web_url":"u"}}
        """

    private static let thread = """
        {"id":"0123456789012345678901234567890123456789","notes":[{"id":51,"type":"DiffNote",
        "body":"Why?","author":{"username":"ann"},"system":false,"resolvable":true,
        "resolved":true,"created_at":"2025-01-02T03:04:05.000Z",
        "updated_at":"2025-01-02T03:04:05.000Z",
        "position":{"new_path":"b.c","old_path":"a.c","new_line":12,"old_line":null}}]}
        """

    private func gitLab(_ call: ScriptedService.Call) -> ScriptedHTTPServer.Step? {
        let root = "/api/v4/projects/7/merge_requests/9"
        let thread = "\(root)/discussions/0123456789012345678901234567890123456789"
        return switch (call.method, call.path) {
        case ("GET", root), ("PUT", root): .answer(text: Self.merge)
        case ("GET", "\(root)/diffs"):
            .answer(
                text: #"""
                    [{"old_path":"a.c","new_path":"b.c","renamed_file":true,"new_file":false,
                    "deleted_file":false,
                    "diff":"@@ -10,3 +10,4 @@\n a\n-b\n+B\n+C\n d\n"}]
                    """#
            )
        case ("GET", "\(root)/discussions"): .answer(text: "[\(Self.thread)]")
        case ("POST", "\(root)/discussions"): .answer(201, text: Self.thread)
        case ("GET", thread), ("PUT", thread): .answer(text: Self.thread)
        case ("POST", "\(thread)/notes"):
            .answer(
                201,
                text: """
                    {"id":52,"body":"So","author":{"username":"bob"},
                    "created_at":"2025-01-02T03:04:05.000Z",
                    "updated_at":"2025-01-02T03:04:05.000Z"}
                    """
            )
        case ("PUT", "\(thread)/notes/51"): .answer(text: "{}")
        case ("POST", "\(root)/notes"):
            .answer(202, text: #"{"commands_changes":{},"summary":["Changes requested."]}"#)
        case ("GET", "\(root)/reviewers"):
            .answer(text: #"[{"user":{"id":1,"username":"me"},"state":"requested_changes"}]"#)
        case ("GET", "\(root)/approvals"): .answer(text: #"{"approved_by":[]}"#)
        default: nil
        }
    }

    @Test(arguments: [
        "@@ -9223372036854775807,2 +1,2 @@\n a\n b\n",
        "@@ --9223372036854775808 +9223372036854775807 @@\n a\n-b\n", "@@ -1 +-1 @@\n a\n",
    ])
    func `GitLab - a hunk that begins nowhere is none`(patch: String) {
        let lines = DiffLines(patch: patch)
        for side in [DiffSide.left, .right] {
            #expect(lines.numbers(of: 5, on: side) == DiffLines.Numbers(old: 5, new: 5))
        }
        #expect(lines.counts == (0, 0))
    }

    @Test(arguments: [
        (10, DiffSide.right, #""new_line":10,"old_line":10"#),
        (11, .left, #""old_line":11"#), (11, .right, #""new_line":11"#),
        (12, .right, #""new_line":12"#), (13, .right, #""new_line":13,"old_line":12"#),
        (20, .right, #""new_line":20,"old_line":19"#), (5, .left, #""new_line":5,"old_line":5"#),
    ])
    func `GitLab - a remark has the numbers of both files`(
        _ line: (number: Int, side: DiffSide, sent: String)
    ) async throws {
        let service = try ScriptedService { gitLab($0) }
        let remark = try await writer(.gitlab, service).addReviewComment(
            LineComment(path: "b.c", line: line.number, side: line.side, body: "Why?"),
            to: Self.reference,
            in: GitHubFixture.project
        )
        #expect(remark.threadID?.utf8.count == 40)
        #expect(remark.isResolved == true)
        let sent = try #require(writes(service).first)
        let place = #""new_path":"b.c","old_path":"a.c",\#(line.sent)}}"#
        #expect(sent.hasSuffix(place), "\(sent)")
        #expect(sent.contains(#""base_sha":"b","start_sha":"s","head_sha":"h""#))
    }

    @Test func `GitLab - a remark on a file without changes names those with some`() async throws {
        let service = try ScriptedService { gitLab($0) }
        let refused = await refusal {
            _ = try await writer(.gitlab, service).addReviewComment(
                LineComment(path: "z.c", line: 1, body: "x"),
                to: Self.reference,
                in: GitHubFixture.project
            )
        }
        #expect(refused?.fields.map(\.field) == ["path"])
        #expect(refused?.cure.contains("`b.c`") == true)
    }

    @Test func `GitLab - a reply goes to the thread of the comment it answers`() async throws {
        let service = try ScriptedService { gitLab($0) }
        let reply = try await writer(.gitlab, service).reply(
            "So",
            toReviewComment: "51",
            of: Self.reference,
            in: GitHubFixture.project
        )
        #expect(reply.comment.externalID == "52")
        #expect(writes(service).count == 1)
        #expect(writes(service)[0].contains("/discussions/0123456789"))
    }

    @Test func `GitLab - a thread is found by its comment, changed and resolved`() async throws {
        let service = try ScriptedService { gitLab($0) }
        let note = try await writer(.gitlab, service).updateReviewComment(
            "51",
            of: Self.reference,
            in: GitHubFixture.project,
            ReviewCommentChange(body: "Why not?", isResolved: true)
        )
        #expect(note.comment.externalID == "51")
        #expect(writes(service).map { $0.split(separator: " ")[0] } == ["PUT", "PUT"])
    }

    @Test func `GitLab - a draft is made ready by its title`() async throws {
        let service = try ScriptedService { gitLab($0) }
        var change = PullRequestChange()
        change.isDraft = false
        _ = try await writer(.gitlab, service).updatePullRequest(
            Self.reference,
            in: GitHubFixture.project,
            change
        )
        let path = "/api/v4/projects/7/merge_requests/9"
        #expect(writes(service) == [#"PUT \#(path) {"title":"Mend it"}"#])
    }

    @Test func `GitLab - changes are requested by its own command`() async throws {
        let service = try ScriptedService { call in
            if call.method == "POST", call.body["body"] == "Not so" {
                return .answer(
                    201,
                    text: """
                        {"id":53,"body":"Not so","author":{"username":"me"},
                        "created_at":"2025-01-02T03:04:05.000Z",
                        "updated_at":"2025-01-02T03:04:05.000Z"}
                        """
                )
            }
            return gitLab(call)
        }
        let pull = try await writer(.gitlab, service).review(
            Self.reference,
            in: GitHubFixture.project,
            ReviewDraft(.requestChanges, body: "Not so")
        )
        #expect(pull.reviews.map(\.verdict) == [.changesRequested])
        #expect(pull.warnings.isEmpty)
    }

    private static func award(_ name: String) -> ScriptedHTTPServer.Step {
        switch name {
        case "tanuki": .answer(201, text: #"{"id":33,"name":"tanuki","user":{"id":2}}"#)
        case "thumbsup":
            .answer(
                404,
                text: #"{"message":"404 Award Emoji Name has already been taken Not Found"}"#
            )
        default:
            .answer(404, text: #"{"message":"404 Award Emoji Name is not a valid emoji name"}"#)
        }
    }

    @Test func `GitLab - reactions are emoji, one's own are taken back`() async throws {
        let path = "/api/v4/projects/7/merge_requests/9/award_emoji"
        let service = try ScriptedService { call in
            switch (call.method, call.path) {
            case ("GET", "/api/v4/user"): .answer(text: #"{"id":2,"username":"me"}"#)
            case ("GET", path):
                .answer(
                    text: """
                        [{"id":30,"name":"tada","user":{"id":1}},
                        {"id":31,"name":"eyes","user":{"id":2}},
                        {"id":32,"name":"tada","user":{"id":2}}]
                        """
                )
            case ("DELETE", "\(path)/32"): .answer(204, text: "")
            case ("POST", path): Self.award(call.body["name"]?.string ?? "")
            default: gitLab(call)
            }
        }
        let writer = try writer(.gitlab, service)
        func react(adding added: String?, removing removed: String? = nil) async throws {
            var change = PullRequestChange()
            change.addedReaction = added
            change.removedReaction = removed
            _ = try await writer.updatePullRequest(
                Self.reference,
                in: GitHubFixture.project,
                change
            )
        }
        try await react(adding: "tanuki", removing: "hooray")
        // What is given already is given, and what is not there is taken back.
        try await react(adding: "+1", removing: "rocket")
        #expect(
            writes(service) == [
                "DELETE \(path)/32 null", #"POST \#(path) {"name":"tanuki"}"#,
                #"POST \#(path) {"name":"thumbsup"}"#,
            ]
        )
        let refused = await refusal { try await react(adding: "no_such") }
        #expect(refused?.fields.map(\.field) == ["add_reaction"])
    }

    @Test func `GitLab - a pipeline is the check`() async throws {
        let service = try ScriptedService { gitLab($0) }
        let pull = try await writer(.gitlab, service).pullRequest(
            Self.reference,
            in: GitHubFixture.project,
            parts: .all
        )
        #expect(pull.checks?.state == .pending)
        #expect(pull.files.first?.previousPath == "a.c")
        #expect(pull.files.first?.status == .renamed)
        #expect(pull.additions == 2)
        #expect(pull.deletions == 1)
        #expect(pull.comments.first?.place?.line == 12)
        #expect(pull.comments.first?.isResolved == true)
    }
}
