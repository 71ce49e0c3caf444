/// Leaves a server alone that keeps failing, as a value.
///
/// After so many failures in a row it is open for a time that doubles each time, then one attempt
/// is let through; its success closes it.
struct CircuitBreaker: Sendable {
    /// Failures in a row; fewer are bad luck.
    static let threshold = 5
    /// Short at first: a server that is being restarted is back in seconds.
    static let shortest: Duration = .seconds(1)
    /// Long enough to leave a dead server alone, short enough to find it alive again.
    static let longest: Duration = .seconds(60)

    private var failures = 0
    private var isTrying = false
    private var openUntil: ContinuousClock.Instant?
    private var pause = shortest

    /// How long nothing may be sent; nil when something may.
    mutating func wait(at now: ContinuousClock.Instant) -> Duration? {
        guard let openUntil else { return nil }
        guard now >= openUntil, !isTrying else {
            return max(now.duration(to: openUntil), .seconds(1))
        }
        isTrying = true
        return nil
    }

    /// An attempt has succeeded.
    mutating func succeeded() { self = CircuitBreaker() }

    /// An attempt has failed, or was given up before anything was known when `isCounted` is false.
    mutating func failed(at now: ContinuousClock.Instant, isCounted: Bool = true) {
        isTrying = false
        guard isCounted else { return }
        failures += 1
        guard failures >= Self.threshold else { return }
        openUntil = now.advanced(by: pause)
        pause = min(pause * 2, Self.longest)
    }
}
