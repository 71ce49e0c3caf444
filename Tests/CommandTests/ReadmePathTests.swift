import Domain
import Foundation
import Testing

/// The sections of the README that a stranger types to put Preloop before another MCP server, and
/// to try out a policy.
@Suite(
    .enabled(
        if: StandardServersTests.hasTime,
        "scripts/setup --tests installs mcp-server-time"
    )
)
struct ReadmePathTests {
    /// The lines to be typed, in order.
    private static func lines(below heading: String) throws -> [String] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appendingPathComponent("README.md"),
            encoding: .utf8
        )
        let start = try #require(page.range(of: "## \(heading)\n"))
        return page[start.upperBound...].components(separatedBy: "\n## ")[0]
            .components(separatedBy: "\n").filter { $0.hasPrefix("    ") }
            .map { String($0.dropFirst(4)) }
    }

    /// The same for a shell of this test: the server is that of the tests' Python, and waiting
    /// takes as long as it does.
    private static func script() throws -> String {
        let waiting = "until preloop approvals list | grep -q convert_time; do sleep 0.2; done;"
        let both =
            try lines(below: "Put Preloop in front of your agent")
            + lines(below: "Decide what agents may do")
        // The last two go on until somebody stops them.
        let left = ["python3 -m venv", "claude", "preloop approvals watch", "preloop audit tail"]
        let typed = both.filter { line in !left.contains { line.hasPrefix($0) } }
        return typed.map { line in
            line.replacing("~/.mcp/bin/mcp-server-time", with: "python3 -m mcp_server_time")
                .replacing("sleep 2; preloop approvals", with: "\(waiting) preloop approvals")
                .replacing("sleep 2; preloop audit", with: "wait; preloop audit")
        }.joined(separator: "\n")
    }

    @Test func `what the README says about other MCP servers works as it is typed`() throws {
        let programs = URL(fileURLWithPath: Sandbox.program("preloop")).deletingLastPathComponent()
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let sandbox = try Sandbox(["PATH": "\(programs.path):\(path)", "USER": "ann"])
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-readme-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Left behind in the temporary directory it harms nobody.
        defer { try? FileManager.default.removeItem(at: folder) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", try Self.script()]
        process.environment = sandbox.environment
        process.currentDirectoryURL = folder
        let result = try RunningProgram(process).wait()
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("Added time"), "\(result.output)")
        #expect(result.errors.contains("Access denied: UTC is enough"), "\(result.errors)")
        #expect(result.output.contains("Approved: time/convert_time may run, once."))
        #expect(result.output.contains("21:00"), "\(result.errors)")
        let audit = result.output.components(separatedBy: "\n").filter { $0.contains("time/") }
        #expect(audit.contains { $0.contains("time/get_current_time") && $0.contains("denied") })
        #expect(audit.contains { $0.contains("time/convert_time") && $0.contains("succeeded") })
        #expect(result.output.contains("3 passed, 0 failed"), "\(result.errors)")
        #expect(!result.errors.contains("warning"), "\(result.errors)")
        // Servers need not give their tools a title.
        let tools = try sandbox.preloop("tools", "list").output
        #expect(tools.contains(/get_current_time +Get current time/), "\(tools)")
        // What was denied did not run, and what is recorded holds together.
        #expect(try sandbox.preloop("audit", "verify").status == 0)
    }
}
