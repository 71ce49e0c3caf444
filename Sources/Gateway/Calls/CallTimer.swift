import Synchronization

/// Stops calls that take too long: one timer for all of them.
///
/// All have the same time, so the one that began first is the first whose time is over. A timer for
/// each call would wake the thread of timers twice a call.
final class CallTimer: Sendable {
    private struct Running {
        var beginning: ContinuousClock.Instant
        var stop: @Sendable () -> Void
    }

    private struct State {
        var running: [Int: Running] = [:]
        var last = 0
        /// Sleeps until the time of the first one is over; nil while nothing runs that it knows of.
        var watch: Task<Void, Never>?

        var first: (number: Int, call: Running)? {
            running.min { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
    }

    private let limit: Duration
    private let stopwatch: any Clock<Duration>
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: What one call may take.
    ///   - stopwatch: Measures it.
    init(limit: Duration, stopwatch: any Clock<Duration>) {
        self.limit = limit
        self.stopwatch = stopwatch
    }

    deinit {
        state.withLock { $0.watch?.cancel() }
    }

    /// Lets a call begin.
    ///
    /// - Parameter stop: Called when its time is over.
    /// - Returns: Its number, for ``end(_:)``.
    func begin(stop: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            state.last += 1
            state.running[state.last] = Running(beginning: .now, stop: stop)
            if state.watch == nil { state.watch = watching() }
            return state.last
        }
    }

    /// Notes that a call has ended.
    ///
    /// - Returns: Whether it did in its time.
    func end(_ number: Int) -> Bool {
        state.withLock { $0.running.removeValue(forKey: number) != nil }
    }

    private func watching() -> Task<Void, Never> {
        let stopwatch = stopwatch
        return Task { @concurrent [weak self] in
            while let (number, rest) = self?.next() {
                // Cancelled when nobody calls by this timer any more.
                guard (try? await stopwatch.sleep(for: rest)) != nil else { return }
                self?.expire(number)
            }
        }
    }

    /// The call whose time is over first, and when; the watch ends when there is none.
    private func next() -> (number: Int, rest: Duration)? {
        state.withLock { state in
            guard let (number, call) = state.first else {
                state.watch = nil
                return nil
            }
            return (number, max(limit - call.beginning.duration(to: .now), .zero))
        }
    }

    private func expire(_ number: Int) {
        let stop = state.withLock { $0.running.removeValue(forKey: number)?.stop }
        stop?()
    }
}
