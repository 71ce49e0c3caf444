import Domain
import TestSupport
import Testing

@testable import Trackers

/// The GitHub adapter over HTTP against scripted answers.
@Suite struct GitHubProtocolTests {
    private typealias Fixture = GitHubFixture
    private let since = Timestamp(milliseconds: 1_735_000_000_000)

    private func page(
        _ service: ScriptedService,
        walk: IssueWalk = .everything,
        validator: String? = nil
    ) async throws -> IssuePage {
        try await service.client(.github)
            .issues(of: Fixture.project, walk: walk, page: nil, validator: validator)
    }

    @Test func `an issue and a pull request are read from one list`() async throws {
        let service = try ScriptedService { _ in
            .answer(
                headers: [("Date", "Sun, 06 Nov 1994 08:49:37 GMT")],
                text: "[\(Fixture.issue(1)),\(Fixture.pull(2))]"
            )
        }
        let page = try await page(service)
        let issue = try #require(page.issues.first)
        #expect(issue.externalID == "2001")
        #expect(issue.key == "acme/tool#1")
        #expect(issue.state == .closed)
        #expect(issue.status == "not_planned")
        #expect(issue.labels == ["bug", "priority: high"])
        #expect(issue.priority == "high")
        #expect(issue.type == "Bug")
        #expect(issue.author == "ann")
        #expect(issue.assignees == ["bob"])
        #expect(issue.commentCount == 2)
        #expect(haveEqualBytes(issue.body, "Fails on start.\r\n\r\nfixes #9"))
        #expect(issue.links == [IssueLink(relation: "closes", targetKey: "acme/tool#9")])
        let pull = try #require(page.issues.last)
        #expect(pull.kind == .pullRequest)
        #expect(pull.status == "merged")
        #expect(pull.author == nil)
        #expect(pull.body.isEmpty)
        #expect(page.next == nil)
        #expect(page.servedAt == Timestamp(milliseconds: 784_111_777_000))
        let call = try #require(service.calls.first)
        #expect(call.query["state"] == "all")
        #expect(call.headers["authorization"] == "Bearer t")
        #expect(call.headers["accept"] == "application/vnd.github+json")
    }

    @Test func `links are followed at the address that answered, to the last page`() async throws {
        let service = try ScriptedService { call in
            let page = call.query["page"].flatMap { Int($0) } ?? 1
            let target = "\(Fixture.issues)?state=all&page=\(page + 1)"
            let elsewhere = ("Link", "<https://evil.example\(target)>; rel=\"next\"")
            return .answer(
                headers: page < 3 ? [page == 1 ? call.next(target) : elsewhere] : [],
                text: "[\(Fixture.issue(page))]"
            )
        }
        let pages = try await service.client(.github).pages(Fixture.project, .everything)
        #expect(pages.flatMap(\.issues).map(\.number) == [1, 2, 3])
        #expect(service.calls.map(\.path) == [String](repeating: Fixture.issues, count: 3))
    }

    @Test func `a walk over changes goes on at the last time seen`() async throws {
        let service = try ScriptedService { call in
            guard call.query["since"] == "2024-12-24T00:26:40Z" else {
                return .answer(text: "[\(Fixture.issue(2, updated: "2025-03-01T00:00:00Z"))]")
            }
            return .answer(
                headers: [call.next("\(Fixture.issues)?page=2")],
                text: """
                    [\(Fixture.issue(1)),\(Fixture.issue(2, updated: "2025-02-28T00:00:00Z"))]
                    """
            )
        }
        _ = try await service.client(.github).pages(Fixture.project, .changed(since: since))
        #expect(service.calls.map { $0.query["since"] ?? "" }.last == "2025-02-28T00:00:00Z")
        #expect(service.calls.last?.query["page"] == nil)
    }

    /// The same first page would come again: 150 issues of one second are two requests.
    @Test func `a first page full of one second is not asked for twice`() async throws {
        let service = try ScriptedService { call in
            let isFirst = call.query["page"] == nil
            let rows = isFirst ? 1...100 : 101...150
            return .answer(
                headers: isFirst ? [call.next("\(Fixture.issues)?page=2")] : [],
                text: "[\(rows.map { Fixture.issue($0) }.joined(separator: ","))]"
            )
        }
        let pages = try await service.client(.github)
            .pages(Fixture.project, .changed(since: since))
        #expect(Set(pages.flatMap(\.issues).map(\.number)) == Set(1...150))
        #expect(service.calls.count == 2)
        #expect(service.calls.last?.query["since"] == "2025-02-03T04:05:06Z")
    }

    @Test func `a short page's tag is sent again and answered with 304`() async throws {
        let service = try ScriptedService { call in
            call.headers["if-none-match"] == "W/\"a\""
                ? .raw("HTTP/1.1 304 Not Modified\r\nETag: W/\"a\"\r\n\r\n")
                : .answer(headers: [("ETag", "W/\"a\"")], text: "[\(Fixture.issue(1))]")
        }
        let first = try await page(service, walk: .changed(since: since))
        #expect(first.validator == "W/\"a\"")
        let second = try await page(
            service,
            walk: .changed(since: since),
            validator: first.validator
        )
        #expect(second.isNotModified)
        #expect(second.items.isEmpty)
    }

    @Test func `a page too deep starts the walk again, and cursors in links are kept`() async throws
    {
        let service = try ScriptedService { call in
            switch (call.query["page"], call.query["after"]) {
            case (nil, nil):
                .answer(
                    headers: [call.next("\(Fixture.issues)?after=Y3Vyc29yOjE%3D&page=2")],
                    text: "[\(Fixture.issue(1))]"
                )
            case ("2", "Y3Vyc29yOjE="):
                .answer(
                    headers: [call.next("\(Fixture.issues)?page=3")],
                    text: "[\(Fixture.issue(2))]"
                )
            default:
                .answer(
                    422,
                    text: """
                        {"message":"Pagination with the page parameter is not supported for large \
                        datasets, please use cursor based pagination (after/before)"}
                        """
                )
            }
        }
        await #expect(throws: TrackerError.pageTokenExpired) {
            try await service.client(.github).pages(Fixture.project, .everything)
        }
        #expect(service.calls.count == 3)
    }

    @Test func `comments name their issue by its number`() async throws {
        let service = try ScriptedService { call in
            guard call.path == "\(Fixture.issues)/comments" else { return nil }
            return .answer(
                text: "[\(Fixture.comment(31, issue: 4)),{\"id\":32,\"issue_url\":\"x\"}]"
            )
        }
        let client = try service.client(.github)
        let page = try await client.comments(
            of: Fixture.project,
            walk: .project(since: since),
            page: nil
        )
        #expect(page.comments.map(\.issueNumber) == [4])
        #expect(page.comments.first?.comment.externalID == "31")
        #expect(page.comments.first?.comment.author == "bob")
        #expect(page.malformed.map(\.externalID) == ["32"])
        #expect(service.calls.first?.query["since"] == "2024-12-24T00:26:40Z")
    }

    @Test func `one malformed item costs only itself`() async throws {
        let service = try ScriptedService { _ in
            .answer(
                text: """
                    [\(Fixture.issue(1)),{"id":2002,"number":"two"},7,
                    \(Fixture.issue(3, body: #""lone \ud83d end""#))]
                    """
            )
        }
        let page = try await page(service)
        #expect(page.issues.map(\.number) == [1, 3])
        #expect(page.issues.last?.body.contains("\u{FFFD}") == true)
        #expect(page.complaints.count == 2)
    }

    @Test func `a renamed repository's redirect is followed within the service`() async throws {
        let service = try ScriptedService { call in
            call.path == Fixture.issues
                ? .answer(301, headers: [("Location", "\(call.origin)/moved\(Fixture.issues)")])
                : .answer(text: "[\(Fixture.issue(1))]")
        }
        #expect(try await page(service).issues.count == 1)
        #expect(service.calls.map(\.path) == [Fixture.issues, "/moved\(Fixture.issues)"])
    }

    /// Names move, identifiers stay: the renamed repository keeps its issues, and the new one under
    /// the old name does not get them.
    @Test func `a new repository under an old name is another one`() async throws {
        let service = try ScriptedService { call in
            switch call.path {
            case "/user/repos":
                let old = Fixture.repository(7, name: "renamed")
                return .answer(text: "[\(old),\(Fixture.repository(10, name: "tool"))]")
            case "/repositories/7/issues": return .answer(text: "[\(Fixture.issue(1))]")
            case "/repositories/10/issues": return .answer(text: "[\(Fixture.pull(5))]")
            default: return nil
            }
        }
        let client = try service.client(.github)
        var keys: [String: [String]] = [:]
        for owner in try await client.organizations() {
            for project in try await client.projects(of: owner) {
                let pages = try await client.pages(project, .everything)
                keys[project.externalID] = pages.flatMap(\.issues).map(\.key)
            }
        }
        #expect(keys == ["7": ["acme/renamed#1"], "10": ["acme/tool#5"]])
    }

    // MARK: Presence

    private func presence(
        _ answer: @escaping @Sendable (ScriptedService.Call) -> ScriptedHTTPServer.Step?
    ) async throws -> IssuePresence {
        let service = try ScriptedService(answer)
        defer { service.server.stop() }
        return try await service.client(.github)
            .presence(of: Fixture.reference, in: Fixture.project)
    }

    @Test func `410 is gone, but not where issues are switched off`() async throws {
        #expect(
            try await presence { _ in .answer(410, text: #"{"message":"This issue was deleted"}"#) }
                == .gone
        )
        #expect(
            try await presence { _ in
                .answer(410, text: #"{"message":"Issues are disabled for this repo"}"#)
            } == .inaccessible
        )
    }

    @Test func `404 is gone only where the repository answers`() async throws {
        #expect(try await presence { _ in nil } == .inaccessible)
        #expect(
            try await presence { call in
                call.path == "/repositories/7"
                    ? .answer(text: Fixture.repository(7, name: "tool")) : nil
            } == .gone
        )
    }

    @Test func `301 leads to the issue's new key`() async throws {
        let moved = try await presence { call in
            switch call.path {
            case "\(Fixture.issues)/1":
                .answer(301, headers: [("Location", "https://elsewhere/repositories/8/issues/5")])
            case "/repositories/8/issues/5":
                .answer(text: #"{"repository_url":"https://api.github.com/repos/acme/other"}"#)
            default: nil
            }
        }
        #expect(moved == .moved(toKey: "acme/other#5"))
    }
}
