import Domain
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// Open sessions hear that their tools are others.
@Suite struct ListChangeTests {
    private let path = "/mcp/v1"
    private static let changed = "notifications/tools/list_changed"
    private static let denial = """
        metadata: {name: one}
        tools: [{name: echo, conditions: [{action: deny, message: not now}]}]
        """

    private func server() async throws -> (server: RunningServer, key: String) {
        var setup = RunningServer.Setup()
        setup.callLimits.listInterval = .milliseconds(20)
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        return (server, try await server.key("ann"))
    }

    /// Opens a stream that stays open.
    private func open(
        _ method: String,
        _ server: RunningServer,
        _ key: String,
        headers: [(String, String)],
        body: String = ""
    ) throws -> RawClient {
        let client = try RawClient(port: server.port)
        let lines = headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        let head =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(key)\r\n"
            + lines + "Content-Length: \(body.utf8.count)\r\n\r\n"
        #expect(client.send(head + body))
        return client
    }

    private func change(_ policy: String, _ server: RunningServer, _ key: String) async throws {
        let answer = try await server.send(
            "POST",
            "/api/v1/policies/upload",
            ["policy": .string(policy)],
            token: key
        )
        #expect(answer.status == 200, "\(answer.text)")
    }

    @Test func `a session of the older era hears on its stream that a policy hides a tool`()
        async throws
    {
        let (server, key) = try await server()
        let accept = ("Accept", "application/json, text/event-stream")
        let begun = try await server.initialize(token: key)
        let capabilities = try begun.json["result"]?["capabilities"]
        #expect(capabilities?["tools"]?["listChanged"] == true)
        let id = try #require(begun.headers["Mcp-Session-Id"])
        let session = [accept, ("Mcp-Session-Id", id), ("MCP-Protocol-Version", "2025-11-25")]
        func tools() async throws -> [JSONValue] {
            let listed = try await server.send(
                "POST",
                path,
                ["jsonrpc": "2.0", "id": 1, "method": "tools/list"],
                token: key,
                headers: session
            )
            return try listed.json["result"]?["tools"]?.array ?? []
        }
        #expect(try await tools().map { $0["name"] } == ["echo"])
        let client = try open("GET", server, key, headers: session)
        try await change(Self.denial, server, key)
        #expect(await client.read(until: Self.changed).contains(Self.changed))
        #expect(try await tools().isEmpty)
        client.close()
        try await server.stop()
    }

    @Test func `a subscription of the newer era hears of it, tagged with its own identifier`()
        async throws
    {
        let (server, key) = try await server()
        let client = try open(
            "POST",
            server,
            key,
            headers: ModernRequest.headers("subscriptions/listen"),
            body: ModernRequest.message(
                "subscriptions/listen",
                ["notifications": ["toolsListChanged": true]]
            ).serializedText()
        )
        let acknowledged = await client.read(until: "toolsListChanged")
        #expect(acknowledged.contains(#""toolsListChanged":true"#))
        try await change(Self.denial, server, key)
        let told = await client.read(until: Self.changed)
        #expect(told.contains(Self.changed) && told.contains("subscriptionId"))
        client.close()
        try await server.stop()
    }
}
