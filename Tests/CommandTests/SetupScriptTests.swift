import Foundation
import Testing

/// What `scripts/setup` does with words that it does not know: it installs packages otherwise.
struct SetupScriptTests {
    private func run(_ arguments: String...) throws -> Sandbox.Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("scripts/setup")
        process.arguments = arguments
        process.environment = ["PATH": "/usr/bin:/bin"]
        return try RunningProgram(process).wait()
    }

    @Test func `its use is told when it is asked for`() throws {
        let result = try run("--help")
        #expect(result.status == 0 && result.errors.isEmpty)
        #expect(result.output.contains("Use: scripts/setup [--tests | --soak | --bench]"))
        #expect(!result.output.contains("everything that is needed is installed"))
    }

    @Test(arguments: [["--test"], ["--tests", "--soak"], ["all"]])
    func `other words are refused before anything is done`(_ words: [String]) throws {
        let result = try words.count == 1 ? run(words[0]) : run(words[0], words[1])
        #expect(result.status == 2 && result.output.isEmpty)
        #expect(result.errors.contains("Use: scripts/setup"), "\(result.errors)")
    }
}
