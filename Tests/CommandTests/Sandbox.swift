import Domain
import Foundation
import Glibc
import Store
import StoreTestSupport
import TestSupport

/// A PRELOOP_HOME of a test's own, and the built programs run in it.
final class Sandbox: Sendable {
    let home: String
    let environment: [String: String]
    private let scratch: ScratchDatabase?

    /// `isAlone` as of `Engine.database`.
    init(_ environment: [String: String] = [:], isAlone: Bool = false) throws {
        home =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-command-\(UUID().uuidString)").path
        // Nothing of the developer's own environment may decide a test.
        var all = ["PATH": "/usr/bin:/bin", "HOME": home, "PRELOOP_HOME": home]
        scratch = Engine.current == .sqlite ? nil : try Engine.current.database(isAlone: isAlone)
        all.merge(scratch?.environment ?? [:]) { $1 }
        all.merge(environment) { $1 }
        self.environment = all
    }

    deinit {
        // A directory left behind in the temporary directory harms nobody.
        try? FileManager.default.removeItem(atPath: home)
    }

    /// What a program left behind.
    struct Result {
        var status: Int32
        var output: String
        var errors: String

        /// The one JSON document of the output.
        var json: JSONValue {
            get throws { try JSONParser.parse(output) }
        }
    }

    /// Where the test bundle is, there are the programs.
    private static var programs: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    }

    /// The path of a built program.
    static func program(_ name: String) -> String { programs.appendingPathComponent(name).path }

    func start(
        _ program: String,
        _ arguments: [String],
        environment: [String: String] = [:]
    ) throws -> RunningProgram {
        let process = Process()
        process.executableURL = Self.programs.appendingPathComponent(program)
        process.arguments = arguments
        process.environment = self.environment.merging(environment) { $1 }
        return try RunningProgram(process)
    }

    /// Starts a program on a terminal of its own.
    func startOnTerminal(
        _ program: String,
        _ arguments: String...,
        environment: [String: String] = [:]
    ) throws -> PseudoTerminal {
        try PseudoTerminal(
            program: Self.programs.appendingPathComponent(program),
            arguments: arguments,
            environment: self.environment.merging(environment) { $1 }
        )
    }

    func run(
        _ program: String,
        _ arguments: String...,
        environment: [String: String] = [:],
        input: String? = nil
    ) throws -> Result {
        try start(program, arguments, environment: environment).wait(input: input)
    }

    func preloop(
        _ arguments: String...,
        environment: [String: String] = [:],
        input: String? = nil
    ) throws -> Result {
        try start("preloop", arguments, environment: environment).wait(input: input)
    }

    /// Adds a tracker whose token is in the variable `TOKEN`; it is tried out only when asked for.
    func addTracker(
        url: String,
        kind: String = "github",
        named name: String = "gh",
        isTried: Bool = false
    ) throws -> Result {
        let words = ["trackers", "add", kind, "--name", name, "--token-env", "TOKEN", "--url", url]
        return try start("preloop", words + (isTried ? [] : ["--no-test"])).wait()
    }

    /// Begins to add the tracker `gh` on a terminal, which asks for the token.
    func askForToken() throws -> PseudoTerminal {
        try startOnTerminal("preloop", "trackers", "add", "github", "--name", "gh", "--no-test")
    }

    /// The sandbox's store, for tests that put rows in or look at them.
    func store() async throws -> Store {
        try await Store.open(scratch?.connect() ?? SQLiteDatabase(path: home + "/preloop.db"))
    }

    func mode(_ name: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: home + name)[.posixPermissions] as? Int
    }
}

/// A program under way; its output goes to files, so that it can never block.
final class RunningProgram {
    private let process: Process
    private let input = Pipe()
    private let output: URL
    private let errors: URL

    init(_ process: Process) throws {
        self.process = process
        let folder = FileManager.default.temporaryDirectory
        output = folder.appendingPathComponent("preloop-output-\(UUID().uuidString)")
        errors = folder.appendingPathComponent("preloop-errors-\(UUID().uuidString)")
        for file in [output, errors] { try Data().write(to: file) }
        process.standardInput = input
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.runWatched()
    }

    deinit {
        for file in [output, errors] { try? FileManager.default.removeItem(at: file) }
    }

    var isRunning: Bool { process.isRunning }

    func signal(_ number: Int32) {
        kill(process.processIdentifier, number)
    }

    /// Writes to a program that goes on, and waits for the first line of its output.
    func answer(to text: String) throws -> String {
        input.fileHandleForWriting.write(Data(text.utf8))
        while process.isRunning {
            let written = String(decoding: try Data(contentsOf: output), as: UTF8.self)
            if written.contains("\n") { return written }
            usleep(10_000)
        }
        return ""
    }

    /// Waits until a program has said something on standard error; gives all that it has said.
    func complaint(with text: String) throws -> String {
        var written = ""
        repeat {
            written = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
            if written.contains(text) { break }
            usleep(10_000)
        } while process.isRunning
        return written
    }

    func wait(input text: String? = nil) throws -> Sandbox.Result {
        if let text { input.fileHandleForWriting.write(Data(text.utf8)) }
        try input.fileHandleForWriting.close()
        return try waitForExit()
    }

    /// Waits for a program that ends by itself; its input stays open.
    func waitForExit() throws -> Sandbox.Result {
        process.waitUntilExit()
        return Sandbox.Result(
            status: process.terminationReason == .exit ? process.terminationStatus : -1,
            output: String(decoding: try Data(contentsOf: output), as: UTF8.self),
            errors: String(decoding: try Data(contentsOf: errors), as: UTF8.self)
        )
    }
}
