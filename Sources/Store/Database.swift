/// A store engine: SQLite or PostgreSQL.
///
/// All SQL in `Tables/` is written against this protocol.
///
/// Writes are serialised per account by the feed lock (``AccountTable/lockFeed(of:on:)``), which a
/// transaction takes before it reads; a reader sees one consistent state.
package protocol Database: Sendable {
    /// Which text to use for the few statements that differ.
    var dialect: SQLDialect { get }

    /// Runs `body` in a read-only transaction on one snapshot.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value

    /// Runs `body` in a write transaction; a throw rolls everything back.
    ///
    /// Engines may run `body` again after a serialisation failure: it must not have effects
    /// outside.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value

    /// A number that differs from the one returned before when someone else has committed since;
    /// ours may or may not count. Cheap enough to ask several times a second.
    func changeToken() async throws -> Int64

    /// Waits until someone may have committed since `token` was given, at most for `duration`.
    ///
    /// - Returns: Whether it is worth looking; an engine that cannot be sure that it hears of every
    ///   commit says so when the time is up.
    /// - Throws: `CancellationError`, and what the engine refuses.
    func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool

    /// Ends all connections; later calls throw.
    func close() async throws
}

/// One connection inside a transaction; valid only inside the closure it was given to.
package protocol SQLConnection {
    var dialect: SQLDialect { get }

    /// Runs a statement and returns all its rows; it has none of its own (``SQLTable``).
    func rows(_ statement: SQL) throws(StoreError) -> [SQLRow]

    /// Runs statements in order and returns the rows of each, as one pipeline where the engine has
    /// it; none of them has rows of its own.
    func rows(batch statements: [SQL]) throws(StoreError) -> [[SQLRow]]

    /// Runs a statement and returns the number of rows it changed.
    @discardableResult
    func execute(_ statement: SQL) throws(StoreError) -> Int

    /// Runs statements in order, as one pipeline where the engine has it.
    func execute(batch statements: [SQL]) throws(StoreError)

    /// Lets the statements of this transaction, and the pauses between them, take as long as they
    /// need. How long it waits for locks stays as it is. Said first it also spares the transaction
    /// the names of statements, at which it may have to begin anew behind a pooler.
    func liftLimits() throws(StoreError)
}

/// The two SQL dialects.
package enum SQLDialect: Sendable {
    case sqlite
    case postgres
}
