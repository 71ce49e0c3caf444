import HTTPClient
import TestSupport

/// An authorization server with an MCP server that wants its tokens, ended with the test.
struct AuthorizationScript: Sendable {
    struct Failure: Error {}

    private let script: UpstreamScript
    private let http: CurlClient

    /// Starts both.
    init() throws {
        script = try UpstreamScript("oauth_server.py")
        http = try CurlClient(configuration: .init(version: "test"))
    }

    /// Where the MCP server listens.
    var url: String { script.url }

    /// Who gives its tokens.
    var issuer: String { url.replacing("/mcp", with: "/as") }

    /// Where it sends a browser that has opened its page.
    func consent(_ page: String) async throws -> String {
        let answer = try await http.stream(
            HTTPRequest(url: page),
            to: HTTPReceiver(head: { _, _ in }, body: { _ in true })
        )
        guard let location = answer.headers["Location"] else { throw Failure() }
        return location
    }
}
