import Domain
import Store
import Trackers

/// Scans one tracker: checks the token, lists what is in scope, scans the projects side by side.
struct TrackerScanner: Sendable {
    /// Fenced by the tracker's lease, so that nothing is written once it is lost.
    let store: Store
    /// Whether nothing is to be written.
    let isDryRun: Bool
    let tracker: Tracker
    let client: any TrackerClient
    let configuration: ScanConfiguration
    let clock: any Clock<Duration>
    let progress: @Sendable (ScanProgress) -> Void

    /// A project to scan.
    struct Target: Sendable {
        var stored: StoredProject
        var remote: RemoteProject
        /// Whether comments of some of its issues were due when the scan began.
        var hasCommentsDue = false
    }

    /// Scans the tracker, or one project of it when `path` names one.
    func run(project path: String?, isFull: Bool) async throws -> TrackerReport {
        var report = TrackerReport(name: tracker.name)
        guard let targets = try await listed(path: path, &report) else { return report }
        if let path, targets.isEmpty, report.failures.isEmpty, report.projects.isEmpty {
            throw SyncError.unknownProject(tracker: tracker.name, path: path)
        }
        guard !isDryRun else {
            report.projects += targets.map { plan($0, isFull: isFull) }
            return report
        }
        try await scan(targets, isFull: isFull, &report)
        report.projects.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        return report
    }

    /// The projects to scan, told as a step of its own; nil when the token is refused.
    private func listed(
        path: String?,
        _ report: inout TrackerReport
    ) async throws -> [Target]? {
        announce(.listing)
        defer { announce(.ended) }
        guard try await verify(&report) else { return nil }
        return try await targets(path: path, &report)
    }

    private func announce(_ phase: ScanProgress.Phase) {
        progress(
            ScanProgress(
                tracker: tracker.name,
                project: nil,
                phase: phase,
                fetched: 0,
                written: 0
            )
        )
    }

    /// Whether the service accepts the token; an empty list means something only after that.
    private func verify(_ report: inout TrackerReport) async throws -> Bool {
        do throws(TrackerError) {
            let identity = try await client.verify()
            let detail = identity.warnings.isEmpty ? nil : identity.warnings.joined(separator: "; ")
            try? await setStatus(.valid, detail: detail)  // Only a note for the operator.
            return true
        } catch {
            if case .cancelled = error { return false }
            report.note(error)
            if case .unauthenticated = error {
                report.isInvalid = true
                try await setStatus(.invalid, detail: error.description)
            }
            return false
        }
    }

    private func setStatus(_ status: TrackerStatus, detail: String?) async throws {
        guard !isDryRun, tracker.status != status || tracker.statusDetail != detail else { return }
        let (id, now) = (tracker.id, store.clock.now())
        try await store.write { connection, account in
            try TrackerTable.setStatus(
                status,
                detail: detail,
                checkedAt: now,
                of: id,
                account: account,
                on: connection
            )
        }
    }
}

// MARK: Projects

extension TrackerScanner {
    /// Scans the projects, a bounded number at a time, each one's failure kept to itself.
    private func scan(
        _ targets: [Target],
        isFull: Bool,
        _ report: inout TrackerReport
    ) async throws {
        var refusal: String?
        let ends = ScanEnds(store: store)
        let reports = try await withThrowingTaskGroup(of: ProjectReport.self) { group in
            var reports: [ProjectReport] = []
            func keep(_ project: ProjectReport) {
                reports.append(project)
                guard case .unauthenticated(let reason) = project.outcome, refusal == nil else {
                    return
                }
                refusal = reason
                group.cancelAll()
            }
            for (index, target) in targets.enumerated() {
                if index >= configuration.projectConcurrency, let done = try await group.next() {
                    keep(done)
                }
                group.addTask {
                    try await scan(target, ends: ends, isFull: isFull)
                }
            }
            while let done = try await group.next() { keep(done) }
            return reports
        }
        do {
            try await ends.write()
        } catch is CancellationError {
            // Only when projects were last looked at is lost; the report says the scan was stopped.
        }
        report.projects += reports
        guard let refusal else { return }
        report.isInvalid = true
        for index in report.projects.indices where report.projects[index].outcome == .cancelled {
            report.projects[index].outcome = .unauthenticated(reason: refusal)
        }
        try await setStatus(.invalid, detail: refusal)
    }

    private func scan(
        _ target: Target,
        ends: ScanEnds,
        isFull: Bool
    ) async throws -> ProjectReport {
        let scanner = scanner(of: target, ends: ends)
        let path = target.remote.path
        var report = ProjectReport(tracker: tracker.name, path: path)
        let start = store.clock.now()
        do {
            report = try await scanner.run(isFull: isFull)
        } catch is CancellationError {
            report.outcome = .cancelled
        } catch let error as StoreError where error.concernsOneProject {
            report.outcome = .failed(reason: "\(error)")
            report.hint = error.hint
        }
        report.duration = .milliseconds(
            max(0, store.clock.now().milliseconds - start.milliseconds)
        )
        return report
    }

    private func scanner(of target: Target, ends: ScanEnds) -> ProjectScanner {
        ProjectScanner(
            client: client,
            tracker: tracker,
            project: target.stored,
            remote: target.remote,
            hasCommentsDue: target.hasCommentsDue,
            writer: PageWriter(
                store: store,
                tracker: tracker.id,
                project: target.stored.id,
                listing: client.commentListing
            ),
            ends: ends,
            configuration: configuration,
            progress: progress
        )
    }

    /// What a scan would read.
    private func plan(_ target: Target, isFull: Bool) -> ProjectReport {
        let due = target.stored.lastCensusAt?.advanced(by: configuration.censusInterval)
        var scan = ProjectScan(
            cursor: ProjectCursor(target.stored.cursor),
            parameters: ProjectScan.Parameters(
                path: target.remote.path,
                listing: client.commentListing,
                isFull: isFull,
                isCensusDue: due.map { $0 <= store.clock.now() } ?? true
            )
        )
        var report = ProjectReport(tracker: tracker.name, path: target.remote.path)
        report.outcome = .planned(scan.describePlan())
        return report
    }
}

extension StoreError {
    /// Whether other projects can still be written: the row is at fault, not the database.
    fileprivate var concernsOneProject: Bool {
        switch self {
        case .constraint, .unexpectedValue, .statement: true
        case .newerSchema, .corrupt, .diskFull, .readOnly, .busy, .leaseHeld, .leaseLost,
            .undecryptable, .unavailable, .disconnected, .timedOut, .cancelled:
            false
        }
    }
}

extension ProjectScan {
    /// The first steps in words, for a dry run; the scan cannot be used afterwards.
    mutating func describePlan() -> String {
        let isResumed = cursor.issues?.next != nil
        var text: String
        switch begin() {
        case .readIssues(let request):
            switch request.walk {
            case .everything, .newest, .census: text = "all issues"
            case .changed(let since): text = "issues updated since \(since)"
            }
        default: text = "nothing"
        }
        if isResumed { text += ", going on where the last scan stopped" }
        // The first walk over everything finds nothing gone, so it makes up for a census.
        if wantsCensus, cursor.hasReadEverything { text += ", then a census" }
        return text
    }
}
