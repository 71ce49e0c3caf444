package import Domain
package import Store

extension JobKind {
    /// A scan of one tracker; see ``ScanJob``.
    package static let scan = JobKind("scan")
}

/// What a scan job says.
package struct ScanJob: Sendable, Equatable {
    package var tracker: TrackerID
    /// How often the scheduler has trackers scanned that have no interval of their own; nil when
    /// the job comes from elsewhere.
    package var interval: Duration?
    /// Whether everything is read again: for changes that left no trace in any time.
    package var isFull: Bool

    package init(tracker: TrackerID, interval: Duration? = nil, isFull: Bool = false) {
        self.tracker = tracker
        self.interval = interval
        self.isFull = isFull
    }

    /// Reads a payload; nil for one of another form.
    package init?(_ payload: JSONValue) {
        guard let id = payload["tracker_id"]?.integer else { return nil }
        tracker = TrackerID(id)
        interval = payload["interval_s"]?.integer.map { .seconds($0) }
        isFull = payload["full"] == true
    }

    /// The form that is stored.
    package var payload: JSONValue {
        var object = JSONObject()
        object["tracker_id"] = .integer(tracker.rawValue)
        object["interval_s"] = interval.map { .integer($0.components.seconds) }
        if isFull { object["full"] = true }
        return .object(object)
    }

    /// A job as it is enqueued; one tracker has one of each extent waiting.
    package func draft(now: Timestamp) -> Job.Draft {
        Job.Draft(
            .scan,
            payload: payload,
            uniqueness: .whileWaiting("tracker-\(tracker)" + (isFull ? "/full" : "")),
            now: now,
            // What the tracker does wrong is the schedule's business; these are failures of ours.
            maximumAttempts: 5
        )
    }
}

/// Enqueues a scan of each tracker when it is due; of several schedulers one is at work.
///
/// Which one is told by a lease: it works through a pooler that gives sessions away, on both
/// engines, and `status` can show who holds it. A scheduler that was taken for dead enqueues
/// nothing more, for every tick writes under the fence, and under an advisory lock of its
/// transaction, which holds back also who asks without a lease.
package struct ScanScheduler: Sendable {
    /// The lease of the scheduler at work.
    package static let leaseName = "scheduler"

    /// Something a scheduler tells about.
    package enum Event: Sendable, Equatable {
        /// It is the one at work now.
        case active
        /// Another one is; it is waited for.
        case standby(holder: String)
        /// A scan was enqueued.
        case enqueued(tracker: String)
        /// The store refuses; the scheduler goes on.
        case storeFailed(reason: String)
    }

    private let store: Store
    private let pace: ScanPace
    private let tick: Duration
    private let holder: LeaseHolder
    private let clock: any Clock<Duration>
    private let report: @Sendable (Event) -> Void

    /// A scheduler.
    ///
    /// - Parameters:
    ///   - store: Whose trackers.
    ///   - pace: How often they are scanned.
    ///   - tick: How often it looks; intervals are minutes.
    ///   - holder: Who holds the lease.
    ///   - clock: Paces it.
    ///   - report: Told what happens.
    package init(
        _ store: Store,
        pace: ScanPace = ScanPace(),
        tick: Duration = .seconds(5),
        holder: LeaseHolder = .task(),
        clock: any Clock<Duration> = ContinuousClock(),
        report: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        self.store = store
        self.pace = pace
        self.tick = tick
        self.holder = holder
        self.clock = clock
        self.report = report
    }

    /// Schedules until the task is cancelled.
    package func run() async {
        let keeper = LeaseKeeper(store, holder: holder, clock: clock)
        var last: Event?
        while !Task.isCancelled {
            do {
                try await keeper.hold([Self.leaseName]) { leases in
                    report(.active)
                    try await work(under: leases[0])
                }
            } catch StoreError.leaseHeld(_, let other) {
                let event = Event.standby(holder: other)
                if event != last { report(event) }
                last = event
            } catch is CancellationError {
                return
            } catch {
                last = nil
                report(.storeFailed(reason: "\(error)"))
            }
            // Ends early when the scheduler is stopped, as the loop's condition finds.
            try? await clock.sleep(for: tick)
        }
    }

    private func work(under lease: Lease) async throws {
        let fenced = store.fenced(by: Fence(lease))
        while true {
            try await enqueueDue(in: fenced)
            try await clock.sleep(for: tick)
        }
    }

    /// Enqueues what is due, once.
    package func enqueueDue() async throws {
        try await enqueueDue(in: store)
    }

    private func enqueueDue(in store: Store) async throws {
        let (pace, now) = (pace, store.clock.now())
        let chances = (0..<16).map { _ in Double.random(in: 0...1) }
        // Nothing is due most of the time: a look takes no lock.
        let isIdle = try await store.read { connection, account in
            try ScanScheduleTable.list(account: account, on: connection)
                .allSatisfy { !pace.isDue($0, now: now) }
        }
        guard !isIdle else { return }
        let enqueued = try await store.writeOutsideFeed { connection, account -> [String] in
            guard try ScanScheduleTable.lock(account: account, on: connection) else { return [] }
            let running = Set(
                try JobTable.list(.running, limit: 1_000, account: account, on: connection)
                    .filter { $0.kind == .scan }
                    .compactMap { ScanJob($0.payload)?.tracker }
            )
            var names: [String] = []
            let schedules = try ScanScheduleTable.list(account: account, on: connection)
            for (index, schedule) in schedules.enumerated()
            where pace.isDue(schedule, now: now) && !running.contains(schedule.tracker) {
                let job = ScanJob(tracker: schedule.tracker, interval: pace.interval)
                let draft = job.draft(now: now)
                if try JobTable.enqueue(draft, account: account, on: connection) {
                    names.append(schedule.name)
                }
                let chance = chances[index % chances.count]
                guard let next = pace.next(schedule, now: now, chance: chance) else { continue }
                try ScanScheduleTable.setNext(
                    next,
                    of: schedule.tracker,
                    account: account,
                    on: connection
                )
            }
            return names
        }
        for name in enqueued { report(.enqueued(tracker: name)) }
    }
}
