import Domain
import Foundation
import Glibc
import TestSupport
import Testing

/// Scans that end as processes do in a power cut or at the hands of the kernel.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct KillTests {
    private func scan(_ indexed: IndexedSandbox) throws {
        let result = try indexed.sandbox.run("preloop-sync", "scan", "all", "--json")
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test func `case 23: a scan that is killed leaves what the next one completes`() async throws {
        // Slow enough for the kill to come before the scan's end, however busy the machine is.
        let fake = try await FakeTrackers.start(
            corpora: [.shared("edge")],
            arguments: ["--latency", "600"]
        )
        defer { fake.stop() }
        let undisturbed = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
        defer { undisturbed.remove() }
        try scan(undisturbed)
        let expected = try undisturbed.export()
        #expect(expected.split(separator: "\n").count > 300)
        var (killedCount, others) = (0, [String]())
        for requests in [3, 6, 9, 14, 20] {
            let indexed = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
            defer { indexed.remove() }
            try await fake.resetStats()
            let killed = try indexed.sandbox.start("preloop-sync", ["scan", "all", "--quiet"])
            // Asked for at once again and again: the moment of the kill is somewhere behind.
            while try await fake.stats()["requests"]?.integer ?? 0 < requests {
                guard killed.isRunning else { break }
            }
            killed.signal(SIGKILL)
            // -1 for a signal's work; the scan may have ended just before.
            let ended = try killed.wait()
            if ended.status == -1 { killedCount += 1 } else { others.append("\(ended)") }
            try scan(indexed)
            #expect(try indexed.export() == expected, "killed after \(requests) requests")
            let verified = try indexed.sandbox.preloop("index", "verify")
            #expect(verified.status == 0, "\(verified.errors)")
        }
        #expect(killedCount >= 3, "\(others)")
    }
}
