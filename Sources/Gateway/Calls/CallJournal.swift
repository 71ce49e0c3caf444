import Domain
package import Store

/// Keeps what was called.
///
/// Contract: when ``begin(_:)`` returns, the call is on record for good; when it throws, the call
/// must not run. Of its end only so much is promised that it is kept.
package protocol CallJournal: Sendable {
    /// Writes a call that is about to run, or one that ended before it ran.
    func begin(_ call: ToolCallTable.Call) async throws

    /// Takes how a call ended; it is on record now or in a moment.
    func complete(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End
    ) async throws

    /// Writes the ends that are not on record yet; for the end of the process.
    ///
    /// - Returns: How many of them could not be written.
    func flush() async -> Int
}

extension CallJournal {
    /// Each end is written when it is taken.
    package func flush() async -> Int { 0 }
}

/// How long the audit is kept.
package struct CallRetention: Sendable, Equatable {
    /// Nil for ever.
    package var time: Duration?
    /// Rows removed in a transaction, which those who call meanwhile wait for.
    package var batch = 1_000
    /// How often old rows are looked for; at once again while there are more.
    package var interval: Duration = .seconds(600)

    /// A year: long enough to look into what somebody notices late, and what auditors ask for.
    package static let standardTime: Duration = .seconds(365 * 86_400)

    package init(_ time: Duration? = standardTime) {
        self.time = time
    }
}

/// How long the journal keeps ends of calls for the transaction of the next event.
package struct EndDelay: Sendable {
    /// Zero for not at all: then an end is on record when it has been taken.
    package var time: Duration
    /// How long ends that could not be written wait for the next attempt.
    package var pause: Duration = .seconds(1)
    /// Ends that are kept; whoever brings another one waits until it is on record.
    package var capacity = 1_000
    /// Told that ends could not be written; not again before they were.
    package var report: @Sendable (any Error) -> Void

    package init(_ time: Duration, report: @escaping @Sendable (any Error) -> Void) {
        self.time = time
        self.report = report
    }

    /// Each end is written when it is taken.
    package static let none = EndDelay(.zero) { _ in }
}

/// Calls that have ended, and whose ends could not be recorded before the process ended.
package struct LostEnds: Error, CustomStringConvertible {
    package var count: Int

    package var description: String { "the ends of \(count) calls could not be recorded" }
}

/// The journal in the store: events of the audit; those that come at the same time share a
/// transaction.
///
/// Where it may keep ends for a while, they share the one of the next call: a process that is
/// killed meanwhile leaves calls of which is known that they began, as one that is killed while
/// they run. The end of a call that somebody has approved is never kept back.
package actor StoreJournal: CallJournal {
    private struct Waiting {
        var event: AuditTable.Event
        /// Nil for an end that nobody waits for.
        var written: CheckedContinuation<Void, any Error>?
    }

    private let store: Store
    private let retention: CallRetention
    private let delay: EndDelay
    private let keys: AuditKeys
    /// For events that belong into the transaction of something else.
    package nonisolated let audit: AuditWriter
    /// When old rows are looked for again.
    private var nextPruning = ContinuousClock.now
    private var waiting: [Waiting] = []
    /// Ends that are kept, those that are being written included.
    private var endCount = 0
    /// Ends that could not be written: calls do not fail for them again.
    private var unwritten: [AuditTable.Event] = []
    /// Writes what waits; nil when nobody does.
    private var writer: Task<Void, Never>?
    /// Whether it is to go on until nothing waits any more.
    private var goesOn = false
    /// Sees to the ends that no call comes for; nil when there are none.
    private var timer: Task<Void, Never>?
    /// Sees to those that could not be written.
    private var retry: Task<Void, Never>?
    /// Calls under way, for what their ends are to say of them.
    private var running: [String: AuditTable.Event] = [:]

    /// A journal that removes what is older than `retention`, beside what it writes.
    ///
    /// Keys are those of the store's account.
    package init(
        store: Store,
        keys: AuditKeys,
        retention: CallRetention = CallRetention(),
        delay: EndDelay = .none
    ) {
        self.init(store: store, audit: AuditWriter(keys), retention: retention, delay: delay)
    }

    /// The same with the writer that others use too; it is the store's account's.
    package init(
        store: Store,
        audit: AuditWriter,
        retention: CallRetention = CallRetention(),
        delay: EndDelay = .none
    ) {
        self.store = store
        self.retention = retention
        self.audit = audit
        self.delay = delay
        keys = audit.keys
    }

    /// Writes a call that is about to run, or one that ended before it ran.
    package nonisolated func begin(_ call: ToolCallTable.Call) async throws {
        // Secrets are taken out where the call is, not where all calls have to wait.
        let event = AuditTable.Event(call, keys.redactor)
        try await write(event, isRunning: call.end == nil)
    }

    /// Takes how a call ended.
    package func complete(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End
    ) async throws {
        let origin = running.removeValue(forKey: id)
        let event = AuditTable.Event(id, outcome, end, of: origin, keys.redactor)
        guard delay.time > .zero, origin?.approvalID == nil, endCount < delay.capacity else {
            return try await write(event)
        }
        endCount += 1
        waiting.append(Waiting(event: event))
        if writer == nil { writeSoon() }
    }

    /// Writes the ends that are kept; for the end of the process.
    ///
    /// - Returns: How many of them could not be written.
    package func flush() async -> Int {
        repeat {
            takeUnwritten()
            writeNow()
            // One that was at work before leaves what came meanwhile.
            await writer?.value
        } while !waiting.isEmpty
        return unwritten.count
    }

    /// Whoever finds nobody writing writes for all who come meanwhile.
    private func write(_ event: AuditTable.Event, isRunning: Bool = false) async throws {
        if isRunning, let id = event.callID { running[id] = event }
        do {
            try await withCheckedThrowingContinuation { written in
                waiting.append(Waiting(event: event, written: written))
                writeNow()
            }
        } catch {
            // It will not run.
            if isRunning, let id = event.callID { running[id] = nil }
            throw error
        }
    }

    /// Not a child of any caller: the others' events must not die with its cancellation.
    private func writeNow() {
        guard !waiting.isEmpty else { return }
        guard writer == nil else {
            goesOn = true
            return
        }
        writer = Task { await self.writeAll() }
    }

    private func writeSoon() {
        guard timer == nil else { return }
        let time = delay.time
        timer = Task {
            // Nobody cancels it.
            try? await Task.sleep(for: time)
            self.timer = nil
            self.writeNow()
        }
    }

    private func takeUnwritten() {
        waiting = unwritten.map { Waiting(event: $0) } + waiting
        unwritten = []
    }

    private func writeAll() async {
        repeat {
            let batch = waiting
            waiting = []
            goesOn = false
            do {
                try await append(batch.map(\.event))
                endCount -= batch.count { $0.written == nil }
                for entry in batch { entry.written?.resume() }
                await prune()
            } catch {
                fail(batch, error)
            }
        } while !waiting.isEmpty && (goesOn || waiting.contains { $0.written != nil })
        writer = nil
        if !waiting.isEmpty { writeSoon() }
    }

    private func append(_ events: [AuditTable.Event]) async throws {
        let (audit, now) = (audit, store.clock.now())
        let end = try await store.writeOutsideFeed { connection, account in
            try audit.append(events, at: now, account: account, on: connection)
            return audit.lastSigned
        }
        audit.remember(end)
    }

    /// Those who wait hear why, unless it may be for ends that they were written with: then they
    /// are written without those.
    private func fail(_ batch: [Waiting], _ error: any Error) {
        let ends = batch.filter { $0.written == nil }.map(\.event)
        guard !ends.isEmpty else {
            for entry in batch { entry.written?.resume(throwing: error) }
            return
        }
        if unwritten.isEmpty { delay.report(error) }
        unwritten += ends
        waiting = batch.filter { $0.written != nil } + waiting
        guard retry == nil else { return }
        let pause = delay.pause
        retry = Task {
            // Nobody cancels it.
            try? await Task.sleep(for: pause)
            self.retry = nil
            self.takeUnwritten()
            self.writeNow()
        }
    }

    /// Removes old rows now and then, a bounded number at a time.
    private func prune() async {
        guard let time = retention.time, ContinuousClock.now >= nextPruning else { return }
        let (now, limit, audit) = (store.clock.now(), retention.batch, audit)
        let before = now.advanced(by: .zero - time)
        // A store that fails keeps them until the next time.
        let counts = try? await store.writeOutsideFeed { connection, account in
            [
                try audit.cut(
                    before: before,
                    limit: limit,
                    at: now,
                    account: account,
                    on: connection
                ),
                try ToolCallTable.pruneUnchained(
                    before: before,
                    limit: limit,
                    account: account,
                    on: connection
                ),
            ]
        }
        guard counts?.contains(limit) != true else { return }
        nextPruning = ContinuousClock.now.advanced(by: retention.interval)
    }
}
