import Domain
import Synchronization

/// The world, which one request at a time looks at or changes.
final class SharedWorld: Sendable {
    private struct State {
        var world: World
        var journal: Journal?
    }

    private let state: Mutex<State>

    /// Begins with what the journal holds done to the samples.
    init(_ samples: World, journal: Journal?) {
        var world = samples
        for entry in journal?.entries ?? [] {
            world.time = entry.doneAt
            // What newer samples refuse is left out.
            _ = Self.answer(entry.request, of: &world, base: "")
        }
        world.time = nil
        state = Mutex(State(world: world, journal: journal))
    }

    /// The answer to a request, which may change the world.
    ///
    /// A write that the journal cannot take is not done.
    func answer(_ request: HTTPServer.Request, base: String) -> HTTPServer.Response {
        state.withLock { state in
            guard !request.isRead else {
                return Self.answer(request, of: &state.world, base: base)
            }
            guard state.journal?.isFull != true else { return HTTPServer.Response(status: 507) }
            let before = state.world.writeCount
            var world = state.world
            world.time = World.now
            let response = Self.answer(request, of: &world, base: base)
            guard world.writeCount > before, let time = world.time else { return response }
            do {
                try state.journal?.add(Journal.Entry(request: request, doneAt: time))
            } catch {
                return HTTPServer.Response(status: 507)
            }
            world.time = nil
            state.world = world
            return response
        }
    }

    private static func answer(
        _ request: HTTPServer.Request,
        of world: inout World,
        base: String
    ) -> HTTPServer.Response {
        let path = request.path
        var service: any SampleService
        let depth: Int
        switch path.first {
        case "github": (service, depth) = (GitHubService(world: world, base: base), 1)
        case "gitlab" where path.prefix(3) == ["gitlab", "api", "v4"]:
            (service, depth) = (GitLabService(world: world, base: base), 3)
        case "jira" where path.prefix(4) == ["jira", "rest", "api", "3"]:
            (service, depth) = (JiraService(world: world, base: base), 4)
        default: return Answers.notFound
        }
        let response = service.answer(request, Array(path.dropFirst(depth)))
        world = service.world
        return response
    }
}
