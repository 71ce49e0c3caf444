package import Domain
package import Store
package import Trackers

/// Runs a scan: takes the leases of its trackers, scans them side by side, reports.
///
/// There is one lease for each tracker: projects, cursors and census marks belong to one tracker,
/// and issues move within one, so scans of different trackers have nothing in common but the feed,
/// where they take turns page by page. A finer lease would save nothing, for a tracker's budget of
/// requests is one; a coarser one would keep workers waiting for the slowest tracker.
///
/// Whatever ends it – an error, a cancelled task, a lost lease, a kill – the store holds complete
/// pages with the cursors that belong to them, and the next scan goes on there.
package struct ScanRunner: Sendable {
    /// The family of the leases that scans hold, and the lease of versions that had one for all.
    package static let leaseName = "scan"

    /// The name of the lease that one scan at a time holds of a tracker.
    package static func leaseName(of tracker: TrackerID) -> String { "\(leaseName)-\(tracker)" }

    private let store: Store
    private let clients: @Sendable (Tracker) async throws -> any TrackerClient
    private let clock: any Clock<Duration>
    private let configuration: ScanConfiguration
    private let holder: LeaseHolder

    /// Makes a runner.
    ///
    /// `clients` makes the client of a tracker, which includes opening its credential; what it
    /// throws is that tracker's failure and no other's. `clock` only paces the renewal of the
    /// lease.
    package init(
        store: Store,
        clients: @escaping @Sendable (Tracker) async throws -> any TrackerClient,
        clock: any Clock<Duration> = ContinuousClock(),
        configuration: ScanConfiguration = ScanConfiguration(),
        holder: LeaseHolder = .task()
    ) {
        self.store = store
        self.clients = clients
        self.clock = clock
        self.configuration = configuration
        self.holder = holder
    }

    /// Scans what is selected and reports; cancelling the task ends it cleanly with a report.
    ///
    /// `beginning` is called once the lease is held. `finishing` is awaited after the last page,
    /// still under the lease: what belongs to the scan and must not run beside another one's.
    ///
    /// Throws ``SyncError`` for a selection that cannot be scanned, `StoreError.leaseHeld` when
    /// another scan runs, `StoreError.leaseLost` when this one was taken for dead, and other store
    /// errors.
    package func run(
        _ request: ScanRequest,
        progress: @escaping @Sendable (ScanProgress) -> Void = { _ in },
        beginning: @escaping @Sendable () -> Void = {},
        finishing: @escaping @Sendable () async -> Void = {}
    ) async throws -> ScanReport {
        let trackers = try await trackers(request.selection)
        let startedAt = store.clock.now()
        var report = ScanReport(
            startedAt: startedAt,
            duration: .zero,
            isDryRun: request.isDryRun
        )
        if request.isDryRun {
            report.trackers = try await scan(trackers, request, leases: [], progress)
        } else {
            let names = trackers.map { Self.leaseName(of: $0.id) }
            report.trackers = try await keeper.hold(names, unlessHeld: [Self.leaseName]) { leases in
                beginning()
                let reports = try await scan(trackers, request, leases: leases, progress)
                await finishing()
                return reports
            }
        }
        report.wasCancelled = Task.isCancelled
        report.duration = .milliseconds(
            max(0, store.clock.now().milliseconds - startedAt.milliseconds)
        )
        return report
    }

    private var keeper: LeaseKeeper {
        var times = LeaseKeeper.Times()
        times.duration = configuration.leaseDuration
        times.renewal = configuration.leaseRenewal
        return LeaseKeeper(store, holder: holder, times: times, clock: clock)
    }

    private func trackers(_ selection: ScanSelection) async throws -> [Tracker] {
        switch selection {
        case .all:
            return try await store.read { connection, account in
                try TrackerTable.list(account: account, on: connection).filter(\.isRemote)
            }
        case .tracker(let name), .project(let name, _):
            let tracker = try await store.read { connection, account in
                try TrackerTable.find(name: name, account: account, on: connection)
            }
            guard let tracker else { throw SyncError.unknownTracker(name: name) }
            guard tracker.isRemote else { throw SyncError.notRemote(tracker: name) }
            return [tracker]
        }
    }

    private func scan(
        _ trackers: [Tracker],
        _ request: ScanRequest,
        leases: [Lease],
        _ progress: @escaping @Sendable (ScanProgress) -> Void
    ) async throws -> [TrackerReport] {
        // Trackers are services with budgets of their own; their number is the operator's.
        try await withThrowingTaskGroup(of: (Int, TrackerReport).self) { group in
            for (index, tracker) in trackers.enumerated() {
                let name = Self.leaseName(of: tracker.id)
                let lease = leases.first { $0.name == name }
                group.addTask {
                    (
                        index,
                        try await scan(tracker, request: request, lease: lease, progress: progress)
                    )
                }
            }
            var reports: [Int: TrackerReport] = [:]
            for try await (index, report) in group { reports[index] = report }
            return trackers.indices.compactMap { reports[$0] }
        }
    }

    private func scan(
        _ tracker: Tracker,
        request: ScanRequest,
        lease: Lease?,
        progress: @escaping @Sendable (ScanProgress) -> Void
    ) async throws -> TrackerReport {
        let client: any TrackerClient
        do {
            client = try await clients(tracker)
        } catch {
            var report = TrackerReport(name: tracker.name)
            if !(error is CancellationError) { report.note(noClient: error) }
            return report
        }
        var path: String?
        if case .project(_, let wanted) = request.selection { path = wanted }
        do {
            return try await TrackerScanner(
                store: lease.map { store.fenced(by: Fence($0)) } ?? store,
                isDryRun: lease == nil,
                tracker: tracker,
                client: client,
                configuration: configuration,
                clock: clock,
                progress: progress
            ).run(project: path, isFull: request.isFull)
        } catch is CancellationError {
            return TrackerReport(name: tracker.name)
        }
    }
}
