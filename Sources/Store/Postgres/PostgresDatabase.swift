import Synchronization

/// The engine for installations of many processes: PostgreSQL 14 or newer through libpq.
///
/// - Reads are REPEATABLE READ READ ONLY: one snapshot. Writes are READ COMMITTED and take the
///   account's feed lock before their first read (``AccountTable/lockFeed(of:on:)``), so each of
///   their statements sees all that was committed before them, as on SQLite.
/// - A lost connection is no error until ``PostgresConfiguration/reconnectTimeout`` is over: what
///   was not committed runs again on another connection. A server that is starting up is waited for
///   as long; one that has never answered is not.
/// - Loss between COMMIT and its answer leaves open whether it took place. The transaction has
///   written a mark (``TransactionMarkTable``), which is there if and only if it did, also after a
///   crash of the server: nothing is written twice and nothing taken for written that is not.
/// - No session state outside a transaction, so a pooler in transaction mode works; only the
///   listening connection has a session, and without it followers poll.
package struct PostgresDatabase: Database {
    package let dialect = SQLDialect.postgres

    /// How it is reached, and what is taken of its server.
    package let configuration: PostgresConfiguration
    private let pool: PostgresPool
    private let listener: PostgresListener
    private let memory = Memory()
    private let statistics = PostgresStatistics()

    /// What was learnt about the server.
    private final class Memory: Sendable {
        let usesNames = Atomic(true)
        let wasReached = Atomic(false)
        let marks = PostgresMarks()
    }

    /// A database at an address; nothing is connected yet.
    package init(_ configuration: PostgresConfiguration) {
        self.configuration = configuration
        pool = PostgresPool(configuration)
        listener = PostgresListener(configuration)
        memory.usesNames.store(configuration.usesNamedStatements, ordering: .relaxed)
    }

    /// Runs `body` on one snapshot.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        try await transact(writing: false, body)
    }

    /// Runs `body` in one transaction, again when another one or a lost connection was in the way.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        try await transact(writing: true, body)
    }

    /// Runs one statement outside a transaction and on a connection of its own: for what takes long
    /// and is none, as the making of an index beside those who write.
    ///
    /// The statement has no limit but `limit`, whatever the role's `statement_timeout` says.
    ///
    /// - Parameters:
    ///   - statement: The statement.
    ///   - lock: The arguments of an advisory lock: one process at a time does it.
    ///   - limit: How long its answer is waited for. A server that is gone is noticed before, by
    ///     its silence on the network.
    /// - Returns: Whether it was run: false when somebody else has the lock.
    /// - Throws: ``StoreError``, `CancellationError`.
    func maintain(
        _ statement: SQL,
        under lock: SQL,
        atMost limit: Duration = PostgresConnection.longestAnswer
    ) async throws -> Bool {
        var configuration = configuration
        configuration.statementTimeout = limit
        let session = PostgresSession(configuration)
        let interrupt = PostgresInterrupt()
        do {
            return try await withTaskCancellationHandler {
                try await session.command(statement, under: lock, interrupt: interrupt)
            } onCancel: {
                interrupt.request()
            }
        } catch {
            throw Self.failure(error)
        }
    }

    /// The number of notifications of commits so far.
    package func changeToken() async throws -> Int64 {
        await listener.token()
    }

    /// Waits for a notification; always worth looking, for a pooler may swallow them.
    package func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
        try await listener.wait(
            after: token,
            atMost: listener.isListening ? max(duration, Self.listeningInterval) : duration
        )
        return true
    }

    /// How often followers look by themselves although notifications come.
    private static let listeningInterval = Duration.seconds(1)

    /// Ends all connections that are idle, others when their transaction ends.
    package func close() async throws {
        await statistics.stop()
        listener.close()
        await pool.close()
    }

    // MARK: Trying again

    private func transact<Value: Sendable>(
        writing: Bool,
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        var patience = PostgresPatience(reconnectTimeout: configuration.reconnectTimeout)
        while true {
            switch try await attempt(writing: writing, body) {
            case .committed(let value):
                memory.wasReached.store(true, ordering: .relaxed)
                if writing { statistics.noteCommit(in: self) }
                return value
            case .unanswered(let value, let transaction):
                // Not given up with the caller's task: it would not know either.
                let asking = Task { try await isCommitted(transaction) }
                if try await asking.value { return value }
                guard let pause = patience.pause(after: .reconnect, wasReached: true, now: .now)
                else { throw Self.unknownFate }
                try await Task.sleep(for: pause)
            case .failed(let error, let remedy):
                if remedy == .reconnect { memory.wasReached.store(true, ordering: .relaxed) }
                if remedy == .withoutNames { memory.usesNames.store(false, ordering: .relaxed) }
                if remedy == .withoutMark { memory.marks.areUsable = false }
                let pause = patience.pause(
                    after: remedy,
                    wasReached: memory.wasReached.load(ordering: .relaxed),
                    now: .now
                )
                guard let pause else { throw Self.failure(error) }
                try await Task.sleep(for: pause)
            }
        }
    }

    private func attempt<Value: Sendable>(
        writing: Bool,
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> PostgresSession.Ending<Value> {
        let session = try await pool.take()
        let interrupt = PostgresInterrupt()
        let usesNames = memory.usesNames.load(ordering: .relaxed)
        let ending = await withTaskCancellationHandler {
            await session.run(
                writing: writing,
                usesNames: usesNames,
                interrupt: interrupt,
                marks: memory.marks,
                body
            )
        } onCancel: {
            interrupt.request()
        }
        pool.give(session)
        return ending
    }

    /// Whether a transaction has taken place whose COMMIT was not answered.
    ///
    /// With a patience of its own: what the transaction has used of its own must not leave open
    /// whether it was written. A server that does not know that its client is gone lets the
    /// transaction be for as long as a statement may take.
    private func isCommitted(_ transaction: PostgresConnection.Token) async throws -> Bool {
        var patience = PostgresPatience(reconnectTimeout: configuration.reconnectTimeout)
        let deadline = ContinuousClock.now
            .advanced(by: configuration.statementTimeout + configuration.graceTime)
        while true {
            let remedy: PostgresFailure.Remedy
            let session: PostgresSession
            do {
                session = try await pool.take()
            } catch StoreError.timedOut {
                throw Self.unknownFate
            }
            do {
                defer { pool.give(session) }
                switch try await session.fate(of: transaction) {
                case .committed: return true
                case .aborted: return false
                case .undecided:
                    guard ContinuousClock.now < deadline else { throw Self.unknownFate }
                    try await Task.sleep(for: Self.undecidedPause)
                    continue
                }
            } catch let failure as PostgresFailure where failure.state == "25006" {
                // A replica, or a session of a time when nothing could be written.
                guard ContinuousClock.now < deadline else { throw Self.unknownFate }
                try await Task.sleep(for: Self.undecidedPause)
                continue
            } catch let failure as PostgresFailure {
                remedy = failure.remedy
            }
            let pause = patience.pause(after: remedy, wasReached: true, now: .now)
            guard let pause else { throw Self.unknownFate }
            try await Task.sleep(for: pause)
        }
    }

    private static let undecidedPause = Duration.milliseconds(100)

    private static let unknownFate = StoreError.disconnected(
        detail: "the connection was lost before the database told whether it has written"
    )

    /// A cancelled task hears that it was cancelled; what the body throws passes as it is.
    private static func failure(_ error: any Error) -> any Error {
        (error as? StoreError) == .cancelled ? CancellationError() : error
    }
}

/// What is known of the table for marks (``TransactionMarkTable``).
final class PostgresMarks: Sendable {
    private let known = Atomic(false)

    /// Whether transactions can have marks.
    var areUsable: Bool {
        get { known.load(ordering: .relaxed) }
        set { known.store(newValue, ordering: .relaxed) }
    }
}

/// Decides how long to wait before a transaction is tried again, and when to give up.
struct PostgresPatience {
    /// A transaction that found another one in its way so often has met a livelock.
    static let maximumRepetitions = 12
    /// Attempts to reach a server for the first time that says nothing; one may come while it is
    /// being restarted.
    static let firstConnections = 3
    private static let shortestPause = Duration.milliseconds(10)
    private static let longestPause = Duration.seconds(2)

    private let reconnectTimeout: Duration
    /// Runs from the first loss: how long the transaction has run or queued before says nothing
    /// about how long the server needs.
    private var deadline: ContinuousClock.Instant?
    private var repetitions = 0
    private var reconnections = 0

    init(reconnectTimeout: Duration) {
        self.reconnectTimeout = reconnectTimeout
    }

    /// The pause before the next attempt; nil to give up.
    ///
    /// A server that has never been reached is hardly waited for: more likely its address is wrong.
    /// One that says that it is starting up has been reached: recovering after a crash takes it
    /// seconds to minutes.
    mutating func pause(
        after remedy: PostgresFailure.Remedy,
        wasReached: Bool,
        now: ContinuousClock.Instant
    ) -> Duration? {
        switch remedy {
        case .none: return nil
        case .withoutNames, .replan, .withoutMark, .repeatSoon:
            repetitions += 1
            guard repetitions <= Self.maximumRepetitions else { return nil }
            return Self.pause(before: repetitions)
        case .connect, .reconnect:
            reconnections += 1
            let deadline = deadline ?? now.advanced(by: reconnectTimeout)
            self.deadline = deadline
            let isKnown = wasReached || remedy == .reconnect
            guard now < deadline, isKnown || reconnections < Self.firstConnections
            else { return nil }
            // The first loss is mostly an idle connection that was cut: a new one is made at once.
            return reconnections == 1 ? .zero : Self.pause(before: reconnections)
        }
    }

    /// Doubled every time, and half of it left to chance, lest two go on meeting each other.
    private static func pause(before attempt: Int) -> Duration {
        let whole = min(longestPause, shortestPause * (1 << min(attempt, 10)))
        return whole / 2 + whole / 2 * Double.random(in: 0...1)
    }
}
