import Domain
import TestSupport
import Testing

@testable import Trackers

/// What the GitHub adapter makes of refusals and broken answers.
@Suite struct GitHubRefusalTests {
    private typealias Fixture = GitHubFixture
    /// The service's clock; the client's is elsewhere.
    private static let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")

    /// A service that answers well after `answers`.
    private func service(_ answers: [ScriptedHTTPServer.Step]) throws -> ScriptedService {
        try ScriptedService { call in
            call.index < answers.count
                ? answers[call.index] : .answer(text: "[\(Fixture.issue(1))]")
        }
    }

    private func read(_ service: ScriptedService) async throws -> [Int] {
        try await service.client(.github)
            .issues(of: Fixture.project, walk: .everything, page: nil, validator: nil)
            .issues.map(\.number)
    }

    private static let secondary = """
        {"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}
        """

    @Test(arguments: [403, 429])
    func `a secondary limit is waited for as long as it says`(status: Int) async throws {
        let service = try service([
            .answer(
                status,
                headers: [("Retry-After", "7"), ("X-RateLimit-Remaining", "4000")],
                text: Self.secondary
            )
        ])
        #expect(try await read(service) == [1])
        #expect(service.slept >= .seconds(7))
        #expect(service.slept < .seconds(20))
    }

    @Test func `a secondary limit without a time is known by its text`() async throws {
        let service = try service([.answer(403, text: Self.secondary)])
        #expect(try await read(service) == [1])
        #expect(service.slept >= .seconds(60))
    }

    @Test func `an exhausted window is waited for by the service's own clock`() async throws {
        let service = try service([
            .answer(
                403,
                headers: [
                    Self.date, ("X-RateLimit-Limit", "5000"), ("X-RateLimit-Remaining", "0"),
                    ("X-RateLimit-Reset", "784111807"),
                ],
                text: #"{"message":"API rate limit exceeded for user ID 1."}"#
            )
        ])
        #expect(try await read(service) == [1])
        #expect(service.slept >= .seconds(30))
        #expect(service.slept < .seconds(60))
    }

    @Test func `a window that ends too late parks the scan`() async throws {
        let service = try service([
            .answer(
                403,
                headers: [
                    Self.date, ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "784115377"),
                ],
                text: #"{"message":"API rate limit exceeded for user ID 1."}"#
            )
        ])
        let error = await #expect(throws: TrackerError.self) { try await read(service) }
        guard case .rateLimited = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
        #expect(service.calls.count == 1)
    }

    @Test func `a missing permission fails at once and names what is missing`() async throws {
        let service = try service([
            .answer(
                403,
                headers: [
                    ("X-RateLimit-Remaining", "4999"),
                    ("X-Accepted-GitHub-Permissions", "issues=read"),
                ],
                text: #"{"message":"Resource not accessible by personal access token"}"#
            )
        ])
        let error = await #expect(throws: TrackerError.self) { try await read(service) }
        guard case .forbidden(_, let scope) = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
        #expect(scope == "issues=read")
        #expect(service.calls.count == 1)
    }

    @Test func `a refused token and a hidden repository are told apart`() async throws {
        let refusing = try service([
            .answer(401, text: #"{"message":"Bad credentials"}"#),
            .answer(401, text: #"{"message":"Bad credentials"}"#),
        ])
        let refused = await #expect(throws: TrackerError.self) { try await read(refusing) }
        #expect(refused == .unauthenticated(detail: "status 401: Bad credentials"))
        let hiding = try service([.answer(404, text: #"{"message":"Not Found"}"#)])
        let hidden = await #expect(throws: TrackerError.self) { try await read(hiding) }
        #expect(hidden == .notFound(detail: "status 404: Not Found"))
    }

    @Test func `web pages, cut-off documents and resets are tried again`() async throws {
        let page = "[\(Fixture.issue(1))]"
        let service = try service([
            .answer(502, headers: [("Content-Type", "text/html")], text: "<html>Unicorn!</html>"),
            .answer(text: String(page.prefix(300))),
            .answer(headers: [("Content-Type", "text/html")], text: "<!DOCTYPE html><p>Log in"),
            .reset,
        ])
        #expect(try await read(service) == [1])
        #expect(service.calls.count == 5)
    }

    @Test func `a page that breaks the service again and again is made smaller`() async throws {
        let service = try service([
            .answer(502, text: "<html>"), .answer(502, text: "<html>"),
        ])
        #expect(try await read(service) == [1])
        #expect(service.calls.map { $0.query["per_page"] ?? "" } == ["100", "100", "50"])
    }

    @Test func `a repository that cannot be read is named beside the others`() async throws {
        let service = try ScriptedService { call in
            guard call.path == "/user/repos" else { return nil }
            return .answer(
                text: """
                    [\(Fixture.repository(7, name: "tool")),
                    {"id":8,"full_name":"acme/odd","owner":{"login":"acme","id":70}},
                    \(Fixture.repository(9, name: "site"))]
                    """
            )
        }
        let client = try service.client(.github)
        let owners = try await client.organizations()
        #expect(owners.map(\.path) == ["acme"])
        let list = try await client.projects(of: owners[0])
        #expect(list.map(\.path) == ["acme/tool", "acme/site"])
        #expect(
            list.unreadable == [
                UnreadableProject(
                    externalID: "8",
                    path: "acme/odd",
                    reason: "`name` is missing"
                )
            ]
        )
        #expect(service.calls.count == 1)
    }
}
