import Domain
import Glibc
import Synchronization

// tracker-simulator SAMPLE.jsonl [PORT]: serves the sample issues as GitHub (/github), GitLab
// (/gitlab) and Jira Cloud (/jira) on 127.0.0.1, and prints `listening on PORT` when it is ready.
// What is written to them is kept until it ends.

func readFile(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "rb") else {
        throw SimulatorError(message: "cannot read \(path)")
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        guard count > 0 else { return bytes }
        bytes += chunk[..<count]
    }
}

func write(to descriptor: Int32, _ text: String) {
    _ = text.withCString { Glibc.write(descriptor, $0, strlen($0)) }
}

/// The world, which one request at a time looks at or changes.
final class SharedWorld: Sendable {
    private let world: Mutex<World>

    init(_ world: World) {
        self.world = Mutex(world)
    }

    /// The service's answer, which may leave another world behind.
    func answer(
        _ request: HTTPServer.Request,
        below count: Int,
        by make: (World) -> any SampleService
    ) -> HTTPServer.Response {
        world.withLock { world in
            var service = make(world)
            let answer = service.answer(request, Array(request.path.dropFirst(count)))
            world = service.world
            return answer
        }
    }
}

func answer(
    _ request: HTTPServer.Request,
    world: SharedWorld,
    base: String
) -> HTTPServer.Response {
    switch request.path.first {
    case "github":
        world.answer(request, below: 1) { GitHubService(world: $0, base: base) }
    case "gitlab" where request.path.prefix(3) == ["gitlab", "api", "v4"]:
        world.answer(request, below: 3) { GitLabService(world: $0, base: base) }
    case "jira" where request.path.prefix(4) == ["jira", "rest", "api", "3"]:
        world.answer(request, below: 4) { JiraService(world: $0, base: base) }
    default: Answers.notFound
    }
}

do {
    guard CommandLine.arguments.count >= 2 else {
        throw SimulatorError(message: "use: tracker-simulator SAMPLE.jsonl [PORT]")
    }
    let world = SharedWorld(try World(jsonLines: readFile(CommandLine.arguments[1])))
    let wanted = CommandLine.arguments.count > 2 ? UInt16(CommandLine.arguments[2]) ?? 0 : 0
    // The base URL in answers needs the port, which is known only after binding.
    let server = try HTTPServer(port: wanted) { request in
        let base = "http://" + (request.headers["host"] ?? "127.0.0.1")
        return answer(request, world: world, base: base)
    }
    // Not `print`: its buffer would keep the line from whoever waits for it.
    write(to: STDOUT_FILENO, "listening on \(server.port)\n")
    server.run()
} catch {
    write(to: STDERR_FILENO, "tracker-simulator: \(error)\n")
    exit(1)
}
