/// How often and after which pauses a failed exchange is tried again.
package struct RetryPolicy: Sendable, Equatable {
    /// Tries in all, the first included; services recover within seconds or not for minutes.
    package var maximumAttempts = 5
    /// The bound of the first drawn pause; each further bound is twice as long.
    package var firstPause: Duration = .milliseconds(500)
    /// No drawn pause is longer.
    package var longestPause: Duration = .seconds(30)
    /// The longest time one call spends waiting, pauses named by the service included.
    ///
    /// A longer one ends the call with ``RetryError/rateLimited(wait:)``, so that its caller can
    /// park the work.
    package var patience: Duration = .seconds(900)

    package init() {}

    /// The pause before the try after `failures` failed ones: exponential back-off with full
    /// jitter.
    ///
    /// Full jitter (a draw from zero to the bound) spreads workers that failed together over the
    /// whole interval; with a fixed part they come back as a crowd.
    ///
    /// - Parameters:
    ///   - failures: Failed tries so far, at least 1.
    ///   - draw: A number from 0 to 1.
    /// - Returns: A pause up to ``longestPause``.
    package func pause(afterFailures failures: Int, draw: Double) -> Duration {
        let doublings = min(max(failures - 1, 0), 16)
        return min(firstPause * (1 << doublings), longestPause) * min(max(draw, 0), 1)
    }
}

/// What the caller makes of the outcome of one try.
package enum RetryDecision: Sendable, Equatable {
    /// The caller gets the response, or the error is thrown: success, or no use trying again.
    case deliver
    /// Try again, at the earliest after the pause the service names; nil when it names none.
    ///
    /// When no try is left the outcome is delivered.
    case retry(after: Duration?)
}

/// Why a call with retries and a budget brought no answer at all.
package enum RetryError: Error, Equatable, Sendable {
    /// The last try's error, or the first that no further try can mend.
    case exchange(HTTPError)
    /// The service wants a longer pause than the policy or budget allows; `wait` counts from now.
    case rateLimited(wait: Duration)
}

/// The retries of one call as a value: it decides, and neither waits nor sends.
struct RetryState {
    /// What to do after a try that is to be repeated.
    enum Action: Equatable {
        case pause(Duration)
        /// No try is left: the last outcome counts.
        case deliver
        case rateLimited(wait: Duration)
    }

    private let policy: RetryPolicy
    private var failures = 0
    private var waited: Duration = .zero

    init(policy: RetryPolicy) {
        self.policy = policy
    }

    mutating func next(after named: Duration?, draw: Double) -> Action {
        failures += 1
        guard failures < policy.maximumAttempts else { return .deliver }
        let drawn = policy.pause(afterFailures: failures, draw: draw)
        // The draw comes on top of a named pause: all workers were told the same instant.
        let pause = named.map { $0 + min(drawn, policy.firstPause) } ?? drawn
        guard waited + pause <= policy.patience else {
            return named == nil ? .deliver : .rateLimited(wait: pause)
        }
        waited += pause
        return .pause(pause)
    }
}
