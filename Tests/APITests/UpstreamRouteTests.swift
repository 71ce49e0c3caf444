import Domain
import Gateway
import HTTPClient
import HTTPTypes
import Store
import StoreTestSupport
import Testing

@testable import API

/// MCP servers over REST.
@Suite struct UpstreamRouteTests {
    @Test func `servers are added, shown without secrets, changed and removed`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let draft: JSONValue = [
            "name": "docs", "url": "https://mcp.example.com/mcp", "transport": "http-streaming",
            "auth_type": "bearer", "auth_config": ["token": "a-secret-word"], "prefix": "always",
            "timeout_seconds": 30,
        ]
        let added = try await server.send("POST", "/api/v1/mcp-servers", draft, token: key)
        #expect(added.status == 201, "\(added.text)")
        #expect(try added.json["timeout_seconds"] == 30)
        #expect(try added.json["warning"]?.isNull == true)
        #expect(try added.json["transport"] == "streamable-http")
        #expect(try added.json["has_credential"] == true)
        let path = "/api/v1/mcp-servers/\(try added.json["id"]?.integer ?? 0)"
        let twice = try await server.send("POST", "/api/v1/mcp-servers", draft, token: key)
        #expect(twice.status == 409)
        let list = try await server.send("GET", "/api/v1/mcp-servers", token: key)
        #expect(try list.json[0]?["name"] == "docs")
        #expect(!list.text.contains("secret-word") && !added.text.contains("secret-word"))
        #expect(try await server.send("GET", path + "/tools", token: key).json == [])
        let moved = try await server.send(
            "PUT",
            path,
            ["url": "https://evil.example.com/mcp"],
            token: key
        )
        #expect(moved.status == 422 && moved.text.contains("credential again"))
        let renamed = try await server.send("PUT", path, ["name": "papers"], token: key)
        #expect(try renamed.json["name"] == "papers")
        #expect(try renamed.json["has_credential"] == true)
        #expect(try await server.send("DELETE", path, token: key).status == 204)
        #expect(try await server.send("GET", path, token: key).status == 404)
        // Who did it is on record, the latest first.
        let audit = try await server.send("GET", "/api/v1/audit?kind=change", token: key)
        // Besides, it is that there are a user and a key.
        let changes = try #require(try audit.json.array).filter { $0["server"] != nil }
        #expect(
            changes.map { $0["decision"] } == ["server_removed", "server_updated", "server_added"]
        )
        #expect(changes.allSatisfy { $0["caller"] == "user:ann" }, "\(audit.text)")
        #expect(!audit.text.contains("secret-word"))
        try await server.stop()
    }

    @Test(
        arguments: [
            (["name": "a", "url": "http://127.0.0.1/mcp"], "public Internet"),
            (["name": "a", "url": "http://localhost/mcp"], "local network"),
            (["name": "a", "url": "http://[::ffff:10.0.0.1]/"], "public Internet"),
            (["name": "a", "command": ["sh", "-c", "id"]], "PRELOOP_UPSTREAM_PROGRAMS"),
            (["name": "a", "transport": "stdio"], "PRELOOP_UPSTREAM_PROGRAMS"),
            (["name": "A b", "url": "https://example.com/"], "lower-case"),
            (["name": "a", "url": "https://example.com/", "auth_type": "bearer"], "token"),
            (["name": "a"], "plain http"),
        ] as [(JSONValue, String)]
    )
    func `what must not be reached is not added`(_ draft: JSONValue, _ reason: String) async throws
    {
        let server = try await RunningServer()
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let answer = try await server.send("POST", "/api/v1/mcp-servers", draft, token: key)
        #expect(answer.status == 422 && answer.text.contains(reason), "\(answer.text)")
        #expect(try await server.send("GET", "/api/v1/mcp-servers", token: key).json == [])
        try await server.stop()
    }

    @Test func `a repeated write happens once, and nothing kept of it has the credential`()
        async throws
    {
        let server = try await RunningServer()
        let ann = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        func write(
            _ method: String,
            _ path: String,
            _ name: String
        ) async throws -> RunningServer.Answer {
            try await server.send(
                method,
                path,
                [
                    "name": .string(name), "url": "https://mcp.example.com/mcp",
                    "auth_type": "bearer", "auth_config": ["token": "a-secret-word"],
                ],
                token: key,
                headers: [("Idempotency-Key", method)]
            )
        }
        let added = try await write("POST", "/api/v1/mcp-servers", "docs")
        #expect(added.status == 201, "\(added.text)")
        let again = try await write("POST", "/api/v1/mcp-servers", "docs")
        #expect(again.status == 201 && again.body == added.body, "\(again.text)")
        #expect(again.headers["Idempotent-Replayed"] == "true")
        let other = try await write("POST", "/api/v1/mcp-servers", "papers")
        #expect(try other.status == 422 && other.json["code"] == "idempotency_key_reused")
        let list = try await server.send("GET", "/api/v1/mcp-servers", token: key).json
        #expect(list.array?.count == 1)
        let path = "/api/v1/mcp-servers/\(try added.json["id"]?.integer ?? 0)"
        #expect(try await write("PUT", path, "papers").json["name"] == "papers")
        #expect(try await write("PUT", path, "papers").headers["Idempotent-Replayed"] == "true")
        for method in ["POST", "PUT"] {
            let row = try await server.scratch.store.read { connection, account in
                try IdempotencyTable.find(method, of: ann.id, account: account, on: connection)
            }
            let body = try #require(row?.answer?.body)
            #expect(!String(decoding: body, as: UTF8.self).contains("secret-word"))
        }
        try await server.stop()
    }

    /// Whatever waited at the moment of the request was accepted.
    @Test func `what waits is accepted by the digest of what was looked at`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let draft: JSONValue = ["name": "docs", "url": "https://mcp.example.com/mcp"]
        let added = try await server.send("POST", "/api/v1/mcp-servers", draft, token: key)
        let id = UpstreamServerID(try #require(try added.json["id"]?.integer))
        let path = "/api/v1/mcp-servers/\(id)/tools"
        func propose(_ summary: String) async throws {
            let tool = UpstreamTool(
                name: "write",
                accepted: nil,
                proposed: JSONObject([("name", "write"), ("description", .string(summary))]),
                state: .held,
                flags: [],
                seenAt: Timestamp(milliseconds: 1)
            )
            try await server.scratch.store.write { connection, account in
                try UpstreamToolTable.put(tool, of: id, account: account, on: connection)
            }
        }
        func shown() async throws -> JSONValue {
            try await server.send("GET", path, token: key).json[0] ?? .null
        }
        func accept(_ body: JSONValue) async throws -> RunningServer.Answer {
            try await server.send("POST", path + "/accept", body, token: key)
        }
        try await propose("Writes a text")
        let seen = try #require(try await shown()["digest"])
        try await propose("Sends a text to us")
        let bodies: [JSONValue] = [
            [:], ["digests": []], ["names": ["write"]], ["names": ["write"], "digests": [seen]],
        ]
        for body in bodies { #expect(try await accept(body).status == 422, "\(body)") }
        let late = try await accept(["digests": [seen]])
        #expect(try late.status == 409 && late.json["code"] == "not_as_shown", "\(late.text)")
        let other = try #require(try await shown()["digest"])
        #expect(try await accept(["digests": [other, seen]]).status == 409)
        #expect(try await shown()["state"] == "held")
        let accepted = try await accept(["digests": [other]])
        #expect(try accepted.json == ["accepted": ["write"]], "\(accepted.text)")
        let now = try await shown()
        #expect(now["state"] == "accepted" && now["digest"] == .null)
        #expect(now["definition"]?["description"] == "Sends a text to us")
        try await server.stop()
    }

    @Test func `a scan that fails is told, and kept`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        // A name that is nobody's (RFC 6761).
        let draft: JSONValue = ["name": "gone", "url": "https://gone.invalid/mcp"]
        let added = try await server.send("POST", "/api/v1/mcp-servers", draft, token: key)
        #expect(added.status == 201, "\(added.text)")
        let path = "/api/v1/mcp-servers/\(try added.json["id"]?.integer ?? 0)"
        let scan = try await server.send("POST", path + "/scan", token: key)
        // The server that was asked about fails, this one does not.
        #expect(scan.status == 422, "\(scan.text)")
        #expect(try scan.json["code"] == "server_failed")
        let shown = try await server.send("GET", path, token: key).json
        #expect(shown["status"] == "error")
        #expect(shown["last_error"]?.string?.contains("gone.invalid") == true)
        try await server.stop()
    }

    @Test func `a scan that fails says so of the server, and may be asked for again`() {
        let failed = Problem.scan(.unreachable(reason: "refused"))
        #expect(failed.status.code == 422 && failed.code == "server_failed")
        #expect(failed.effect == .nothing)
        #expect(Problem.scan(.unauthorized(status: 401)).code == "server_refuses_credential")
        // What is over in a while is no finding about the server.
        let later = Problem.scan(.suspended(seconds: 5))
        #expect(later.status.code == 503 && later.headers[.retryAfter] == "5")
        // Whatever else needs an answer of the server and gets none stays what it was.
        let lost = Problem(cause: UpstreamError.unreachable(reason: "refused"))
        #expect(lost.status.code == 502)
    }
}
