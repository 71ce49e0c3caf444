import Domain
import TestSupport
import Testing

@testable import Trackers

/// What every tracker does with a written issue, over real HTTP.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct IssueWriterTests {
    @Test(arguments: WriteTarget.allCases)
    func `a created issue is answered as a scan reads it`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let draft = IssueDraft(
            title: "Login fails",
            body: "It **fails**:\n\n```\nboom\n```\n\n- one\n- two",
            labels: ["bug", "new"]
        )
        let written = try await fixture.writers.issues.createIssue(draft, in: fixture.project)
        #expect(written.issue.title == draft.title)
        #expect(written.issue.body == draft.body)
        #expect(written.issue.labels == ["bug", "new"])
        #expect(written.issue.state == .open)
        #expect(written.warnings.isEmpty)
        let truth = try await fixture.truth()
        #expect(truth.items[written.issue.number]?.title == draft.title)
        let read = try await ProjectReading(fixture.client, fixture.project, withComments: false)
        let scanned = read.issues.first { $0.externalID == written.issue.externalID }
        #expect(scanned == written.issue)
    }

    @Test(arguments: WriteTarget.allCases)
    func `a change changes what it names and nothing else`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        var change = IssueChange()
        change.title = "Crash at start"
        change.labels = .change(adding: ["p1"], removing: ["bug"])
        let written = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(written.issue.title == "Crash at start")
        #expect(written.issue.labels == ["p1"])
        #expect(written.issue.body == "It crashes, for the 1. time")
        #expect(written.issue.state == .open && written.warnings.isEmpty)
        let item = try await fixture.truth().items[1]
        #expect(item?.title == "Crash at start")
        #expect(item?.labels == ["p1"])
        #expect(item?.bodySHA256 == sha256(Array("It crashes, for the 1. time".utf8)))
    }

    @Test(arguments: WriteTarget.allCases)
    func `an issue is closed and opened again`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        var change = IssueChange()
        change.state = .closed
        let closed = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(closed.issue.state == .closed)
        #expect(try await fixture.truth().items[1]?.isOpen == false)
        // Closing what is closed is no error.
        let again = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(again.issue.state == .closed)
        #expect(closed.warnings.isEmpty && again.warnings.isEmpty)
        change.state = .open
        let opened = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(opened.issue.state == .open && opened.warnings.isEmpty)
        #expect(try await fixture.truth().items[1]?.isOpen == true)
    }

    @Test(arguments: WriteTarget.allCases)
    func `a status by name is reached or refused with those that are`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        let name = target.isJira ? "in progress" : "Completed"
        var change = IssueChange()
        change.status = name
        let written = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        switch target {
        case .jiraCloud, .jiraServer: #expect(written.issue.status == "In Progress")
        case .github: #expect(written.issue.status == "completed")
        case .gitlab: #expect(written.issue.state == .closed)
        }
        change.status = "No Such State"
        let refused = await refusal {
            _ = try await fixture.writers.issues.updateIssue(
                reference,
                in: fixture.project,
                change
            )
        }
        #expect(refused?.reason == .invalid)
        #expect(refused?.fields.first?.field == "status")
        let cure = try #require(refused?.cure)
        #expect(cure.contains(target.isJira ? "`Resolved` (Resolve Issue)" : "not_planned"))
        let options = try await fixture.writers.issues.statusOptions(
            of: reference,
            in: fixture.project
        )
        #expect(options.contains { $0.state == .closed })
    }

    /// Jira's own names go first: `TOOL` has states called so, not all of which can be reached from
    /// everywhere; `SITE` has none until its first issue is Done.
    @Test(arguments: WriteTarget.allCases)
    func `open and closed are understood, whatever the states are called`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let writer = fixture.writers.issues
        for path in target.isJira ? ["TOOL", "SITE"] : ["acme/tool", "acme/site"] {
            let project = try await writer.project(at: path)
            let reference = IssueReference(
                externalID: "",
                kind: .issue,
                number: 1,
                key: target.isJira ? "\(path)-1" : "\(path)#1"
            )
            let names =
                path == "TOOL"
                ? ["Closed", "Closed", "Reopened", "Open"] : ["Done", "Closed", "Reopened", "Open"]
            for (word, state, name) in [
                ("closed", .closed, names[0]), ("Closed", .closed, names[1]),
                ("open", .open, names[2]), ("open", .open, names[3]),
            ] as [(String, IssueState, String)] {
                var change = IssueChange()
                change.status = word
                let written = try await writer.updateIssue(reference, in: project, change)
                #expect(written.issue.state == state, "\(path) \(word)")
                #expect(written.warnings.isEmpty, "\(written.warnings)")
                if target.isJira { #expect(written.issue.status == name) }
            }
            for word in ["open", "closed"] {
                let draft = IssueDraft(title: "New and \(word)", status: word)
                let created = try await writer.createIssue(draft, in: project)
                #expect(created.issue.state.rawValue == word && created.warnings.isEmpty)
            }
        }
    }

    /// From a state that is final to one that is not, and to the state named in a workflow that has
    /// it.
    @Test(arguments: [WriteTarget.jiraCloud, .jiraServer])
    func `a state called Open is reached by its name, else any that is not done`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        var change = IssueChange()
        change.status = "open"
        for (number, name) in [(2, "Open"), (3, "Reopened")] {
            let written = try await fixture.writers.issues.updateIssue(
                try await fixture.reference(number),
                in: fixture.project,
                change
            )
            #expect(written.issue.status == name)
        }
    }

    @Test(arguments: WriteTarget.allCases)
    func `a duplicate is closed and tells of which issue`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(2)
        let original = try await fixture.reference(1)
        for _ in 0..<2 {
            let written = try await fixture.writers.issues.closeIssue(
                reference,
                in: fixture.project,
                asDuplicateOf: original
            )
            #expect(written.issue.state == .closed && written.warnings.isEmpty)
            // The second time it is the comment that is there already.
            let words = target == .github ? "Duplicate of acme/tool#1" : nil
            #expect(written.comment?.body == words)
            switch target {
            case .github: #expect(written.issue.status == "duplicate")
            case .gitlab: break
            case .jiraCloud, .jiraServer:
                #expect(
                    written.issue.links == [
                        IssueLink(
                            relation: "duplicates",
                            targetKey: "TOOL-1",
                            targetExternalID: original.externalID
                        )
                    ]
                )
            }
        }
        let comments = try await fixture.truth().items[2]?.comments.count
        // GitHub says it in a comment, once; GitLab's command leaves none.
        #expect(comments == (target == .github ? 2 : 1))
    }

    /// An attempt that was cut off between its two steps left an issue that does not say of what.
    @Test func `GitHub's words are added to what is closed as a duplicate already, once`()
        async throws
    {
        let fixture = try await WritingFixture(.github)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(2)
        let original = try await fixture.reference(1)
        var change = IssueChange()
        change.status = "duplicate"
        let closed = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(closed.issue.status == "duplicate")
        for _ in 0..<2 {
            let written = try await fixture.writers.issues.closeIssue(
                reference,
                in: fixture.project,
                asDuplicateOf: original
            )
            #expect(written.issue.status == "duplicate" && written.warnings.isEmpty)
            #expect(try await fixture.truth().items[2]?.comments.count == 2)
        }
    }

    @Test(arguments: WriteTarget.allCases)
    func `priority is a field or a label, and takes the place of the old one`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        var change = IssueChange()
        for priority in ["High", "Low"] {
            change.priority = priority
            let written = try await fixture.writers.issues.updateIssue(
                reference,
                in: fixture.project,
                change
            )
            #expect(written.issue.priority?.lowercased() == priority.lowercased())
            #expect(written.issue.labels.count == (target.isJira ? 1 : 2))
            #expect(written.warnings.isEmpty, "\(written.warnings)")
        }
    }

    @Test(arguments: WriteTarget.allCases)
    func `an assignee is found by name and taken away again`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        var change = IssueChange()
        change.assignees = [target.isJira ? "Fake User" : "ann"]
        let given = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(given.issue.assignees == change.assignees)
        change.assignees = []
        let taken = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(taken.issue.assignees == [])
        #expect(given.warnings.isEmpty && taken.warnings.isEmpty)
    }

    @Test(arguments: WriteTarget.allCases)
    func `an empty title is refused with its field`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let refused = await refusal {
            _ = try await fixture.writers.issues.createIssue(
                IssueDraft(title: ""),
                in: fixture.project
            )
        }
        #expect(refused?.reason == .invalid)
        #expect(refused?.fields.map(\.field) == [target.isJira ? "summary" : "title"])
        #expect(try await fixture.truth().items.count == (target.isJira ? 3 : 4))
    }

    @Test(arguments: WriteTarget.allCases)
    func `case 13: a token that may only read is told so`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target, token: "readonly-token")
        defer { fixture.fake.stop() }
        let error = await trackerError {
            _ = try await fixture.writers.issues.createIssue(
                IssueDraft(title: "x", type: "Task"),
                in: fixture.project
            )
        }
        guard case .forbidden? = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.isRetryable == false)
        #expect(!"\(String(describing: error))".contains("readonly-token"))
    }

    @Test(arguments: WriteTarget.allCases)
    func `an issue that is not there is not found`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let nowhere = IssueReference(
            externalID: "",
            kind: .issue,
            number: 77,
            key: "TOOL-77"
        )
        var change = IssueChange()
        change.title = "x"
        let error = await trackerError {
            _ = try await fixture.writers.issues.updateIssue(
                nowhere,
                in: fixture.project,
                change
            )
        }
        guard case .notFound? = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: [WriteTarget.github, .jiraCloud, .jiraServer])
    func `what was moved to another project is not written to under its old name`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        var reference = try await fixture.reference(1)
        try await fixture.fake.mutate([
            "tracker": .string(target.kind.rawValue), "project": .string(target.project),
            "number": 1, "transfer": target.isJira ? "SITE" : "acme/site",
        ])
        let elsewhere = try await fixture.fake.truth(
            tracker: target.kind.rawValue,
            project: target.isJira ? "SITE" : "acme/site"
        )
        for _ in 0..<2 {
            var change = IssueChange()
            change.title = "Overwritten"
            let error = await trackerError {
                _ = try await fixture.writers.issues.updateIssue(
                    reference,
                    in: fixture.project,
                    change
                )
            }
            #expect(error != nil)
            let unread = await trackerError {
                _ = try await fixture.writers.issues.issue(reference, in: fixture.project)
            }
            guard case .notFound? = unread else {
                Testing.Issue.record("\(String(describing: unread))")
                return
            }
            // Also by what a person writes, who knows no identifier.
            reference.externalID = ""
        }
        let after = try await fixture.fake.truth(
            tracker: target.kind.rawValue,
            project: target.isJira ? "SITE" : "acme/site"
        )
        #expect(after.items.mapValues(\.title) == elsewhere.items.mapValues(\.title))
    }

    @Test(arguments: [WriteTarget.jiraCloud, .jiraServer])
    func `what is created but not brought to its state is told of, not made again`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        var draft = IssueDraft(title: "New here")
        draft.status = "No Such State"
        let written = try await fixture.writers.issues.createIssue(draft, in: fixture.project)
        #expect(written.issue.title == "New here" && written.issue.state == .open)
        #expect(written.warnings.contains { $0.contains("created, but not brought to") })
        let reference = IssueReference(written.issue)
        var change = IssueChange()
        change.title = "Newer"
        change.status = "No Such State"
        let half = try await fixture.writers.issues.updateIssue(
            reference,
            in: fixture.project,
            change
        )
        #expect(half.issue.title == "Newer" && half.warnings.count == 1)
    }
}
