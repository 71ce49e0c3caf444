import Domain
import HTTPClient
import MCP
import Synchronization
import Testing

@testable import API
@testable import Gateway

/// What sessions of the older revisions hear, and are asked, outside of calls over HTTP.
@Suite(.timeLimit(.minutes(5)))
struct OutsideCallTests {
    private static let path = "/mcp/v1"
    private static let accept = ("Accept", "application/json, text/event-stream")

    /// Keeps the session that its last call came by.
    private struct KeepingTool: Tool {
        final class Kept: Sendable {
            let session = Mutex<OpenSession?>(nil)
        }

        let kept = Kept()

        var definition: ToolDefinition {
            ToolDefinition(
                name: "keep",
                title: "Keep",
                summary: "Keeps the session",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: true)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            kept.session.withLock { $0 = context.extras.openSession }
            return ["kept": true]
        }
    }

    @Test func `a session hears and answers on its stream, until it ends`() async throws {
        let tool = KeepingTool()
        var setup = RunningServer.Setup()
        setup.tools = [tool]
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        func post(
            _ message: JSONValue,
            _ headers: [(String, String)]
        ) async throws -> RunningServer.Answer {
            try await server.send(
                "POST",
                Self.path,
                message,
                token: key,
                headers: [Self.accept] + headers
            )
        }
        let begun = try await post(
            [
                "jsonrpc": "2.0", "id": 0, "method": "initialize",
                "params": ["protocolVersion": "2025-11-25", "capabilities": [:]],
            ],
            []
        )
        let id = try #require(begun.headers["Mcp-Session-Id"])
        let session = [("Mcp-Session-Id", id), ("MCP-Protocol-Version", "2025-11-25")]
        let called = try await post(
            [
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": ["name": "keep", "arguments": [:]],
            ],
            session
        )
        #expect(called.text.contains(#""kept":true"#), "\(called.text)")
        let kept = try #require(tool.kept.session.withLock { $0 })
        let client = try RawClient(port: server.port)
        let lines = ([Self.accept] + session).map { "\($0.0): \($0.1)\r\n" }.joined()
        let head = "GET \(Self.path) HTTP/1.1\r\nHost: localhost\r\n"
        #expect(client.send(head + "Authorization: Bearer \(key)\r\n" + lines + "\r\n"))
        #expect(await client.read(until: "text/event-stream").contains("200"))
        kept.tell(.message(.info, JSONObject([("level", "info"), ("data", "a remark")])))
        #expect(await client.read(until: "a remark").contains("notifications/message"))
        kept.tell(.elicitationEnded(JSONObject([("elicitationId", "page-1")])))
        let page = await client.read(until: "page-1")
        #expect(page.contains("notifications/elicitation/complete"))
        async let answer = kept.ask("roots/list", JSONObject())
        #expect(await client.read(until: "roots/list").contains("ask-1"))
        let told = try await post(
            ["jsonrpc": "2.0", "id": "ask-1", "result": ["roots": [["uri": "file:///a"]]]],
            session
        )
        #expect(told.status == 202)
        #expect(try await answer.get() == JSONObject([("roots", [["uri": "file:///a"]])]))
        // A question that is open then has no answer, and nobody waits for it any longer.
        async let open = kept.ask("roots/list", JSONObject())
        #expect(await client.read(until: "ask-2").contains("ask-2"))
        let ended = try await server.send(
            "DELETE",
            Self.path,
            token: key,
            headers: [Self.accept] + session
        )
        #expect(ended.status == 204)
        #expect(await open == .failure(.internalError("there was no answer")))
        let late = await kept.ask("roots/list", JSONObject())
        #expect(late == .failure(.methodNotFound("roots/list")))
        try await server.stop()
    }

    @Test func `calls of the newer era have no session that could hear anything later`()
        async throws
    {
        let tool = KeepingTool()
        var setup = RunningServer.Setup()
        setup.tools = [tool]
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        let meta: JSONValue = [
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": [:],
        ]
        let called = try await server.send(
            "POST",
            Self.path,
            [
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": ["name": "keep", "arguments": [:], "_meta": meta],
            ],
            token: try await server.key("ann"),
            headers: [
                Self.accept, ("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"),
                ("Mcp-Name", "keep"),
            ]
        )
        #expect(called.text.contains(#""kept":true"#), "\(called.text)")
        #expect(tool.kept.session.withLock { $0 } == nil)
        try await server.stop()
    }
}
