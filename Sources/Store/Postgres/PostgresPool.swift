import Synchronization

/// A bounded number of sessions, made as they are needed and lent to one transaction each.
///
/// Who finds none waits in a queue; the longest waiter is served first.
final class PostgresPool: Sendable {
    private typealias Waiter = CheckedContinuation<PostgresSession, any Error>

    private struct State {
        var idle: [PostgresSession] = []
        /// Made and not dropped, idle ones included.
        var count = 0
        var waiting: [(number: UInt64, continuation: Waiter)] = []
        var nextNumber: UInt64 = 0
        var isClosed = false
    }

    private let configuration: PostgresConfiguration
    private let state = Mutex(State())

    init(_ configuration: PostgresConfiguration) {
        self.configuration = configuration
    }

    private static let closed = StoreError.unavailable(detail: "the store is closed")

    /// Lends a session; it must be given back.
    ///
    /// - Throws: `CancellationError`, ``StoreError/timedOut`` when none became free in time, or
    ///   ``StoreError`` after ``close()``.
    func take() async throws -> PostgresSession {
        let session = try state.withLock { state in try vacant(&state) }
        if let session { return session }
        let limit = configuration.turnTimeout
        return try await withThrowingTaskGroup(of: PostgresSession?.self) { group in
            group.addTask { try await self.wait() }
            group.addTask {
                // Ends early when the turn has come.
                try? await Task.sleep(for: limit)
                return nil
            }
            let first = await group.nextResult()
            group.cancelAll()
            // Both are looked at: a session that is lent at the last moment must not be lost.
            let second = await group.nextResult()
            if case .success(let session?)? = first { return session }
            if case .success(let session?)? = second { return session }
            if case .failure(let error)? = first { throw error }
            try Task.checkCancellation()
            throw StoreError.timedOut
        }
    }

    /// Waits in the queue.
    private func wait() async throws -> PostgresSession {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let lent = lend(number, continuation)
                if let lent { continuation.resume(with: lent) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiting.firstIndex { $0.number == number }
                    .map { state.waiting.remove(at: $0).continuation }
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// Nil when the continuation has joined the queue.
    private func lend(
        _ number: UInt64,
        _ continuation: Waiter
    ) -> Result<PostgresSession, any Error>? {
        state.withLock { state in
            do {
                // Under the lock: a cancellation from here on finds the waiter in the queue.
                if let session = try vacant(&state) { return .success(session) }
            } catch {
                return .failure(error)
            }
            state.waiting.append((number, continuation))
            return nil
        }
    }

    /// A session that nobody has or a new one; nil when there are as many as may be.
    private func vacant(_ state: inout State) throws -> PostgresSession? {
        guard !state.isClosed else { throw Self.closed }
        try Task.checkCancellation()
        if let session = state.idle.popLast() { return session }
        guard state.count < configuration.maximumConnections else { return nil }
        state.count += 1
        return PostgresSession(configuration)
    }

    /// Takes a session back.
    func give(_ session: PostgresSession) {
        let next = state.withLock { state -> Waiter? in
            guard state.waiting.isEmpty else { return state.waiting.removeFirst().continuation }
            if state.isClosed {
                state.count -= 1
            } else {
                state.idle.append(session)
            }
            return nil
        }
        next?.resume(returning: session)
    }

    /// Ends idle sessions, those lent as they come back, and refuses whoever waits.
    func close() async {
        let (idle, waiting) = state.withLock { state in
            state.isClosed = true
            defer {
                state.count -= state.idle.count
                state.idle = []
                state.waiting = []
            }
            return (state.idle, state.waiting.map(\.continuation))
        }
        for continuation in waiting { continuation.resume(throwing: Self.closed) }
        for session in idle { await session.disconnect() }
    }
}
