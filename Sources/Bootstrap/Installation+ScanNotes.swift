import Domain
import Firewall
import Store
package import Sync

/// What is kept of scans that nobody has scheduled.
extension Installation {
    /// Notes of each tracker how a scan of it went: failures are counted, and the reason of the
    /// last one is kept, until a scan succeeds.
    ///
    /// A scan that was stopped, or that waits for a rate limit, counts neither way; nor does the
    /// success of a single project. When a tracker is due next is the scheduler's and stays. Where
    /// nothing changes nothing is written.
    package func note(
        _ outcome: IndexedScan.Outcome,
        of request: ScanRequest
    ) async throws {
        guard !request.isDryRun, !outcome.scan.wasCancelled else { return }
        var problems: [String: String?] = [:]
        for tracker in outcome.scan.trackers where outcome.rateLimitEnd(of: [tracker]) == nil {
            let problem = outcome.problem(of: tracker)
            if problem == nil, case .project = request.selection { continue }
            problems[tracker.name] = .some(problem)
        }
        let known = try await store.read { connection, account in
            try ScanScheduleTable.list(account: account, on: connection)
        }
        let isNews = known.contains { schedule in
            guard let problem = problems[schedule.name] else { return false }
            return problem != nil || schedule.failures > 0
        }
        guard isNews else { return }
        let (startedAt, endedAt, noted) = (outcome.scan.startedAt, store.clock.now(), problems)
        try await store.writeOutsideFeed { connection, account in
            for schedule in try ScanScheduleTable.list(account: account, on: connection) {
                guard let problem = noted[schedule.name], problem != nil || schedule.failures > 0
                else { continue }
                try ScanScheduleTable.note(
                    ScanScheduleEnd(
                        startedAt: startedAt,
                        endedAt: endedAt,
                        error: problem,
                        nextAt: schedule.nextAt
                    ),
                    of: schedule.tracker,
                    account: account,
                    on: connection
                )
            }
        }
    }
}

extension IndexedScan.Outcome {
    /// When all that was not read of these trackers may be read, where only the rate limit stood in
    /// the way.
    func rateLimitEnd(of trackers: [TrackerReport]) -> Timestamp? {
        guard indexFailure == nil else { return nil }
        var end: Timestamp?
        for tracker in trackers {
            guard tracker.failures.isEmpty else { return nil }
            for project in tracker.projects where project.outcome.isFailure {
                guard case .parked(let until) = project.outcome else { return nil }
                end = max(end ?? until, until)
            }
        }
        return end
    }

    /// The first thing of a tracker that was not done, without secrets; nil when everything was.
    ///
    /// It is kept and shown, and may have the words of a tracker or of a provider in it.
    func problem(of tracker: TrackerReport) -> String? {
        // Nobody compares what stands in the place of a secret, so any key will do.
        let redactor = Redactor(key: (0..<32).map { _ in UInt8.random(in: 0...255) })
        return firstProblem(of: tracker).map {
            redactor.redact(text: $0, kinds: SensitiveKind.secrets).text
        }
    }

    private func firstProblem(of tracker: TrackerReport) -> String? {
        if let failure = tracker.failures.first { return failure }
        for project in tracker.projects where project.outcome.isFailure {
            let detail = project.outcome.detail.map { ": \($0)" } ?? ""
            return "\(project.path) \(project.outcome.name)\(detail)"
        }
        return indexFailure.map { $0.reason ?? $0.what }
    }
}
