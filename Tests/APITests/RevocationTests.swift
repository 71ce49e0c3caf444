import Domain
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import API
@testable import Gateway

/// What is open ends with the credential that it was opened with.
@Suite struct RevocationTests {
    /// How a credential ends.
    enum End: CaseIterable {
        /// By this server, which knows at once.
        case removal, demotion, signOut
        /// By another process, or by time alone.
        case otherProcess, deactivation, expiry
    }

    private let path = "/mcp/v1"
    private let accept = ("Accept", "application/json, text/event-stream")
    /// What ends an answer of unknown length.
    private let lastChunk = "0\r\n\r\n"

    /// A clock that a test moves on.
    private final class Time: Sendable {
        private let passed = Mutex(Duration.zero)

        var clock: WallClock {
            WallClock { WallClock.system.now().advanced(by: self.passed.withLock { $0 }) }
        }

        func pass(_ duration: Duration) { passed.withLock { $0 += duration } }
    }

    /// Somebody with a credential.
    private struct Client {
        var user: User
        var token: String
    }

    private func client(
        _ name: String,
        _ role: Role,
        of server: RunningServer,
        for end: End? = nil
    ) async throws -> Client {
        let user = try await server.add(name, role)
        if end == .signOut {
            let token = try await server.signIn(name)["access_token"]?.string
            return Client(user: user, token: try #require(token))
        }
        let expiry = server.scratch.store.clock.now().advanced(by: .seconds(60))
        let key = try await server.key(name, expiresAt: end == .expiry ? expiry : nil)
        return Client(user: user, token: key)
    }

    private func end(
        _ end: End,
        _ client: Client,
        of server: RunningServer,
        _ time: Time
    ) async throws {
        let (desk, account) = (server.application.desk, AccountTable.defaultID)
        let (user, store) = (client.user.id, server.scratch.store)
        switch end {
        case .removal:
            let key = try #require(try await desk.keys(of: user, in: account).first)
            try await desk.removeKey(key.id, of: user, in: account)
        case .demotion:
            _ = try await desk.change(user, of: account, AccountDesk.Change(role: .viewer))
        case .signOut:
            let path = "/api/v1/auth/logout"
            #expect(try await server.send("POST", path, token: client.token).status == 204)
        case .otherProcess:
            let key = try #require(try await desk.keys(of: user, in: account).first)
            try await store.write { connection, account in
                _ = try APIKeyTable.remove(key.id, of: user, account: account, on: connection)
            }
        case .deactivation:
            try await store.write { connection, account in
                try UserTable.update(
                    user,
                    email: nil,
                    role: nil,
                    isActive: false,
                    account: account,
                    on: connection
                )
            }
        case .expiry: time.pass(.seconds(61))
        }
    }

    /// Begins a session of the older era and gives its headers.
    private func begin(_ server: RunningServer, _ client: Client) async throws -> [(String, String)]
    {
        let begun = try await server.initialize(token: client.token)
        let id = try #require(begun.headers["Mcp-Session-Id"])
        return [accept, ("Mcp-Session-Id", id), ("MCP-Protocol-Version", "2025-11-25")]
    }

    /// Opens a stream of a session, and waits until it is open.
    private func listen(_ server: RunningServer, _ client: Client) async throws -> RawClient {
        let headers = try await begin(server, client)
        return try await open("GET", server, client, headers, "", until: "\r\n\r\n")
    }

    /// The same by a subscription of the newer era.
    private func subscribe(_ server: RunningServer, _ client: Client) async throws -> RawClient {
        let body = ModernRequest.message(
            "subscriptions/listen",
            ["notifications": ["toolsListChanged": true]]
        ).serializedText()
        let headers = ModernRequest.headers("subscriptions/listen")
        return try await open("POST", server, client, headers, body, until: "acknowledged")
    }

    private func open(
        _ method: String,
        _ server: RunningServer,
        _ client: Client,
        _ headers: [(String, String)],
        _ body: String,
        until sign: String
    ) async throws -> RawClient {
        let raw = try RawClient(port: server.port)
        let lines = headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        let head =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n"
            + "Authorization: Bearer \(client.token)\r\n"
            + lines + "Content-Length: \(body.utf8.count)\r\n\r\n"
        #expect(raw.send(head + body))
        let seen = await raw.read(until: sign)
        #expect(seen.contains(sign) && seen.contains("text/event-stream"))
        return raw
    }

    /// Streams and sessions went on for as long as their client stayed.
    @Test(arguments: End.allCases)
    func `streams and sessions end with what they were opened with`(_ way: End) async throws {
        let time = Time()
        var setup = RunningServer.Setup()
        setup.callLimits.listInterval = .milliseconds(20)
        let server = try await RunningServer(setup, clock: time.clock)
        let ann = try await client("ann", .editor, of: server, for: way)
        let bob = try await client("bob", .owner, of: server)
        let streams = [try await listen(server, ann), try await subscribe(server, ann)]
        let others = [try await listen(server, bob), try await subscribe(server, bob)]
        #expect(await server.application.endpoint.sessionCount == 2)
        let start = ContinuousClock.now
        try await end(way, ann, of: server, time)
        for stream in streams {
            #expect(await stream.read(until: lastChunk).hasSuffix(lastChunk))
        }
        // Five seconds, on a machine that has nothing else to do.
        #expect(start.duration(to: .now) < .seconds(30))
        while await server.application.endpoint.sessionCount > 1 { await Task.yield() }
        let policy = "metadata: {name: one}\ntools: [{name: echo, conditions: [{action: deny}]}]"
        let changed = try await server.send(
            "POST",
            "/api/v1/policies/upload",
            ["policy": .string(policy)],
            token: bob.token
        )
        #expect(changed.status == 200, "\(changed.text)")
        for stream in others {
            #expect(await stream.read(until: "list_changed").contains("list_changed"))
            stream.close()
        }
        try await server.stop()
    }

    @Test func `a call under way is stopped and answered that its key is over`() async throws {
        let tool = WaitingTool()
        var setup = RunningServer.Setup()
        setup.tools = [tool]
        let server = try await RunningServer(setup)
        let ann = try await client("ann", .editor, of: server)
        async let answer = server.send(
            "POST",
            path,
            ModernRequest.call("wait", [:]),
            token: ann.token,
            headers: ModernRequest.headers("tools/call", "wait")
        )
        try await tool.started.pass()
        try await end(.removal, ann, of: server, Time())
        #expect(try await answer.status == 401)
        while tool.wasCancelled.value == 0 { await Task.yield() }
        try await server.stop()
    }

    @Test func `who signs in again goes on with a session`() async throws {
        let server = try await RunningServer()
        let first = try await client("ann", .editor, of: server, for: .signOut)
        let headers = try await begin(server, first)
        let token = try await server.signIn("ann")["access_token"]?.string
        let second = Client(user: first.user, token: try #require(token))
        let message: JSONValue = ["jsonrpc": "2.0", "id": 1, "method": "tools/list"]
        func list(_ client: Client) async throws -> Int {
            let token = client.token
            return try await server.send("POST", path, message, token: token, headers: headers)
                .status
        }
        #expect(try await list(second) == 200)
        try await end(.signOut, first, of: server, Time())
        #expect(try await list(first) == 401)
        #expect(try await list(second) == 200)
        try await server.stop()
    }
}
