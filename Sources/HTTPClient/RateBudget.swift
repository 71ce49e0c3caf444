/// Who asks: work in the background leaves the last part of a budget to people who wait.
package enum RequestPriority: Sendable, Equatable {
    case background
    case interactive
}

/// One service's rate limit, shared by all workers that talk to it.
///
/// Each exchange first acquires a place; each answer's headers, read by who knows the service, come
/// back through ``update(limit:remaining:reset:)``. So many workers never overdraw together what
/// each of them was told alone.
package actor RateBudget {
    /// How a budget is shared, and how long anyone waits for it.
    package struct Configuration: Sendable, Equatable {
        /// The part of the limit that only interactive calls may use: with GitHub's 5,000 an hour,
        /// 5 % are 250 calls that a scan leaves to its users.
        package var reservedFraction = 0.05
        /// Longer waits are thrown, so that a scan can park and come back.
        package var maximumWait: Duration = .seconds(900)

        package init() {}
    }

    private var state: RateBudgetState
    private let configuration: Configuration
    private let sleep: @Sendable (Duration) async throws -> Void
    private let elapsed: @Sendable () -> Duration

    /// A budget of which nothing is known yet.
    package init(
        configuration: Configuration = Configuration(),
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        self.configuration = configuration
        state = RateBudgetState(reservedFraction: configuration.reservedFraction)
        let start = clock.now
        elapsed = { start.duration(to: clock.now) }
        sleep = { try await clock.sleep(for: $0) }
    }

    /// Waits until the budget allows one more exchange, and counts it.
    ///
    /// - Parameters:
    ///   - priority: Who asks.
    ///   - willWait: Told how long, before each wait.
    /// - Throws: ``RetryError/rateLimited(wait:)`` at once when the wait would be longer than
    ///   ``Configuration/maximumWait``; ``HTTPError/cancelled`` when the task is.
    package func acquire(
        _ priority: RequestPriority = .background,
        willWait: @Sendable (Duration) -> Void = { _ in }
    ) async throws(RetryError) {
        while true {
            guard !Task.isCancelled else { throw .exchange(.cancelled) }
            guard let wait = state.take(priority, now: elapsed()) else { return }
            guard wait <= configuration.maximumWait else { throw .rateLimited(wait: wait) }
            willWait(wait)
            do {
                try await sleep(wait)
            } catch {
                throw .exchange(.cancelled)
            }
        }
    }

    /// Takes up what an answer says.
    ///
    /// - Parameters:
    ///   - limit: Exchanges a window allows.
    ///   - remaining: Exchanges left in the window when the service answered.
    ///   - reset: Time from now to the window's end.
    package func update(limit: Int?, remaining: Int?, reset: Duration?) {
        state.update(limit: limit, remaining: remaining, reset: reset, now: elapsed())
    }

    /// Nobody starts an exchange for `duration`; a shorter pause than the current one changes
    /// nothing.
    package func pause(for duration: Duration) {
        state.pause(until: elapsed() + duration)
    }
}

/// The arithmetic of a budget; instants are durations since the budget's start.
struct RateBudgetState {
    private(set) var limit: Int?
    /// Exchanges left in the window, those under way already taken off; nil when unknown.
    private(set) var remaining: Int?
    private(set) var windowEnd: Duration?
    private var pausedUntil: Duration = .zero
    private let reservedFraction: Double

    /// Two answers of one window name its end with whole seconds and different delays.
    private static let windowTolerance: Duration = .seconds(5)

    init(reservedFraction: Double) {
        self.reservedFraction = reservedFraction
    }

    /// Counts one exchange and returns nil, or says how long to wait before asking again.
    mutating func take(_ priority: RequestPriority, now: Duration) -> Duration? {
        if pausedUntil > now { return pausedUntil - now }
        if let end = windowEnd, end <= now {
            // A new window; its first answer will say more.
            windowEnd = nil
            remaining = limit
        }
        guard let left = remaining else { return nil }
        if left <= reserve(priority), let end = windowEnd { return end - now }
        // Without a known end nobody could say how long to wait: the service will refuse if it
        // must.
        remaining = max(0, left - 1)
        return nil
    }

    /// Answers overtake each other: within a window the smaller figure is the later one.
    mutating func update(limit: Int?, remaining: Int?, reset: Duration?, now: Duration) {
        if let limit, limit > 0 { self.limit = limit }
        let end = reset.map { now + $0 }
        guard let remaining, remaining >= 0 else {
            if let end { windowEnd = max(end, windowEnd ?? end) }
            return
        }
        guard let end else {
            self.remaining = min(remaining, self.remaining ?? remaining)
            return
        }
        guard let current = windowEnd, abs(end - current) <= Self.windowTolerance else {
            // A late answer of a window gone by says nothing about this one.
            if let current = windowEnd, end < current, current > now { return }
            windowEnd = end
            self.remaining = remaining
            return
        }
        windowEnd = max(current, end)
        self.remaining = min(remaining, self.remaining ?? remaining)
    }

    mutating func pause(until instant: Duration) {
        pausedUntil = max(pausedUntil, instant)
    }

    private func reserve(_ priority: RequestPriority) -> Int {
        guard priority == .background, let limit else { return 0 }
        return Int(Double(limit) * reservedFraction)
    }

    private func abs(_ duration: Duration) -> Duration {
        duration < .zero ? .zero - duration : duration
    }
}
