import Domain
import Foundation
import TestSupport
import Testing

/// The official Python SDK on both sides of the gateway, hearing of changes of resources.
@Suite(
    .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the MCP SDK"),
    .serialized
)
struct ResourceWatchingTests {
    struct Failure: Error { var errors: String }

    /// What `mcp_watching.py` saw.
    private func seen(_ words: [String], _ environment: [String: String]) throws -> JSONValue {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", PythonUpstream.script("mcp_watching.py")] + words
        process.environment = environment
        let result = try RunningProgram(process).wait()
        guard result.status == 0 else { throw Failure(errors: result.errors) }
        return try result.json
    }

    private func check(
        _ seen: JSONValue,
        _ client: String,
        _ upstream: PythonUpstream,
        isLegacy: Bool
    ) {
        #expect(seen["offered"] == true)
        #expect(seen["heard"] == ["memo://one"])
        let asked = isLegacy ? "subscribe" : "listen"
        #expect(upstream.calls.count { $0 == "\(asked) memo://one" } == 1, "\(upstream.calls)")
        if client == "legacy" {
            // Streams are acknowledged whatever they name, as the SDK's server does it.
            if isLegacy { #expect(seen["refused"] == -32002) }
        } else {
            #expect(seen["honored"] == ["memo://one"])
        }
        #expect(!upstream.calls.contains { $0.hasSuffix("memo://two") })
    }

    @Test(arguments: ["legacy", "2026-07-28"], ["legacy", "modern"])
    func `clients of both eras hear of changes at servers of both eras`(
        _ client: String,
        _ era: String
    ) throws {
        let sandbox = try Sandbox.withServers()
        let upstream = try PythonUpstream("http", era: era, script: "mcp_resources.py")
        let added = try sandbox.add(upstream, "up")
        #expect(added.status == 0, "\(added.errors)")
        let server = try ServeProcess(sandbox)
        let words = [client, "--url", "\(server.origin)/mcp/v1", "--token", server.key]
        check(try seen(words, sandbox.environment), client, upstream, isLegacy: era == "legacy")
        // What nobody wants any more is not kept.
        if era == "legacy" {
            var looks = 0
            while !upstream.calls.contains("unsubscribe memo://one"), looks < 600 {
                usleep(100_000)
                looks += 1
            }
            #expect(upstream.calls.contains("unsubscribe memo://one"))
        }
        // A client that subscribes is on record.
        let audit = try sandbox.preloop("audit", "query", "--server", "up")
        #expect(audit.output.contains("resources/subscribe"), "\(audit.output)")
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: ["legacy", "2026-07-28"])
    func `the same over standard input and output`(_ client: String) throws {
        let sandbox = try Sandbox.withServers()
        let upstream = try PythonUpstream("stdio", script: "mcp_resources.py")
        let added = try sandbox.add(upstream, "up")
        #expect(added.status == 0, "\(added.errors)")
        let seen = try seen(
            [client, "--", Sandbox.program("preloop"), "mcp"],
            sandbox.environment
        )
        #expect(seen["offered"] == true)
        #expect(seen["heard"] == ["memo://one"])
    }
}
