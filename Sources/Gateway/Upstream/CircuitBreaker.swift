/// Leaves a server alone that keeps failing, as a value.
///
/// Closed, it lets every attempt through; so many failures in a row open it. Open, it lets none
/// through for a time that doubles each time it fails again; when that is up it is half open and
/// lets one attempt through, the trial. The trial's success closes it, its failure opens it anew,
/// and one that ends without anything being known leaves its place to the next.
///
/// Attempts that began before it opened may end at any time: their success closes it, for the
/// server has answered; their failure says nothing new, and neither frees the trial's place.
struct CircuitBreaker: Sendable {
    /// Failures in a row; fewer are bad luck.
    static let threshold = 5
    /// Short at first: a server that is being restarted is back in seconds.
    static let shortest: Duration = .seconds(1)
    /// Long enough to leave a dead server alone, short enough to find it alive again.
    static let longest: Duration = .seconds(60)

    /// An attempt that was let through; how it ends is told with it.
    struct Attempt: Sendable, Equatable {
        fileprivate let number: Int
    }

    /// What becomes of somebody who wants to make an attempt.
    enum Admission: Sendable, Equatable {
        case attempt(Attempt)
        /// Nothing may be sent for so long.
        case wait(Duration)
    }

    private var lastNumber = 0
    private var failures = 0
    /// Nil while it is closed.
    private var openUntil: ContinuousClock.Instant?
    /// The attempt that is to show whether the server answers again; nil while none does.
    private var trial: Attempt?
    private var pause = shortest

    /// Lets an attempt through, or says how long to wait.
    mutating func admit(at now: ContinuousClock.Instant) -> Admission {
        if let openUntil, now < openUntil || trial != nil {
            return .wait(max(now.duration(to: openUntil), .seconds(1)))
        }
        lastNumber += 1
        let attempt = Attempt(number: lastNumber)
        if openUntil != nil { trial = attempt }
        return .attempt(attempt)
    }

    /// The server has answered an attempt.
    mutating func succeeded(_ attempt: Attempt) {
        failures = 0
        (openUntil, trial, pause) = (nil, nil, Self.shortest)
    }

    /// The server has failed an attempt.
    mutating func failed(_ attempt: Attempt, at now: ContinuousClock.Instant) {
        if openUntil == nil {
            failures += 1
            guard failures >= Self.threshold else { return }
        } else {
            guard attempt == trial else { return }
        }
        trial = nil
        openUntil = now.advanced(by: pause)
        pause = min(pause * 2, Self.longest)
    }

    /// An attempt has ended without anything being known of the server: its caller gave up, or
    /// nothing was sent.
    mutating func abandoned(_ attempt: Attempt) {
        if attempt == trial { trial = nil }
    }
}
