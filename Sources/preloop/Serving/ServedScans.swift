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
        /// The name of the tracker that is scanned; nil for all.
        var tracker: String?
        var board: Board
        var startedAt: Timestamp
        var work: Task<Void, Never>
        /// How it ended; nil while it goes on.
        var end: End?
    }

    private struct End {
        var state: String
        var problems: [Trouble]
        var endedAt: Timestamp
        /// When trackers were read: what the store has of that time is of this scan.
        var reading: ClosedRange<Timestamp>
    }

    /// A line about what was not read.
    private struct Trouble {
        /// The tracker it is of; nil for all.
        var tracker: String?
        var text: String
    }

    /// More lines help nobody.
    private static let maximumProblems = 20
    /// Scans side by side, of all accounts: each holds pages of its trackers and indexes.
    private static let maximumRunning = 8
    /// Runs that are remembered: of as many accounts the latest one can be asked for.
    private static let maximumRuns = 256

    private let installation: Installation
    private var runs: [AccountID: Run] = [:]
    /// The making of an index over vectors that a scan has left; one at a time, beside scans.
    private var indexing: Task<Void, Never>?
    /// Whose scans have ended since the index was last looked at.
    private var unindexedAccounts: Set<AccountID> = []

    /// Told why the index over vectors was not made.
    private let unindexed: @Sendable (String) -> Void

    init(_ installation: Installation, unindexed: @escaping @Sendable (String) -> Void) {
        self.installation = installation
        self.unindexed = unindexed
    }

    /// Begins a scan of one tracker or all; a full one reads everything again.
    ///
    /// - Throws: A ``Problem`` when one is running, here or in another process.
    func start(
        _ tracker: Tracker?,
        _ account: AccountID,
        isFull: Bool = false
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
        guard runs.values.count(where: { $0.end == nil }) < Self.maximumRunning else {
            throw Problem.overloaded("the server is scanning for others; come back", after: 60)
        }
        let board = Board()
        let request = ScanRequest(
            tracker.map { .tracker(name: $0.name) } ?? .all,
            isFull: isFull
        )
        // Not a child of the request, which is answered while the scan goes on.
        let work = Task { [weak self] in
            let end = await Self.scan(installation, request, board)
            await self?.ended(account, end)
        }
        let run = Run(tracker: tracker?.name, board: board, startedAt: now, work: work)
        runs[account] = run
        forgetOldest()
        return Self.state(of: run, tracker)
    }

    /// How the scan is that goes on, here or elsewhere; else the latest one of this process, or
    /// what is stored where another process has begun one since, or this one none.
    ///
    /// - Parameters:
    ///   - tracker: Of which; nil for all.
    ///   - account: Whose.
    /// - Returns: Its state, of that tracker alone.
    /// - Throws: What the store refuses.
    func state(
        of tracker: Tracker?,
        _ account: AccountID
    ) async throws -> TrackerOperations.SyncState {
        let run = runs[account].flatMap { run -> Run? in
            run.tracker == nil || tracker == nil || run.tracker == tracker?.name ? run : nil
        }
        // Asked every second while it goes on: nothing is counted for that.
        if let run, run.end == nil { return Self.state(of: run, tracker) }
        let stored = try await Self.stored(tracker, installation.viewed(by: account))
        if stored.isRunning {
            var state = TrackerOperations.SyncState(state: "running")
            state.projects = stored.projects
            return state
        }
        if let run, run.end.map({ !stored.isNewer(than: $0.reading) }) ?? true {
            return Self.state(of: run, tracker)
        }
        var state = TrackerOperations.SyncState(state: "idle")
        state.endedAt = stored.endedAt
        state.problems = stored.problems
        state.projects = stored.projects
        return state
    }

    private static func state(of run: Run, _ tracker: Tracker?) -> TrackerOperations.SyncState {
        let troubles = (run.end?.problems ?? []).filter { trouble in
            tracker == nil || trouble.tracker == nil || trouble.tracker == tracker?.name
        }
        var word = run.end?.state ?? "running"
        // What went wrong with other trackers does not concern this one.
        if tracker != nil, word == "partial", troubles.isEmpty { word = "done" }
        var state = TrackerOperations.SyncState(state: word)
        state.startedAt = run.startedAt
        state.endedAt = run.end?.endedAt
        state.problems = troubles.prefix(maximumProblems).map(\.text)
        state.projects = run.board.steps.filter { tracker == nil || $0.tracker == tracker?.name }
            .map { step in
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

    /// What the store tells of scans, whoever makes them.
    private struct Stored {
        /// Whether somebody holds the lease.
        var isRunning: Bool
        var projects: [TrackerOperations.ProjectProgress]
        var problems: [String]
        /// When a scan that was noted began: one that was planned, or one that failed.
        var startedAt: Timestamp?
        var endedAt: Timestamp?

        /// Whether another process has begun a scan after one that read at this time.
        ///
        /// Who scans a tracker keeps others out, so that a project whose scan ended later was read
        /// by a scan that began later. One that failed has no project of its own to tell of it.
        func isNewer(than reading: ClosedRange<Timestamp>) -> Bool {
            startedAt.map { $0 > reading.lowerBound } ?? false
                || endedAt.map { $0 > reading.upperBound } ?? false
        }
    }

    private static func stored(
        _ tracker: Tracker?,
        _ installation: Installation
    ) async throws -> Stored {
        let now = installation.store.clock.now()
        let lease = tracker.map { ScanRunner.leaseName(of: $0.id) } ?? ScanRunner.leaseName
        return try await installation.store.read { connection, account in
            let names = Dictionary(
                try TrackerTable.list(account: account, on: connection).map { ($0.id, $0.name) },
                uniquingKeysWith: { first, _ in first }
            )
            let counts = try ProjectCounts.all(account: account, on: connection)
            let projects = try ProjectTable.list(account: account, on: connection).filter {
                $0.state == .active && (tracker == nil || $0.trackerID == tracker?.id)
            }
            let holder = try LeaseTable.holder(
                of: lease,
                now: now,
                account: account,
                on: connection
            )
            let schedules = try ScanScheduleTable.list(account: account, on: connection).filter {
                tracker == nil || $0.tracker == tracker?.id
            }
            let failing = schedules.filter { $0.failures > 0 }
            return Stored(
                isRunning: holder != nil,
                projects: projects.map { project in
                    let count = counts[project.id] ?? ProjectCounts.Row()
                    let total = count.issues + count.pullRequests + count.comments
                    return TrackerOperations.ProjectProgress(
                        tracker: names[project.trackerID] ?? "",
                        project: project.path,
                        phase: Self.phase(of: project),
                        fetched: total,
                        written: total
                    )
                },
                problems: Array(
                    (failing.compactMap { schedule in
                        schedule.lastError.map { "\(schedule.name): \($0)" }
                    }
                        + projects.compactMap { project in
                            project.lastError.map { "\(project.path): \($0)" }
                        }).prefix(Self.maximumProblems)
                ),
                startedAt: schedules.compactMap(\.lastStartedAt).max(),
                endedAt: projects.compactMap(\.lastScanAt).max()
            )
        }
    }

    /// What a scan of the project does, or goes on with.
    private static func phase(of project: StoredProject) -> String {
        let cursor = ProjectCursor(project.cursor)
        let phase: ScanProgress.Phase =
            if cursor.issues != nil {
                .issues
            } else if cursor.census != nil {
                .census
            } else if cursor.comments != nil {
                .comments
            } else {
                project.lastScanAt == nil ? .listing : .ended
            }
        return phase.rawValue
    }

    /// Forgets the scans that ended first, when there are many.
    private func forgetOldest() {
        guard runs.count > Self.maximumRuns else { return }
        let ended = runs.compactMap { account, run in run.end.map { (account, $0.endedAt) } }
        for (account, _) in ended.sorted(by: { $0.1 < $1.1 }).prefix(runs.count - Self.maximumRuns)
        {
            runs[account] = nil
        }
    }

    /// Stops what is running; what was read stays.
    func stop() async {
        let works = runs.values.map(\.work)
        for work in works { work.cancel() }
        for work in works { await work.value }
        unindexedAccounts = []
        indexing?.cancel()
        await indexing?.value
    }

    private func ended(_ account: AccountID, _ end: End) {
        runs[account]?.end = end
        unindexedAccounts.insert(account)
        makeIndex()
    }

    /// Makes the index of an account that wants one, unless one is being made.
    private func makeIndex() {
        guard indexing == nil, let account = unindexedAccounts.popFirst() else { return }
        let work = VectorIndexing(installation.viewed(by: account))
        // The scan has ended, and the next one may begin while this goes on.
        indexing = Task { [weak self, unindexed] in
            if case .failed(let reason, _) = await work.run() { unindexed(reason) }
            await self?.indexingEnded()
        }
    }

    private func indexingEnded() {
        indexing = nil
        makeIndex()
    }

    /// What went wrong, tracker by tracker and project by project.
    private static func problems(of report: ScanReport) -> [Trouble] {
        report.trackers.flatMap { tracker -> [Trouble] in
            let lines: [String] =
                tracker.failures.map { "\(tracker.name): \($0)" }
                + tracker.projects.compactMap { project -> String? in
                    switch project.outcome {
                    case .done, .planned: nil
                    case .parked(let end):
                        "\(project.path): waits for the rate limit until \(end)"
                    case .inaccessible(let reason, let isNew):
                        isNew ? "\(project.path): \(reason)" : nil
                    case .failed(let reason), .unauthenticated(let reason):
                        "\(project.path): \(reason)"
                    case .cancelled: "\(project.path): stopped"
                    }
                }
            // Of each tracker: one with many must not hide the others'.
            return lines.prefix(Self.maximumProblems).map { text in
                Trouble(tracker: tracker.name, text: text)
            }
        }
    }

    private static func scan(
        _ installation: Installation,
        _ request: ScanRequest,
        _ board: Board
    ) async -> End {
        let clock = installation.store.clock
        let begun = clock.now()
        var reading: ClosedRange<Timestamp>?
        func end(_ state: String, _ problems: [Trouble]) -> End {
            let now = max(begun, clock.now())
            return End(
                state: state,
                problems: problems,
                endedAt: now,
                reading: reading ?? begun...now
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
            let start = outcome.scan.startedAt
            reading = start...max(start, start.advanced(by: outcome.scan.duration))
            let isIndexed = !outcome.scan.wasCancelled && outcome.indexFailure == nil
            try await indexes.close(isComplete: isIndexed)
            try await installation.note(outcome, of: request)
            var problems = Self.problems(of: outcome.scan)
            if let failure = outcome.indexFailure {
                let text = failure.reason.map { "\(failure.what): \($0)" } ?? failure.what
                problems.append(Trouble(tracker: nil, text: text))
            }
            let isWhole = outcome.scan.isComplete && problems.isEmpty
            return end(isWhole ? "done" : "partial", problems)
        } catch {
            let failure = CommandFailure("the scan failed", cause: error)
            return end("failed", [Trouble(tracker: nil, text: failure.reason ?? failure.what)])
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
