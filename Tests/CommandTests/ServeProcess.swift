import Domain
import Foundation
import TestSupport

/// `preloop serve` in a sandbox, on a free port, with an owner and a key.
final class ServeProcess {
    let sandbox: Sandbox
    let running: RunningProgram
    let origin: String
    let key: String

    struct Failure: Error { var errors: String }

    /// Makes the owner `ann`, a key, and starts the server; at a port of its own choice for 0.
    init(_ sandbox: Sandbox, environment: [String: String] = [:], port: UInt16 = 0) throws {
        self.sandbox = sandbox
        let made = try sandbox.preloop(
            "init",
            "--admin",
            "ann",
            "--password-env",
            "PASSWORD",
            environment: ["PASSWORD": "correct horse battery"]
        )
        guard made.status == 0 else { throw Failure(errors: made.errors) }
        let key = try sandbox.preloop("keys", "add", "test", "--user", "ann")
        guard key.status == 0 else { throw Failure(errors: key.errors) }
        self.key = key.output.split(separator: "\n").first.map(String.init) ?? ""
        running = try sandbox.start(
            "preloop",
            ["serve", "--port", "\(port)"],
            environment: environment
        )
        let line = try running.answer(to: "")
        guard let match = line.firstMatch(of: /http:\/\/127\.0\.0\.1:\d+/) else {
            // It may be at work, and say another address.
            running.signal(SIGTERM)
            throw Failure(errors: "\(line)\n\(try running.waitForExit().errors)")
        }
        origin = String(match.0)
    }

    /// Ends the server by SIGTERM, and gives what it left behind.
    func stop() throws -> Sandbox.Result {
        running.signal(SIGTERM)
        return try running.waitForExit()
    }

    /// What an example prints that knows the server as `URL` and its key as `KEY`.
    func run(_ words: [String]) throws -> Sandbox.Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.environment = [
            "URL": origin, "KEY": key, "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "",
        ]
        return try RunningProgram(process).wait()
    }

    /// What curl gets; the body, and the status behind a line end.
    func curl(_ arguments: String...) throws -> (status: Int, body: String) {
        try curl(arguments)
    }

    /// The same.
    func curl(_ arguments: [String]) throws -> (status: Int, body: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["curl", "-sS", "-w", "\n%{http_code}"] + arguments
        let result = try RunningProgram(process).wait()
        guard result.status == 0 else { throw Failure(errors: result.errors) }
        var lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        let status = lines.popLast().flatMap { Int($0) } ?? 0
        return (status, lines.joined(separator: "\n"))
    }
}
