import Domain
import Store
import Synchronization
import Testing
import Trackers

@testable import Sync

@Suite struct ScanRunnerTests {
    private func world(
        _ listing: CommentListing = .perProject,
        issues: Int = 8,
        sightings: Bool = false
    ) -> TrackerWorld {
        let world = TrackerWorld(listing, showsSightings: sightings)
        for path in ["org/a", "org/b"] {
            world.addProject(path)
            for number in 1...issues {
                world.addIssue(path)
                for _ in 0..<(number % 3) { world.addComment(path, number) }
            }
        }
        return world
    }

    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `a first scan stores what the tracker has`(listing: CommentListing) async throws {
        let fixture = try await SyncFixture(world(listing))
        let report = try await fixture.scan()
        #expect(report.isComplete)
        #expect(report.totals.issuesCreated == 16)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `a second scan asks little and writes no row`(listing: CommentListing) async throws {
        let fixture = try await SyncFixture(world(listing))
        try await fixture.scan()
        // Everything but the last change falls out of the overlap.
        _ = fixture.world.tick(1000)
        fixture.world.addComment("org/a", 1)
        fixture.world.addComment("org/b", 1)
        try await fixture.scan()
        let revision = try await fixture.revision()
        let report = try await fixture.scan()
        #expect(report.totals.written == 0)
        #expect(try await fixture.revision() == revision)
        #expect(report.projects.allSatisfy { $0.counts.calls <= 3 })
    }

    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `a scan long after the last change asks once`(listing: CommentListing) async throws {
        let fixture = try await SyncFixture(world(listing))
        let world = fixture.world
        _ = world.tick(1000)
        try await fixture.scan()
        let quiet = try await fixture.scan()
        #expect(quiet.projects.allSatisfy { $0.counts.calls == 1 })
        // A comment moves its issue, so it is asked for again.
        world.addComment("org/a", 1)
        try await fixture.scan()
        #expect(try await fixture.content() == world.truth)
        _ = world.tick(1000)
        try await fixture.scan()
        #expect(try await fixture.scan().projects.allSatisfy { $0.counts.calls == 1 })
    }

    /// Many projects in which nothing happens are the usual scan; each once had a question of its
    /// own to the store.
    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `the store is asked for due comments only where there may be some`(
        listing: CommentListing
    ) async throws {
        let fixture = try await SyncFixture(world(listing))
        let world = fixture.world
        world.state.withLock { $0.tagsLists = true }
        // Until the lists are empty but for the last change, and their tags known.
        for _ in 0..<5 {
            _ = world.tick(1000)
            try await fixture.scan()
        }
        func scanned() async throws -> (reads: Int, calls: Int) {
            let before = fixture.database.plan.withLock { $0.readCount }
            let report = try await fixture.scan()
            let after = fixture.database.plan.withLock { $0.readCount }
            return (after - before, report.projects.reduce(0) { $0 + $1.counts.calls })
        }
        let idle = try await scanned()
        #expect(idle.calls == 2)
        let project = try #require(try await fixture.project("org/a"))
        try await fixture.store.write { connection, account in
            try IssueTable.markCommentsDue(
                externalID: "1",
                in: project.id,
                account: account,
                on: connection
            )
        }
        // The marked issue is found, and then that there is no other.
        let marked = try await scanned()
        #expect(marked.calls == 3)
        #expect(marked.reads == idle.reads + 2)
        let again = try await scanned()
        #expect(again.calls == idle.calls && again.reads == idle.reads)
        #expect(try await fixture.content() == world.truth)
    }

    /// The cursor may leave the overlap out only where the lag cannot hide anything any more.
    @Test(arguments: [CommentListing.perProject, .perIssue], [1, 60, 119, 120, 121, 300])
    func `a list that lags hides nothing for good`(
        listing: CommentListing,
        pause: Int64
    ) async throws {
        let fixture = try await SyncFixture(world(listing))
        let world = fixture.world
        world.state.withLock { $0.listLag = .seconds(100) }
        _ = world.tick(pause)
        try await fixture.scan()
        for number in 1...4 {
            world.touch("org/a", number)
            world.addComment("org/a", number + 1)
            _ = world.tick(pause)
            try await fixture.scan()
        }
        _ = world.tick(101)
        try await fixture.scan()
        #expect(try await fixture.content() == world.truth)
    }

    @Test func `a project that cannot be read is reported and the others are scanned`() async throws
    {
        let fixture = try await SyncFixture(world())
        let row = UnreadableProject(externalID: "7", path: nil, reason: "`name` is no text")
        fixture.world.state.withLock { $0.unreadable = [row] }
        let report = try await fixture.scan()
        #expect(report.trackers.first?.failures == [row.description])
        #expect(!report.isComplete)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `changes of all kinds arrive with the next scan`(listing: CommentListing) async throws {
        let fixture = try await SyncFixture(world(listing))
        try await fixture.scan()
        let world = fixture.world
        world.touch("org/a", 2)
        world.addComment("org/a", 3)
        world.addComment("org/b", 1)
        world.addIssue("org/b")
        world.edit("org/a", 2) { $0.issue.state = .closed }
        let report = try await fixture.scan()
        #expect(report.totals.issuesCreated == 1)
        #expect(try await fixture.content() == world.truth)
    }

    @Test func `an issue updated in 2099 does not stop the others`() async throws {
        let world = world()
        world.edit("org/a", 5) { entry in
            entry.issue.updatedAt = Timestamp(milliseconds: 4_102_444_799_000)
        }
        let fixture = try await SyncFixture(world)
        try await fixture.scan()
        let project = try #require(await fixture.project("org/a"))
        let watermark = try #require(ProjectCursor(project.cursor).watermark)
        #expect(watermark <= world.now)
        _ = world.tick(10_000)
        world.touch("org/a", 1)
        try await fixture.scan()
        #expect(try await fixture.content() == world.truth)
        // Edited back into the present: the stored future time protects nothing.
        world.touch("org/a", 5)
        try await fixture.scan()
        #expect(try await fixture.content() == world.truth)
    }

    @Test func `a change during the first walk is not lost`() async throws {
        let fixture = try await SyncFixture(world())
        fixture.world.interfere { (number, name, world) throws(TrackerError) in
            // After the first page of org/a an issue of that page changes; then time passes.
            if name == "issues org/a everything", !world.calls.contains("touched") {
                world.state.withLock { $0.calls.append("touched") }
            } else if name == "issues org/a everything" {
                world.touch("org/a", 1)
                _ = world.tick(600)
                world.touch("org/a", 8)
            }
        }
        try await fixture.scan()
        fixture.world.leaveAlone()
        try await fixture.scan()
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test(arguments: [true, false])
    func `a census finds deleted issues and missed ones`(sightings: Bool) async throws {
        let fixture = try await SyncFixture(world(sightings: sightings))
        try await fixture.scan()
        fixture.world.remove("org/a", 2)
        // Appears with an old time, as after a restore on the service: no incremental walk sees it.
        fixture.world.addIssue("org/a", at: Timestamp(milliseconds: 1_600_000_000_000))
        try await fixture.scan()
        #expect(try await fixture.content() != fixture.world.truth)
        fixture.wait(.seconds(90_000))
        let report = try await fixture.scan()
        #expect(report.totals.issuesDeleted == 1)
        #expect(report.projects.allSatisfy { $0.hasCensus })
        #expect(try await fixture.content() == fixture.world.truth)
        #expect(try await fixture.integer("SELECT COUNT(*) AS n FROM census_marks") == 0)
        #expect(
            try await fixture.integer(
                "SELECT COUNT(*) AS n FROM issues WHERE deleted_at IS NOT NULL"
            ) == 1
        )
    }

    @Test(arguments: [CommentListing.perProject, .perIssue])
    func `a full scan finds a comment deleted without a trace`(
        listing: CommentListing
    ) async throws {
        let fixture = try await SyncFixture(world(listing))
        try await fixture.scan()
        fixture.world.removeComment("org/a", 2)
        let report = try await fixture.scan(full: true)
        #expect(report.totals.commentsDeleted == 1)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a deleted issue that comes back is revived`() async throws {
        let fixture = try await SyncFixture(world())
        try await fixture.scan()
        let kept = fixture.world.state.withLock { $0.places }
        fixture.world.remove("org/a", 2)
        try await fixture.scan(full: true)
        #expect(try await fixture.content() == fixture.world.truth)
        fixture.world.state.withLock { $0.places = kept }
        let report = try await fixture.scan(full: true)
        #expect(report.totals.issuesCreated == 0)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a transferred issue keeps its row and its comments`() async throws {
        let fixture = try await SyncFixture(world())
        try await fixture.scan()
        let before = try await fixture.integer(
            "SELECT id AS n FROM issues WHERE key = 'org/a#2'"
        )
        fixture.world.transfer("org/a", 2, to: "org/b")
        try await fixture.scan(full: true)
        try await fixture.scan(full: true)
        #expect(try await fixture.content() == fixture.world.truth)
        let after = try await fixture.integer("SELECT id AS n FROM issues WHERE key = 'org/b#9'")
        #expect(before == after)
    }

    @Test func `lost access deletes nothing and access restored loses nothing`() async throws {
        let fixture = try await SyncFixture(world())
        try await fixture.scan()
        let before = try await fixture.content()
        fixture.world.hide("org/a", true)
        let lost = try await fixture.scan(full: true)
        #expect(!lost.isComplete)
        #expect(try await fixture.content() == before)
        #expect(try await fixture.project("org/a")?.state == .inaccessible)
        // It is news once only.
        #expect(try await fixture.scan().isComplete)
        fixture.world.hide("org/a", false)
        fixture.world.touch("org/a", 1)
        #expect(try await fixture.scan().isComplete)
        #expect(try await fixture.project("org/a")?.state == .active)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a project hidden between list and confirmation loses nothing`() async throws {
        let fixture = try await SyncFixture(world())
        try await fixture.scan()
        let before = try await fixture.content()
        fixture.world.remove("org/a", 1)
        fixture.world.interfere { (_, name, world) throws(TrackerError) in
            if name.hasPrefix("presence org/a") { world.hide("org/a", true) }
        }
        try await fixture.scan(full: true)
        #expect(try await fixture.content() == before)
    }

    @Test func `an anonymous empty answer deletes nothing`() async throws {
        let fixture = try await SyncFixture(world())
        try await fixture.scan()
        let before = try await fixture.content()
        fixture.world.state.withLock { $0.showsNothing = true }
        try await fixture.scan(full: true)
        #expect(try await fixture.content() == before)
        // The cursor has not moved on an empty answer either.
        fixture.world.state.withLock { $0.showsNothing = false }
        fixture.world.touch("org/a", 1)
        try await fixture.scan()
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a census that would remove much needs every confirmation`() async throws {
        let fixture = try await SyncFixture(world(issues: 40))
        try await fixture.scan()
        let before = try await fixture.content()
        for number in 1...30 { fixture.world.remove("org/a", number) }
        fixture.world.interfere { (_, name, _) throws(TrackerError) in
            if name == "presence org/a 9" { throw .unavailable(detail: "502") }
        }
        let refused = try await fixture.scan(full: true)
        #expect(!refused.isComplete)
        #expect(try await fixture.content() == before)
        fixture.world.leaveAlone()
        let believed = try await fixture.scan(full: true)
        #expect(believed.totals.issuesDeleted == 30)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a revoked token marks the tracker and loses nothing`() async throws {
        let fixture = try await SyncFixture(world())
        fixture.world.interfere { (number, _, world) throws(TrackerError) in
            if number == 8 { world.state.withLock { $0.isRevoked = true } }
        }
        let report = try await fixture.scan()
        #expect(report.trackers.first?.isInvalid == true)
        #expect(!report.isComplete)
        fixture.world.leaveAlone()
        fixture.world.state.withLock { $0.isRevoked = false }
        #expect(try await fixture.scan().isComplete)
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `a rate limit parks the project and the next scan goes on`() async throws {
        let fixture = try await SyncFixture(world())
        let until = fixture.world.now.advanced(by: .seconds(3600))
        fixture.world.interfere { (number, name, _) throws(TrackerError) in
            if number > 8 { throw .rateLimited(until: until) }
        }
        let report = try await fixture.scan()
        #expect(report.projects.contains { $0.outcome == .parked(until: until) })
        let pages = fixture.world.calls.count { $0 == "issues org/a everything" }
        fixture.world.leaveAlone()
        try await fixture.scan()
        #expect(try await fixture.content() == fixture.world.truth)
        // Three pages in all; the refused one is asked for again, no stored one.
        let total = fixture.world.calls.count { $0 == "issues org/a everything" }
        #expect(total <= max(pages, 1) + 3)
    }

    @Test func `a malformed item is kept apart and leaves when it is understood`() async throws {
        let world = world()
        world.edit("org/a", 3) { $0.isMalformed = true }
        let fixture = try await SyncFixture(world)
        let report = try await fixture.scan()
        #expect(report.totals.quarantined == 1)
        #expect(try await fixture.content() == world.truth)
        #expect(try await fixture.integer("SELECT COUNT(*) AS n FROM quarantine") == 1)
        world.edit("org/a", 3) { $0.isMalformed = false }
        world.touch("org/a", 3)
        try await fixture.scan()
        #expect(try await fixture.integer("SELECT COUNT(*) AS n FROM quarantine") == 0)
        try await fixture.scan(full: true)
        #expect(try await fixture.content() == world.truth)
    }

    @Test func `a renamed project is read again under its new name`() async throws {
        let fixture = try await SyncFixture(world())
        try await fixture.scan()
        fixture.world.rename("org/a", to: "org/c")
        // Another project takes over the old name.
        fixture.world.addProject("org/a")
        fixture.world.addIssue("org/a")
        try await fixture.scan()
        #expect(try await fixture.content() == fixture.world.truth)
    }

    @Test func `two scans never run at once`() async throws {
        let fixture = try await SyncFixture(world())
        let other = LeaseHolder(
            host: "elsewhere",
            bootID: "other",
            namespace: "pid:[1]",
            processID: 7,
            startTicks: 1
        )
        let now = fixture.store.clock.now()
        try await fixture.store.write { connection, account in
            _ = try LeaseTable.acquire(
                ScanRunner.leaseName,
                holder: other,
                duration: .seconds(60),
                now: now,
                account: account,
                on: connection
            )
        }
        await #expect(throws: StoreError.self) { try await fixture.scan() }
        #expect(fixture.world.callCount == 0)
        fixture.wait(.seconds(61))
        #expect(try await fixture.scan().isComplete)
    }

    @Test func `what finishes a scan runs under its lease`() async throws {
        let fixture = try await SyncFixture(world())
        let refused = Mutex(false)
        let other = LeaseHolder(
            host: "elsewhere",
            bootID: "other",
            namespace: "pid:[1]",
            processID: 7,
            startTicks: 1
        )
        let second = ScanRunner(
            store: fixture.store,
            clients: { [world = fixture.world] _ in world },
            holder: other
        )
        _ = try await fixture.runner().run(
            ScanRequest(),
            finishing: {
                // Everything is read; what was read is being indexed.
                do {
                    _ = try await second.run(ScanRequest())
                } catch StoreError.leaseHeld {
                    refused.withLock { $0 = true }
                } catch {}
            }
        )
        #expect(refused.withLock { $0 })
        #expect(try await fixture.scan().isComplete)
    }

    @Test func `a scan that lost its lease writes nothing more`() async throws {
        let fixture = try await SyncFixture(world())
        let other = LeaseHolder(
            host: "elsewhere",
            bootID: "other",
            namespace: "pid:[1]",
            processID: 7,
            startTicks: 1
        )
        try await fixture.scan()
        // The lease is taken by another while pages are under way.
        fixture.world.touch("org/a", 1)
        let before = try await fixture.content()
        let (store, base) = (fixture.store, fixture.database.base)
        let now = store.clock.now().advanced(by: .seconds(100))
        let taken = LeaseThief(base: base, now: now, holder: other)
        let thief = ScanRunner(
            store: store,
            clients: { _ in
                try await taken.steal()
                return fixture.world
            }
        )
        await #expect(throws: StoreError.leaseLost(name: "scan-1000")) {
            try await thief.run(ScanRequest())
        }
        #expect(try await fixture.content() == before)
    }

    @Test func `a dry run writes nothing and says what it would read`() async throws {
        let fixture = try await SyncFixture(world())
        let writes = fixture.database.writeCount
        let report = try await fixture.runner().run(ScanRequest(isDryRun: true))
        #expect(fixture.database.writeCount == writes)
        #expect(
            report.projects.map(\.outcome) == [
                .planned("all issues"), .planned("all issues"),
            ]
        )
        let full = try await fixture.runner().run(ScanRequest(isFull: true, isDryRun: true))
        #expect(full.projects.map(\.outcome).contains(.planned("all issues")))
    }

    @Test func `a missing scope is named, with what to do about it`() async throws {
        let fixture = try await SyncFixture(world())
        fixture.world.interfere { (number, _, _) throws(TrackerError) in
            if number > 1 { throw .forbidden(detail: "HTTP 403", missingScope: "repo") }
        }
        let tracker = try #require(try await fixture.scan().trackers.first)
        #expect(tracker.failures.contains { $0.contains("lacks the scope `repo`") })
        #expect(tracker.hints == ["give the token the scope `repo`"])
        fixture.world.interfere { (_, name, _) throws(TrackerError) in
            guard name.contains("issues") else { return }
            throw .forbidden(detail: "HTTP 403", missingScope: "repo")
        }
        let projects = try await fixture.scan().projects
        #expect(projects.contains { $0.hint == "give the token the scope `repo`" })
    }

    @Test func `links wait for their target and find it`() async throws {
        let world = world()
        world.addIssue(
            "org/a",
            links: [
                IssueLink(relation: "blocks", targetKey: "org/a#9"),
                IssueLink(relation: "closes", targetKey: "org/b#9"),
                IssueLink(relation: "relates to", targetKey: "org/z#1"),
            ]
        )
        let fixture = try await SyncFixture(world)
        try await fixture.scan()
        let open: SQL = "SELECT COUNT(*) AS n FROM links WHERE target_issue_id IS NULL"
        #expect(try await fixture.integer(open) == 2)
        world.addIssue("org/b")
        try await fixture.scan()
        #expect(try await fixture.integer(open) == 1)
    }

    @Test func `one project and unknown names`() async throws {
        let fixture = try await SyncFixture(world())
        let report = try await fixture.scan(.project(tracker: "t", path: "org/b"))
        #expect(report.projects.map(\.path) == ["org/b"])
        await #expect(throws: SyncError.unknownTracker(name: "x")) {
            try await fixture.scan(.tracker(name: "x"))
        }
        await #expect(throws: SyncError.unknownProject(tracker: "t", path: "org/x")) {
            try await fixture.scan(.project(tracker: "t", path: "org/x"))
        }
    }
}

/// Takes the scan's lease away behind its back.
private struct LeaseThief: Sendable {
    let base: any Database
    let now: Timestamp
    let holder: LeaseHolder

    func steal() async throws {
        let (now, holder) = (now, holder)
        try await base.write { connection in
            _ = try LeaseTable.acquire(
                ScanRunner.leaseName(of: TrackerID(1000)),
                holder: holder,
                duration: .seconds(60),
                now: now,
                account: AccountTable.defaultID,
                on: connection
            )
        }
    }
}
