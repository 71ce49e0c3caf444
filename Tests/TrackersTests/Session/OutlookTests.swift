import Domain
import HTTPClient
import Synchronization
import TestSupport
import Testing

@testable import Trackers

/// What a client tells for show: how much a walk has left, and until when requests wait.
@Suite struct OutlookTests {
    private func link(_ pages: (relation: String, number: Int)...) -> (String, String) {
        let links = pages.map { "</x?page=\($0.number)&per_page=100>; rel=\"\($0.relation)\"" }
        return ("Link", links.joined(separator: ", "))
    }

    @Test func `GitHub's link to the last page tells what is left`() async throws {
        let service = try ScriptedService { call in
            let first = (relation: "next", number: 2)
            if call.query["page"] == "2" { return .answer(text: "[\(GitHubFixture.issue(2))]") }
            return .answer(
                headers: [link(first, (relation: "last", number: 8))],
                text: "[\(GitHubFixture.issue(1))]"
            )
        }
        defer { service.server.stop() }
        let client = try service.client(.github)
        let pages = try await client.pages(GitHubFixture.project, .everything)
        #expect(pages.map(\.remainingCount) == [700, nil])
        // The probe has five rows a page, and counts its own.
        let probe = try await client.pages(GitHubFixture.project, .newest)
        #expect(probe.map(\.remainingCount) == [36])
    }

    @Test func `GitLab's totals count both lists in the probe and the last in the walk`()
        async throws
    {
        let service = try ScriptedService { call in
            call.path == GitLabFixture.issues
                ? .answer(headers: [("X-Total", "40")], text: "[\(GitLabFixture.issue(1))]")
                : .answer(headers: [("X-Total", "3")], text: "[\(GitLabFixture.request(1))]")
        }
        defer { service.server.stop() }
        let client = try service.client(.gitlab)
        let probe = try await client.pages(GitLabFixture.project, .newest)
        #expect(probe.map(\.remainingCount) == [43])
        let pages = try await client.pages(GitLabFixture.project, .everything)
        #expect(pages.map(\.remainingCount) == [nil, 2])
    }

    @Test(arguments: [Int.min, -3, 0])
    func `a page before the first one leaves nobody knows what`(number: Int) async throws {
        let service = try ScriptedService { call in
            let links =
                call.query["page"] == nil
                ? link((relation: "next", number: number))
                : link((relation: "last", number: 8))
            return .answer(headers: [links], text: "[\(GitHubFixture.issue(1))]")
        }
        defer { service.server.stop() }
        let pages = try await service.client(.github).pages(GitHubFixture.project, .everything)
        #expect(pages.map(\.remainingCount) == [nil, nil])
    }

    @Test(arguments: ["", "many", "-4", "9223372036854775807"])
    func `a total that is none is not believed`(total: String) async throws {
        let service = try ScriptedService { call in
            call.path == GitLabFixture.issues
                ? .answer(headers: [("X-Total", total)], text: "[\(GitLabFixture.issue(1))]")
                : .answer(headers: [("X-Total", "7")], text: "[\(GitLabFixture.request(1))]")
        }
        defer { service.server.stop() }
        let probe = try await service.client(.gitlab).pages(GitLabFixture.project, .newest)
        #expect(probe.map(\.remainingCount) == [nil])
    }

    @Test func `whoever watches is told until when the rate limit lasts`() async throws {
        let service = try ScriptedService { call in
            call.index == 0
                ? .answer(429, headers: [("Retry-After", "90")], text: "{}")
                : .answer(text: #"{"login":"ann"}"#)
        }
        defer { service.server.stop() }
        let told = Mutex<[Timestamp]>([])
        let now = Timestamp(milliseconds: 1_750_000_000_000)
        var parameters = TrackerClients.Parameters(
            kind: .github,
            deployment: .cloud,
            url: service.server.origin,
            credential: { () throws(TrackerError) in Secret("t") },
            transport: try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        )
        parameters.clock = service.clock
        parameters.now = { now }
        parameters.willWait = { until in told.withLock { $0.append(until) } }
        _ = try await TrackerClients.make(parameters).verify()
        let first = try #require(told.withLock { $0.first })
        #expect(first >= now.advanced(by: .seconds(90)))
        // The pause and its jitter.
        #expect(first <= now.advanced(by: .seconds(120)))
    }
}
