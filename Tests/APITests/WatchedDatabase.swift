import Store
import Synchronization

/// A database whose write transactions are counted, and before one of which something may happen.
final class WatchedDatabase: Database {
    typealias Event = @Sendable (any Database) async throws -> Void

    private struct State {
        var writes = 0
        var event: Event?
    }

    private let inner: any Database
    private let state = Mutex(State())

    init(_ inner: any Database) { self.inner = inner }

    /// Write transactions that were begun.
    var writes: Int { state.withLock { $0.writes } }

    /// Lets something happen once: after all that comes before the next write, and before that.
    func beforeNextWrite(_ event: @escaping Event) {
        state.withLock { $0.event = event }
    }

    var dialect: SQLDialect { inner.dialect }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value { try await inner.read(body) }

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        let event = state.withLock { state -> Event? in
            state.writes += 1
            defer { state.event = nil }
            return state.event
        }
        try await event?(inner)
        return try await inner.write(body)
    }

    func changeToken() async throws -> Int64 { try await inner.changeToken() }

    func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
        try await inner.waitForChange(after: token, atMost: duration)
    }

    func close() async throws { try await inner.close() }
}
