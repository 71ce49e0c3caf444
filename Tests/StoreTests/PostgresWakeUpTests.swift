import Domain
import StoreTestSupport
import Synchronization
import Testing

@testable import Store

/// How soon a follower on PostgreSQL hears of a commit.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresWakeUpTests {
    /// A database that counts who waits.
    private struct Watched: Database {
        let base: any Database
        private let waits = Counter()

        init(_ base: any Database) { self.base = base }

        private final class Counter: Sendable {
            let value = Mutex(0)
        }

        /// How often somebody has begun to wait.
        var waitCount: Int { waits.value.withLock { $0 } }

        var dialect: SQLDialect { base.dialect }

        func read<Value: Sendable>(
            _ body: @escaping @Sendable (any SQLConnection) throws -> Value
        ) async throws -> Value {
            try await base.read(body)
        }

        func write<Value: Sendable>(
            _ body: @escaping @Sendable (any SQLConnection) throws -> Value
        ) async throws -> Value {
            try await base.write(body)
        }

        func changeToken() async throws -> Int64 { try await base.changeToken() }

        func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
            waits.value.withLock { $0 += 1 }
            return try await base.waitForChange(after: token, atMost: duration)
        }

        func close() async throws { try await base.close() }
    }

    /// More than a busy machine takes to pass a notification on, and less than any way to hear of a
    /// commit without one: followers look once an hour here, and the connection that listens finds
    /// out once a minute whether it still does.
    private static let bound = Duration.seconds(20)

    /// It passed as long as each commit was heard of within a minute.
    @Test(.timeLimit(.minutes(3)))
    func `a commit is heard of at once`() async throws {
        let scratch = try Engine.postgres.database()
        let database = Watched(try scratch.connect())
        let store = try await Store.open(database)
        let watcher = ChangeWatcher(store, interval: .seconds(3_600))
        for round in 1...3 as ClosedRange<Int64> {
            let heard = try await withThrowingTaskGroup(of: Revision?.self) { group -> Revision? in
                let before = database.waitCount
                group.addTask { try await watcher.waitForChange(after: Revision(round - 1)) }
                group.addTask {
                    // Whoever had not begun to wait would find the commit by looking.
                    while database.waitCount == before {
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    try await store.write { connection, account in
                        _ = try AccountTable.nextRevisions(1, account: account, on: connection)
                    }
                    try await Task.sleep(for: Self.bound)
                    return nil
                }
                defer { group.cancelAll() }
                guard let first = try await group.next() else { return nil }
                return first
            }
            #expect(heard == Revision(round), "not within \(Self.bound)")
        }
        try await database.close()
    }
}
