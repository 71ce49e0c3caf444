/// Makes exchanges with retries under a shared budget; what deserves a retry is the caller's to
/// say.
///
///     let client = RetryingClient(transport: curl, budget: budget)
///     let response = try await client.send(request, priority: .background) { outcome in
///         RetryDecision(transient: outcome, now: secondsSinceEpoch)
///     }
package struct RetryingClient: Sendable {
    /// Judges the outcome of one try.
    package typealias Classifier =
        @Sendable (Result<HTTPResponse, HTTPError>) -> RetryDecision

    package var policy: RetryPolicy
    private let transport: any HTTPTransport
    private let budget: RateBudget?
    private let sleep: @Sendable (Duration) async throws -> Void
    private let draw: @Sendable () -> Double

    /// - Parameters:
    ///   - transport: Makes the tries.
    ///   - policy: How many, and after which pauses.
    ///   - budget: Acquired before each try; paused when a service names a pause.
    ///   - clock: Measures pauses.
    ///   - draw: A number from 0 to 1 for each pause.
    package init(
        transport: any HTTPTransport,
        policy: RetryPolicy = RetryPolicy(),
        budget: RateBudget? = nil,
        clock: some Clock<Duration> = ContinuousClock(),
        draw: @escaping @Sendable () -> Double = { Double.random(in: 0...1) }
    ) {
        self.transport = transport
        self.policy = policy
        self.budget = budget
        self.draw = draw
        sleep = { try await clock.sleep(for: $0) }
    }

    /// Repeats the exchange until `classify` says to deliver or the policy's tries are used up.
    ///
    /// - Returns: The last response, which may still be a refusal: look at its status.
    /// - Throws: ``RetryError``; at once when the task is cancelled, waits included.
    package func send(
        _ request: HTTPRequest,
        priority: RequestPriority = .background,
        classify: Classifier
    ) async throws(RetryError) -> HTTPResponse {
        var state = RetryState(policy: policy)
        while true {
            try await budget?.acquire(priority)
            let outcome = await attempt(request)
            guard case .retry(let named) = classify(outcome), !isCancelled(outcome) else {
                return try delivered(outcome)
            }
            if let named { await budget?.pause(for: named) }
            switch state.next(after: named, draw: draw()) {
            case .deliver: return try delivered(outcome)
            case .rateLimited(let wait): throw .rateLimited(wait: wait)
            case .pause(let duration):
                do {
                    try await sleep(duration)
                } catch {
                    throw .exchange(.cancelled)
                }
            }
        }
    }

    private func attempt(_ request: HTTPRequest) async -> Result<HTTPResponse, HTTPError> {
        do {
            return .success(try await transport.send(request))
        } catch {
            return .failure(error)
        }
    }

    /// A classifier that retries every error must not keep a cancelled call alive.
    private func isCancelled(_ outcome: Result<HTTPResponse, HTTPError>) -> Bool {
        if case .failure(.cancelled) = outcome { true } else { false }
    }

    private func delivered(
        _ outcome: Result<HTTPResponse, HTTPError>
    ) throws(RetryError) -> HTTPResponse {
        switch outcome {
        case .success(let response): return response
        case .failure(let error): throw .exchange(error)
        }
    }
}

extension HTTPError {
    /// Whether the same exchange may succeed a moment later.
    package var isTransient: Bool {
        switch self {
        case .nameNotResolved, .connectionFailed, .connectionLost, .timedOut: true
        case .invalidURL, .forbidden, .tlsFailed, .responseTooLarge, .invalidResponse, .cancelled:
            false
        }
    }
}

extension RetryDecision {
    /// What every service means alike: transient errors, 408, 425, 429 and 5xx but 501 are tried
    /// again, after `Retry-After` where it is given; all else is delivered.
    ///
    /// - Parameters:
    ///   - outcome: Of one try.
    ///   - now: Seconds since the epoch, for `Retry-After` in its date form.
    package init(transient outcome: Result<HTTPResponse, HTTPError>, now: Int64) {
        switch outcome {
        case .failure(let error): self = error.isTransient ? .retry(after: nil) : .deliver
        case .success(let response):
            switch response.status {
            case 408, 425, 429, 500, 502...599:
                self = .retry(after: response.headers.retryAfter(now: now))
            default: self = .deliver
            }
        }
    }
}
