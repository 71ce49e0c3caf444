import Domain
import Foundation
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Sync

@Suite(.timeLimit(.minutes(5)))
struct ScanScheduleTests {
    private static let now = Timestamp(milliseconds: 1_700_000_000_000)

    private func schedule(
        failures: Int = 0,
        interval: Duration? = nil,
        nextAt: Timestamp? = nil
    ) -> ScanSchedule {
        var schedule = ScanSchedule(tracker: TrackerID(1), name: "t")
        schedule.failures = failures
        schedule.interval = interval
        schedule.nextAt = nextAt
        return schedule
    }

    @Test func `a tracker is due when it is new and when its time has come`() {
        let pace = ScanPace()
        #expect(pace.isDue(schedule(), now: Self.now))
        #expect(pace.isDue(schedule(nextAt: Self.now), now: Self.now))
        let later = Self.now.advanced(by: .seconds(60))
        #expect(!pace.isDue(schedule(nextAt: later), now: Self.now))
        #expect(!pace.isDue(schedule(interval: .zero), now: Self.now))
    }

    @Test func `a next scan beyond every pause was planned by a wrong clock`() {
        let pace = ScanPace()
        let far = Self.now.advanced(by: .seconds(86_400))
        #expect(pace.isDue(schedule(nextAt: far), now: Self.now))
        #expect(!pace.isDue(schedule(interval: .seconds(7 * 86_400), nextAt: far), now: Self.now))
    }

    @Test(arguments: [(0, 900), (1, 1_800), (3, 7_200), (5, 21_600), (60, 21_600)])
    func `the pause doubles with each failure up to six hours`(failures: Int, seconds: Int) {
        let next = ScanPace().next(schedule(failures: failures), now: Self.now, chance: 0)
        #expect(next == Self.now.advanced(by: .seconds(seconds)))
    }

    @Test func `a tenth of the pause is chance, and a long interval is never shortened`() {
        let pace = ScanPace()
        let next = pace.next(schedule(), now: Self.now, chance: 1)
        #expect(next == Self.now.advanced(by: .seconds(990)))
        let weekly = schedule(failures: 3, interval: .seconds(7 * 86_400))
        #expect(
            pace.next(weekly, now: Self.now, chance: 0)
                == Self.now.advanced(by: .seconds(7 * 86_400))
        )
        #expect(pace.next(schedule(interval: .zero), now: Self.now, chance: 0) == nil)
    }

    @Test func `a full scan is asked for beside one that waits`() async throws {
        let scratch = try await Engine.current.store()
        let store = scratch.store
        for isFull in [false, true, true] {
            let job = ScanJob(tracker: TrackerID(1), isFull: isFull)
            try await store.enqueue(job.draft(now: Self.now))
        }
        let claimed = try await store.read { connection, account in
            try JobTable.list(.waiting, limit: 10, account: account, on: connection)
        }
        let jobs = claimed.compactMap { ScanJob($0.payload) }
        #expect(Set(jobs.map(\.isFull)) == [false, true] && jobs.count == 2)
        withExtendedLifetime(scratch) {}
    }

    // MARK: The scheduler

    private func store(trackers count: Int = 2) async throws -> (ScratchStore, Shift) {
        let shift = Shift()
        let scratch = try await Engine.current.store(
            clock: WallClock { Self.now.advanced(by: shift.value.withLock { $0 }) }
        )
        try await scratch.store.write { connection, account in
            for number in 1...count {
                try TrackerTable.insert(
                    Tracker(
                        id: TrackerID(Int64(number)),
                        kind: .github,
                        deployment: .cloud,
                        name: "t\(number)",
                        url: "",
                        createdAt: Self.now
                    ),
                    credential: SealedSecret(bytes: [1]),
                    account: account,
                    on: connection
                )
            }
        }
        return (scratch, shift)
    }

    private final class Shift: Sendable {
        let value = Mutex(Duration.zero)
    }

    private func waiting(_ store: Store) async throws -> [TrackerID] {
        try await store.read { connection, account in
            try JobTable.list(.waiting, limit: 100, account: account, on: connection)
                .compactMap { ScanJob($0.payload)?.tracker }.sorted()
        }
    }

    @Test func `what is due is enqueued once, and again when its interval is over`() async throws {
        let (scratch, shift) = try await store()
        let store = scratch.store
        try await store.write { connection, account in
            try ScanScheduleTable.setInterval(
                .zero,
                of: TrackerID(2),
                account: account,
                on: connection
            )
        }
        let scheduler = ScanScheduler(store)
        try await scheduler.enqueueDue()
        try await scheduler.enqueueDue()
        #expect(try await waiting(store) == [TrackerID(1)])
        let job = try await store.claim(
            JobTable.ClaimRequest(
                [.scan],
                limit: 9,
                holder: .current(),
                lease: .seconds(60),
                now: Self.now
            )
        )
        shift.value.withLock { $0 = .seconds(1_000) }
        try await scheduler.enqueueDue()
        #expect(try await waiting(store).isEmpty, "it is being scanned")
        try await store.end(job[0], .done)
        try await scheduler.enqueueDue()
        #expect(try await waiting(store) == [TrackerID(1)])
    }

    @Test(.enabled(if: Engine.current == .postgres, "SQLite has one writer"))
    func `who plans keeps others from planning`() async throws {
        let (scratch, _) = try await store()
        let store = scratch.store
        let (planning, end) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let other = Task {
            try await store.writeOutsideFeed { connection, account in
                let isOurs = try ScanScheduleTable.lock(account: account, on: connection)
                planning.signal()
                end.wait()
                return isOurs
            }
        }
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                planning.wait()
                continuation.resume()
            }
        }
        try await ScanScheduler(store).enqueueDue()
        #expect(try await waiting(store).isEmpty)
        end.signal()
        #expect(try await other.value)
        try await ScanScheduler(store).enqueueDue()
        #expect(try await waiting(store).count == 2)
    }

    @Test func `failures are counted, and one success forgets them`() async throws {
        let (scratch, _) = try await store(trackers: 1)
        let store = scratch.store
        for (error, failures) in [("a", 1), ("b", 2), (nil, 0), ("c", 1)] {
            let listed = try await store.write { connection, account in
                try ScanScheduleTable.note(
                    ScanScheduleEnd(
                        startedAt: Self.now,
                        endedAt: Self.now.advanced(by: .seconds(2)),
                        error: error,
                        nextAt: Self.now.advanced(by: .seconds(9))
                    ),
                    of: TrackerID(1),
                    account: account,
                    on: connection
                )
                return try ScanScheduleTable.list(account: account, on: connection)
            }
            #expect(listed.first?.failures == failures)
            #expect(listed.first?.lastError == error)
            #expect(listed.first?.nextAt == Self.now.advanced(by: .seconds(9)))
        }
    }

    @Test func `of two schedulers one is at work, and the other takes over when it is gone`()
        async throws
    {
        let (scratch, _) = try await store()
        let (first, second) = (EventLog(), EventLog())
        let one = first.scheduler(scratch.store)
        let other = second.scheduler(scratch.store)
        let running = Task { await one.run() }
        try await first.wait { $0 == .enqueued(tracker: "t2") }
        let waiting = Task { await other.run() }
        try await second.wait { event in
            if case .standby = event { return true }
            return false
        }
        running.cancel()
        await running.value
        try await second.wait { $0 == .active }
        waiting.cancel()
        await waiting.value
        // What was enqueued once is not enqueued again by the successor.
        #expect(try await self.waiting(scratch.store) == [TrackerID(1), TrackerID(2)])
    }
}

/// What a scheduler has told.
private final class EventLog: Sendable {
    private let events = Mutex<[ScanScheduler.Event]>([])

    func scheduler(_ store: Store) -> ScanScheduler {
        ScanScheduler(store, tick: .milliseconds(50)) { [self] event in
            events.withLock { $0.append(event) }
        }
    }

    func wait(for wanted: (ScanScheduler.Event) -> Bool) async throws {
        while !events.withLock({ $0.contains(where: wanted) }) {
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
