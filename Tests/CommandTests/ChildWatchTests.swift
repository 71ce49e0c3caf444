import Foundation
import Glibc
import TestSupport
import Testing

/// What becomes of children when the process of the tests ends.
struct ChildWatchTests {
    /// A child that does not hear SIGTERM, as those of tests do not.
    private func child() throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "trap '' TERM; while :; do sleep 1; done"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.runWatched()
        return process
    }

    /// They went on for ever, each with a port and a database.
    @Test func `children end with the process that started them, and no others`() throws {
        let watch = try ChildWatch()
        let (left, ended) = (try child(), try child())
        watch.begin(left.processIdentifier)
        watch.begin(ended.processIdentifier)
        watch.end(ended.processIdentifier)
        watch.close()
        left.waitUntilExit()
        #expect(left.terminationReason == .uncaughtSignal && left.terminationStatus == SIGKILL)
        #expect(ended.isRunning)
        kill(ended.processIdentifier, SIGKILL)
        ended.waitUntilExit()
    }
}
