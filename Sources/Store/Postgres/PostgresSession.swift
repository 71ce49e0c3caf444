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
        /// The connection was lost between COMMIT and its answer.
        case unanswered(Value, transaction: String)
    }

    /// Connects when there is no connection and runs one transaction.
    func run<Value: Sendable>(
        writing: Bool,
        usesNames: Bool,
        interrupt: PostgresInterrupt,
        _ body: @Sendable (any SQLConnection) throws -> Value
    ) -> Ending<Value> {
        let connection: PostgresConnection
        let transaction: String?
        do throws(PostgresFailure) {
            connection = try connected(usesNames: usesNames, interrupt: interrupt)
        } catch {
            guard error.remedy == .reconnect, !interrupt.isRequested
            else { return failed(error, interrupt) }
            return .failed(error.storeError(), remedy: .connect)
        }
        do throws(PostgresFailure) {
            transaction = try connection.begin(writing: writing, interrupt: interrupt)
        } catch {
            self.connection = nil
            return failed(error, interrupt)
        }
        defer { if !connection.isUsable { self.connection = nil } }
        let value: Value
        do {
            value = try body(connection)
        } catch {
            let failure = connection.failure
            connection.rollback()
            return .failed(error, remedy: failure?.remedy ?? .none)
        }
        guard !interrupt.isRequested else {
            connection.rollback()
            return .failed(StoreError.cancelled, remedy: .none)
        }
        do throws(PostgresFailure) {
            try connection.commit()
            return .committed(value)
        } catch {
            let isLost = !connection.isUsable && error.remedy == .reconnect
            self.connection = nil
            guard isLost, let transaction else { return failed(error, interrupt) }
            return .unanswered(value, transaction: transaction)
        }
    }

    /// What became of another session's transaction.
    ///
    /// - Throws: ``PostgresFailure``.
    func fate(of transaction: String) throws -> PostgresConnection.Fate {
        do throws(PostgresFailure) {
            return try connected(usesNames: false, interrupt: nil).fate(of: transaction)
        } catch {
            connection = nil
            throw error
        }
    }

    /// Runs one statement outside a transaction.
    func command(_ statement: SQL, interrupt: PostgresInterrupt) throws(StoreError) {
        do throws(PostgresFailure) {
            try connected(usesNames: false, interrupt: interrupt)
                .command(statement, interrupt: interrupt)
        } catch {
            connection = nil
            throw error.storeError(isCancelled: interrupt.isRequested)
        }
    }

    /// Ends the connection.
    func disconnect() {
        connection = nil
    }

    private func connected(
        usesNames: Bool,
        interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) -> PostgresConnection {
        if let connection { return connection }
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
