import API
import Bootstrap
import Domain
import Search
import Store
import Sync
import Synchronization

/// Scans that the server runs when it is asked to, one of an account at a time.
actor ServedScans {
    /// A scan under way, or the latest that ended.
    private struct Run {
        var board: Board
        var startedAt: Timestamp
        var work: Task<Void, Never>
        /// How it ended; nil while it goes on.
        var end: End?
    }

    private struct End {
        var state: String
        var problems: [String]
        var endedAt: Timestamp
    }

    /// More lines help nobody.
    private static let maximumProblems = 20

    private let installation: Installation
    private var runs: [AccountID: Run] = [:]

    init(_ installation: Installation) {
        self.installation = installation
    }

    /// Begins a scan of one tracker or all.
    ///
    /// - Throws: A ``Problem`` when one is running, here or in another process.
    func start(
        _ tracker: Tracker?,
        _ account: AccountID
    ) async throws -> TrackerOperations.SyncState {
        let installation = installation.viewed(by: account)
        let now = installation.store.clock.now()
        let holder = try await installation.store.read { connection, account in
            try LeaseTable.holder(
                of: ScanRunner.leaseName,
                now: now,
                account: account,
                on: connection
            )
        }
        let isRunning = runs[account].map { $0.end == nil } ?? false
        guard !isRunning, holder == nil else {
            throw Problem.conflict("a scan is running already", code: "scan_running")
        }
        if let tracker, !tracker.isRemote {
            throw Problem.conflict("this tracker holds imported issues; nothing is to be scanned")
        }
        let board = Board()
        let request = ScanRequest(tracker.map { .tracker(name: $0.name) } ?? .all)
        // Not a child of the request, which is answered while the scan goes on.
        let work = Task { [weak self] in
            let end = await Self.scan(installation, request, board)
            await self?.ended(account, end)
        }
        runs[account] = Run(board: board, startedAt: now, work: work)
        return state(of: account)
    }

    /// How the latest scan is.
    func state(of account: AccountID) -> TrackerOperations.SyncState {
        guard let run = runs[account] else { return TrackerOperations.SyncState(state: "idle") }
        var state = TrackerOperations.SyncState(state: run.end?.state ?? "running")
        state.startedAt = run.startedAt
        state.endedAt = run.end?.endedAt
        state.problems = run.end?.problems ?? []
        state.projects = run.board.steps.map { step in
            TrackerOperations.ProjectProgress(
                tracker: step.tracker,
                project: step.project,
                phase: step.phase.rawValue,
                fetched: step.fetched,
                written: step.written
            )
        }
        return state
    }

    /// Stops what is running; what was read stays.
    func stop() async {
        let works = runs.values.map(\.work)
        for work in works { work.cancel() }
        for work in works { await work.value }
    }

    private func ended(_ account: AccountID, _ end: End) { runs[account]?.end = end }

    /// What went wrong, tracker by tracker and project by project.
    private static func problems(of report: ScanReport) -> [String] {
        report.trackers.flatMap { tracker in
            tracker.failures.map { "\(tracker.name): \($0)" }
                + tracker.projects.compactMap { project in
                    switch project.outcome {
                    case .done, .planned: nil
                    case .parked(let end): "\(project.path): waits for the rate limit until \(end)"
                    case .inaccessible(let reason, let isNew):
                        isNew ? "\(project.path): \(reason)" : nil
                    case .failed(let reason), .unauthenticated(let reason):
                        "\(project.path): \(reason)"
                    case .cancelled: "\(project.path): stopped"
                    }
                }
        }
    }

    private static func scan(
        _ installation: Installation,
        _ request: ScanRequest,
        _ board: Board
    ) async -> End {
        func end(_ state: String, _ problems: [String]) -> End {
            End(
                state: state,
                problems: Array(problems.prefix(maximumProblems)),
                endedAt: installation.store.clock.now()
            )
        }
        do {
            let indexes = try await ScanIndexes(installation)
            let scan = IndexedScan(
                installation,
                transport: try installation.transport(),
                indexes: indexes,
                observer: board
            )
            let outcome = try await scan.run(request)
            let isIndexed = !outcome.scan.wasCancelled && outcome.indexFailure == nil
            try await indexes.close(isComplete: isIndexed)
            var problems = Self.problems(of: outcome.scan)
            if let failure = outcome.indexFailure {
                problems.append(failure.reason.map { "\(failure.what): \($0)" } ?? failure.what)
            }
            let isWhole = outcome.scan.isComplete && problems.isEmpty
            return end(isWhole ? "done" : "partial", problems)
        } catch {
            let failure = CommandFailure("the scan failed", cause: error)
            return end("failed", [failure.reason ?? failure.what])
        }
    }
}

/// What a scan has told so far.
private final class Board: IndexedScan.Observer {
    private struct State {
        var order: [String] = []
        var steps: [String: ScanProgress] = [:]
    }

    private let state = Mutex(State())

    /// The latest step of each project, in the order in which they were first heard of.
    var steps: [ScanProgress] {
        state.withLock { state in state.order.compactMap { state.steps[$0] } }
    }

    /// Notes a step; whether rows were written that the indexer has not been told of.
    func note(_ step: ScanProgress) -> Bool {
        let key = "\(step.tracker)\0\(step.project ?? "")"
        return state.withLock { state in
            let before = state.steps[key]
            if before == nil { state.order.append(key) }
            state.steps[key] = step
            return step.written > (before?.written ?? 0)
        }
    }

    func note(_ report: IndexReport) {}

    func noteWait(of tracker: String, until end: Timestamp) {}
}
