import Domain
import TestSupport
import Testing

@testable import Trackers

/// Remarks on lines of a pull request, whose threads only GraphQL knows: the reference service has
/// none.
struct GitHubRemarkTests {
    private static let reference = IssueReference(
        externalID: "2009",
        kind: .pullRequest,
        number: 9,
        key: "acme/tool#9"
    )

    private func writer(_ service: ScriptedService) throws -> any PullRequestWriter {
        let parameters = try WritingFixture.parameters(
            .github,
            url: service.server.origin,
            clock: service.clock
        )
        return try #require(try TrackerClients.writers(parameters).pullRequests)
    }

    /// A remark, and a GraphQL that knows nothing.
    private func remark(_ call: ScriptedService.Call) -> ScriptedHTTPServer.Step? {
        switch (call.method, call.path) {
        case ("POST", "/graphql"): .answer(text: #"{"data":{}}"#)
        case (_, "/repositories/7/pulls/comments/5"):
            .answer(
                text: """
                    {"id":5,"user":{"login":"ann"},"body":"b","path":"a.c","line":null,
                    "side":"RIGHT","created_at":"2025-01-03T00:00:00Z",
                    "updated_at":"2025-01-04T00:00:00Z",
                    "pull_request_url":"https://hub/repos/acme/tool/pulls/9"}
                    """
            )
        default: nil
        }
    }

    /// Two pages of threads, the remark's own on the second.
    private func withThreads(_ call: ScriptedService.Call) -> ScriptedHTTPServer.Step? {
        let query = call.body["query"]?.string ?? ""
        guard call.path == "/graphql", query.hasPrefix("query") else { return remark(call) }
        let isFirst = call.body["variables"]?["after"] == .null
        let page = """
            {"pageInfo":{"hasNextPage":\(isFirst),"endCursor":"c1"},"nodes":[
            {"id":"PRRT_\(isFirst ? 1 : 2)","isResolved":false,
            "comments":{"nodes":[{"fullDatabaseId":"\(isFirst ? 4 : 5)"}]}}]}
            """
        let pull = #"{"pullRequest":{"reviewThreads":\#(page)}}"#
        return .answer(text: #"{"data":{"repository":\#(pull)}}"#)
    }

    @Test func `GitHub - a thread is resolved by its remark, and no other one`() async throws {
        let service = try ScriptedService { withThreads($0) }
        let writer = try writer(service)
        let refused = await refusal {
            _ = try await writer.updateReviewComment(
                "5",
                of: Self.reference,
                in: GitHubFixture.project,
                ReviewCommentChange(body: "b", isResolved: true, threadID: "PRRT_1")
            )
        }
        #expect(refused?.fields.map(\.field) == ["thread_id"])
        // Nor is a text changed in its name.
        let renamed = await refusal {
            _ = try await writer.updateReviewComment(
                "5",
                of: Self.reference,
                in: GitHubFixture.project,
                ReviewCommentChange(body: "b", threadID: "PRRT_1")
            )
        }
        #expect(renamed?.fields.map(\.field) == ["thread_id"])
        #expect(mutations(service).isEmpty)
        for thread in [nil, "PRRT_2"] {
            let changed = try await writer.updateReviewComment(
                "5",
                of: Self.reference,
                in: GitHubFixture.project,
                ReviewCommentChange(body: "b", isResolved: true, threadID: thread)
            )
            #expect(changed.isResolved == true && changed.threadID == "PRRT_2")
            #expect(changed.place?.line == nil)
        }
        #expect(mutations(service) == ["PRRT_2", nil, "PRRT_2", nil])
    }

    /// A server that does not know the longer numbers.
    @Test func `GitHub - threads are found by the shorter numbers too`() async throws {
        let service = try ScriptedService { call in
            let query = call.body["query"]?.string ?? ""
            guard call.path == "/graphql", query.hasPrefix("query") else { return remark(call) }
            if query.contains("fullDatabaseId") {
                return .answer(text: #"{"errors":[{"type":"undefinedField","message":"no"}]}"#)
            }
            let thread = #"{"id":"PRRT_3","comments":{"nodes":[{"databaseId":5}]}}"#
            let pull = #"{"pullRequest":{"reviewThreads":{"nodes":[\#(thread)]}}}"#
            return .answer(text: #"{"data":{"repository":\#(pull)}}"#)
        }
        let changed = try await writer(service).updateReviewComment(
            "5",
            of: Self.reference,
            in: GitHubFixture.project,
            ReviewCommentChange(isResolved: false)
        )
        #expect(changed.threadID == "PRRT_3" && changed.isResolved == false)
        #expect(mutations(service) == ["PRRT_3"])
    }

    @Test func `GitHub - a remark far down a thread is resolved by its thread`() async throws {
        let service = try ScriptedService { call in
            let query = call.body["query"]?.string ?? ""
            guard call.path == "/graphql", query.hasPrefix("query") else { return remark(call) }
            let thread = #"{"id":"PRRT_4","comments":{"nodes":[{"fullDatabaseId":"1"}]}}"#
            let pull = #"{"pullRequest":{"reviewThreads":{"nodes":[\#(thread)]}}}"#
            return .answer(text: #"{"data":{"repository":\#(pull)}}"#)
        }
        for (thread, isRight) in [(nil, false), ("PRRT_9", false), ("PRRT_4", true)] {
            let refused = await refusal {
                _ = try await writer(service).updateReviewComment(
                    "5",
                    of: Self.reference,
                    in: GitHubFixture.project,
                    ReviewCommentChange(isResolved: true, threadID: thread)
                )
            }
            #expect((refused == nil) == isRight, "\(thread ?? "none")")
        }
        #expect(mutations(service) == ["PRRT_4"])
    }

    @Test func `GitHub - without GraphQL no thread is resolved`() async throws {
        let service = try ScriptedService { remark($0) }
        let refused = await refusal {
            _ = try await writer(service).updateReviewComment(
                "5",
                of: Self.reference,
                in: GitHubFixture.project,
                ReviewCommentChange(isResolved: true, threadID: "PRRT_1")
            )
        }
        #expect(refused?.fields.map(\.field) == ["comment_id"])
        #expect(mutations(service).isEmpty)
    }

    @Test func `GitHub - a remark of another pull request is none of this one`() async throws {
        let service = try ScriptedService { remark($0) }
        let writer = try writer(service)
        let other = IssueReference(
            externalID: "2008",
            kind: .pullRequest,
            number: 8,
            key: "acme/tool#8"
        )
        let error = await trackerError {
            _ = try await writer.updateReviewComment(
                "5",
                of: other,
                in: GitHubFixture.project,
                ReviewCommentChange(body: "b")
            )
        }
        #expect(error == .notFound(detail: "it is a remark of #9"))
        #expect(mutations(service).isEmpty)
    }

    /// The threads of the mutations a service got, nil for a write that is none.
    private func mutations(_ service: ScriptedService) -> [String?] {
        service.calls.filter { call in
            call.method != "GET" && call.body["query"]?.string?.hasPrefix("query") != true
        }.map { $0.body["variables"]?["id"]?.string }
    }
}
