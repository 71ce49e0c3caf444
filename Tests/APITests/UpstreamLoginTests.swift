import Domain
import HTTPClient
import Store
import Synchronization
import Testing

@testable import API

/// Signing in to MCP servers by a browser that is anywhere.
///
/// Each request of these servers has a desk of its own, as if each came to another process.
@Suite struct UpstreamLoginTests {
    private static let origin = "https://preloop.example.com"
    private static let place = "/api/v1/private/mcp-oauth/callback"

    /// A clock that a test moves on.
    private final class Time: Sendable {
        private let passed = Mutex(Duration.zero)

        var clock: WallClock {
            WallClock { WallClock.system.now().advanced(by: self.passed.withLock { $0 }) }
        }

        func pass(_ duration: Duration) { passed.withLock { $0 += duration } }
    }

    /// A server that knows an MCP server that wants tokens.
    private struct World {
        let script: AuthorizationScript
        let server: RunningServer
        let time = Time()
        let key: String
        /// Of the MCP server, over REST.
        let path: String

        init(isReachable: Bool = true) async throws {
            script = try AuthorizationScript()
            var setup = RunningServer.Setup()
            setup.publicURL = isReachable ? UpstreamLoginTests.origin : nil
            setup.upstreamNetworks = ["127.0.0.0/8"]
            server = try await RunningServer(setup, clock: time.clock)
            _ = try await server.add("ann", .owner)
            key = try await server.key("ann")
            let added = try await server.send(
                "POST",
                "/api/v1/mcp-servers",
                ["name": "guarded", "url": .string(script.url), "auth_type": "oauth"],
                token: key
            )
            path = "/api/v1/mcp-servers/\(try #require(try added.json["id"]?.integer))"
        }

        /// Begins, and opens the page; gives the path that the browser is sent back to.
        func consented(by key: String? = nil) async throws -> String {
            let begun = try await server.send("POST", path + "/login", token: key ?? self.key)
            #expect(begun.status == 200, "\(begun.text)")
            let page = try #require(try begun.json["authorization_url"]?.string)
            let location = try await script.consent(page)
            #expect(location.hasPrefix(UpstreamLoginTests.origin + UpstreamLoginTests.place + "?"))
            return String(location.dropFirst(UpstreamLoginTests.origin.utf8.count))
        }

        /// Makes sure that a browser hears nothing but that no sign-in waits.
        func expectUnknown(_ path: String, _ comment: String) async throws {
            let answer = try await server.send("GET", path)
            #expect(answer.status == 400, "\(comment)")
            #expect(answer.text.contains("No sign-in waits"), "\(comment): \(answer.text)")
            let other = try await server.send("GET", UpstreamLoginTests.place)
            #expect(other.text == answer.text, "\(comment)")
        }

        func hasCredential() async throws -> Bool? {
            try await server.send("GET", path, token: key).json["has_credential"]?.bool
        }
    }

    /// The path with another state.
    private static func path(_ path: String, state change: (String) -> String) -> String {
        let parts = path.split(separator: "&").map { part -> String in
            let pieces = part.split(separator: "=", maxSplits: 1)
            guard pieces[0].hasSuffix("state"), pieces.count == 2 else { return String(part) }
            return "\(pieces[0])=\(change(String(pieces[1])))"
        }
        return parts.joined(separator: "&")
    }

    @Test func `a browser anywhere signs in by the server's own address, once`() async throws {
        let world = try await World()
        let back = try await world.consented()
        // Whoever looks whether the address is there uses nothing up.
        #expect(try await world.server.send("HEAD", back).status == 200)
        #expect(try await world.hasCredential() == false)
        let answer = try await world.server.send("GET", back)
        #expect(answer.status == 200, "\(answer.text)")
        #expect(answer.text.contains("signed in to guarded"))
        #expect(!answer.text.contains("<script") && answer.headers["Location"] == nil)
        #expect(answer.headers["Content-Type"]?.hasPrefix("text/html") == true)
        #expect(answer.headers["Content-Security-Policy"]?.contains("default-src 'none'") == true)
        #expect(answer.headers["Referrer-Policy"] == "no-referrer")
        #expect(try await world.hasCredential() == true)
        let scan = try await world.server.send("POST", world.path + "/scan", token: world.key)
        #expect(try scan.json["tools"]?[0]?["name"] == "open", "\(scan.text)")
        try await world.expectUnknown(back, "the same once more")
        let audit = try await world.server.send(
            "GET",
            "/api/v1/audit?kind=change&server=guarded",
            token: world.key
        )
        let changes = try #require(try audit.json.array)
        #expect(changes.count { $0["decision"] == "server_updated" } == 1)
        #expect(!changes.isEmpty && changes.allSatisfy { $0["caller"] == "user:ann" })
        try await world.server.stop()
    }

    /// Whoever tries states must not learn from the answers which ones there are.
    @Test func `whatever is wrong with a state, the answer is the same`() async throws {
        let world = try await World()
        _ = try await world.server.addAccount(owner: "eve")
        let back = try await world.consented()
        func refuse(_ comment: String, _ change: (String) -> String) async throws {
            try await world.expectUnknown(Self.path(back, state: change), comment)
        }
        try await refuse("empty") { _ in "" }
        try await refuse("no number") { "x" + $0 }
        try await refuse("not sealed") { _ in "1.AAAA" }
        try await refuse("of another account") { "2.\($0.split(separator: ".")[1])" }
        try await refuse("of no account") { "999.\($0.split(separator: ".")[1])" }
        try await refuse("twice") { "\($0)&state=\($0)" }
        try await refuse("changed") { state in
            let other = state.dropLast(8).last == "A" ? "B" : "A"
            return "\(state.dropLast(9))\(other)\(state.suffix(8))"
        }
        try await refuse("changed, with a refusal") { state in
            "\(state.dropLast(4))AAAA&error=access_denied"
        }
        #expect(try await world.hasCredential() == false)
        // None of them has used it up.
        #expect(try await world.server.send("GET", back).status == 200)
        try await world.server.stop()
    }

    @Test func `a sign-in is over after ten minutes`() async throws {
        let world = try await World()
        let back = try await world.consented()
        world.time.pass(.seconds(601))
        try await world.expectUnknown(back, "late")
        #expect(try await world.hasCredential() == false)
        try await world.server.stop()
    }

    @Test func `a sign-in ends with the right of whoever began it, and with another address`()
        async throws
    {
        let world = try await World()
        let bob = try await world.server.add("bob", .admin)
        let byBob = try await world.consented(by: try await world.server.key("bob"))
        _ = try await world.server.application.desk.change(
            bob.id,
            of: AccountTable.defaultID,
            .init(role: .viewer)
        )
        try await world.expectUnknown(byBob, "of somebody who may not any more")
        let back = try await world.consented()
        let moved = try await world.server.send(
            "PUT",
            world.path,
            ["url": "https://mcp.example.com/mcp"],
            token: world.key
        )
        #expect(moved.status == 200, "\(moved.text)")
        try await world.expectUnknown(back, "for another address")
        #expect(try await world.hasCredential() == false)
        try await world.server.stop()
    }

    @Test func `what the authorization server says is shown, escaped and cut`() async throws {
        let world = try await World()
        let back = try await world.consented()
        let state = try #require(
            back.split(whereSeparator: { "?&".contains($0) }).first { $0.hasPrefix("state=") }
        )
        let issuer = world.script.issuer.replacing(":", with: "%3A").replacing("/", with: "%2F")
        let error = "%3Cscript%3E" + String(repeating: "x", count: 4_000)
        let refused = try await world.server.send(
            "GET",
            "\(Self.place)?\(state)&iss=\(issuer)&error=\(error)"
        )
        #expect(refused.status == 502, "\(refused.text)")
        #expect(refused.text.contains("&lt;script&gt;x") && !refused.text.contains("<script"))
        #expect(refused.body.count < 1_000)
        // One that does not say who it is, as this one's metadata promises (RFC 9207).
        let nameless = try await world.server.send("GET", "\(Self.place)?\(state)&code=guess")
        #expect(nameless.status == 502 && nameless.text.contains("another authorization server"))
        #expect(try await world.hasCredential() == false)
        try await world.server.stop()
    }

    @Test func `without an address that browsers know nobody is sent anywhere`() async throws {
        let world = try await World(isReachable: false)
        let login = world.path + "/login"
        let begun = try await world.server.send("POST", login, token: world.key)
        #expect(begun.status == 409 && begun.text.contains("PRELOOP_URL"), "\(begun.text)")
        #expect(try begun.json["code"] == "no_public_url")
        let back = try await world.server.send("GET", Self.place + "?state=1.AAAA&code=x")
        #expect(back.status == 409 && back.text.contains("PRELOOP_URL"), "\(back.text)")
        try await world.server.stop()
    }

    @Test(arguments: [Role.editor, .viewer])
    func `who may not manage servers begins no sign-in`(_ role: Role) async throws {
        let world = try await World()
        _ = try await world.server.add("bob", role)
        let key = try await world.server.key("bob")
        let begun = try await world.server.send("POST", world.path + "/login", token: key)
        #expect(begun.status == 403, "\(begun.text)")
        #expect(try await world.server.send("POST", world.path + "/login").status == 401)
        // What stands in the answer is not kept for a repetition.
        let kept = try await world.server.send(
            "POST",
            world.path + "/login",
            token: world.key,
            headers: [("Idempotency-Key", "a")]
        )
        #expect(kept.status == 400, "\(kept.text)")
        try await world.server.stop()
    }
}
