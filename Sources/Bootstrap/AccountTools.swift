package import Domain
package import Gateway
import HTTPClient
package import Search
import Store

/// The tools and the indexes of each account, made once: the indexes stay open while they are used,
/// and what they took in is kept for the next process.
package actor AccountTools {
    /// What they may take.
    package struct Limits: Sendable {
        /// Accounts besides the installation's own whose tools and indexes are held: each has files
        /// open and what changed since its snapshot in memory.
        package var accounts = 32
        /// For how long an account stays that nobody asks for; people come back within minutes.
        package var idleTime: Duration = .seconds(900)
        /// Changes between two snapshots: a reader compares so many exactly in less than a
        /// millisecond, and a snapshot of 50,000 windows takes a tenth of a second.
        package var changesBetweenSnapshots = 1_024
        /// How often is looked whether there is something to keep or to close.
        package var interval: Duration = .seconds(60)
        /// How long the end of a call may wait for the record of the next one: agents that call
        /// one tool after the other come back sooner.
        package var endDelay: Duration = .milliseconds(5)

        package init() {}
    }

    private struct Entry {
        var calls: GuardedCall?
        var desk: UpstreamDesk?
        /// By whether the model is needed.
        var opened: [Bool: Task<IssueSearch, any Error>] = [:]
        var usedAt: Timestamp
    }

    private let installation: Installation
    private let limits: Limits
    private let report: @Sendable (any Error) -> Void
    private var entries: [AccountID: Entry] = [:]
    /// Of accounts that made room while sessions with their servers were in use.
    private var leaving: [UpstreamDesk] = []
    /// The process's client for other MCP servers.
    private var transport: (any HTTPStreamTransport)?

    /// Tools and indexes of the accounts in an installation's database.
    ///
    /// - Parameters:
    ///   - installation: Whose.
    ///   - limits: What they may take.
    ///   - report: Told why ends of calls could not be recorded yet.
    package init(
        _ installation: Installation,
        limits: Limits = Limits(),
        report: @escaping @Sendable (any Error) -> Void = { _ in }
    ) {
        self.installation = installation
        self.limits = limits
        self.report = report
    }

    /// The accounts that are held.
    package var accounts: [AccountID] { entries.keys.sorted() }

    /// The way to call tools of an account.
    package func calls(of account: AccountID) throws -> GuardedCall {
        touch(account)
        if let calls = entries[account]?.calls { return calls }
        let desk = try upstreams(of: account)
        let calls = try installation.viewed(by: account).guardedCall(
            opening: { mode in try await self.search(mode, of: account) },
            upstreams: desk,
            delay: EndDelay(limits.endDelay, report: report)
        )
        entries[account]?.calls = calls
        return calls
    }

    /// The other MCP servers of an account.
    package func upstreams(of account: AccountID) throws -> UpstreamDesk {
        touch(account)
        if let desk = entries[account]?.desk { return desk }
        let client = try transport ?? installation.upstreamTransport()
        transport = client
        let desk = try installation.viewed(by: account).upstreamDesk(transport: client)
        entries[account]?.desk = desk
        return desk
    }

    /// The indexes of an account; throws why they cannot be opened, and tries again next time.
    package func search(
        _ mode: SearchRequest.Mode,
        of account: AccountID
    ) async throws -> IssueSearch {
        touch(account)
        let needsModel = mode != .text
        let viewed = installation.viewed(by: account)
        let task =
            entries[account]?.opened[needsModel]
            // Not a child of the first caller: the others wait for the same.
            ?? Task { try await viewed.searchForTools(mode: mode) }
        entries[account]?.opened[needsModel] = task
        do {
            return try await task.value
        } catch {
            if entries[account]?.opened[needsModel] == task {
                entries[account]?.opened[needsModel] = nil
            }
            throw error
        }
    }

    // MARK: - Keeping and closing

    /// Keeps snapshots up to date and closes what is idle, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - clock: What the waiting goes by.
    ///   - report: Told what could not be kept; the store still has it.
    package func run(
        clock: any Clock<Duration> = ContinuousClock(),
        report: @Sendable (any Error) -> Void
    ) async {
        while !Task.isCancelled {
            do {
                try await clock.sleep(for: limits.interval)
            } catch {
                return
            }
            await tidy(report: report)
        }
    }

    /// Keeps what was taken in, and closes what nobody has asked for.
    package func tidy(report: @Sendable (any Error) -> Void) async {
        for account in accounts {
            await keep(account, after: limits.changesBetweenSnapshots, report)
        }
        let end = installation.store.clock.now().advanced(by: .zero - limits.idleTime)
        for (account, entry) in entries
        where account != installation.store.account && entry.usedAt <= end {
            // A session of MCP asks once for its tools, and calls those of other servers for long.
            if let desk = entry.desk, await !desk.isUnused() { continue }
            guard entries[account]?.usedAt == entry.usedAt else { continue }
            entries[account] = nil
            await entry.desk?.close()
        }
        for desk in leaving {
            guard await desk.isUnused() else { continue }
            leaving.removeAll { $0 === desk }
            await desk.close()
        }
    }

    /// Keeps what was taken in, at the end of the process.
    ///
    /// A snapshot that is being written cannot be broken off; it appears whole or not at all, so
    /// that nobody need wait for it longer than `limit`.
    ///
    /// - Parameters:
    ///   - limit: How long the end may wait.
    ///   - report: Told what could not be kept.
    /// - Returns: Whether all of it was done in time.
    package func stop(
        within limit: Duration,
        report: @escaping @Sendable (any Error) -> Void
    ) async -> Bool {
        let (ends, end) = AsyncStream.makeStream(of: Bool.self)
        let saving = Task {
            await self.close(report)
            end.yield(true)
        }
        let timer = Task {
            // Cancelled when the work was done first: then nobody listens any more.
            try? await Task.sleep(for: limit)
            end.yield(false)
        }
        defer {
            saving.cancel()
            timer.cancel()
        }
        for await isDone in ends { return isDone }
        return false
    }

    private func close(_ report: @Sendable (any Error) -> Void) async {
        let desks = entries.values.compactMap(\.desk) + leaving
        async let ended: Void = Self.end(desks)
        // Before what takes long: nobody waits for that for ever.
        for calls in entries.values.compactMap(\.calls) {
            if let lost = await calls.flush() { self.report(lost) }
        }
        for account in accounts {
            await keep(account, after: SearchIndex.saveThreshold, report)
            for task in (entries[account]?.opened ?? [:]).values {
                do {
                    try await task.value.close()
                } catch {
                    report(error)
                }
            }
            entries[account] = nil
        }
        await ended
    }

    /// Ends the sessions with other MCP servers.
    private static func end(_ desks: [UpstreamDesk]) async {
        for desk in desks { await desk.close() }
    }

    /// Keeps an account's indexes, unless somebody is indexing it: who does that saves at its end.
    private func keep(
        _ account: AccountID,
        after changes: Int,
        _ report: @Sendable (any Error) -> Void
    ) async {
        guard let task = entries[account]?.opened[true] else { return }
        do {
            guard try await !installation.viewed(by: account).isBeingIndexed() else { return }
            _ = try await task.value.checkpoint(after: changes)
        } catch is CancellationError {
            // The process ends, and ``stop(within:report:)`` does it again.
        } catch {
            report(error)
        }
    }

    /// Notes that an account is asked for, and makes room for it.
    private func touch(_ account: AccountID) {
        let now = installation.store.clock.now()
        guard entries[account] == nil else {
            entries[account]?.usedAt = now
            return
        }
        let own = installation.store.account
        let others = entries.filter { $0.key != own }
        if account != own, others.count >= limits.accounts,
            let oldest = others.min(by: { $0.value.usedAt < $1.value.usedAt })
        {
            // Who is using them keeps them until it has ended.
            entries[oldest.key] = nil
            if let desk = oldest.value.desk { leaving.append(desk) }
        }
        entries[account] = Entry(usedAt: now)
    }
}

extension Installation {
    /// Whether some process is indexing the account.
    func isBeingIndexed() async throws -> Bool {
        let now = store.clock.now()
        return try await store.read { connection, account in
            try LeaseTable.holder(
                of: IndexTurn.leaseName,
                now: now,
                account: account,
                on: connection
            ) != nil
        }
    }
}
