import Domain
import Foundation
import Store
import TestSupport
import Testing

/// The official Python SDK and `fastmcp` as clients of `preloop mcp`.
struct PythonClient {
    let indexed: IndexedSandbox
    var environment: [String: String] = [:]

    /// The libraries, each with its script beside the tests.
    enum Library: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case official = "mcp_client.py"
        case fastMCP = "fastmcp_client.py"

        var testDescription: String { rawValue }
    }

    /// A way to agree on a revision, and the revision that is agreed on.
    struct Mode: Sendable, CustomTestStringConvertible {
        var name: String
        var version: String

        var testDescription: String { name }

        /// The newest one of each era by itself, and the older ones by asking for them.
        static let all = [
            Mode(name: "2026-07-28", version: "2026-07-28"),
            Mode(name: "auto", version: "2026-07-28"),
            Mode(name: "legacy", version: "2025-11-25"),
            Mode(name: "2025-06-18", version: "2025-06-18"),
            Mode(name: "2025-03-26", version: "2025-03-26"),
        ]
    }

    /// A mode for each era.
    static let eras = ["2026-07-28", "legacy"]

    /// Whether both are there; `fastmcp` is looked for without its import, which takes seconds.
    static let isInstalled: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c",
            """
            import importlib.util, sys, mcp, mcp_types
            sys.exit(importlib.util.find_spec('fastmcp') is None)
            """,
        ]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    /// The path of a script beside the tests.
    static func script(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Support/Python/\(name)").path
    }

    /// Plays a scenario of `mcp_scenarios.py` and gives what the client saw.
    func play(_ scenario: String, _ mode: String, by library: Library) throws -> JSONValue {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", Self.script(library.rawValue), mode, scenario, "--",
            Sandbox.program("preloop"), "mcp",
        ]
        var all = indexed.sandbox.environment
        all["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        process.environment = all.merging(environment) { $1 }
        let result = try RunningProgram(process).wait()
        guard result.status == 0 else { throw IndexedSandbox.Failure(errors: result.errors) }
        return try result.json
    }
}

@Suite(
    .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the clients"),
    .serialized
)
struct MCPCommandTests {
    /// With those of the gateway itself, which wait for people.
    private static let listed: [JSONValue] = [
        "estimate_compliance", "find_duplicates", "get_approval_status", "get_issue",
        "improve_compliance", "list_projects", "request_approval", "search", "similar_issues",
        "sync_status",
    ]

    @Test(arguments: PythonClient.Library.allCases, PythonClient.Mode.all)
    func `a client lists and calls every tool`(
        _ library: PythonClient.Library,
        _ mode: PythonClient.Mode
    ) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        try indexed.addQuickWorkflow()
        let seen = try PythonClient(indexed: indexed).play("everything", mode.name, by: library)
        #expect(seen["version"] == .string(mode.version))
        // Who is told the revision need not ask who is there.
        #expect(seen["server"] == "preloop" || mode.name == "2026-07-28")
        #expect(seen["tools"] == .array(Self.listed) && seen["again"] == .array(Self.listed))
        // Polling runs what was approved.
        let changing = seen["read_only"]?.array?.firstIndex(of: false)
        #expect(changing == Self.listed.firstIndex(of: "get_approval_status"))
        let hasStructured = mode.version != "2025-03-26"
        let schemas = seen["has_output_schema"]?.array ?? []
        #expect(schemas == Self.listed.map { _ in .bool(hasStructured) })
        #expect(seen["unknown_tool"] == -32602)
        #expect(seen["without_example"]?.array?.isEmpty == true)
        let asked = seen["good"]?["get_approval_status"]?["text"]?.string ?? ""
        #expect(try JSONParser.parse(asked)["status"] == "pending")
        for tool in Self.listed.compactMap(\.string) {
            let good = seen["good"]?[tool]
            #expect(good?["is_error"] == false, "\(tool): \(good?["text"]?.string ?? "")")
            let text = try JSONParser.parse(good?["text"]?.string ?? "")
            #expect(good?["structured"] == (hasStructured ? text : .null), "\(tool)")
            let bad = seen["bad"]?[tool]
            #expect(bad?["is_error"] == true, "\(tool)")
            #expect(bad?["text"]?.string?.contains("\(tool)` are not right") == true, "\(tool)")
        }
        let store = try await indexed.sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 100, account: account, on: connection)
        }
        #expect(calls.count { $0.outcome == .succeeded } == 10)
        #expect(calls.count { $0.outcome == .invalid } == 10)
        #expect(calls.count { $0.outcome == .unknownTool } == 1)
        #expect(calls.allSatisfy { $0.channel == "stdio" && $0.end != nil })
    }

    @Test(arguments: PythonClient.Library.allCases, PythonClient.eras)
    func `a client sees progress that grows`(
        _ library: PythonClient.Library,
        _ mode: String
    ) throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let seen = try PythonClient(indexed: indexed).play("progress", mode, by: library)
        let told = seen["told"]?.array?.compactMap { $0[0]?.double } ?? []
        #expect(told == [0, 1, 2, 3, 4])
        #expect(seen["told"]?[1]?[2] == "x-1" && seen["told"]?[1]?[1]?.double == 4)
        #expect(seen["result"]?["is_error"] == false)
    }

    @Test(arguments: PythonClient.Library.allCases, PythonClient.eras)
    func `thirty-two calls at once are all answered, each its own`(
        _ library: PythonClient.Library,
        _ mode: String
    ) throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let seen = try PythonClient(indexed: indexed).play("many", mode, by: library)
        #expect(seen["answers"] == 32 && seen["errors"] == 0)
        let expected = (0..<32).map { "crash \($0)" }.sorted()
        #expect(seen["queries"]?.array?.compactMap(\.string) == expected)
    }

    @Test(arguments: PythonClient.Library.allCases, PythonClient.eras)
    func `answers of half a megabyte arrive whole`(
        _ library: PythonClient.Library,
        _ mode: String
    ) async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        try await indexed.lengthen()
        let seen = try PythonClient(indexed: indexed).play("big", mode, by: library)
        #expect(seen["bytes"]?.integer ?? 0 > 500_000)
        #expect(seen["is_cut"] == true)
    }

    @Test(arguments: PythonClient.Library.allCases)
    func `a client hears which revisions there are`(_ library: PythonClient.Library) throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        #expect(try indexed.sandbox.preloop("init").status == 0)
        let client = PythonClient(indexed: indexed)
        let seen = try client.play("wrong_version", "2026-07-28", by: library)
        #expect(seen["code"] == -32022)
        #expect(seen["data"]?["requested"] == "2031-01-01")
        let supported = seen["data"]?["supported"]?.array ?? []
        #expect(Set(supported) == Set(PythonClient.Mode.all.map { .string($0.version) }))
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
        let client = PythonClient(
            indexed: indexed,
            environment: [
                "PRELOOP_AI_PROVIDER": "openai", "PRELOOP_AI_MODEL": "m",
                "PRELOOP_AI_URL": service.origin + "/v1",
            ]
        )
        let seen = try client.play("cancel", mode, by: library)
        #expect(seen["gave_up"] == true)
        #expect(seen["after"]?["is_error"] == false)
        let store = try await indexed.sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 10, account: account, on: connection)
        }
        let call = try #require(calls.first { $0.tool == "estimate_compliance" })
        #expect(call.outcome == .cancelled)
        // Half a second, and not the minute and a half that a model is waited for.
        #expect(call.end?.duration ?? .seconds(99) < .seconds(20))
    }
}

/// What no client is needed for.
struct MCPProcessTests {
    @Test func `the end of the input ends the server, with everything answered`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let input = """
            {"jsonrpc":"2.0","id":1,"method":"initialize","params":\
            {"protocolVersion":"2025-06-18","capabilities":{}}}
            {"jsonrpc":"2.0","method":"notifications/initialized"}

            nonsense
            {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_projects"}}
            {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"search",\
            "arguments":{"query":"x","mode":"vector"}}}
            """
        let result = try sandbox.preloop("mcp", input: input)
        #expect(result.status == 0, "\(result.errors)")
        let lines = try result.output.split(separator: "\n").map {
            try JSONParser.parse(String($0))
        }
        #expect(lines.count == 4)
        #expect(lines.allSatisfy { $0["jsonrpc"] == "2.0" })
        let projects = lines.first { $0["id"] == 2 }
        #expect(projects?["result"]?["structuredContent"] == ["projects": []])
        // No model is there: the tool says what to do, the server goes on.
        let search = lines.first { $0["id"] == 3 }?["result"]
        #expect(search?["isError"] == true)
        #expect(search?["content"]?[0]?["text"]?.string?.contains("models fetch") == true)
    }

    @Test func `SIGTERM ends it`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let running = try sandbox.start("preloop", ["mcp"])
        let answered = try running.answer(to: #"{"jsonrpc":"2.0","id":1,"method":"ping"}"# + "\n")
        #expect(answered.contains(#""id":1"#))
        running.signal(SIGTERM)
        let result = try running.waitForExit()
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test func `without an installation it says so and writes nothing`() throws {
        let result = try Sandbox().preloop("mcp", input: "{}\n")
        #expect(result.status == 1)
        #expect(result.output.isEmpty)
        #expect(result.errors.contains("preloop init"))
    }
}

struct ToolsCommandTests {
    @Test func `tools are listed, described and called`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let list = try sandbox.preloop("tools", "list", "--json")
        #expect(try list.json["tools"]?.array?.count == 10)
        #expect(try sandbox.preloop("tools").output.contains("find_duplicates"))
        let one = try sandbox.preloop("tools", "describe", "search")
        #expect(one.output.contains("query (string, required)"))
        #expect(one.output.contains("limit (integer, default 10)"))
        #expect(try sandbox.preloop("tools", "describe", "gone").status == 5)
        let call = try sandbox.preloop("tools", "call", "list_projects", "{}", "--json")
        #expect(try call.json["result"] == ["projects": []])
        let plain = try sandbox.preloop("tools", "call", "list_projects")
        #expect(plain.output == "{\"projects\":[]}\n")
    }

    @Test(arguments: [
        ("gone", "{}", 5 as Int32), ("search", "{", 2), ("search", "[]", 2), ("search", "{}", 1),
    ])
    func `what is wrong with a call has its exit status`(
        _ tool: String,
        _ arguments: String,
        _ status: Int32
    ) throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.preloop("tools", "call", tool, arguments)
        #expect(result.status == status, "\(result.errors)")
        #expect(result.output.isEmpty)
    }

    @Test func `an installation's own metrics are used, and a wrong file is told`() throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        try indexed.add("crash")
        let path = indexed.sandbox.home + "/compliance.json"
        let standard = try indexed.sandbox.preloop("tools", "metrics")
        #expect(try standard.json["metrics"]?[0]?["short_name"] == "DoR")
        let own = """
            {"v":1,"metrics":[{"name":"Mine","short_name":"M","checks":[{"id":"t",\
            "rule":"title_words","minimum":1,"requirement":"a title","advice":"write one"}]}]}
            """
        try Data(own.utf8).write(to: URL(fileURLWithPath: path))
        let words = #"{"issues":["x-0"],"compliance_metric":"M"}"#
        let call = try indexed.sandbox.preloop("tools", "call", "estimate_compliance", words)
        #expect(try call.json["results"]?[0]?["compliance_factor"] == 1.0, "\(call.errors)")
        try Data("{}".utf8).write(to: URL(fileURLWithPath: path))
        let wrong = try indexed.sandbox.preloop("tools", "call", "estimate_compliance", words)
        #expect(wrong.status == 1 && wrong.errors.contains("compliance.json"))
        // What has gone wrong is told in words, and what to do about it.
        let shown = try indexed.sandbox.preloop("tools", "metrics")
        #expect(shown.status == 1)
        #expect(shown.errors.contains("  to do: mend or remove the file"), "\(shown.errors)")
    }
}
