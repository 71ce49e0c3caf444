import Bootstrap
import Domain
import HTTPClient

/// The policy of a server, for the commands that take `--url`.
struct RemotePolicy: Sendable {
    let server: RemoteServer

    private static let path = "/api/v1/policies"

    /// The server of `--url`; nil for the installation of this machine.
    static func open(_ remote: RemoteOptions) throws(CommandFailure) -> RemotePolicy? {
        guard remote.url != nil, let server = try remote.server(Settings.read()) else { return nil }
        return RemotePolicy(server: server)
    }

    /// What is sent with a text.
    struct Application {
        /// Nil for the policy in force.
        var text: String?
        /// As messages name it.
        var file: String
        var prunes = false
        var isDry = false
        var expected: Int64?
        var tag: String?
    }

    /// Applies a policy, or only tells what that would change.
    func apply(_ given: Application) async throws(CommandFailure) -> JSONValue {
        var query = "?dry_run=\(given.isDry)&prune=\(given.prunes)"
        if let tag = given.tag { query += "&tag=\(RemoteServer.encoded(tag))" }
        return try await send("upload\(query)", given)
    }

    /// What applying a policy would change, also for the calls on record.
    func plan(_ given: Application, calls: Int) async throws(CommandFailure) -> JSONValue {
        try await send("plan?prune=\(given.prunes)&calls=\(calls)", given)
    }

    /// The calls on record, decided again; by the policy in force without a text.
    func replay(
        _ text: String?,
        file: String,
        calls: Int
    ) async throws(CommandFailure) -> JSONValue {
        try await send("replay?calls=\(calls)", Application(text: text, file: file))
    }

    /// How a policy differs from the one in force.
    func compare(_ text: String, file: String) async throws(CommandFailure) -> JSONValue {
        try await send("diff", Application(text: text, file: file))
    }

    /// Puts a version in force again, or only tells what that would change.
    func rollBack(to version: Int64, isDry: Bool) async throws(CommandFailure) -> JSONValue {
        let path = "\(Self.path)/versions/\(version)/rollback"
        return try await server.call("POST", path, ["preview_only": .bool(isDry)])
    }

    /// The text of a version; of the one in force for nil.
    func text(version: Int64?) async throws(CommandFailure) -> String {
        let query = version.map { "?version=\($0)" } ?? ""
        let answer = try await server.send("GET", "\(Self.path)/export\(query)")
        guard answer.status == 200 else {
            throw RemoteServer.failure(answer, "cannot export the policy")
        }
        return String(decoding: answer.body, as: UTF8.self)
    }

    /// The versions, the one in force first.
    func versions(limit: Int) async throws(CommandFailure) -> [JSONValue] {
        try await server.call("GET", "\(Self.path)/versions?limit=\(limit)").array ?? []
    }

    /// What is decided about a call, and by which rules; the server knows what the name means.
    func explain(_ call: JSONObject) async throws(CommandFailure) -> JSONValue {
        try await server.call("POST", "\(Self.path)/explain", .object(call))
    }

    /// Sends a text; what is wrong with it is told line by line, as for a policy of this machine.
    private func send(
        _ path: String,
        _ given: Application
    ) async throws(CommandFailure) -> JSONValue {
        let headers = given.expected.map { [HTTPField("If-Match", "\"policy-\($0)\"")] } ?? []
        let answer = try await server.send(
            "POST",
            "\(Self.path)/\(path)",
            given.text.map { ["policy": .string($0)] } ?? [:],
            headers: headers
        )
        guard answer.status != 422, (200..<300).contains(answer.status) else {
            for field in answer.json?["errors"]?.array ?? [] {
                let message = field["message"]?.string ?? ""
                standardError("\(given.file): \(singleLine(message))")
            }
            throw RemoteServer.failure(answer, "`\(server.url)` refuses the policy")
        }
        return answer.json ?? .null
    }
}
