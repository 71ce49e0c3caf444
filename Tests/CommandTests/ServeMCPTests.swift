import Domain
import Foundation
import Store
import TestSupport
import Testing

/// Whether Python has the SDK.
private let isClientInstalled: Bool = {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", "-c", "import mcp, mcp_types"]
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
}()

/// The official Python SDK as a client of `preloop serve`, over HTTP.
@Suite(
    .enabled(if: isClientInstalled, "scripts/setup --tests installs the MCP SDK"),
    .serialized
)
struct ServeMCPTests {
    /// Plays a scenario of `mcp_client.py` and gives what it saw.
    private func play(
        _ scenario: String,
        _ mode: String,
        _ server: ServeProcess,
        key: String? = nil
    ) throws -> Sandbox.Result {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Support/Python/mcp_client.py")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", script.path, mode, scenario, "--url", "\(server.origin)/mcp/v1",
        ]
        var environment = server.sandbox.environment
        environment["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        environment["PRELOOP_TOKEN"] = key ?? server.key
        process.environment = environment
        return try RunningProgram(process).wait()
    }

    private func seen(
        _ scenario: String,
        _ mode: String,
        _ server: ServeProcess
    ) throws -> JSONValue {
        let result = try play(scenario, mode, server)
        guard result.status == 0 else { throw IndexedSandbox.Failure(errors: result.errors) }
        return try result.json
    }

    @Test(arguments: [
        ("2026-07-28", "2026-07-28"), ("auto", "2026-07-28"), ("legacy", "2025-11-25"),
    ])
    func `the official client lists and calls every tool over HTTP`(
        _ mode: String,
        _ version: String
    ) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let server = try ServeProcess(indexed.sandbox)
        let seen = try seen("everything", mode, server)
        #expect(seen["version"] == .string(version))
        #expect(seen["tools"] == seen["again"])
        #expect(seen["unknown_tool"] == -32602)
        let tools = seen["tools"]?.array?.compactMap(\.string) ?? []
        #expect(tools.count >= 8)
        for tool in seen["good"]?.object?.members.map(\.key) ?? [] {
            let good = seen["good"]?[tool]
            #expect(good?["is_error"] == false, "\(tool): \(good?["text"]?.string ?? "")")
            #expect(seen["bad"]?[tool]?["is_error"] == true, "\(tool)")
        }
        let store = try await indexed.sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 100, account: account, on: connection)
        }
        #expect(calls.count { $0.outcome == .succeeded } >= 8)
        #expect(calls.allSatisfy { $0.channel == "mcp" && $0.caller == "user:ann" })
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: ["2026-07-28", "legacy"])
    func `progress grows, many calls are answered, and great answers arrive whole`(
        _ mode: String
    ) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let server = try ServeProcess(indexed.sandbox)
        let progress = try seen("progress", mode, server)
        let told = progress["told"]?.array?.compactMap { $0[0]?.double } ?? []
        #expect(told == [0, 1, 2, 3, 4])
        let many = try seen("many", mode, server)
        #expect(many["answers"] == 32 && many["errors"] == 0)
        let expected = (0..<32).map { "crash \($0)" }.sorted()
        #expect(many["queries"]?.array?.compactMap(\.string) == expected)
        let store = try await indexed.sandbox.store()
        let body = String(repeating: "line with \"quotes\" and \\ and é\n", count: 20_000)
        _ = try await store.write { connection, account in
            try connection.execute(
                """
                UPDATE issues SET body = \(body)
                WHERE account_id = \(account) AND external_id = 'x-0'
                """
            )
        }
        let big = try seen("big", mode, server)
        #expect(big["bytes"]?.integer ?? 0 > 400_000)
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: ["2026-07-28", "legacy"])
    func `a call that is given up stops its work`(_ mode: String) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        // A model that never answers: only cancellation ends the exchange.
        let service = try ScriptedHTTPServer { _ in [.stall] }
        let server = try ServeProcess(
            indexed.sandbox,
            environment: [
                "PRELOOP_AI_PROVIDER": "openai", "PRELOOP_AI_MODEL": "m",
                "PRELOOP_AI_URL": service.origin + "/v1",
            ]
        )
        let seen = try seen("cancel", mode, server)
        #expect(seen["gave_up"] == true)
        #expect(seen["after"]?["is_error"] == false)
        let store = try await indexed.sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 10, account: account, on: connection)
        }
        let call = try #require(calls.first { $0.tool == "estimate_compliance" })
        #expect(call.outcome == .cancelled)
        #expect(try server.stop().status == 0)
    }

    @Test func `the official client is refused without a key that is good`() throws {
        let sandbox = try Sandbox()
        let server = try ServeProcess(sandbox)
        let wrong = "plk_1_" + String(repeating: "a", count: 40)
        for mode in ["2026-07-28", "legacy"] {
            let result = try play("everything", mode, server, key: wrong)
            #expect(result.status != 0)
        }
        #expect(try server.stop().status == 0)
    }
}
