import Domain
import HTTPClient

/// What is to be done about one answer; decided from the answer alone.
enum Verdict: Equatable {
    /// The caller gets it.
    case deliver
    /// The service is overloaded or broken for the moment: again after a growing pause.
    case retry(reason: String)
    /// A rate limit: again after the pause the service names; nil when it only says "later".
    case wait(Duration?)
    /// The token is not, or no longer, accepted.
    case renewCredential(detail: String)
    case fail(TrackerError)
}

extension Verdict {
    /// Judges an answer by status and headers, and by the body where a 403 means several things.
    ///
    /// `accepted` are statuses besides 2xx the caller wants; `now` is for instants in headers when
    /// the service does not tell its own time.
    init(_ response: HTTPResponse, accepting accepted: Set<Int>, now: Timestamp) {
        let status = response.status
        if accepted.contains(status) {
            // Who accepts a refusal means a missing permission, never a rate limit.
            let isRefusal = status == 403 || status == 429
            let verdict = isRefusal ? Self.refusal(response, now: now) : .deliver
            if case .wait = verdict { self = verdict } else { self = .deliver }
            return
        }
        switch status {
        case 200..<300: self = Self.isAnonymous(response.headers) ? Self.anonymous : .deliver
        case 401: self = .renewCredential(detail: ErrorDetail(response).text)
        case 403, 429: self = Self.refusal(response, now: now)
        case 404, 410: self = .fail(.notFound(detail: ErrorDetail(response).text))
        // 451: taken down for legal reasons; the project exists, its content is withheld.
        case 451: self = .fail(.forbidden(detail: ErrorDetail(response).text, missingScope: nil))
        case 408, 425, 500..<600:
            let pause = RateSignal(response.headers, now: now).retryAfter
            self = pause.map { .wait($0) } ?? .retry(reason: "status \(status)")
        case 300..<400:
            self = .fail(.invalidResponse(detail: Self.redirect(response)))
        default:
            self = .fail(.invalidResponse(detail: ErrorDetail(response).text))
        }
    }

    /// Jira Cloud answers lost credentials with 200 and an empty list; only these headers tell.
    private static func isAnonymous(_ headers: HTTPHeaders) -> Bool {
        if headers["X-AUSERNAME"] == "anonymous" { return true }
        guard let reason = headers["X-Seraph-LoginReason"] else { return false }
        return reason.contains("AUTHENTICATED_FAILED") || reason.contains("AUTHENTICATION_DENIED")
    }

    private static var anonymous: Verdict {
        .renewCredential(detail: "the service treats the caller as anonymous")
    }

    /// Names the other origin, never the rest of the address, which may hold secrets.
    private static func redirect(_ response: HTTPResponse) -> String {
        let origin = (response.headers["Location"] ?? "").split(
            separator: "/",
            maxSplits: 3,
            omittingEmptySubsequences: false
        ).prefix(3).joined(separator: "/")
        return "status \(response.status) redirects to `\(origin)`"
    }

    /// 403 and 429 mean an exhausted window, a secondary limit, or a missing permission: headers
    /// decide, then the text: GitHub's secondary limit sometimes comes without `Retry-After`.
    private static func refusal(_ response: HTTPResponse, now: Timestamp) -> Verdict {
        let signal = RateSignal(response.headers, now: now)
        if let pause = signal.retryAfter { return .wait(pause) }
        if signal.remaining == 0, let reset = signal.reset { return .wait(reset) }
        if response.status == 429 { return .wait(nil) }
        let detail = ErrorDetail(response)
        if detail.mentionsRateLimit { return .wait(nil) }
        return .fail(.forbidden(detail: detail.text, missingScope: detail.missingScope))
    }
}

/// What an answer's headers say about the rate limit, in any of the three services' spellings.
struct RateSignal: Equatable {
    /// How long to stay away.
    var retryAfter: Duration?
    var limit: Int?
    var remaining: Int?
    /// How long until the window ends, by the service's own clock where it tells the time.
    var reset: Duration?

    /// Longer than any service's window; a larger figure is a broken header, not a pause.
    private static let longestPauseSeconds: Int64 = 24 * 3600

    init(_ headers: HTTPHeaders, now localNow: Timestamp) {
        let now =
            headers["Date"].flatMap { secondsSinceEpoch(httpDate: $0) }
            .map { Timestamp(milliseconds: $0 * 1000) } ?? localNow
        retryAfter = headers.retryAfter(now: now.milliseconds / 1000)
        limit = Self.number(headers, ["X-RateLimit-Limit", "RateLimit-Limit"])
        remaining = Self.number(headers, ["X-RateLimit-Remaining", "RateLimit-Remaining"])
        let reset = headers["X-RateLimit-Reset"] ?? headers["RateLimit-Reset"]
        self.reset = reset.flatMap { Self.timeLeft($0, now: now) }
    }

    private static func number(_ headers: HTTPHeaders, _ names: [String]) -> Int? {
        names.lazy.compactMap { headers[$0].flatMap { Int($0) } }.first
    }

    /// Reads seconds since the epoch (GitHub, GitLab), ISO 8601 (Jira Cloud), or seconds from now.
    private static func timeLeft(_ text: String, now: Timestamp) -> Duration? {
        var end = Timestamp(parsing: text)
        if let seconds = Int64(text), seconds >= 0, seconds < 1 << 40 {
            // A small figure cannot be an instant: it is the number of seconds left.
            if seconds <= longestPauseSeconds { return .seconds(seconds) }
            end = Timestamp(milliseconds: seconds * 1000)
        }
        guard let end else { return nil }
        let milliseconds = end.milliseconds - now.milliseconds
        guard milliseconds <= longestPauseSeconds * 1000 else { return nil }
        return .milliseconds(max(0, milliseconds))
    }
}
