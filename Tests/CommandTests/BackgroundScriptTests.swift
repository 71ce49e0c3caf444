import Foundation
import Glibc
import Testing

/// `scripts/lib/background`, by which the demo leaves its server up.
struct BackgroundScriptTests {
    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("scripts/lib/background").path
    private static let ready = "s/^Preloop serves \\([^ ]*\\) .*/\\1/p"

    private func run(_ sandbox: Sandbox, _ arguments: String...) throws -> Sandbox.Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = [Self.script] + arguments
        process.environment = sandbox.environment
        return try RunningProgram(process).wait()
    }

    private func start(_ sandbox: Sandbox, port: String) throws -> Sandbox.Result {
        let program = Sandbox.program("preloop")
        return try run(
            sandbox,
            "start",
            "server",
            Self.ready,
            program,
            "serve",
            "--port",
            port
        )
    }

    /// The process that the file of the server names, which `kill $(cat …)` ends.
    private func process(_ sandbox: Sandbox) throws -> pid_t {
        let text = try String(contentsOfFile: sandbox.home + "/run/server.pid", encoding: .utf8)
        return try #require(pid_t(text.filter(\.isNumber)))
    }

    private func answers(_ origin: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["curl", "-sS", "-f", "-o", "/dev/null", "\(origin)/healthz"]
        return try RunningProgram(process).wait().status == 0
    }

    @Test func `a server goes on when the script has ended, gives way, and is stopped`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        // A test that fails leaves no server behind either.
        defer { _ = try? run(sandbox, "stop", "server") }
        let first = try start(sandbox, port: "0")
        #expect(first.status == 0, "\(first.errors)")
        let origin = first.output.filter { $0 != "\n" }
        #expect(try answers(origin))
        let before = try process(sandbox)
        // In a session of its own: what ends a terminal's programs does not end it.
        #expect(getsid(before) == before)
        // The second takes the first one's place, on the same port.
        let port = try #require(origin.split(separator: ":").last)
        let second = try start(sandbox, port: String(port))
        #expect(second.output == first.output, "\(second.errors)")
        #expect(try process(sandbox) != before)
        #expect(try answers(origin))
        let last = try process(sandbox)
        let stopped = try run(sandbox, "stop", "server")
        #expect(stopped.status == 0 && stopped.output == "server: stopped, process \(last)\n")
        #expect(try !answers(origin))
        #expect(!FileManager.default.fileExists(atPath: sandbox.home + "/run/server.pid"))
        let again = try run(sandbox, "stop", "server")
        #expect(again.status == 0 && again.output == "server: does not run\n")
    }

    @Test func `what does not start is told of, with what it said, and leaves no process`() throws {
        let sandbox = try Sandbox()
        let result = try start(sandbox, port: "70000")
        #expect(result.status == 1)
        #expect(result.output.isEmpty)
        #expect(result.errors.contains("--port is a number from 0 to 65535"), "\(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: sandbox.home + "/run/server.pid"))
    }

    @Test func `a number that is another program's by now is left alone`() throws {
        let sandbox = try Sandbox()
        let other = Process()
        other.executableURL = URL(fileURLWithPath: "/bin/sleep")
        other.arguments = ["60"]
        other.environment = [:]
        try other.run()
        defer { other.terminate() }
        try FileManager.default.createDirectory(
            atPath: sandbox.home + "/run",
            withIntermediateDirectories: true
        )
        try Data("\(other.processIdentifier)\n".utf8)
            .write(to: URL(fileURLWithPath: sandbox.home + "/run/server.pid"))
        #expect(try run(sandbox, "stop", "server").status == 0)
        #expect(other.isRunning)
    }
}
