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
        for requests in [2, 4, 6, 9, 13] {
            // On a busy machine the scan may end before the kill comes.
            var isKilled = false
            for _ in 0..<Self.attempts where !isKilled {
                let indexed = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
                defer { indexed.remove() }
                isKilled = try await kill(indexed, after: requests, fake)
                guard isKilled else { continue }
                try scan(indexed)
                #expect(try indexed.export() == expected, "killed after \(requests) requests")
                let verified = try indexed.sandbox.preloop("index", "verify")
                #expect(verified.status == 0, "\(verified.errors)")
            }
            #expect(isKilled, "no scan was killed after \(requests) requests")
        }
    }

    private static let attempts = 10

    /// Kills a scan when it has made so many requests; whether it was still at work.
    private func kill(
        _ indexed: IndexedSandbox,
        after requests: Int,
        _ fake: FakeTrackers
    ) async throws -> Bool {
        try await fake.resetStats()
        let scan = try indexed.sandbox.start("preloop-sync", ["scan", "all", "--quiet"])
        // Asked for at once again and again: the moment of the kill is somewhere behind.
        while try await fake.stats()["requests"]?.integer ?? 0 < Int64(requests) {
            guard scan.isRunning else { break }
        }
        scan.signal(SIGKILL)
        // -1 for a signal's work.
        return try scan.wait().status == -1
    }
}
