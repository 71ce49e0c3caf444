import Domain
import TestSupport
import Testing

@testable import Trackers

/// What a tracker answers with success and does not do is told; what it writes in another way is no
/// difference.
struct UnmetWishTests {
    private static let targets: [WriteTarget] = [.github, .gitlab, .jiraCloud]

    private static let jira = """
        {"id":"2001","key":"TOOL-1","fields":{"summary":"Crash 1","description":{"type":"doc",
        "version":1,"content":[{"type":"paragraph","attrs":{"localId":"x"},"content":[
        {"type":"text","text":"Fails "},{"type":"text","text":"on start."}]}]},
        "status":{"name":"To Do","statusCategory":{"key":"new"}},"labels":["bug"],
        "issuetype":{"name":"Bug"},"priority":{"name":"Hoch"},"resolution":null,
        "assignee":{"accountId":"6","displayName":"Robert"},"issuelinks":[],
        "project":{"id":"7","key":"TOOL"},"created":"2025-01-02T03:04:05.000+0000",
        "updated":"2025-01-03T03:04:05.000+0000"}}
        """

    private static let steps = """
        {"transitions":[{"id":"31","name":"Close","to":{"name":"Done",
        "statusCategory":{"key":"done"}},"fields":{}}]}
        """

    /// A service that shows the same issue whatever is written to it.
    private static func obstinate(
        _ call: ScriptedService.Call,
        _ target: WriteTarget
    ) -> ScriptedHTTPServer.Step? {
        let isNew = call.method == "POST"
        if target == .github {
            if call.path.contains("/labels") { return .answer(text: "[]") }
            return .answer(isNew ? 201 : 200, text: GitHubFixture.issue(1))
        }
        if target == .gitlab {
            if call.path.hasSuffix("/users") {
                return .answer(text: #"[{"id":5,"username":"ann"},{"id":6,"username":"bob"}]"#)
            }
            return .answer(isNew ? 201 : 200, text: GitLabFixture.issue(1))
        }
        switch (call.method, call.path) {
        case ("GET", "/rest/api/3/user/assignable/search"):
            return .answer(
                text: """
                    [{"accountId":"5","displayName":"Ann"},
                    {"accountId":"6","displayName":"Robert","emailAddress":"bob@example.com"}]
                    """
            )
        case ("GET", "/rest/api/3/issue/2001/transitions"): return .answer(text: steps)
        case ("GET", "/rest/api/3/issue/2001"): return .answer(text: jira)
        case ("GET", "/rest/api/3/issue/createmeta/7/issuetypes"):
            return .answer(text: #"{"issueTypes":[{"name":"Bug"}]}"#)
        case ("POST", "/rest/api/3/issue"): return .answer(201, text: #"{"id":"2001"}"#)
        default: return .answer(204, text: "")
        }
    }

    private static let jiraProject = RemoteProject(
        externalID: "7",
        path: "TOOL",
        name: "Tool",
        url: "https://example.com/browse/TOOL"
    )

    private func writer(
        _ target: WriteTarget,
        _ service: ScriptedService
    ) throws -> any IssueWriter {
        try TrackerClients.writers(
            WritingFixture.parameters(target, url: service.server.origin, clock: service.clock)
        ).issues
    }

    private func warnings(_ target: WriteTarget, _ change: IssueChange) async throws -> [String] {
        let service = try ScriptedService { Self.obstinate($0, target) }
        let written = try await writer(target, service).updateIssue(
            GitHubFixture.reference,
            in: target.isJira ? Self.jiraProject : GitHubFixture.project,
            change
        )
        #expect(written.issue.title == "Crash 1")
        return written.warnings
    }

    @Test(arguments: targets)
    func `each thing that is not done is told`(target: WriteTarget) async throws {
        var change = IssueChange()
        change.title = "Hang"
        change.body = "It hangs"
        change.type = "Task"
        change.priority = target.isJira ? "Low" : nil
        change.labels = .set(["bug", "ui"])
        change.assignees = ["ann"]
        // GitHub's is closed, the others' are open.
        change.state = target == .github ? .open : .closed
        let found = try await warnings(target, change)
        var expected = [
            "the title: it shows `Crash 1`", "the description as it was given",
            "left out the labels `ui`:",
        ]
        switch target {
        case .github:
            expected += [
                "the type `Task`: it shows `Bug`", "kept the labels `priority: high`,",
                "left out the assignees `ann`:", "kept the assignees `bob`,",
                "the state `open`: it shows `closed`",
            ]
        case .gitlab:
            expected += [
                "the type `task`: it shows `incident`", "kept the labels `priority::high`,",
                "left out the assignees `ann`:", "kept the assignees `bob`,",
                "the state `closed`: it shows `open`",
            ]
        case .jiraCloud, .jiraServer:
            expected += [
                "the type `Task`: it shows `Bug`", "the priority `Low`: it shows `Hoch`",
                "the assignee `ann`: it shows `Robert`", "the state `Done`: it shows `To Do`",
            ]
        }
        #expect(found.count == expected.count, "\(found)")
        for phrase in expected {
            #expect(found.contains { $0.contains(phrase) }, "\(phrase): \(found)")
        }
    }

    @Test(arguments: targets)
    func `another way of writing the same is no difference`(target: WriteTarget) async throws {
        var change = IssueChange()
        change.title = " Crash  1\t"
        switch target {
        case .github:
            change.body = "Fails on start.  \n\nfixes #9\n"
            change.labels = .set([" BUG", "Priority: High"])
            change.assignees = ["Bob"]
            change.status = "not planned"
            change.type = "bug"
        case .gitlab:
            change.body = "\r\nSee below\r\n\r\nblocked by !3"
            change.labels = .set(["Bug", "priority::HIGH"])
            change.assignees = ["@Bob"]
            change.status = "open"
            change.type = "Incident"
        case .jiraCloud, .jiraServer:
            // The document has other pieces than the one that is sent, and people other names.
            change.body = "*Fails* on start!"
            change.labels = .set(["BUG"])
            change.assignees = ["bob@example.com"]
            change.status = "to do"
            change.type = "bug"
        }
        let found = try await warnings(target, change)
        #expect(found.isEmpty, "\(found)")
    }

    @Test(arguments: targets)
    func `labels that shall come and go are looked for`(target: WriteTarget) async throws {
        var change = IssueChange()
        change.labels = .change(adding: ["ui"], removing: ["Bug", "absent"])
        let found = try await warnings(target, change)
        #expect(found.count == 2, "\(found)")
        #expect(found.first?.contains("left out the labels `ui`:") == true)
        #expect(found.last?.contains("kept the labels `bug`,") == true)
        change.labels = .change(adding: ["bug"], removing: ["absent"])
        #expect(try await warnings(target, change).isEmpty)
    }

    /// Assignees of the project's own and texts of a template's are no fault.
    @Test(arguments: targets)
    func `what a new issue lacks is told, what it has besides is not`(
        target: WriteTarget
    ) async throws {
        let service = try ScriptedService { Self.obstinate($0, target) }
        let project = target.isJira ? Self.jiraProject : GitHubFixture.project
        let writer = try writer(target, service)
        let draft = IssueDraft(title: "Crash 1", type: "Bug")
        let plain = try await writer.createIssue(draft, in: project)
        #expect(plain.warnings.count == (target == .gitlab ? 1 : 0), "\(plain.warnings)")
        let full = try await writer.createIssue(
            IssueDraft(title: "Crash 1", body: "Boom", labels: ["bug", "ui"], assignees: ["ann"]),
            in: project
        )
        #expect(full.warnings.count == 3, "\(full.warnings)")
        for phrase in ["the description as it was given", "the labels `ui`", "`ann`"] {
            #expect(full.warnings.contains { $0.contains(phrase) }, "\(full.warnings)")
        }
    }

    @Test func `GitLab - a reason to close is not kept, and that is told`() async throws {
        let service = try ScriptedService { _ in
            .answer(text: GitLabFixture.issue(1).replacing("opened", with: "closed"))
        }
        for (word, count) in [("completed", 0), ("closed", 0), ("not_planned", 1)] {
            var change = IssueChange()
            change.status = word
            let written = try await writer(.gitlab, service).updateIssue(
                GitLabFixture.reference,
                in: GitLabFixture.project,
                change
            )
            #expect(written.warnings.count == count, "\(written.warnings)")
        }
    }

    /// It was taken for done: that an issue is closed says nothing of which one it duplicates.
    @Test func `GitLab - a refused command is made up for where the issue is closed already`()
        async throws
    {
        let service = try ScriptedService { call in
            if call.path.hasSuffix("/notes") { return .answer(400, text: #"{"message":"no"}"#) }
            let isLink = call.path.hasSuffix("/links")
            let issue = GitLabFixture.issue(1).replacing("opened", with: "closed")
            return .answer(isLink ? 201 : 200, text: issue)
        }
        let written = try await writer(.gitlab, service).closeIssue(
            GitLabFixture.reference,
            in: GitLabFixture.project,
            asDuplicateOf: IssueReference(
                externalID: "2003",
                kind: .issue,
                number: 3,
                key: "acme/sub/tool#3"
            )
        )
        #expect(written.issue.state == .closed)
        let writes = service.calls.filter { $0.method != "GET" }
        #expect(writes.map(\.path).last == "\(GitLabFixture.issues)/1/links")
        #expect(writes.count == 2)
    }

    @Test func `Jira - a link that is not shown is told`() async throws {
        let service = try ScriptedService { call in
            call.path == "/rest/api/3/issueLinkType"
                ? .answer(text: #"{"issueLinkTypes":[{"name":"Duplicate"}]}"#)
                : Self.obstinate(call, .jiraCloud)
        }
        let written = try await writer(.jiraCloud, service).closeIssue(
            GitHubFixture.reference,
            in: Self.jiraProject,
            asDuplicateOf: IssueReference(
                externalID: "2003",
                kind: .issue,
                number: 3,
                key: "TOOL-3"
            )
        )
        #expect(written.warnings.count == 2)
        #expect(written.warnings.first?.contains("the state `Done`") == true)
        #expect(written.warnings.last?.contains("the link to `TOOL-3`") == true)
    }

    @Test(arguments: [
        ("Text", "Text", false), ("> **ann** wrote:\n> So\n\nText", "Text", false),
        ("One\r\nTwo  \r\n", "One\nTwo", false), ("Text", "Text\n/label ~bug", true),
        ("Old", "New", true),
    ])
    func `a comment that is not what was given is told`(
        _ row: (shown: String, given: String, isTold: Bool)
    ) {
        let now = Timestamp(milliseconds: 0)
        var comment = Domain.Comment(
            externalID: "5",
            body: row.shown,
            createdAt: now,
            updatedAt: now
        )
        #expect((comment.warning(given: row.given) != nil) == row.isTold)
        comment.source = row.shown
        #expect(comment.warning(given: row.given) == nil)
    }
}
