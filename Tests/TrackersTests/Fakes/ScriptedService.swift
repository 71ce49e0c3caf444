import Domain
import HTTPClient
import TestSupport

@testable import Trackers

/// A service that answers by a function of path and query, over real HTTP on loopback, with a
/// client whose pauses take no time.
final class ScriptedService: Sendable {
    /// One request, decoded.
    struct Call: Sendable {
        var method: String
        var body: JSONValue
        var path: String
        var query: QueryString
        var headers: [String: String]
        /// Which request of the service's life this is, from 0.
        var index: Int
        /// `http://127.0.0.1:PORT`, for links.
        var origin: String
    }

    let server: ScriptedHTTPServer
    let clock = VirtualClock()

    /// Starts; a call without an answer gets 404.
    init(_ answer: @escaping @Sendable (Call) -> ScriptedHTTPServer.Step?) throws {
        server = try ScriptedHTTPServer { request in
            let call = Call(request)
            return [answer(call) ?? .answer(404, text: #"{"message":"404 Not Found"}"#)]
        }
    }

    /// Starts with a script of several steps, which may break connections.
    init(steps: @escaping @Sendable (Call) -> [ScriptedHTTPServer.Step]) throws {
        server = try ScriptedHTTPServer { request in steps(Call(request)) }
    }

    /// What was asked so far.
    var calls: [Call] { server.requests.map(Call.init) }

    /// A client of the service, at a moment that stands still.
    func client(
        _ kind: TrackerKind,
        now: Timestamp = Timestamp(milliseconds: 1_750_000_000_000)
    ) throws -> any TrackerClient {
        try client(kind, credential: Secret("t")) { now }
    }

    /// A client of the service with a stored credential and a wall clock of the test's.
    func client(
        _ kind: TrackerKind,
        credential: Secret,
        now: @escaping @Sendable () -> Timestamp
    ) throws -> any TrackerClient {
        let transport = try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        var parameters = TrackerClients.Parameters(
            kind: kind,
            deployment: .cloud,
            url: server.origin,
            credential: { () throws(TrackerError) in credential },
            transport: transport
        )
        parameters.clock = clock
        parameters.now = now
        return try TrackerClients.make(parameters)
    }

    /// Time that was slept away.
    var slept: Duration { clock.now.offset }
}

extension ScriptedService.Call {
    init(_ request: ScriptedHTTPServer.Request) {
        method = request.method
        body = (try? JSONParser.parse(request.body)) ?? .null
        let parts = request.target.split(separator: "?", maxSplits: 1).map(String.init)
        path = parts[0]
        query = QueryString(parsing: parts.count > 1 ? parts[1] : "")
        headers = request.headers
        index = request.index
        origin = "http://\(request.headers["host"] ?? "")"
    }

    /// A `Link` line to `target`, a path with a query.
    func next(_ target: String) -> (String, String) {
        ("Link", "<\(origin)\(target)>; rel=\"next\", <\(origin)/x?page=1>; rel=\"first\"")
    }
}

extension IssuePage {
    /// The issues that were understood.
    var issues: [Issue] {
        items.compactMap { item in
            if case .issue(let issue, _) = item { issue } else { nil }
        }
    }

    /// The reasons of those that were not.
    var complaints: [String] {
        items.compactMap { item in
            if case .malformed(let item) = item { item.reason } else { nil }
        }
    }
}

extension TrackerClient {
    /// All pages of a walk over issues.
    func pages(_ project: RemoteProject, _ walk: IssueWalk) async throws -> [IssuePage] {
        var pages: [IssuePage] = []
        var token: PageToken?
        repeat {
            let page = try await issues(of: project, walk: walk, page: token, validator: nil)
            pages.append(page)
            token = page.next
            guard pages.count < 100 else { throw EndlessWalk() }
        } while token != nil
        return pages
    }
}
