import Foundation
import Synchronization

/// A Python script of `Tests/Support/Python` that serves MCP over HTTP, ended with the test.
package final class UpstreamScript: Sendable {
    private struct Failure: Error {}

    /// Where it listens.
    package let url: String
    private let process: Mutex<Process>

    /// Starts a script, which prints its address first.
    package convenience init(_ arguments: String...) throws { try self.init(arguments: arguments) }

    /// Starts a script, which prints its address first.
    package init(arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", Self.path(arguments[0])] + arguments.dropFirst()
        // A file: a pipe would be inherited by other children and never end.
        let output = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-upstream-\(UUID().uuidString)")
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
    }

    // Its signals are blocked, as those of the thread that started it are.
    deinit { _ = process.withLock { kill($0.processIdentifier, SIGKILL) } }

    /// The path of a script.
    package static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Python/\(name)").path
    }
}
