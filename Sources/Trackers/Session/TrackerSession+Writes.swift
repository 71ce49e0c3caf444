package import Domain
package import HTTPClient

extension TrackerSession {
    /// Sends a write, with the guarantee that it is not done twice.
    ///
    /// It is repeated only where the service surely did not act: no connection, a rate limit,
    /// maintenance with a time to come back, a token that ended. Where that is not known the call
    /// ends with ``TrackerError/outcomeUnknown(detail:)``, unless the write is idempotent, that is,
    /// doing it twice is doing it once: then it is repeated as a read is.
    ///
    /// - Parameters:
    ///   - request: What to send.
    ///   - isIdempotent: Whether the request sets values instead of adding something.
    /// - Returns: The service's answer; the value is `null` when it has no body.
    /// - Throws: ``TrackerError``, after what may be repeated was.
    package func write(
        _ request: TrackerRequest,
        isIdempotent: Bool = false
    ) async throws(TrackerError) -> (value: JSONValue, response: HTTPResponse) {
        guard !Task.isCancelled else { throw .cancelled }
        var attempts = WriteAttempts(request, isIdempotent: isIdempotent, session: self)
        var renewals = 0
        while true {
            try await attempts.unlessActed { () async throws(TrackerError) in try await acquire() }
            let shown = try await credential.current()
            let outcome = await exchange(
                request,
                query: request.query,
                credential: shown,
                isWrite: true
            )
            if case .success(let response) = outcome { await account(response) }
            switch attempts.judge(outcome) {
            case .delivered(let value, let response): return (value, response)
            case .throwing(let error): throw error
            case .renew(let detail):
                renewals += 1
                guard renewals <= Self.maximumRenewals,
                    try await credential.renew(refused: shown)
                else { throw .unauthenticated(detail: detail, cure: tokenCure) }
            case .pause(let duration, let isLimit):
                if isLimit {
                    await budget.pause(for: duration)
                    willWait(now().advanced(by: duration))
                }
                try await attempts.unlessActed { () async throws(TrackerError) in
                    try await act(.pause(duration))
                }
            }
        }
    }

    /// Sends a write that adds something, and looks for its trace when the outcome is not known.
    ///
    /// - Parameters:
    ///   - request: What to send.
    ///   - read: Makes the result of the service's answer.
    ///   - find: Looks for what the write would have made; nil when it is not to be seen.
    /// - Returns: What `read` or `find` made.
    /// - Throws: ``TrackerError/outcomeUnknown(detail:)`` when nothing is found either; it is not
    ///   sent again, because lists lag behind writes.
    func writeOnce<Result>(
        _ request: TrackerRequest,
        read: (JSONValue) throws(TrackerError) -> Result,
        find: () async throws(TrackerError) -> Result?
    ) async throws(TrackerError) -> Result {
        let detail: String
        do throws(TrackerError) {
            let (value, _) = try await write(request)
            return try read(value)
        } catch {
            switch error {
            case .outcomeUnknown(let reason): detail = reason
            // It acted, but the answer is not what is documented: look for what it made.
            case .invalidResponse(let reason): detail = reason
            default: throw error
            }
        }
        for pause in Self.looks {
            do throws(TrackerError) {
                try await act(.pause(pause))
                if let found = try await find() { return found }
            } catch {
                throw .outcomeUnknown(detail: "\(detail); looking for it failed: \(error)")
            }
        }
        throw .outcomeUnknown(detail: "\(detail); it is not to be seen so far")
    }

    /// Pauses before each look: services show a new item at once or within a few seconds.
    private static let looks: [Duration] = [.milliseconds(200), .seconds(1), .seconds(3)]
}

/// The tries of one write; it decides, and neither waits nor sends.
private struct WriteAttempts {
    enum Action {
        case delivered(JSONValue, HTTPResponse)
        case throwing(TrackerError)
        case renew(detail: String)
        case pause(Duration, isLimit: Bool)
    }

    private var plan: RetryPlan
    private let request: TrackerRequest
    private let isIdempotent: Bool
    private let session: TrackerSession
    /// Why an earlier try may have acted; then no later failure may say that nothing happened.
    private var doubt: String?

    init(_ request: TrackerRequest, isIdempotent: Bool, session: TrackerSession) {
        self.request = request
        self.isIdempotent = isIdempotent
        self.session = session
        plan = RetryPlan(request, configuration: session.configuration)
    }

    mutating func judge(_ outcome: Result<HTTPResponse, HTTPError>) -> Action {
        switch outcome {
        case .failure(let error):
            return act(on: WriteVerdict(error), failure: .exchange(error), response: nil)
        case .success(let response):
            let verdict = WriteVerdict(
                response,
                accepting: request.acceptedStatuses,
                now: session.now()
            )
            return act(
                on: verdict,
                failure: .status(reason: "status \(response.status)"),
                response: response
            )
        }
    }

    private mutating func act(
        on verdict: WriteVerdict,
        failure: RetryPlan.Failure,
        response: HTTPResponse?
    ) -> Action {
        switch verdict {
        case .deliver:
            guard let response else { return .throwing(.invalidResponse(detail: "no answer")) }
            return deliver(response)
        case .retry: return next(plan.next(after: failure, jitter: session.jitter()))
        case .wait(let pause):
            return next(
                plan.next(afterLimit: pause, now: session.now(), jitter: session.jitter()),
                isLimit: true
            )
        case .renewCredential(let detail): return .renew(detail: detail)
        case .unknown(let reason):
            doubt = reason
            guard isIdempotent, !Task.isCancelled else {
                return .throwing(.outcomeUnknown(detail: reason))
            }
            return next(plan.next(after: failure, jitter: session.jitter()))
        case .fail(let error): return .throwing(error)
        }
    }

    private mutating func deliver(_ response: HTTPResponse) -> Action {
        guard response.body.contains(where: { $0 > 0x20 }) else {
            return .delivered(.null, response)
        }
        do throws(JSONError) {
            return .delivered(try JSONParser.parse(response.body), response)
        } catch {
            // Refusals that the caller accepts may be anything.
            guard (200..<300).contains(response.status) else { return .delivered(.null, response) }
            let isMarkup = TrackerSession.isMarkup(response.body)
            let reason = isMarkup ? "HTML instead of an answer" : "its answer is cut off: \(error)"
            return act(
                on: .unknown(reason: reason),
                failure: .body(error, isMarkup: isMarkup),
                response: response
            )
        }
    }

    private func next(_ action: RetryPlan.Action, isLimit: Bool = false) -> Action {
        switch action {
        case .pause(let duration): .pause(duration, isLimit: isLimit)
        case .giveUp(let error):
            .throwing(doubt.map { TrackerError.outcomeUnknown(detail: $0) } ?? error)
        }
    }

    /// Runs a step before the next try; its error is doubt when an earlier try may have acted.
    func unlessActed(
        _ step: () async throws(TrackerError) -> Void
    ) async throws(TrackerError) {
        do throws(TrackerError) {
            try await step()
        } catch {
            throw doubt.map { .outcomeUnknown(detail: $0) } ?? error
        }
    }
}
