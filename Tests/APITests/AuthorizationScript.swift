import Foundation
import HTTPClient
import Synchronization
import TestSupport

/// An authorization server with an MCP server that wants its tokens, ended with the test.
final class AuthorizationScript: Sendable {
    struct Failure: Error {}

    /// Where the MCP server listens.
    let url: String
    private let process: Mutex<Process>
    private let http: CurlClient

    /// Starts both.
    init() throws {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Support/Python/oauth_server.py")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", script.path]
        // A file: a pipe would be inherited by other children and never end.
        let output = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-authorization-\(UUID().uuidString)")
        try Data().write(to: output)
        defer { try? FileManager.default.removeItem(at: output) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.runWatched()
        var text = ""
        while process.isRunning, !text.contains("\n") {
            usleep(20_000)
            text = String(decoding: try Data(contentsOf: output), as: UTF8.self)
        }
        guard let line = text.split(separator: "\n").first else { throw Failure() }
        url = String(line)
        self.process = Mutex(process)
        http = try CurlClient(configuration: .init(version: "test"))
    }

    // Its signals are blocked, as those of the thread that started it are.
    deinit { _ = process.withLock { kill($0.processIdentifier, SIGKILL) } }

    /// Who gives its tokens.
    var issuer: String { url.replacing("/mcp", with: "/as") }

    /// Where it sends a browser that has opened its page.
    func consent(_ page: String) async throws -> String {
        let answer = try await http.stream(
            HTTPRequest(url: page),
            to: HTTPReceiver(head: { _, _ in }, body: { _ in true })
        )
        guard let location = answer.headers["Location"] else { throw Failure() }
        return location
    }
}
