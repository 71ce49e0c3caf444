import Domain
package import Store

/// Keeps what was called.
///
/// Contract: when ``begin(_:)`` returns, the call is on record for good; when it throws, the call
/// must not run.
package protocol CallJournal: Sendable {
    /// Writes a call that is about to run, or one that ended before it ran.
    func begin(_ call: ToolCallTable.Call) async throws

    /// Writes how a call ended.
    func complete(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End
    ) async throws
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

/// The journal in the store: events of the audit; those that come at the same time share a
/// transaction.
package actor StoreJournal: CallJournal {
    private let store: Store
    private let retention: CallRetention
    private let keys: AuditKeys
    /// For events that belong into the transaction of something else.
    package nonisolated let audit: AuditWriter
    /// When old rows are looked for again.
    private var nextPruning = ContinuousClock.now
    private var waiting:
        [(event: AuditTable.Event, written: CheckedContinuation<Void, any Error>)] =
            []
    /// Writes what waits; nil when nothing does.
    private var writer: Task<Void, Never>?
    /// Calls under way, for what their ends are to say of them.
    private var running: [String: AuditTable.Event] = [:]

    /// A journal that removes what is older than `retention`, beside what it writes.
    ///
    /// Keys are those of the store's account.
    package init(store: Store, keys: AuditKeys, retention: CallRetention = CallRetention()) {
        self.init(store: store, audit: AuditWriter(keys), retention: retention)
    }

    /// The same with the writer that others use too; it is the store's account's.
    package init(store: Store, audit: AuditWriter, retention: CallRetention = CallRetention()) {
        self.store = store
        self.retention = retention
        self.audit = audit
        keys = audit.keys
    }

    /// Writes a call that is about to run, or one that ended before it ran.
    package nonisolated func begin(_ call: ToolCallTable.Call) async throws {
        // Secrets are taken out where the call is, not where all calls have to wait.
        let event = AuditTable.Event(call, keys.redactor)
        try await write(event, isRunning: call.end == nil)
    }

    /// Writes how a call ended.
    package func complete(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End
    ) async throws {
        let origin = running.removeValue(forKey: id)
        try await write(AuditTable.Event(id, outcome, end, of: origin, keys.redactor))
    }

    /// Whoever finds nobody writing writes for all who come meanwhile.
    private func write(_ event: AuditTable.Event, isRunning: Bool = false) async throws {
        if isRunning, let id = event.callID { running[id] = event }
        do {
            try await withCheckedThrowingContinuation { written in
                waiting.append((event, written))
                guard writer == nil else { return }
                // Not a child of the caller: the others' events must not die with its cancellation.
                writer = Task { await self.writeAll() }
            }
        } catch {
            // It will not run.
            if isRunning, let id = event.callID { running[id] = nil }
            throw error
        }
    }

    private func writeAll() async {
        while !waiting.isEmpty {
            let batch = waiting
            waiting = []
            let events = batch.map(\.event)
            let (audit, now) = (audit, store.clock.now())
            do {
                let end = try await store.writeOutsideFeed { connection, account in
                    try audit.append(events, at: now, account: account, on: connection)
                    return audit.lastSigned
                }
                audit.remember(end)
                for (_, written) in batch { written.resume() }
                await prune()
            } catch {
                for (_, written) in batch { written.resume(throwing: error) }
            }
        }
        writer = nil
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
