import Domain
import Foundation
import TestSupport
import Testing

/// The official Python SDK with the extension for tasks, before calls that wait for approval.
@Suite(
    .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the MCP SDK"),
    .serialized
)
struct TaskClientTests {
    struct Failure: Error { var errors: String }

    /// A server that holds the upstream's calls, and the upstream.
    private func held() throws -> (ServeProcess, PythonUpstream) {
        let sandbox = try Sandbox.withServers()
        let upstream = try PythonUpstream("http")
        let added = try sandbox.add(upstream, "up")
        guard added.status == 0 else { throw Failure(errors: added.errors) }
        let policy = """
            metadata: {name: held}
            tools:
            - {name: up/echo, conditions: [{action: require_approval}]}
            """
        let applied = try sandbox.preloop("policy", "apply", "-", input: policy)
        guard applied.status == 0 else { throw Failure(errors: applied.errors) }
        return (try ServeProcess(sandbox), upstream)
    }

    private func client(_ scenario: String, _ server: ServeProcess) throws -> RunningProgram {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", PythonClient.script("mcp_tasks.py"), scenario, "echo",
            #"{"text": "once"}"#, "--url", "\(server.origin)/mcp/v1",
        ]
        var environment = server.sandbox.environment
        environment["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        environment["PRELOOP_TOKEN"] = server.key
        process.environment = environment
        return try RunningProgram(process)
    }

    /// The task that a client has been given.
    private func task(_ client: RunningProgram) throws -> String {
        let line = try client.answer(to: "").split(separator: "\n").first.map(String.init)
        guard let line else { throw Failure(errors: try client.waitForExit().errors) }
        let task = try JSONParser.parse(line)
        #expect(task["status"] == "working")
        #expect(task["message"]?.string?.hasPrefix("waiting for approval") == true)
        #expect(task["interval"]?.integer ?? 0 > 0)
        return try #require(task["task"]?.string)
    }

    /// What came of it: the last line.
    private func end(_ client: RunningProgram) throws -> JSONValue {
        let result = try client.waitForExit()
        let line = result.output.split(separator: "\n").last.map(String.init)
        guard result.status == 0, let line else { throw Failure(errors: result.errors) }
        return try JSONParser.parse(line)
    }

    @Test func `a task that is approved from the terminal ends with the tool's answer`() throws {
        let (server, upstream) = try held()
        let client = try client("wait", server)
        let id = try task(client)
        // It waits while it is asked for, and has not run.
        usleep(1_000_000)
        #expect(client.isRunning && upstream.calls.isEmpty)
        let approved = try server.sandbox.preloop("approvals", "approve", id)
        #expect(approved.status == 0, "\(approved.errors)")
        let end = try end(client)
        #expect(end["is_error"] == false && end["text"] == "once")
        #expect(end["looks"]?.integer ?? 0 > 1)
        #expect(upstream.calls == ["echo"])
        #expect(try server.stop().status == 0)
    }

    @Test func `a task that is declined over REST ends with an error that says so`() throws {
        let (server, upstream) = try held()
        let client = try client("wait", server)
        let id = try task(client)
        // The key that has called cannot decide.
        let keys = try server.sandbox.preloop("keys", "add", "decides", "--user", "ann")
        let key = keys.output.split(separator: "\n").first.map(String.init) ?? ""
        let answer = try server.curl(
            "-X",
            "POST",
            "-H",
            "Authorization: Bearer \(key)",
            "-H",
            "Content-Type: application/json",
            "-d",
            #"{"comment": "not today"}"#,
            "\(server.origin)/api/v1/approval-requests/\(id)/decline"
        )
        #expect(answer.status == 200, "\(answer.body)")
        let end = try end(client)
        #expect(end["is_error"] == true)
        #expect(end["text"]?.string?.contains("not today") == true, "\(end)")
        #expect(upstream.calls.isEmpty)
        #expect(try server.stop().status == 0)
    }

    @Test func `a task that its client gives up is cancelled, and cannot be approved`() throws {
        let (server, upstream) = try held()
        let client = try client("cancel", server)
        let id = try task(client)
        let end = try end(client)
        #expect(end["status"] == "cancelled" && end["result"]?.isNull == true)
        #expect(end["unknown"] == -32602)
        let late = try server.sandbox.preloop("approvals", "approve", id)
        #expect(late.status != 0, "\(late.output)")
        #expect(upstream.calls.isEmpty)
        #expect(try server.stop().status == 0)
    }
}
