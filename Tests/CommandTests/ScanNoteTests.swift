import Domain
import Testing

@testable import Bootstrap
@testable import Sync

struct ScanNoteTests {
    /// The words of a tracker were kept as they came.
    @Test func `what is kept of a failed scan has no secrets`() throws {
        let token = "ghp_" + String(repeating: "a1B2", count: 9)
        var tracker = TrackerReport(name: "gh")
        tracker.failures = ["the service says: bad token \(token)"]
        let start = Timestamp(milliseconds: 0)
        var scan = ScanReport(startedAt: start, duration: .zero, isDryRun: false)
        scan.trackers = [tracker]
        let problem = try #require(IndexedScan.Outcome(scan: scan).problem(of: tracker))
        #expect(problem.hasPrefix("the service says: bad token [redacted:github_token:"))
        #expect(!problem.contains(token))
        tracker.failures = []
        #expect(IndexedScan.Outcome(scan: scan).problem(of: tracker) == nil)
    }
}
