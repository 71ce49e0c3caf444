import Domain
import Store
import StoreTestSupport
import Synchronization
import Testing
import Trackers

@testable import API

/// Whether a project can be read, as its tracker says.
@Suite struct ProjectRouteTests {
    private struct Place {
        let server: RunningServer
        let operations: FakeOperations
        let world: World
        let key: String

        init() async throws {
            let setup = RunningServer.Setup()
            operations = setup.operations
            server = try await RunningServer(setup)
            world = try await World(in: server.scratch.store)
            _ = try await server.add("ann", .owner)
            key = try await server.key("ann")
        }

        func test(_ project: String, of organization: String = "acme") async throws
            -> RunningServer.Answer
        {
            try await server.send(
                "POST",
                "/api/v1/projects/test-connection",
                ["organization": .string(organization), "project": .string(project)],
                token: key
            )
        }
    }

    /// The token alone was tried out: a project that it could not see any more was a success.
    @Test func `the tracker is asked for the very project`() async throws {
        let place = try await Place()
        let answer = try await place.test("ACME/site")
        #expect(answer.status == 200, "\(answer.text)")
        #expect(try answer.json["success"] == true)
        #expect(try answer.json["project_id"]?.integer == place.world.projects[1].rawValue)
        #expect(try answer.json["message"]?.string?.contains("bot") == true)
        let asked = place.operations.testedProjects.withLock { $0 }
        #expect(asked == ["acme/site"])
        try await place.server.stop()
    }

    @Test(arguments: [
        (TrackerError.notFound(detail: "no such repository"), "no such repository"),
        (.forbidden(detail: "members only", missingScope: "repo"), "give the token the scope"),
        (.unauthenticated(detail: "bad credentials"), "make a new token"),
        (.unauthenticated(detail: "ended", cure: TokenCure("ask ann")), "ask ann"),
    ])
    func `a project that the token may not read is no success, and the reason is told`(
        refusal: TrackerError,
        words: String
    ) async throws {
        let place = try await Place()
        place.operations.projectRefusal.withLock { $0 = refusal }
        let answer = try await place.test("acme/app")
        #expect(answer.status == 200, "\(answer.text)")
        #expect(try answer.json["success"] == false)
        let message = try answer.json["message"]?.string ?? ""
        #expect(message.contains("\(refusal)") && message.contains(words), "\(message)")
        #expect(try answer.json["project_id"]?.integer == place.world.projects[0].rawValue)
        try await place.server.stop()
    }

    @Test(arguments: [
        (TrackerError.unavailable(detail: "it is away"), 502),
        (.invalidResponse(detail: "a login page"), 502),
        (.rateLimited(until: Timestamp(milliseconds: 0)), 503),
    ])
    func `a tracker that is away says nothing of the project`(
        failure: TrackerError,
        status: Int
    ) async throws {
        let place = try await Place()
        place.operations.projectRefusal.withLock { $0 = failure }
        let answer = try await place.test("acme/app")
        #expect(answer.status == status, "\(answer.text)")
        #expect(try answer.json["success"]?.bool == nil)
        try await place.server.stop()
    }

    @Test func `a project that is not stored is asked of nobody`() async throws {
        let place = try await Place()
        #expect(try await place.test("acme/gone").status == 404)
        #expect(try await place.test("acme/app", of: "others").status == 404)
        let asked = place.operations.testedProjects.withLock { $0 }
        #expect(asked.isEmpty)
        try await place.server.stop()
    }
}
