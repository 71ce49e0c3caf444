package import Domain
package import Store
package import Trackers

/// Runs a scan: takes the lease, scans the trackers side by side, reports.
///
/// Whatever ends it – an error, a cancelled task, a lost lease, a kill – the store holds complete
/// pages with the cursors that belong to them, and the next scan goes on there.
package struct ScanRunner: Sendable {
    /// The name of the lease that one scan at a time holds.
    package static let leaseName = "scan"

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
        holder: LeaseHolder = .current()
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
            report.trackers = try await scan(
                trackers,
                request: request,
                lease: nil,
                progress: progress
            )
        } else {
            let lease = try await acquire()
            let result: Result<[TrackerReport], any Error>
            do {
                result = .success(
                    try await withHeartbeat(of: lease) {
                        beginning()
                        let reports = try await scan(
                            trackers,
                            request: request,
                            lease: lease,
                            progress: progress
                        )
                        await finishing()
                        return reports
                    }
                )
            } catch {
                result = .failure(error)
            }
            await release(lease)
            report.trackers = try result.get()
        }
        report.wasCancelled = Task.isCancelled
        report.duration = .milliseconds(
            max(0, store.clock.now().milliseconds - startedAt.milliseconds)
        )
        return report
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
        request: ScanRequest,
        lease: Lease?,
        progress: @escaping @Sendable (ScanProgress) -> Void
    ) async throws -> [TrackerReport] {
        // Trackers are services with budgets of their own; their number is the operator's.
        try await withThrowingTaskGroup(of: (Int, TrackerReport).self) { group in
            for (index, tracker) in trackers.enumerated() {
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
                store: store,
                lease: lease,
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

// MARK: The lease

extension ScanRunner {
    private func acquire() async throws -> Lease {
        let (holder, now, duration) = (holder, store.clock.now(), configuration.leaseDuration)
        return try await store.write { connection, account in
            try LeaseTable.acquire(
                Self.leaseName,
                holder: holder,
                duration: duration,
                now: now,
                account: account,
                on: connection
            )
        }
    }

    /// Runs `body` while the lease is renewed; a lost lease cancels `body` and is thrown.
    private func withHeartbeat<Value: Sendable>(
        of lease: Lease,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await renew(lease)
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw StoreError.leaseLost(name: lease.name)
        }
    }

    /// Renews the lease until the task is cancelled.
    private func renew(_ lease: Lease) async throws {
        var lease = lease
        while true {
            do {
                try await clock.sleep(for: configuration.leaseRenewal)
            } catch {
                return
            }
            let (current, now, duration) = (
                lease, store.clock.now(), configuration.leaseDuration
            )
            do {
                lease = try await store.write { connection, account in
                    try LeaseTable.renew(
                        current,
                        duration: duration,
                        now: now,
                        account: account,
                        on: connection
                    )
                }
            } catch let error as StoreError where error.isRetryable {
                // Another writer is slow or the database away; the next beat comes before the lease
                // ends, or else the writes of the scan find it lost.
                continue
            } catch is CancellationError {
                return
            }
        }
    }

    /// Gives the lease back, also when this task is cancelled: the next scan need not wait.
    private func release(_ lease: Lease) async {
        let store = store
        // Not a child of this task: a cancelled task could not write any more. It is waited for.
        let task = Task.detached {
            try await store.write { connection, account in
                try LeaseTable.release(lease, account: account, on: connection)
            }
        }
        // A lease that could not be given back expires, and ends at once when this process does.
        _ = await task.result
    }
}
