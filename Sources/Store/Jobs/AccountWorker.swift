package import Domain

/// Works on the jobs of many accounts, each in its turn, until its task is cancelled.
///
/// In a turn an account has a few of its jobs run; then it is the next one's turn that has any. An
/// account with many jobs, or with slow ones, takes one place of several, and no other waits for
/// its end. Processes that do this side by side share the work as those of one account do: a job
/// belongs to whoever has claimed it.
package struct AccountWorker: Sendable {
    /// Makes what does the jobs of an account.
    package typealias Handlers =
        @Sendable (AccountID) async throws -> [JobKind: JobWorker.Handler]

    /// How much is done at a time.
    package struct Configuration: Sendable {
        /// Accounts whose turn it is at the same time.
        package var accounts = 8
        /// Jobs of one turn: as many as a place may be taken by before others are asked.
        package var jobs = 4
        /// Accounts that are looked through in one transaction.
        package var page = 256
        /// How often is looked while nothing is found; on PostgreSQL a second at least.
        ///
        /// Whatever is committed meanwhile: each look asks for every account.
        package var interval = Duration.milliseconds(500)
        /// How each account's jobs are run.
        package var worker = JobWorker.Configuration()

        /// The defaults.
        package init() {}
    }

    private let store: Store
    private let kinds: [JobKind]
    private let excluded: Set<AccountID>
    private let configuration: Configuration
    private let holder: LeaseHolder
    private let clock: any Clock<Duration>
    private let handlers: Handlers
    private let report: @Sendable (JobWorker.Event) -> Void

    /// A worker for jobs of these kinds.
    ///
    /// - Parameters:
    ///   - store: Of any account of the database.
    ///   - kinds: What it works on; ``Handlers`` has one for each.
    ///   - excluded: Accounts that others work for.
    ///   - configuration: How much is done at a time.
    ///   - holder: Who claims.
    ///   - clock: Paces it.
    ///   - handlers: Makes what does the jobs of an account, for each of its turns.
    ///   - report: Told what happens, from any thread.
    package init(
        _ store: Store,
        kinds: [JobKind],
        except excluded: Set<AccountID> = [],
        configuration: Configuration = Configuration(),
        holder: LeaseHolder = .current(),
        clock: any Clock<Duration> = ContinuousClock(),
        handlers: @escaping Handlers,
        report: @escaping @Sendable (JobWorker.Event) -> Void = { _ in }
    ) {
        precondition(configuration.accounts > 0 && configuration.jobs > 0, "somebody has a turn")
        self.store = store
        self.kinds = kinds
        self.excluded = excluded
        self.configuration = configuration
        self.holder = holder
        self.clock = clock
        self.handlers = handlers
        self.report = report
    }

    /// What a child task of the worker ends with.
    private enum Step: Sendable {
        /// Accounts that have something to do; none when it was waited for that.
        case found([AccountID])
        /// A turn has ended, in which so many jobs were run.
        case ended(AccountID, count: Int)
    }

    /// Works until the task is cancelled, then returns when all jobs are ended or given back.
    package func run() async {
        await withTaskGroup(of: Step.self) { group in
            var busy: Set<AccountID> = []
            // Accounts whose jobs are others' at the moment.
            var idle: Set<AccountID> = []
            var last: AccountID?
            var isLooking = true
            group.addTask { await look(after: nil, without: [], atMost: configuration.accounts) }
            while let step = await group.next() {
                switch step {
                case .found(let accounts):
                    isLooking = false
                    if accounts.isEmpty { idle = [] }
                    last = accounts.last ?? last
                    for account in accounts {
                        busy.insert(account)
                        group.addTask { .ended(account, count: await turn(of: account)) }
                    }
                case .ended(let account, let count):
                    busy.remove(account)
                    if count == 0 { idle.insert(account) }
                }
                let free = configuration.accounts - busy.count
                guard !isLooking, free > 0, !Task.isCancelled else { continue }
                isLooking = true
                let (place, left) = (last, busy.union(idle))
                group.addTask { await look(after: place, without: left, atMost: free) }
            }
        }
    }

    /// Runs due jobs of every account until none is due that is not another worker's; for tests and
    /// one-shot commands.
    ///
    /// - Returns: How many were run.
    /// - Throws: What the store refuses, and what ``Handlers`` throws.
    package func drain() async throws -> Int {
        var count = 0
        // Accounts with nothing left for us.
        var idle: Set<AccountID> = []
        while let account = try await find(after: nil, without: idle, atMost: 1).first {
            let ended = try await work(for: account)
            if ended == 0 { idle.insert(account) }
            count += ended
        }
        return count
    }

    // MARK: Looking

    /// Finds accounts that have something to do, or waits for a sign of it.
    private func look(
        after last: AccountID?,
        without left: Set<AccountID>,
        atMost limit: Int
    ) async -> Step {
        do {
            let start = ContinuousClock.now
            // The token is read before: a commit between the two moves the next one.
            let token = try await store.database.changeToken()
            let found = try await find(after: last, without: left, atMost: limit)
            guard found.isEmpty else { return .found(found) }
            _ = try await store.database.waitForChange(
                after: token,
                atMost: configuration.interval
            )
            let rest = configuration.interval - start.duration(to: .now)
            if rest > .zero { try await clock.sleep(for: rest) }
        } catch {
            await bear(error)
        }
        return .found([])
    }

    /// The next accounts that have something to do, the one behind `last` first, and round.
    private func find(
        after last: AccountID?,
        without left: Set<AccountID>,
        atMost limit: Int
    ) async throws -> [AccountID] {
        let (kinds, now) = (kinds, store.clock.now())
        let all = try await store.database.read { connection in
            try AccountTable.list(on: connection)
        }
        let start = last.flatMap { last in all.firstIndex { $0 > last } } ?? 0
        var rest = (all[start...] + all[..<start])
            .filter { !left.contains($0) && !excluded.contains($0) }[...]
        var found: [AccountID] = []
        while !rest.isEmpty, found.count < limit {
            let page = Array(rest.prefix(configuration.page))
            rest = rest.dropFirst(configuration.page)
            found += try await store.database.read { connection in
                try page.filter { account in
                    try JobTable.hasWork(of: kinds, dueBy: now, account: account, on: connection)
                }
            }
        }
        return Array(found.prefix(limit))
    }

    // MARK: Working

    /// Runs some jobs of an account.
    ///
    /// - Returns: How many.
    private func turn(of account: AccountID) async -> Int {
        do {
            return try await work(for: account)
        } catch {
            // The others have their places meanwhile.
            await bear(error)
            return 0
        }
    }

    private func work(for account: AccountID) async throws -> Int {
        let viewed = store.viewed(by: account)
        let worker = JobWorker(
            viewed,
            handlers: try await handlers(account),
            configuration: configuration.worker,
            holder: holder,
            clock: clock,
            report: report
        )
        let count = try await worker.work(atMost: configuration.jobs)
        // Only where jobs end there are some to be removed.
        if count > 0, !Task.isCancelled {
            _ = try await viewed.pruneJobs(configuration.worker.retention)
        }
        return count
    }

    /// Tells of a store that refuses, and leaves it alone for a while; a worker that is stopped
    /// need not tell.
    private func bear(_ error: any Error) async {
        guard !Task.isCancelled, !(error is CancellationError) else { return }
        report(.storeFailed(error))
        // Ends early when the worker is stopped.
        try? await clock.sleep(for: configuration.worker.patience)
    }
}
