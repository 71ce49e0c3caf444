import Domain
import Store
import Synchronization
import TestSupport
import Testing
import Trackers

@testable import Sync

/// Scans that are killed anywhere and started again end where an undisturbed one ends.
@Suite struct ScanResumptionTests {
    private static func world(_ listing: CommentListing) -> TrackerWorld {
        let world = TrackerWorld(listing, pageSize: 2)
        world.addProject("org/a")
        for number in 1...5 {
            world.addIssue("org/a")
            for _ in 0..<(number % 4) { world.addComment("org/a", number) }
        }
        return world
    }

    /// The first scan, some changes, and a full scan; each of them may be killed.
    private static func change(_ world: TrackerWorld) {
        world.touch("org/a", 1)
        world.addComment("org/a", 2)
        world.removeComment("org/a", 3)
        world.remove("org/a", 4)
        world.addIssue("org/a")
    }

    @Test(arguments: [CommentListing.perProject, .perIssue], [true, false])
    func `a kill at any write loses nothing and doubles nothing`(
        listing: CommentListing,
        afterCommit: Bool
    ) async throws {
        let undisturbed = try await SyncFixture(Self.world(listing))
        try await undisturbed.scan()
        let firstWrites = undisturbed.database.writeCount
        Self.change(undisturbed.world)
        try await undisturbed.scan(full: true)
        let allWrites = undisturbed.database.writeCount
        #expect(try await undisturbed.content() == undisturbed.world.truth)

        for kill in 0..<(allWrites - firstWrites + firstWrites) {
            let fixture = try await SyncFixture(Self.world(listing))
            fixture.database.dieAfter(kill, afterCommit: afterCommit)
            _ = try? await fixture.scan()
            let diedAtFirst = fixture.database.plan.withLock { ($0.writesLeft ?? 0) < 0 }
            if diedAtFirst { fixture.database.dieAfter(nil) }
            Self.change(fixture.world)
            _ = try? await fixture.scan(full: true)
            fixture.database.dieAfter(nil)
            let report = try await fixture.scan(full: true)
            #expect(report.isComplete, "killed at write \(kill)")
            let content = try await fixture.content()
            #expect(content == fixture.world.truth, "killed at write \(kill)")
            #expect(
                try await fixture.integer(
                    "SELECT COUNT(*) - COUNT(DISTINCT external_id) AS n FROM issues"
                ) == 0
            )
        }
    }

    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `a tracker that fails at any call loses nothing`(listing: CommentListing) async throws {
        let undisturbed = try await SyncFixture(Self.world(listing))
        try await undisturbed.scan()
        let calls = undisturbed.world.callCount
        for failing in 1...calls {
            let fixture = try await SyncFixture(Self.world(listing))
            fixture.world.interfere { (number, _, _) throws(TrackerError) in
                if number >= failing { throw .unavailable(detail: "502") }
            }
            let report = try await fixture.scan()
            #expect(!report.isComplete || failing > calls, "failed at call \(failing)")
            fixture.world.leaveAlone()
            #expect(try await fixture.scan().isComplete)
            let content = try await fixture.content()
            #expect(content == fixture.world.truth, "failed at call \(failing)")
        }
    }

    @Test func `an expired page token starts the walk again`() async throws {
        let fixture = try await SyncFixture(Self.world(.perProject))
        fixture.world.interfere { (_, name, world) throws(TrackerError) in
            let seen = world.calls.count { $0 == name }
            if name == "issues org/a everything", seen == 2 { throw .pageTokenExpired }
        }
        #expect(try await fixture.scan().isComplete)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a cancelled scan stops cleanly and gives the lease back`() async throws {
        let fixture = try await SyncFixture(Self.world(.perProject))
        let task = Task { [runner = fixture.runner()] in try await runner.run(ScanRequest()) }
        fixture.world.interfere { (number, _, _) throws(TrackerError) in
            if number >= 5 {
                task.cancel()
                throw .cancelled
            }
        }
        let report = try await task.value
        #expect(report.wasCancelled)
        #expect(!report.isComplete)
        fixture.world.leaveAlone()
        #expect(try await fixture.scan().isComplete)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test(arguments: 0..<30)
    func `changes at random moments arrive after one more scan`(seed: Int) async throws {
        let listing: CommentListing = seed.isMultiple(of: 2) ? .perProject : .perIssue
        let fixture = try await SyncFixture(Self.world(listing))
        fixture.world.interfere { (number, _, world) throws(TrackerError) in
            var random = SeededGenerator(seed: UInt64(seed &* 1000 &+ number))
            let issue = Int(random.next() % 6) + 1
            switch random.next() % 6 {
            case 0: world.touch("org/a", issue)
            case 1: world.addComment("org/a", issue)
            case 2: world.addIssue("org/a")
            case 3: _ = world.tick(Int64(random.next() % 300))
            case 4 where random.next() % 3 == 0: throw .unavailable(detail: "502")
            default: break
            }
        }
        for _ in 0..<3 { _ = try await fixture.scan() }
        fixture.world.leaveAlone()
        try await fixture.scan()
        #expect(try await fixture.content() == fixture.world.truth, "seed \(seed)")
        try await fixture.scan(full: true)
        #expect(try await fixture.content() == fixture.world.truth, "seed \(seed)")
    }
}
