import Domain

/// Claims jobs and runs them, a bounded number at a time, until its task is cancelled.
///
/// A claimed job's lease is renewed beside it; a job that was lost to another worker is cancelled
/// and nothing is written of it. On cancellation no job is claimed any more; those that run are
/// cancelled too, and one that throws `CancellationError` is given back at once, its attempt not
/// counted. A store that does not answer is waited for.
package struct JobWorker: Sendable {
    /// Does a job; its error becomes the job's, `CancellationError` when the worker stops.
    ///
    /// What it writes it should write under ``JobTable/verify(_:account:on:)``.
    package typealias Handler = @Sendable (ClaimedJob) async throws -> Outcome

    /// What a handler says.
    package enum Outcome: Sendable, Equatable {
        case done
        /// It is not the time: give it back until later, without counting an attempt.
        case later(Duration, reason: String)
        /// No attempt can succeed.
        case hopeless(String)
    }

    /// How a worker works.
    package struct Configuration: Sendable {
        /// Jobs that run side by side.
        package var concurrency = 2
        /// How long a job is ours without renewal: longer than any one transaction.
        package var lease = Duration.seconds(60)
        /// How often it is renewed: twice may fail.
        package var renewal = Duration.seconds(20)
        /// How often the worker looks without a sign of a commit; on PostgreSQL a second at least.
        package var interval = Duration.milliseconds(500)
        /// How often ended jobs are pruned.
        package var pruning = Duration.seconds(600)
        /// How long a failing store is left alone.
        package var patience = Duration.seconds(2)
        package var backoff = JobBackoff()
        package var retention = JobRetention()

        /// The defaults.
        package init() {}
    }

    /// Something a worker tells about.
    package enum Event: Sendable {
        case began(ClaimedJob)
        case ended(ClaimedJob, JobEnding)
        /// Another worker has taken it; whatever its handler said was not written.
        case lost(ClaimedJob)
        /// The store refuses; the worker goes on.
        case storeFailed(any Error)
    }

    private let store: Store
    private let handlers: [JobKind: Handler]
    private let configuration: Configuration
    private let holder: LeaseHolder
    private let clock: any Clock<Duration>
    private let report: @Sendable (Event) -> Void

    /// A worker for the kinds that have handlers.
    ///
    /// - Parameters:
    ///   - store: Where the jobs are.
    ///   - handlers: What does a job, by its kind.
    ///   - configuration: How it works.
    ///   - holder: Who claims.
    ///   - clock: Paces it.
    ///   - report: Told what happens, from any thread.
    package init(
        _ store: Store,
        handlers: [JobKind: Handler],
        configuration: Configuration = Configuration(),
        holder: LeaseHolder = .current(),
        clock: any Clock<Duration> = ContinuousClock(),
        report: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        precondition(configuration.concurrency > 0, "a worker runs a job at least")
        self.store = store
        self.handlers = handlers
        self.configuration = configuration
        self.holder = holder
        self.clock = clock
        self.report = report
    }

    /// Works until the task is cancelled, then returns when all jobs are ended or given back.
    package func run() async {
        await withTaskGroup(of: Work.self) { group in
            var running = 0
            group.addTask { await prune() }
            group.addTask { await look(for: configuration.concurrency) }
            while let work = await group.next() {
                switch work {
                case .claimed(let jobs):
                    for job in jobs {
                        running += 1
                        group.addTask {
                            await run(job)
                            return .finished
                        }
                    }
                    // With all places taken the next look comes when one is free.
                    if running < configuration.concurrency, !Task.isCancelled {
                        let free = configuration.concurrency - running
                        group.addTask { await look(for: free) }
                    }
                case .finished:
                    running -= 1
                    if running == configuration.concurrency - 1, !Task.isCancelled {
                        group.addTask { await look(for: 1) }
                    }
                case .over: break
                }
            }
        }
    }

    /// Runs due jobs until none is due; for tests and one-shot commands.
    ///
    /// - Returns: How many were run.
    package func drain() async throws -> Int {
        var count = 0
        while true {
            let jobs = try await claim(1)
            guard let job = jobs.first else { return count }
            await run(job)
            count += 1
        }
    }

    /// Runs due jobs, side by side as configured, until none is due or so many were run.
    ///
    /// - Returns: How many were run.
    /// - Throws: What the store refuses; jobs that were claimed have ended or are given back.
    package func work(atMost limit: Int) async throws -> Int {
        var count = 0
        while count < limit, !Task.isCancelled {
            let jobs = try await claim(min(configuration.concurrency, limit - count))
            guard !jobs.isEmpty else { break }
            await withDiscardingTaskGroup { group in
                for job in jobs { group.addTask { await run(job) } }
            }
            count += jobs.count
        }
        return count
    }

    /// What a child task of the worker ends with.
    private enum Work: Sendable {
        case claimed([ClaimedJob])
        case finished
        case over
    }

    // MARK: Looking

    /// Waits for due jobs and claims some.
    private func look(for limit: Int) async -> Work {
        while !Task.isCancelled {
            do {
                // The token is read before the claim: a commit between the two moves the next one.
                let token = try await store.database.changeToken()
                let claimed = try await claim(limit)
                guard claimed.isEmpty else { return .claimed(claimed) }
                try await wait(after: token)
            } catch is CancellationError {
                return .claimed([])
            } catch {
                report(.storeFailed(error))
                // Ends early when the worker is stopped, as the loop's condition finds.
                try? await clock.sleep(for: configuration.patience)
            }
        }
        return .claimed([])
    }

    private func claim(_ limit: Int) async throws -> [ClaimedJob] {
        let (kinds, now) = (Array(handlers.keys), store.clock.now())
        // A look writes nothing: who waits for work must not keep the disk busy.
        let hasWork = try await store.read { connection, account in
            try JobTable.hasWork(of: kinds, dueBy: now, account: account, on: connection)
        }
        guard hasWork else { return [] }
        return try await store.claim(
            JobTable.ClaimRequest(
                kinds,
                limit: limit,
                holder: holder,
                lease: configuration.lease,
                now: now
            )
        )
    }

    /// Until someone has committed, or a job falls due, or the interval is over.
    private func wait(after token: Int64) async throws {
        let kinds = Array(handlers.keys)
        let next = try await store.read { connection, account in
            try JobTable.nextDue(of: kinds, account: account, on: connection)
        }
        var pause = configuration.interval
        if let next {
            let rest = next.milliseconds(since: store.clock.now())
            // Not below: two clocks that differ must not make a loop that never rests.
            pause = min(pause, .milliseconds(max(10, rest)))
        }
        _ = try await store.database.waitForChange(after: token, atMost: pause)
    }

    private func prune() async -> Work {
        while !Task.isCancelled {
            do {
                _ = try await store.pruneJobs(configuration.retention)
                try await clock.sleep(for: configuration.pruning)
            } catch is CancellationError {
                break
            } catch {
                report(.storeFailed(error))
                // See above.
                try? await clock.sleep(for: configuration.pruning)
            }
        }
        return .over
    }

    // MARK: Running

    private func run(_ job: ClaimedJob) async {
        report(.began(job))
        let ending = await ending(of: job)
        guard let ending else { return report(.lost(job)) }
        await write(ending, of: job)
    }

    /// Runs the handler while the lease is renewed; nil when the job was lost meanwhile.
    private func ending(of job: ClaimedJob) async -> JobEnding? {
        guard let handler = handlers[job.job.kind] else {
            return .givenBack(reason: nil, until: store.clock.now())
        }
        return await withTaskGroup(of: Step.self) { group in
            group.addTask {
                do {
                    return .handled(.success(try await handler(job)))
                } catch {
                    return .handled(.failure(error))
                }
            }
            group.addTask { await renew(job) }
            var isLost = false
            var ending: JobEnding?
            while let step = await group.next() {
                switch step {
                case .handled(let result): ending = self.ending(of: job, result)
                case .lost: isLost = true
                case .stopped: continue
                }
                // Either way the other is over too.
                group.cancelAll()
            }
            return isLost ? nil : ending
        }
    }

    private enum Step: Sendable {
        case handled(Result<Outcome, any Error>)
        case lost
        case stopped
    }

    private func ending(of job: ClaimedJob, _ result: Result<Outcome, any Error>) -> JobEnding {
        let now = store.clock.now()
        switch result {
        case .success(.done): return .done
        case .success(.later(let pause, let reason)):
            return .givenBack(reason: reason, until: now.advanced(by: pause))
        case .success(.hopeless(let reason)): return .hopeless(error: reason)
        case .failure(is CancellationError):
            return .givenBack(reason: nil, until: now)
        case .failure(let error):
            let pause = configuration.backoff.pause(
                after: job.job.attempts,
                chance: .random(in: 0...1)
            )
            return .failed(error: "\(error)", retryAt: now.advanced(by: pause))
        }
    }

    /// Renews the lease until the task is cancelled.
    private func renew(_ job: ClaimedJob) async -> Step {
        let lease = configuration.lease
        while true {
            do {
                try await clock.sleep(for: configuration.renewal)
                let now = store.clock.now()
                try await store.writeOutsideFeed { connection, account in
                    try JobTable.extend(
                        job,
                        lease: lease,
                        now: now,
                        account: account,
                        on: connection
                    )
                }
            } catch StoreError.leaseLost {
                return .lost
            } catch is CancellationError {
                return .stopped
            } catch {
                // The next beat comes before the lease ends, or else the fence stops us.
                report(.storeFailed(error))
            }
        }
    }

    /// Writes the ending, also when this task is cancelled; a store that is away is asked again for
    /// as long as the lease lasts.
    private func write(_ ending: JobEnding, of job: ClaimedJob) async {
        let (store, report, configuration) = (store, report, configuration)
        // Not a child of this task: a cancelled task could not write any more. It is waited for.
        let task = Task.detached {
            let end = ContinuousClock.now.advanced(by: configuration.lease)
            while true {
                do {
                    try await store.end(job, ending)
                    return report(.ended(job, ending))
                } catch StoreError.leaseLost {
                    return report(.lost(job))
                } catch {
                    report(.storeFailed(error))
                    guard ContinuousClock.now < end else { return }
                    // This task is not cancelled by anyone.
                    try? await Task.sleep(for: configuration.patience)
                }
            }
        }
        await task.value
    }
}
