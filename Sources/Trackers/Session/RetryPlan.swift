import Domain
import HTTPClient

/// Decides, for one request, what follows each failed try; it neither waits nor sends.
struct RetryPlan {
    /// What to do next.
    enum Action: Equatable {
        case pause(Duration)
        case giveUp(TrackerError)
    }

    /// Why a try brought nothing.
    enum Failure {
        case exchange(HTTPError)
        /// A 5xx or 408.
        case status(reason: String)
        /// A document that is not whole, or no JSON at all.
        case body(JSONError, isMarkup: Bool)
    }

    /// The query to send; its page size shrinks when the service keeps breaking down.
    private(set) var query: QueryString
    private let paging: PageParameters?
    private let configuration: TrackerSession.Configuration
    private var failures = 0
    private var breakdowns = 0
    private var waited: Duration = .zero
    private var waits = 0

    /// GitHub asks for "at least one minute" when a secondary limit names no time.
    private static let unnamedWait: Duration = .seconds(60)
    /// Many waits of a second each are a service that will not let us in.
    private static let maximumWaits = 60

    init(_ request: TrackerRequest, configuration: TrackerSession.Configuration) {
        query = request.query
        paging = request.paging
        self.configuration = configuration
    }

    /// Answers a failed exchange, a failing service, or a broken document.
    mutating func next(after failure: Failure, jitter: Double) -> Action {
        if case .exchange(let error) = failure, let final = Self.finalError(error) {
            guard case .responseTooLarge = error, shrinkPage() else { return .giveUp(final) }
        }
        failures += 1
        guard failures < configuration.retry.maximumAttempts else {
            return .giveUp(Self.error(for: failure, attempts: failures))
        }
        if Self.isBreakdown(failure) {
            breakdowns += 1
            // Once may be chance; twice is a page the service cannot make in time.
            if breakdowns.isMultiple(of: 2) { _ = shrinkPage() }
        }
        return .pause(configuration.retry.pause(afterFailures: failures, draw: jitter))
    }

    /// Answers a rate limit.
    mutating func next(afterLimit named: Duration?, now: Timestamp, jitter: Double) -> Action {
        // The draw comes on top: all workers were told the same instant. A pause of zero is taken
        // for the shortest the service can name.
        let pause =
            max(named ?? Self.unnamedWait, .milliseconds(250))
            + configuration.retry.pause(afterFailures: 1, draw: jitter)
        waits += 1
        waited += pause
        guard waited <= configuration.retry.patience, waits <= Self.maximumWaits else {
            return .giveUp(.rateLimited(until: now.advanced(by: pause)))
        }
        return .pause(pause)
    }

    /// Halves the page and keeps the place; false when it cannot get smaller.
    private mutating func shrinkPage() -> Bool {
        guard let paging, let size = query[paging.size].flatMap({ Int($0) }) else { return false }
        let half = size / 2
        guard half >= configuration.smallestPageSize else { return false }
        if let name = paging.page, let page = query[name].flatMap({ Int($0) }), page > 1 {
            // Only an even size lets the same row start a page. The number is of the service's own
            // link, which may say anything.
            let (before, overflow) = (page - 1).multipliedReportingOverflow(by: 2)
            guard size.isMultiple(of: 2), !overflow else { return false }
            query[name] = String(before + 1)
        }
        query[paging.size] = String(half)
        return true
    }

    private static func isBreakdown(_ failure: Failure) -> Bool {
        switch failure {
        case .status: true
        case .exchange(.timedOut): true
        case .exchange, .body: false
        }
    }

    /// The error of an exchange that would fail again in the same way.
    private static func finalError(_ error: HTTPError) -> TrackerError? {
        switch error {
        case .cancelled: .cancelled
        case .invalidURL(let url): .invalidResponse(detail: "`\(url)` is not a usable URL")
        case .forbidden: .unavailable(detail: "\(error)")
        case .tlsFailed(let host, let reason):
            .unavailable(detail: "no secure connection to `\(host)`: \(reason)")
        case .responseTooLarge(let host, let limit):
            .invalidResponse(detail: "`\(host)` sends more than \(limit) bytes")
        case .nameNotResolved, .connectionFailed, .connectionLost, .timedOut, .invalidResponse: nil
        }
    }

    private static func error(for failure: Failure, attempts: Int) -> TrackerError {
        switch failure {
        case .status(let reason):
            .unavailable(detail: "\(reason), \(attempts) times in a row")
        case .body(_, isMarkup: true):
            .invalidResponse(detail: "HTML instead of JSON, \(attempts) times in a row")
        case .body(.noArray, isMarkup: false):
            .invalidResponse(detail: "JSON without the list that is due")
        case .body(let error, isMarkup: false):
            .unavailable(detail: "\(error), \(attempts) times in a row")
        case .exchange(let error): .unavailable(detail: describe(error))
        }
    }

    private static func describe(_ error: HTTPError) -> String {
        switch error {
        case .nameNotResolved(let host): "the host `\(host)` is not known"
        case .connectionFailed(let host, let reason): "no connection to `\(host)`: \(reason)"
        case .connectionLost(let host, let reason): "`\(host)` broke off: \(reason)"
        case .timedOut(let host, let phase): "`\(host)` was silent too long (\(phase.rawValue))"
        case .invalidResponse(let host, let reason): "`\(host)` does not speak HTTP: \(reason)"
        case .invalidURL, .forbidden, .tlsFailed, .responseTooLarge, .cancelled:
            "the exchange failed"
        }
    }
}
