import Synchronization

/// Lets a few things run at once, some more wait, and turns the rest away.
///
/// Whoever is cancelled while waiting leaves the queue at once, so that nobody is turned away for
/// the sake of those who have gone.
final class WorkGate: Sendable {
    private typealias Continuation = CheckedContinuation<Void, any Error>

    private struct State {
        var free: Int
        /// First come, first served.
        var waiting: [(number: UInt64, continuation: Continuation)] = []
        var lastNumber: UInt64 = 0
    }

    private let waitingLimit: Int
    private let state: Mutex<State>

    /// - Parameters:
    ///   - running: How many run at once.
    ///   - waiting: How many more may wait.
    init(running: Int, waiting: Int) {
        waitingLimit = waiting
        state = Mutex(State(free: running))
    }

    /// Places that nobody has.
    var freeCount: Int { state.withLock { $0.free } }

    /// Those who wait for one.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Runs `body` when there is a place.
    ///
    /// - Parameter body: What is run; it is not begun for a task that was cancelled before.
    /// - Returns: What it gives.
    /// - Throws: What it throws, ``Problem`` when too many wait already, and `CancellationError`.
    func run<Value: Sendable>(
        _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        try await enter()
        defer { leave() }
        // The place may have been handed over at the moment of the cancellation: the next one can
        // use it.
        try Task.checkCancellation()
        return try await body()
    }

    private func enter() async throws {
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let admission = admit(number, continuation)
                if let admission { continuation.resume(with: admission) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiting.firstIndex { $0.number == number }
                    .map { state.waiting.remove(at: $0).continuation }
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// Whether there is a place; nil when the continuation has joined the queue.
    private func admit(
        _ number: UInt64,
        _ continuation: Continuation
    ) -> Result<Void, any Error>? {
        state.withLock { state in
            // Under the lock: a cancellation from here on finds the waiter in the queue.
            guard !Task.isCancelled else { return .failure(CancellationError()) }
            guard state.free == 0 else {
                state.free -= 1
                return .success(())
            }
            guard state.waiting.count < waitingLimit else {
                return .failure(
                    Problem.overloaded("too many people sign in at this moment", after: 2)
                )
            }
            state.waiting.append((number, continuation))
            return nil
        }
    }

    /// Gives the place to who waits longest.
    private func leave() {
        let next = state.withLock { state -> Continuation? in
            guard state.waiting.isEmpty else { return state.waiting.removeFirst().continuation }
            state.free += 1
            return nil
        }
        next?.resume()
    }
}
