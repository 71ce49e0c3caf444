import Synchronization

/// Has tables analysed that grow before the server's own daemon comes to them.
///
/// Told of each commit of this process; looks at the catalogue at most every two seconds, beside
/// whoever writes. What the server refuses is left to the daemon.
final class PostgresStatistics: Sendable {
    /// How often the catalogue is looked at while somebody writes.
    static let interval = Duration.seconds(2)
    /// A table that gives no statistics, as one of another role, is tried again after this time.
    private static let patience = Duration.seconds(600)
    /// How long whoever closes the database waits for a look under way.
    private static let endTime = Duration.seconds(5)

    private struct State {
        var nextLook = ContinuousClock.now
        var isLooking = false
        var isStopped = false
        /// The latest look.
        var look: Task<Void, Never>?
        /// When each table was analysed by this process.
        var analysed: [String: ContinuousClock.Instant] = [:]
    }

    private let state = Mutex(State())

    /// Somebody has written.
    func noteCommit(in database: PostgresDatabase) {
        let isDue = state.withLock { state in
            guard !state.isLooking, !state.isStopped, ContinuousClock.now >= state.nextLook
            else { return false }
            state.isLooking = true
            return true
        }
        guard isDue else { return }
        // Nobody waits for it: whoever has written goes on.
        let look = Task {
            // The next look tries again.
            try? await self.look(at: database)
            self.state.withLock { state in
                state.isLooking = false
                state.nextLook = ContinuousClock.now.advanced(by: Self.interval)
            }
        }
        let isStopped = state.withLock { state in
            state.look = look
            return state.isStopped
        }
        if isStopped { look.cancel() }
    }

    /// Whether a look is under way.
    var isLooking: Bool { state.withLock(\.isLooking) }

    /// Nothing is looked at any more; a look under way is ended and waited for.
    ///
    /// A program that left meanwhile took the request to stop the statement with it: PgBouncer 1.18
    /// falls over one whose client has gone, and with it the connections of everybody.
    func stop() async {
        let look = state.withLock { state in
            state.isStopped = true
            return state.look
        }
        look?.cancel()
        let deadline = ContinuousClock.now.advanced(by: Self.endTime)
        // In a task of its own: whoever closes because he was cancelled has to wait, too.
        let waiting = Task {
            while self.isLooking, ContinuousClock.now < deadline {
                // Nobody cancels it.
                try? await Task.sleep(for: .milliseconds(5))
            }
        }
        await waiting.value
    }

    /// Analyses what nothing is known of.
    func look(at database: PostgresDatabase) async throws {
        let unknown = try await database.read { connection in
            try PlannerStatisticsTable.unknown(on: connection)
        }
        for table in unknown where isWorthATry("\(table)") {
            try await database.write { connection in
                try PlannerStatisticsTable.analyse(table, on: connection)
            }
            // One that somebody has locked is tried again at the next look.
            state.withLock { $0.analysed["\(table)"] = .now }
        }
    }

    private func isWorthATry(_ table: String) -> Bool {
        let last = state.withLock { $0.analysed[table] }
        return last.map { $0.duration(to: .now) >= Self.patience } ?? true
    }
}
