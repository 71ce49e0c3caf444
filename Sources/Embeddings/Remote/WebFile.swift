import HTTPClient

/// One file of a model on a web server.
struct WebFile {
    let url: String
    let transport: any HTTPTransport

    /// Model servers send from their storage network one or two hops away.
    private static let maximumHops = 5

    /// The file's bytes; nil when the server does not have it.
    ///
    /// Unlike the transport this goes to other origins too, because there is no credential to guard
    /// and the checksum guards the content; but never from https to http.
    func read(limit: Int) async throws(EmbeddingError) -> [UInt8]? {
        var limits = HTTPLimits()
        limits.maximumResponseByteCount = limit
        limits.totalTimeout = .seconds(3600)
        var address = url
        for _ in 0...Self.maximumHops {
            let response = try await exchange(HTTPRequest(url: address, limits: limits))
            switch response.status {
            case 200: return response.body
            case 404, 410: return nil
            case 301, 302, 303, 307, 308:
                guard let location = response.headers["Location"],
                    let next = resolvedURL(location, against: response.effectiveURL),
                    let origin = HTTPOrigin(of: next),
                    origin.scheme == "https" || HTTPOrigin(of: address)?.scheme == "http"
                else { throw failed("`\(address)` redirects to nowhere") }
                address = next
            default:
                let status = response.status
                let reason = "`\(url)` cannot be downloaded"
                throw .provider(status: status, reason: reason, isRetryable: status >= 500)
            }
        }
        throw failed("`\(url)` redirects more than \(Self.maximumHops) times")
    }

    private func exchange(_ request: HTTPRequest) async throws(EmbeddingError) -> HTTPResponse {
        do throws(RetryError) {
            return try await RetryingClient(transport: transport).send(request) { outcome in
                RetryDecision(transient: outcome, now: secondsSinceEpoch())
            }
        } catch {
            switch error {
            case .exchange(.cancelled): throw .cancelled
            case .exchange(let error): throw failed("\(error)", isRetryable: error.isTransient)
            case .rateLimited(let wait):
                let seconds = wait.components.seconds
                throw failed("`\(url)` asks to wait \(seconds) seconds", isRetryable: true)
            }
        }
    }
}
