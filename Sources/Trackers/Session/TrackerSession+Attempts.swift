package import Domain
import Glibc
import HTTPClient

extension TrackerSession {
    /// A token that is renewed and refused again and again is not a token.
    static let maximumRenewals = 2

    /// Repeats a request until its answer is whole, or gives up.
    ///
    /// `reading` makes the result of an acceptable answer; what it throws counts as a failed try,
    /// because a cut-off document is a failed exchange.
    func perform<Result>(
        _ request: TrackerRequest,
        reading: (HTTPResponse, QueryString) throws(JSONError) -> Result
    ) async throws(TrackerError) -> Result {
        var plan = RetryPlan(request, configuration: configuration)
        var renewals = 0
        while true {
            // Waiting may take longer than a credential holds.
            try await acquire()
            let shown = try await credential.current()
            let action: RetryPlan.Action
            switch await exchange(request, query: plan.query, credential: shown) {
            case .failure(let error):
                action = plan.next(after: .exchange(error), jitter: jitter())
            case .success(let response):
                await account(response)
                switch Verdict(response, accepting: request.acceptedStatuses, now: now()) {
                case .deliver:
                    do {
                        return try reading(response, plan.query)
                    } catch {
                        let isMarkup = Self.isMarkup(response.body)
                        let failure = RetryPlan.Failure.body(error, isMarkup: isMarkup)
                        action = plan.next(after: failure, jitter: jitter())
                    }
                case .retry(let reason):
                    action = plan.next(after: .status(reason: reason), jitter: jitter())
                case .wait(let pause):
                    if let pause { await budget.pause(for: pause) }
                    action = plan.next(afterLimit: pause, now: now(), jitter: jitter())
                    if case .pause(let duration) = action {
                        willWait(now().advanced(by: duration))
                    }
                case .renewCredential(let detail):
                    renewals += 1
                    guard renewals <= Self.maximumRenewals,
                        try await credential.renew(refused: shown)
                    else { throw .unauthenticated(detail: detail, cure: tokenCure) }
                    continue
                case .fail(let error): throw error
                }
            }
            try await act(action)
        }
    }

    /// Waits for a place in the rate budget all workers share.
    func acquire() async throws(TrackerError) {
        do {
            try await budget.acquire(priority) { willWait(now().advanced(by: $0)) }
        } catch {
            switch error {
            case .rateLimited(let wait): throw .rateLimited(until: now().advanced(by: wait))
            case .exchange: throw .cancelled
            }
        }
    }

    func account(_ response: HTTPResponse) async {
        let signal = RateSignal(response.headers, now: now())
        // A named pause comes from another limit than the window that ordinary answers tell of: its
        // "0 remaining" would keep everyone waiting for that window's end.
        guard signal.retryAfter == nil else { return }
        await budget.update(
            limit: signal.limit,
            remaining: signal.remaining,
            reset: signal.reset
        )
    }

    func act(_ action: RetryPlan.Action) async throws(TrackerError) {
        switch action {
        case .giveUp(let error): throw error
        case .pause(let duration):
            do {
                try await clock.sleep(for: duration)
            } catch {
                throw .cancelled
            }
        }
    }

    func exchange(
        _ request: TrackerRequest,
        query: QueryString,
        credential: Secret,
        isWrite: Bool = false
    ) async -> Swift.Result<HTTPResponse, HTTPError> {
        guard !Task.isCancelled else { return .failure(.cancelled) }
        var limits = configuration.limits
        if !request.followsRedirects { limits.maximumRedirects = 0 }
        let address = configuration.baseURL + request.path
        var message = HTTPRequest(
            method: request.method,
            url: query.items.isEmpty ? address : "\(address)?\(query.encoded)",
            headers: configuration.headers + request.headers
                + [configuration.authorization.field(for: credential)],
            body: request.body,
            limits: limits
        )
        message.mayReuseConnection = !isWrite
        let (trace, parent) = (Trace.current?.child(), Trace.current?.context.span)
        if let context = trace?.context {
            message.headers.append(HTTPField("traceparent", context.header))
            if let state = context.state { message.headers.append(HTTPField("tracestate", state)) }
        }
        let start = ContinuousClock.now
        let outcome: Swift.Result<HTTPResponse, HTTPError>
        do {
            outcome = .success(try await transport.send(message))
        } catch {
            outcome = .failure(error)
        }
        if let trace {
            trace.end { span(of: request.method, outcome, start, trace, parent) }
        }
        return outcome
    }

    private func span(
        of method: String,
        _ outcome: Swift.Result<HTTPResponse, HTTPError>,
        _ start: ContinuousClock.Instant,
        _ trace: Trace,
        _ parent: UInt64?
    ) -> Span {
        var span = Span(
            method,
            .client,
            trace,
            parent: parent,
            end: now(),
            duration: start.duration(to: .now)
        )
        span.attributes["http.request.method"] = .string(method)
        // Paths have names of projects and people.
        let host = HTTPOrigin(of: configuration.baseURL)?.host
        span.attributes["server.address"] = JSONValue(host)
        switch outcome {
        case .success(let response):
            span.attributes["http.response.status_code"] = .integer(Int64(response.status))
            span.isFailure = response.status >= 400
        case .failure: span.isFailure = true
        }
        return span
    }

    /// Whether a body that should be JSON begins like HTML or XML.
    static func isMarkup(_ body: [UInt8]) -> Bool {
        body.first { $0 > 0x20 } == UInt8(ascii: "<")
    }
}

extension TrackerAuthorization {
    /// The header line that shows `credential`.
    func field(for credential: Secret) -> HTTPField {
        switch self {
        case .bearer: HTTPField("Authorization", "Bearer \(credential.reveal())")
        case .privateToken: HTTPField("PRIVATE-TOKEN", credential.reveal())
        case .basic(let userName):
            HTTPField(
                "Authorization",
                "Basic \(base64(Array("\(userName):\(credential.reveal())".utf8)))"
            )
        }
    }
}

/// Standard Base64 with padding (RFC 4648, section 4); Foundation would cost start-up time.
func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var result: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        var bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        bits <<= UInt32(8 * (3 - group.count))
        for place in 0..<4 {
            let isPadding = place > group.count
            let digit = alphabet[Int(bits >> UInt32(18 - 6 * place) & 63)]
            result.append(isPadding ? UInt8(ascii: "=") : digit)
        }
    }
    return String(decoding: result, as: UTF8.self)
}

/// The wall clock; the default of every `now` parameter.
package func wallClock() -> Timestamp {
    var time = timespec()
    // Cannot fail for CLOCK_REALTIME and a valid pointer.
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
}
