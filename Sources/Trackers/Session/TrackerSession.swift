package import Domain
package import HTTPClient
import Synchronization

/// The one way from an adapter to its service: credential, base URL, rate limits, and retries.
///
/// Reads are repeated freely: after resets, short reads, 5xx, HTML or cut-off JSON with growing,
/// jittered pauses; after 429 and the two kinds of rate-limit 403 for as long as the service says.
/// A list that keeps breaking the service is asked for in smaller pages. What comes back is
/// complete: a document that ends too early is retried, never handed on. Writes have rules of their
/// own: ``write(_:isIdempotent:)``.
package struct TrackerSession: Sendable {
    /// Gives the current credential; asked again when the service answers 401, so that a token that
    /// was renewed in the meantime (or is made for an hour at a time) is taken up.
    package typealias CredentialSource =
        @Sendable () async throws(TrackerError) -> Secret

    /// A credential with the instant from which another one should be shown.
    struct Credential: Sendable, Equatable {
        var secret: Secret
        /// Nil when only a refusal tells.
        var renewAt: Timestamp?

        init(_ secret: Secret, renewAt: Timestamp? = nil) {
            self.secret = secret
            self.renewAt = renewAt
        }
    }

    /// Gives credentials that end; asked again when their time comes and after a 401.
    typealias RenewableCredentialSource =
        @Sendable () async throws(TrackerError) -> Credential

    package var configuration: Configuration
    /// Whether somebody waits for the answers: scans leave the end of the budget to those who do.
    package var priority: RequestPriority = .background
    /// Told until when, before requests wait for the service's rate limit; called on any thread.
    package var willWait: @Sendable (Timestamp) -> Void = { _ in }
    /// What to do about a refused token; nil for the general advice.
    package var tokenCure: TokenCure?
    let transport: any HTTPTransport
    let clock: any Clock<Duration>
    let now: @Sendable () -> Timestamp
    let jitter: @Sendable () -> Double
    let credential: CredentialCache
    let budget: RateBudget

    /// What differs between services, and the limits of patience.
    package struct Configuration: Sendable {
        /// Scheme, host, and path prefix of the API, without a final slash.
        package var baseURL: String
        package var authorization: TrackerAuthorization
        /// Sent with every request, such as `Accept`.
        package var headers: [HTTPField]
        /// Tries and pauses after failures.
        ///
        /// Waiting for rate limits does not count as a try; when it
        /// would take longer than the policy's patience the call ends with
        /// ``TrackerError/rateLimited(until:)`` and the scan resumes from its cursor another time.
        package var retry = RetryPolicy()
        /// Pages are not halved below this.
        package var smallestPageSize = 10
        package var limits = HTTPLimits()

        package init(
            baseURL: String,
            authorization: TrackerAuthorization,
            headers: [HTTPField] = []
        ) {
            self.baseURL = baseURL
            self.authorization = authorization
            self.headers = headers
        }
    }

    /// Makes a session; no request is sent yet.
    ///
    /// `budget` is shared by all that use one token, nil for one of its own; `clock` measures
    /// pauses, `now` is the wall clock to which services' reset instants refer, and `jitter` draws
    /// a number from 0 to 1 for each pause after a failure.
    package init(
        configuration: Configuration,
        transport: any HTTPTransport,
        credential: @escaping CredentialSource,
        budget: RateBudget? = nil,
        clock: any Clock<Duration> = ContinuousClock(),
        now: @escaping @Sendable () -> Timestamp = wallClock,
        jitter: @escaping @Sendable () -> Double = { Double.random(in: 0...1) }
    ) {
        self.init(
            configuration: configuration,
            transport: transport,
            renewable: { () async throws(TrackerError) in Credential(try await credential()) },
            budget: budget,
            clock: clock,
            now: now,
            jitter: jitter
        )
    }

    /// Makes a session whose credentials end by themselves.
    init(
        configuration: Configuration,
        transport: any HTTPTransport,
        renewable credential: @escaping RenewableCredentialSource,
        budget: RateBudget? = nil,
        clock: any Clock<Duration> = ContinuousClock(),
        now: @escaping @Sendable () -> Timestamp = wallClock,
        jitter: @escaping @Sendable () -> Double = { Double.random(in: 0...1) }
    ) {
        self.configuration = configuration
        self.transport = transport
        self.credential = CredentialCache(source: credential, now: now)
        self.clock = clock
        self.now = now
        self.jitter = jitter
        self.budget = budget ?? Self.budget(configuration, clock)
    }

    private static func budget(
        _ configuration: Configuration,
        _ clock: some Clock<Duration>
    ) -> RateBudget {
        var limits = RateBudget.Configuration()
        limits.maximumWait = configuration.retry.patience
        return RateBudget(configuration: limits, clock: clock)
    }

    /// Sends a request whose answer needs no JSON: the status and headers say it all.
    package func send(_ request: TrackerRequest) async throws(TrackerError) -> HTTPResponse {
        try await perform(request) { (response, _) throws(JSONError) in response }
    }

    /// Reads one JSON document.
    ///
    /// Of an accepted refusal the document is `null` unless it is JSON.
    package func document(
        _ request: TrackerRequest
    ) async throws(TrackerError) -> (value: JSONValue, response: HTTPResponse) {
        try await perform(request) { (response, _) throws(JSONError) in
            guard (200..<300).contains(response.status) else {
                // Refusals are often HTML; the caller who accepts them goes by the status.
                return ((try? JSONParser.parse(response.body)) ?? .null, response)
            }
            return (try JSONParser.parse(response.body), response)
        }
    }

    /// Reads a document with a list, cut into elements but not parsed.
    ///
    /// `path` holds the object keys that lead to the array; empty when the array is the document.
    package func list(
        _ request: TrackerRequest,
        at path: [String] = []
    ) async throws(TrackerError) -> TrackerList {
        try await perform(request) { (response, query) throws(JSONError) in
            guard (200..<300).contains(response.status) else {
                return TrackerList(
                    response: response,
                    elements: [],
                    envelope: .null,
                    query: query
                )
            }
            return try TrackerList(response: response, at: path, query: query)
        }
    }
}
