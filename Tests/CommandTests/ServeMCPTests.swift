import Domain
import Foundation
import Store
import TestSupport
import Testing

/// The official Python SDK and `fastmcp` as clients of `preloop serve`, over HTTP.
@Suite(
    .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the clients"),
    .serialized
)
struct ServeMCPTests {
    /// Plays a scenario of `mcp_scenarios.py` and gives what the client saw.
    private func seen(
        _ scenario: String,
        _ mode: String,
        by library: PythonClient.Library,
        _ server: ServeProcess,
        key: String? = nil,
        origin: String? = nil
    ) throws -> JSONValue {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", PythonClient.script(library.rawValue), mode, scenario, "--url",
            "\(server.origin)/mcp/v1",
        ]
        var environment = server.sandbox.environment
        environment["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        environment["PRELOOP_TOKEN"] = key ?? server.key
        environment["PRELOOP_ORIGIN"] = origin
        process.environment = environment
        let result = try RunningProgram(process).wait()
        guard result.status == 0 else { throw IndexedSandbox.Failure(errors: result.errors) }
        return try result.json
    }

    @Test(arguments: PythonClient.Library.allCases, PythonClient.Mode.all)
    func `a client lists and calls every tool over HTTP`(
        _ library: PythonClient.Library,
        _ mode: PythonClient.Mode
    ) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        try indexed.addQuickWorkflow()
        let server = try ServeProcess(indexed.sandbox)
        let seen = try seen("everything", mode.name, by: library, server)
        #expect(seen["version"] == .string(mode.version))
        #expect(seen["tools"] == seen["again"])
        #expect(seen["unknown_tool"] == -32602)
        let tools = seen["tools"]?.array?.compactMap(\.string) ?? []
        #expect(tools.count == 10 && seen["without_example"]?.array?.isEmpty == true)
        for tool in tools {
            let good = seen["good"]?[tool]
            #expect(good?["is_error"] == false, "\(tool): \(good?["text"]?.string ?? "")")
            #expect(seen["bad"]?[tool]?["is_error"] == true, "\(tool)")
        }
        let store = try await indexed.sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 100, account: account, on: connection)
        }
        #expect(calls.count { $0.outcome == .succeeded } == 10)
        #expect(calls.count { $0.outcome == .invalid } == 10)
        #expect(calls.allSatisfy { $0.channel == "mcp" && $0.caller == "user:ann" })
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: PythonClient.Library.allCases, PythonClient.eras)
    func `progress grows, many calls are answered, and great answers arrive whole`(
        _ library: PythonClient.Library,
        _ mode: String
    ) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let server = try ServeProcess(indexed.sandbox)
        let progress = try seen("progress", mode, by: library, server)
        let told = progress["told"]?.array?.compactMap { $0[0]?.double } ?? []
        #expect(told == [0, 1, 2, 3, 4])
        let many = try seen("many", mode, by: library, server)
        #expect(many["answers"] == 32 && many["errors"] == 0)
        let expected = (0..<32).map { "crash \($0)" }.sorted()
        #expect(many["queries"]?.array?.compactMap(\.string) == expected)
        try await indexed.lengthen()
        let big = try seen("big", mode, by: library, server)
        #expect(big["bytes"]?.integer ?? 0 > 500_000)
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: PythonClient.Library.allCases, PythonClient.eras)
    func `a call that is given up stops its work`(
        _ library: PythonClient.Library,
        _ mode: String
    ) async throws {
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
        let seen = try seen("cancel", mode, by: library, server)
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

    @Test(
        .enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"),
        arguments: PythonClient.Library.allCases,
        PythonClient.eras
    )
    func `a client calls every tool that writes over HTTP`(
        _ library: PythonClient.Library,
        _ mode: String
    ) async throws {
        let world = try await WritingCommandTests.world()
        defer { world.end() }
        let server = try ServeProcess(world.indexed.sandbox)
        let seen = try seen("writing", mode, by: library, server)
        #expect(seen["tools"]?.array?.count == 17)
        try WritingCommandTests.check(seen)
        try await WritingCommandTests.checkTruth(world.fake)
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: PythonClient.Library.allCases, ["2026-07-28", "auto", "legacy"])
    func `a client is refused with the status that says why`(
        _ library: PythonClient.Library,
        _ mode: String
    ) throws {
        let sandbox = try Sandbox()
        let server = try ServeProcess(sandbox)
        let wrong = "plk_1_" + String(repeating: "a", count: 40)
        let cases: [(key: String, origin: String?, status: JSONValue)] = [
            ("", nil, 401), (wrong, nil, 401), (server.key, "https://evil.example", 403),
        ]
        for (key, origin, status) in cases {
            let seen = try seen(
                "refused",
                mode,
                by: library,
                server,
                key: key,
                origin: origin
            )
            #expect(seen["refused"] == true)
            let statuses = seen["statuses"]?.array ?? []
            #expect(!statuses.isEmpty && statuses.allSatisfy { $0 == status }, "\(statuses)")
            // The client hears it as an error of the protocol.
            #expect(seen["codes"]?.array?.isEmpty == false)
        }
        let own = try seen("refused", mode, by: library, server, origin: server.origin)
        #expect(own["refused"] == false)
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: PythonClient.Library.allCases)
    func `a client hears which revisions there are`(_ library: PythonClient.Library) throws {
        let sandbox = try Sandbox()
        let server = try ServeProcess(sandbox)
        let seen = try seen("wrong_version", "2026-07-28", by: library, server)
        #expect(seen["code"] == -32022)
        #expect(seen["data"]?["requested"] == "2031-01-01")
        #expect(seen["data"]?["supported"]?.array?.contains("2026-07-28") == true)
        #expect(seen["statuses"]?.array?.last == 400)
        #expect(try server.stop().status == 0)
    }
}
