import Domain
import Foundation
import TestSupport
import Testing

/// The official Python SDK on both sides of the gateway: what is said and asked outside of calls.
@Suite(
    .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the MCP SDK"),
    .serialized
)
struct OutsideCallTests {
    struct Failure: Error { var errors: String }

    /// What `mcp_outside.py` saw.
    private func seen(_ words: [String], _ environment: [String: String]) throws -> JSONValue {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", PythonUpstream.script("mcp_outside.py")] + words
        process.environment = environment
        let result = try RunningProgram(process).wait()
        guard result.status == 0 else { throw Failure(errors: result.errors) }
        return try result.json
    }

    private func installed(_ transport: String) throws -> (Sandbox, PythonUpstream) {
        let sandbox = try Sandbox.withServers()
        let upstream = try PythonUpstream(transport, era: "legacy", script: "mcp_later.py")
        let added = try sandbox.add(upstream, "up")
        #expect(added.status == 0, "\(added.errors)")
        return (sandbox, upstream)
    }

    private func seenDirectly(_ sandbox: Sandbox) throws -> JSONValue {
        let direct = try PythonUpstream("stdio", era: "legacy", script: "mcp_later.py")
        return try seen(["legacy", "--"] + direct.command, sandbox.environment)
    }

    /// Log messages and the ends of pages reached nobody, and servers went on with old roots.
    @Test(arguments: ["http", "stdio"])
    func `what is said outside of calls passes as it does directly`(_ transport: String) throws {
        let (sandbox, upstream) = try installed(transport)
        defer { withExtendedLifetime(upstream) {} }
        let expected = try seenDirectly(sandbox)
        #expect(expected["logged"]?.array?.count == 3 && expected["ended"] == ["page-1"])
        let server = try ServeProcess(sandbox)
        let address = ["--url", "\(server.origin)/mcp/v1", "--token", server.key]
        #expect(try seen(["legacy"] + address, sandbox.environment) == expected)
        // The revision of this one has nothing of it; a page is opened all the same.
        let modern = try seen(["2026-07-28"] + address, sandbox.environment)
        #expect(modern["logged"] == [] && modern["ended"] == [] && modern["page"] == "accept")
        #expect(modern["asked"] == expected["asked"])
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: ["http", "stdio"])
    func `the same over standard input and output`(_ transport: String) throws {
        let (sandbox, upstream) = try installed(transport)
        defer { withExtendedLifetime(upstream) {} }
        let expected = try seenDirectly(sandbox)
        let program = [Sandbox.program("preloop"), "mcp"]
        #expect(try seen(["legacy", "--"] + program, sandbox.environment) == expected)
    }
}
