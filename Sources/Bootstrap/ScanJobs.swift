import Domain
package import HTTPClient
import Search
package import Store
import Sync

/// Does the scan jobs of a worker: a scan of the tracker with the indexer beside it, and a note in
/// the tracker's schedule of how it went.
package struct ScanJobs: Sendable {
    /// While someone else scans the tracker the job waits for so long.
    private static let heldPause = Duration.seconds(30)

    private let installation: Installation
    private let transport: any HTTPTransport
    private let report: @Sendable (_ tracker: String, IndexedScan.Outcome) -> Void

    /// The scans of an installation.
    ///
    /// - Parameters:
    ///   - installation: Whose trackers.
    ///   - transport: How they are reached.
    ///   - report: Told of scans that have ended.
    package init(
        _ installation: Installation,
        transport: any HTTPTransport,
        report: @escaping @Sendable (_ tracker: String, IndexedScan.Outcome) -> Void = { _, _ in }
    ) {
        self.installation = installation
        self.transport = transport
        self.report = report
    }

    /// Does one job; what a tracker does wrong is no failure of the job.
    package func run(_ claim: ClaimedJob) async throws -> JobWorker.Outcome {
        guard let job = ScanJob(claim.job.payload) else {
            return .hopeless("the payload is not that of a scan")
        }
        guard let name = try await name(of: job.tracker) else { return .done }
        let startedAt = installation.store.clock.now()
        do {
            let outcome = try await scan(name, isFull: job.isFull)
            guard !outcome.scan.wasCancelled else { throw CancellationError() }
            report(name, outcome)
            if let end = outcome.rateLimitEnd(of: outcome.scan.trackers) {
                // Nobody's failure: the scan goes on when the tracker lets us.
                let now = installation.store.clock.now()
                let wait = Duration.milliseconds(max(1_000, end.milliseconds(since: now)))
                return .later(wait, reason: "the rate limit is used up until \(end)")
            }
            let problem = outcome.scan.trackers.compactMap(outcome.problem).first
            try await note(job, under: claim, startedAt: startedAt, error: problem)
            return .done
        } catch let failure as CommandFailure where failure.status == .tryLater {
            // Held, lost or away: not the tracker's doing, and over soon.
            return .later(Self.heldPause, reason: failure.reason ?? failure.what)
        } catch let failure as CommandFailure where failure.status == .interrupted {
            throw CancellationError()
        } catch let failure as CommandFailure {
            let reason = failure.reason.map { "\(failure.what): \($0)" } ?? failure.what
            try await note(job, under: claim, startedAt: startedAt, error: reason)
            throw failure
        }
    }

    private func name(of tracker: TrackerID) async throws -> String? {
        try await installation.store.read { connection, account in
            try ScanScheduleTable.list(account: account, on: connection)
                .first { $0.tracker == tracker }?.name
        }
    }

    private func scan(_ name: String, isFull: Bool) async throws -> IndexedScan.Outcome {
        let indexes = try await attempt("cannot open the indexes") {
            try await ScanIndexes(installation)
        }
        let scan = IndexedScan(
            installation,
            transport: transport,
            indexes: indexes,
            observer: WrittenRows()
        )
        let outcome: IndexedScan.Outcome
        do {
            outcome = try await scan.run(ScanRequest(.tracker(name: name), isFull: isFull))
        } catch {
            // What ended the scan is what counts.
            try? await indexes.close(isComplete: false)
            throw error
        }
        try await attempt("cannot close the indexes") {
            try await indexes.close(
                isComplete: !outcome.scan.wasCancelled && outcome.indexFailure == nil
            )
        }
        return outcome
    }

    /// Notes how a scan went, unless another worker has the job by now: what that one notes counts.
    private func note(
        _ job: ScanJob,
        under claim: ClaimedJob,
        startedAt: Timestamp,
        error: String?
    ) async throws {
        var planned = ScanPace()
        planned.interval = job.interval ?? planned.interval
        let (pace, tracker, now) = (planned, job.tracker, installation.store.clock.now())
        let chance = Double.random(in: 0...1)
        try await installation.store.writeOutsideFeed { connection, account in
            try JobTable.verify(claim, account: account, on: connection)
            let schedules = try ScanScheduleTable.list(account: account, on: connection)
            // Removed meanwhile: nothing is to be noted.
            guard var schedule = schedules.first(where: { $0.tracker == tracker }) else { return }
            schedule.failures = error == nil ? 0 : schedule.failures + 1
            // What a delivery asked for does not change the scheduler's plan.
            let isPlanned = job.interval != nil || schedule.interval != nil
            try ScanScheduleTable.note(
                ScanScheduleEnd(
                    startedAt: startedAt,
                    endedAt: now,
                    error: error,
                    nextAt: isPlanned
                        ? pace.next(schedule, now: now, chance: chance) : schedule.nextAt
                ),
                of: tracker,
                account: account,
                on: connection
            )
        }
    }
}

/// Knows only whether something was written that the indexer has not been told of.
private struct WrittenRows: IndexedScan.Observer {
    func note(_ step: ScanProgress) -> Bool { step.written > 0 }
    func note(_ report: IndexReport) {}
    func noteWait(of tracker: String, until end: Timestamp) {}
}
