import Domain
import TestSupport
import Testing

@testable import Trackers

/// The GitLab adapter over HTTP against scripted answers.
@Suite struct GitLabProtocolTests {
    private typealias Fixture = GitLabFixture
    private let since = Timestamp(milliseconds: 1_735_000_000_000)

    private func page(_ service: ScriptedService) async throws -> IssuePage {
        try await service.client(.gitlab)
            .issues(of: Fixture.project, walk: .everything, page: nil, validator: nil)
    }

    private func error(
        _ answer: @escaping @Sendable (ScriptedService.Call) -> ScriptedHTTPServer.Step?
    ) async throws -> TrackerError? {
        let service = try ScriptedService(answer)
        defer { service.server.stop() }
        return await #expect(throws: TrackerError.self) { try await page(service) }
    }

    @Test func `issues and merge requests are two lists of one walk`() async throws {
        let service = try ScriptedService { call in
            call.path == Fixture.issues
                ? .answer(text: "[\(Fixture.issue(1))]")
                : .answer(text: "[\(Fixture.request(1))]")
        }
        let pages = try await service.client(.gitlab).pages(Fixture.project, .everything)
        #expect(service.calls.map(\.path) == [Fixture.issues, Fixture.requests])
        #expect(service.calls.first?.headers["private-token"] == "t")
        let issue = try #require(pages.first?.issues.first)
        #expect(issue.externalID == "2001")
        #expect(issue.key == "acme/sub/tool#1")
        #expect(issue.state == .open)
        #expect(issue.priority == "high")
        #expect(issue.type == "incident")
        #expect(issue.author == "ann")
        #expect(issue.assignees == ["bob"])
        #expect(issue.commentCount == 2)
        #expect(issue.updatedAt == Timestamp(parsing: "2025-02-03T04:05:06.789Z"))
        #expect(
            issue.links == [
                IssueLink(relation: "duplicates", targetKey: "acme/sub/tool#99"),
                IssueLink(relation: "is blocked by", targetKey: "acme/sub/tool!3"),
            ]
        )
        let request = try #require(pages.last?.issues.first)
        #expect(request.key == "acme/sub/tool!1")
        #expect(request.kind == .pullRequest)
        #expect(request.status == "draft")
        #expect(request.author == nil)
        #expect(request.body.isEmpty)
    }

    /// Above 10,000 rows GitLab leaves the totals out; only the link says that there is more.
    @Test func `a list without totals is walked to its end`() async throws {
        let service = try ScriptedService { call in
            guard call.path == Fixture.issues else { return .answer(text: "[]") }
            let isLast = call.query["created_after"] != nil
            return .answer(
                headers: isLast ? [] : [call.next("\(Fixture.issues)?per_page=100&page=2")],
                text: isLast ? "[\(Fixture.issue(2))]" : "[\(Fixture.issue(1))]"
            )
        }
        let pages = try await service.client(.gitlab).pages(Fixture.project, .everything)
        #expect(pages.flatMap(\.issues).map(\.number) == [1, 2])
    }

    @Test func `a first page full of one instant is not asked for twice`() async throws {
        let service = try ScriptedService { call in
            guard call.path == Fixture.issues else { return .answer(text: "[]") }
            let isFirst = call.query["page"] == nil
            let rows = (isFirst ? 1...100 : 101...150).map { Fixture.issue($0) }
            return .answer(
                headers: isFirst ? [call.next("\(Fixture.issues)?page=2")] : [],
                text: "[\(rows.joined(separator: ","))]"
            )
        }
        let pages = try await service.client(.gitlab)
            .pages(Fixture.project, .changed(since: since))
        #expect(Set(pages.flatMap(\.issues).map(\.number)) == Set(1...150))
        #expect(service.calls.count == 3)
        #expect(service.calls[1].query["updated_after"] == "2025-02-03T04:05:06.789Z")
    }

    @Test func `an offset that is refused as too deep is an error, not an end`() async throws {
        let error = try await error { _ in
            .answer(405, text: #"{"error":"Offset pagination has a maximum allowed offset"}"#)
        }
        #expect(
            error
                == .invalidResponse(
                    detail: "status 405: Offset pagination has a maximum allowed offset"
                )
        )
    }

    @Test func `system notes and remarks on a diff are no comments`() async throws {
        let service = try ScriptedService { call in
            guard call.path == "\(Fixture.issues)/1/notes" else { return nil }
            guard call.query["page"] == nil else { return .answer(text: "[\(Fixture.note(5))]") }
            let rows = [
                Fixture.note(1), Fixture.note(2, system: true),
                Fixture.note(3, type: #""DiffNote""#), #"{"id":4,"body":7,"system":false}"#,
            ]
            return .answer(
                headers: [call.next("\(Fixture.issues)/1/notes?page=2&sort=asc")],
                text: "[\(rows.joined(separator: ","))]"
            )
        }
        let client = try service.client(.gitlab)
        let walk = CommentWalk.issue(Fixture.reference)
        let first = try await client.comments(of: Fixture.project, walk: walk, page: nil)
        #expect(first.comments.map(\.comment.externalID) == ["1"])
        #expect(first.comments.first?.comment.author == "bob")
        #expect(first.malformed.map(\.externalID) == ["4"])
        let last = try await client.comments(of: Fixture.project, walk: walk, page: first.next)
        #expect(last.comments.map(\.comment.externalID) == ["5"])
        #expect(last.next == nil)
        #expect(service.calls.first?.query["sort"] == "asc")
    }

    @Test func `one malformed item costs only itself`() async throws {
        let service = try ScriptedService { _ in
            .answer(text: #"[\#(Fixture.issue(1)),{"id":2002,"iid":null},\#(Fixture.issue(3))]"#)
        }
        let page = try await page(service)
        #expect(page.issues.map(\.number) == [1, 3])
        #expect(page.complaints == ["`iid` is no whole number"])
    }

    @Test func `a moved issue stays where it was`() async throws {
        let service = try ScriptedService { call in
            call.path == "\(Fixture.issues)/1"
                ? .answer(text: Fixture.issue(1, movedTo: "77")) : nil
        }
        let presence = try await service.client(.gitlab)
            .presence(of: Fixture.reference, in: Fixture.project)
        guard case .present(let issue, _, let project) = presence else {
            Testing.Issue.record("\(presence)")
            return
        }
        #expect(issue.key == "acme/sub/tool#1")
        #expect(project == "7")
    }

    @Test(arguments: [
        (nil as String?, IssuePresence.inaccessible),
        (#"{"id":7,"issues_enabled":true}"#, .gone),
        (#"{"id":7,"issues_enabled":false}"#, .inaccessible),
    ])
    func `404 is gone only where the project answers and has issues`(
        project: String?,
        expected: IssuePresence
    ) async throws {
        let service = try ScriptedService { call in
            call.path == Fixture.base ? project.map { .answer(text: $0) } : nil
        }
        let presence = try await service.client(.gitlab)
            .presence(of: Fixture.reference, in: Fixture.project)
        #expect(presence == expected)
        #expect(service.calls.count == 2)
    }

    @Test func `a renamed project's redirect is followed within the service`() async throws {
        let service = try ScriptedService { call in
            call.path == Fixture.issues
                ? .answer(301, headers: [("Location", "\(call.origin)/moved")])
                : .answer(text: "[\(Fixture.issue(1))]")
        }
        #expect(try await page(service).issues.count == 1)
    }

    // MARK: Refusals

    @Test func `a list switched off is empty, a list refused is an error`() async throws {
        let off = try ScriptedService { call in
            switch call.path {
            case Fixture.issues: .answer(403, text: #"{"message":"403 Forbidden"}"#)
            case Fixture.base: .answer(text: #"{"id":7,"issues_enabled":false}"#)
            default: .answer(text: "[\(Fixture.request(1))]")
            }
        }
        let pages = try await off.client(.gitlab).pages(Fixture.project, .everything)
        #expect(pages.flatMap(\.issues).map(\.key) == ["acme/sub/tool!1"])
        #expect(try await error { _ in nil } == .notFound(detail: "status 404: 404 Not Found"))
        let scope = try await error { _ in
            .answer(403, text: #"{"error":"insufficient_scope","scope":"read_api"}"#)
        }
        guard case .forbidden(_, "read_api") = scope else {
            Testing.Issue.record("\(String(describing: scope))")
            return
        }
    }

    @Test(arguments: [
        #"{"message":"401 Unauthorized"}"#,
        #"{"error":"invalid_token","error_description":"Token was revoked."}"#,
    ])
    func `a refused token is no empty project`(body: String) async throws {
        let error = try await error { _ in .answer(401, text: body) }
        guard case .unauthenticated = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `limits in plain text, web pages and cut-off documents are tried again`()
        async throws
    {
        let page = "[\(Fixture.issue(1))]"
        let service = try ScriptedService { call in
            switch call.index {
            case 0:
                .answer(
                    429,
                    headers: [("Content-Type", "text/plain"), ("Retry-After", "9")],
                    text: "Retry later\n"
                )
            case 1: .answer(502, headers: [("Content-Type", "text/html")], text: "<html>502</html>")
            case 2: .answer(text: String(page.prefix(200)))
            default: .answer(text: page)
            }
        }
        #expect(try await self.page(service).issues.map(\.number) == [1])
        #expect(service.slept >= .seconds(9))
    }

    @Test func `a project that cannot be read is named beside the others`() async throws {
        let service = try ScriptedService { call in
            guard call.path == "/api/v4/projects" else { return nil }
            return .answer(
                text: """
                    [\(Fixture.row(7, name: "tool")),{"id":8,"name":"odd","namespace":null},
                    \(Fixture.row(9, name: "site"))]
                    """
            )
        }
        let client = try service.client(.gitlab)
        let groups = try await client.organizations()
        let list = try await client.projects(of: groups[0])
        #expect(list.map(\.path) == ["acme/sub/tool", "acme/sub/site"])
        #expect(list.unreadable.map(\.externalID) == ["8"])
        // It is told once, whichever group is asked for next.
        #expect(try await client.projects(of: groups[0]).unreadable.isEmpty)
    }

    @Test func `a list of which nothing can be read is an error`() async throws {
        let service = try ScriptedService { _ in .answer(text: #"[{"id":8}]"#) }
        await #expect(throws: TrackerError.self) {
            try await service.client(.gitlab).organizations()
        }
    }
}
