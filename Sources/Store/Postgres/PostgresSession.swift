import Dispatch

/// One connection with a thread of its own: libpq's waiting never blocks the cooperative pool.
///
/// A transaction's closure runs here from its beginning to its end.
actor PostgresSession {
    private let executor = PostgresExecutor()
    private let configuration: PostgresConfiguration
    private var connection: PostgresConnection?

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }

    init(_ configuration: PostgresConfiguration) {
        self.configuration = configuration
    }

    /// How a transaction ended.
    enum Ending<Value: Sendable>: Sendable {
        case committed(Value)
        /// Nothing of it remains.
        case failed(any Error, remedy: PostgresFailure.Remedy)
        /// COMMIT had no answer: the connection was lost, the server is being stopped, or it has
        /// said nothing for too long.
        case unanswered(Value, transaction: PostgresConnection.Token)
    }

    /// Connects when there is no connection and runs one transaction.
    func run<Value: Sendable>(
        writing: Bool,
        usesNames: Bool,
        interrupt: PostgresInterrupt,
        marks: PostgresMarks,
        _ body: @Sendable (any SQLConnection) throws -> Value
    ) -> Ending<Value> {
        let connection: PostgresConnection
        do throws(PostgresFailure) {
            connection = try connected(usesNames: usesNames, interrupt: interrupt)
        } catch {
            guard error.remedy == .reconnect, !interrupt.isRequested
            else { return failed(error, interrupt) }
            // One that says to come back has been reached: it is waited for as one that was lost.
            let isThere = error.state == PostgresFailure.notYet
            return .failed(error.storeError(), remedy: isThere ? .reconnect : .connect)
        }
        connection.begin(writing: writing, interrupt: interrupt, marks: marks)
        defer { if !connection.isUsable { self.connection = nil } }
        let value: Value
        do {
            value = try body(connection)
        } catch {
            let remedy: PostgresFailure.Remedy = connection.failure?.remedy ?? .none
            connection.rollback()
            // Its names and plans are what failed: it would fail in the same way again. A session
            // that was begun while the database was read-only stays so.
            if remedy == .withoutNames || remedy == .replan
                || (error as? StoreError) == .readOnly
            {
                self.connection = nil
            }
            return .failed(error, remedy: remedy)
        }
        guard !interrupt.isRequested else {
            connection.rollback()
            return .failed(StoreError.cancelled, remedy: .none)
        }
        do throws(PostgresFailure) {
            if writing { try connection.commit() } else { try connection.leave() }
            return .committed(value)
        } catch {
            self.connection = nil
            // Not only a connection that is gone: a server that is asked to stop may have committed
            // before it says so, and one that is silent may yet commit.
            guard error.remedy == .reconnect, let token = connection.token
            else { return failed(error, interrupt) }
            return .unanswered(value, transaction: token)
        }
    }

    /// What became of another session's transaction.
    ///
    /// - Throws: ``PostgresFailure``.
    func fate(of transaction: PostgresConnection.Token) throws -> PostgresConnection.Fate {
        do throws(PostgresFailure) {
            return try connected(usesNames: false, interrupt: nil).fate(of: transaction)
        } catch {
            connection = nil
            throw error
        }
    }

    /// Runs one statement outside a transaction while nobody else does so under the same lock, and
    /// without the limit that the role or the database sets to statements: it would end what takes
    /// long in the middle.
    ///
    /// Lock and limit are the session's, so they are given back. A pooler that gives every
    /// statement another session may keep both on one of its own until that ends.
    ///
    /// - Returns: Whether it was run: false when somebody else has the lock.
    func command(
        _ statement: SQL,
        under lock: SQL,
        interrupt: PostgresInterrupt
    ) throws(StoreError) -> Bool {
        do throws(PostgresFailure) {
            let connection = try connected(usesNames: false, interrupt: interrupt)
            let granted = try connection.command(
                "SELECT 1 AS one WHERE pg_try_advisory_lock(\(lock))",
                interrupt: interrupt
            )
            guard !granted.isEmpty else { return false }
            try connection.command("SET statement_timeout = 0", interrupt: interrupt)
            var refusal: PostgresFailure?
            do throws(PostgresFailure) {
                try connection.command(statement, interrupt: interrupt)
            } catch {
                // A connection that is lost takes both with it.
                guard !error.state.isEmpty else { throw error }
                refusal = error
            }
            try connection.command("RESET statement_timeout")
            try connection.command("SELECT pg_advisory_unlock(\(lock)) AS is_given_back")
            if let refusal { throw refusal }
            return true
        } catch {
            connection = nil
            throw error.storeError(isCancelled: interrupt.isRequested)
        }
    }

    /// Ends the connection.
    func disconnect() {
        connection = nil
    }

    /// The connection there is, or a new one; one that uses names is of no use where they do not
    /// survive, and one of too many names is left.
    private func connected(
        usesNames: Bool,
        interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) -> PostgresConnection {
        if let connection, usesNames || !connection.usesNames, !connection.isWornOut {
            return connection
        }
        connection = nil
        let made = try PostgresConnection(
            configuration,
            usesNames: usesNames,
            interrupt: interrupt
        )
        connection = made
        return made
    }

    private func failed<Value>(
        _ failure: PostgresFailure,
        _ interrupt: PostgresInterrupt
    ) -> Ending<Value> {
        .failed(
            failure.storeError(isCancelled: interrupt.isRequested),
            remedy: interrupt.isRequested ? .none : failure.remedy
        )
    }
}

/// A serial queue on a thread of its own while it has work.
final class PostgresExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "store.postgres")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { [self] in
            unsafe job.runSynchronously(on: asUnownedSerialExecutor())
        }
    }
}
