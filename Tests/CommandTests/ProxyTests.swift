import TestSupport
import Testing

/// Proxies of the environment, and addresses that were vetted.
struct ProxyTests {
    /// The proxy would have connected to where it thinks right, whatever was pinned.
    @Test func `what goes to a vetted address goes by no proxy, and the rest does`() throws {
        let proxy = try ScriptedHTTPServer { _ in [.answer(401, text: "{}")] }
        let server = try ScriptedHTTPServer { _ in [.answer(404, text: "{}")] }
        defer {
            proxy.stop()
            server.stop()
        }
        let sandbox = try Sandbox([
            "PRELOOP_UPSTREAM_ALLOW": "127.0.0.0/8", "http_proxy": proxy.origin,
            "TOKEN": "secret",
        ])
        #expect(try sandbox.preloop("init").status == 0)
        let added = try sandbox.preloop("servers", "add", "up", "--url", "\(server.origin)/mcp")
        #expect(added.status != 0)
        #expect(!server.requests.isEmpty && proxy.requests.isEmpty, "\(added.errors)")
        // A tracker of our own is reached as everything else is.
        _ = try sandbox.addTracker(
            url: "http://127.0.0.1:9",
            kind: "gitlab",
            named: "lab",
            isTried: true
        )
        #expect(!proxy.requests.isEmpty)
    }
}
