import Domain
import HTTPClient

/// What is to be done about the outcome of one try of a write; decided from the outcome alone.
///
/// The question that matters is whether the service may have acted.
enum WriteVerdict: Equatable {
    /// It acted; the caller gets the answer.
    case deliver
    /// It surely did not act, and may a moment later.
    case retry(reason: String)
    /// It surely did not act, because of a rate limit or for maintenance: again after the pause.
    case wait(Duration?)
    /// It did not act, because it does not accept the token.
    case renewCredential(detail: String)
    /// It may or may not have acted.
    case unknown(reason: String)
    case fail(TrackerError)
}

extension WriteVerdict {
    /// Judges an answer.
    init(_ response: HTTPResponse, accepting accepted: Set<Int>, now: Timestamp) {
        let detail = ErrorDetail(response)
        switch response.status {
        case 403, 429:
            // Limits are enforced before anything is done.
            switch Verdict(response, accepting: [], now: now) {
            case .wait(let pause): self = .wait(pause)
            case .deliver, .retry, .renewCredential, .fail:
                self =
                    accepted.contains(response.status)
                    ? .deliver : .fail(WriteRefusal.error(response, detail))
            }
        case _ where accepted.contains(response.status): self = .deliver
        case 200..<300:
            // Jira Cloud answers a stranger with success.
            if case .renewCredential(let detail) = Verdict(response, accepting: [], now: now) {
                self = .renewCredential(detail: detail)
            } else {
                self = .deliver
            }
        case 401: self = .renewCredential(detail: detail.text)
        case 425: self = .retry(reason: detail.text)
        case 503:
            // With a time to come back the service refused on purpose; without one it is a gateway
            // that lost its backend, perhaps in the middle of the work.
            let pause = RateSignal(response.headers, now: now).retryAfter
            self = pause.map { .wait($0) } ?? .unknown(reason: detail.text)
        case 408, 500..<600: self = .unknown(reason: detail.text)
        default: self = .fail(WriteRefusal.error(response, detail))
        }
    }

    /// Judges an exchange without an answer.
    init(_ error: HTTPError) {
        switch error {
        case .nameNotResolved, .connectionFailed, .timedOut(_, phase: .connect):
            self = .retry(reason: "\(error)")
        case .invalidURL, .forbidden, .tlsFailed: self = .fail(.unavailable(detail: "\(error)"))
        case .connectionLost, .timedOut, .responseTooLarge, .invalidResponse:
            self = .unknown(reason: "\(error)")
        case .cancelled: self = .unknown(reason: "the call was cancelled while it was under way")
        }
    }
}

extension WriteRefusal {
    /// The error for an answer that says no for good.
    static func error(_ response: HTTPResponse, _ detail: ErrorDetail) -> TrackerError {
        let text = detail.text.lowercased()
        let fields = detail.fields
        func refusal(_ reason: Reason) -> TrackerError {
            .refused(WriteRefusal(reason, detail: detail.text, fields: fields))
        }
        switch response.status {
        case 300..<400: return refusal(.moved)
        case 400, 403, 410, 422:
            if text.contains("archived") { return refusal(.archived) }
            if text.contains("is locked") || text.contains("locked to") { return refusal(.locked) }
            if text.contains("are disabled") || text.contains("is disabled") {
                return refusal(.disabled)
            }
            if response.status == 422, text.contains("already exists") {
                return refusal(.conflict)
            }
            if response.status == 410 { return .notFound(detail: detail.text) }
            guard response.status == 403 else { return refusal(.invalid) }
            return .forbidden(detail: detail.text, missingScope: detail.missingScope)
        case 404: return .notFound(detail: detail.text)
        case 405, 409, 412: return refusal(.conflict)
        case 413, 414: return refusal(.invalid)
        case 423: return refusal(.locked)
        case 451: return .forbidden(detail: detail.text, missingScope: nil)
        default: return .invalidResponse(detail: detail.text)
        }
    }
}
