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

/// How long calls stay on record.
package struct CallRetention: Sendable, Equatable {
    /// Nil for ever.
    package var time: Duration?
    /// Rows removed in a transaction, which those who call meanwhile wait for.
    package var batch = 1_000
    /// How often old rows are looked for; at once again while there are more.
    package var interval: Duration = .seconds(600)

    /// A quarter: long enough to look into what somebody notices late.
    package static let standardTime: Duration = .seconds(90 * 86_400)

    package init(_ time: Duration? = standardTime) {
        self.time = time
    }
}

/// The journal in the store; calls that come at the same time share a transaction.
package actor StoreJournal: CallJournal {
    private let store: Store
    private let retention: CallRetention
    /// When old rows are looked for again.
    private var nextPruning = ContinuousClock.now
    private var waiting: [(entry: Entry, written: CheckedContinuation<Void, any Error>)] = []
    /// Writes what waits; nil when nothing does.
    private var writer: Task<Void, Never>?

    private enum Entry: Sendable {
        case begin(ToolCallTable.Call)
        case complete(String, ToolCallTable.Outcome, ToolCallTable.End)
    }

    /// A journal that removes what is older than `retention`, beside what it writes.
    package init(store: Store, retention: CallRetention = CallRetention()) {
        self.store = store
        self.retention = retention
    }

    /// Writes a call that is about to run, or one that ended before it ran.
    package func begin(_ call: ToolCallTable.Call) async throws {
        try await write(.begin(call))
    }

    /// Writes how a call ended.
    package func complete(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End
    ) async throws {
        try await write(.complete(id, outcome, end))
    }

    /// Whoever finds nobody writing writes for all who come meanwhile.
    private func write(_ entry: Entry) async throws {
        try await withCheckedThrowingContinuation { written in
            waiting.append((entry, written))
            guard writer == nil else { return }
            // Not a child of the caller: the others' entries must not die with its cancellation.
            writer = Task { await self.writeAll() }
        }
    }

    private func writeAll() async {
        while !waiting.isEmpty {
            let batch = waiting
            waiting = []
            let entries = batch.map(\.entry)
            do {
                try await store.writeOutsideFeed { connection, account in
                    for entry in entries {
                        switch entry {
                        case .begin(let call):
                            try ToolCallTable.insert(call, account: account, on: connection)
                        case .complete(let id, let outcome, let end):
                            try ToolCallTable.complete(
                                id,
                                outcome,
                                end,
                                account: account,
                                on: connection
                            )
                        }
                    }
                }
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
        let (before, limit) = (store.clock.now().advanced(by: .zero - time), retention.batch)
        // A store that fails keeps them until the next time.
        let count = try? await store.writeOutsideFeed { connection, account in
            try ToolCallTable.prune(before: before, limit: limit, account: account, on: connection)
        }
        if count != limit { nextPruning = ContinuousClock.now.advanced(by: retention.interval) }
    }
}
