import Synchronization

/// The product's HTTP client: one libcurl multi handle on a thread of its own.
///
/// HTTP/1.1 and HTTP/2 with connections kept and shared, compressed answers decoded, proxies from
/// the environment. Transfers beyond the limit of a host wait their turn in the order they came.
/// Redirects of GET and HEAD are followed within one origin only, so a credential in a header is
/// never shown to anyone but the origin it was meant for; all other redirects are the answer.
package final class CurlClient: HTTPStreamTransport {
    /// What is the same for all exchanges of a client.
    package struct Configuration: Sendable {
        package var userAgent: String
        /// Exchanges under way with one origin; services call more than a handful an abuse.
        package var maximumTransfersPerHost = 8
        package var maximumTransfers = 64
        /// Callers that wait for a place; more is a caller without bounds of its own.
        package var maximumWaiting = 10_000
        /// Certificate authorities to trust instead of the system's.
        package var certificateFile: String?
        package var certificateFolder: String?

        /// - Parameters:
        ///   - version: The product's, for `User-Agent`.
        ///   - environment: Where `CURL_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR` are looked
        ///     up; libcurl itself reads `HTTPS_PROXY`, `http_proxy`, `ALL_PROXY` and `NO_PROXY`,
        ///     except for requests with a pinned address.
        package init(version: String, environment: [String: String] = [:]) {
            userAgent = "preloop/\(version)"
            func value(_ name: String) -> String? {
                environment[name].flatMap { $0.isEmpty ? nil : $0 }
            }
            certificateFile = value("CURL_CA_BUNDLE") ?? value("SSL_CERT_FILE")
            certificateFolder = value("SSL_CERT_DIR")
        }
    }

    private let loop: CurlLoop

    /// Starts the client's thread; it ends with the client.
    ///
    /// - Throws: ``HTTPError/connectionFailed(host:reason:)`` when libcurl or a thread is not to be
    ///   had.
    package init(configuration: Configuration) throws(HTTPError) {
        loop = try CurlLoop(configuration)
        try loop.start()
    }

    deinit {
        loop.stop()
    }

    /// Makes the exchange once, redirects within the origin included.
    package func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        guard let origin = HTTPOrigin(of: request.url) else {
            throw .invalidURL(url: withoutUserInformation(request.url))
        }
        try checkFields(of: request, host: origin.host)
        let end = ContinuousClock.now.advanced(by: request.limits.totalTimeout)
        var current = request
        for _ in 0..<max(0, request.limits.maximumRedirects) {
            let response = try await loop.exchange(current, with: origin)
            guard let target = redirectTarget(of: response, to: current, within: origin) else {
                return response
            }
            current.url = target
            // The time limit is one for all.
            current.limits.totalTimeout = ContinuousClock.now.duration(to: end)
            guard current.limits.totalTimeout > .zero else {
                throw .timedOut(host: origin.host, phase: .total)
            }
        }
        return try await loop.exchange(current, with: origin)
    }

    /// Makes the exchange once and hands the answer on as it comes; redirects are answers.
    ///
    /// - Returns: Status and headers when the answer is over; the body went to `receiver`.
    package func stream(
        _ request: HTTPRequest,
        to receiver: HTTPReceiver
    ) async throws(HTTPError) -> HTTPResponse {
        guard let origin = HTTPOrigin(of: request.url) else {
            throw .invalidURL(url: withoutUserInformation(request.url))
        }
        try checkFields(of: request, host: origin.host)
        return try await loop.exchange(request, with: origin, to: receiver)
    }

    private func redirectTarget(
        of response: HTTPResponse,
        to request: HTTPRequest,
        within origin: HTTPOrigin
    ) -> String? {
        guard [301, 302, 303, 307, 308].contains(response.status),
            request.method == "GET" || request.method == "HEAD", request.body == nil,
            let location = response.headers["Location"],
            let target = resolvedURL(location, against: request.url),
            HTTPOrigin(of: target) == origin
        else { return nil }
        return target
    }

    /// A line break in a header would begin another header, or another request.
    private func checkFields(of request: HTTPRequest, host: String) throws(HTTPError) {
        func refuse(_ what: String) -> HTTPError {
            .invalidResponse(host: host, reason: "nothing was sent: \(what)")
        }
        guard isToken(request.method) else { throw refuse("the method is not a name") }
        for field in request.headers {
            guard isToken(field.name) else { throw refuse("a header's name is not a name") }
            guard field.value.utf8.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) else {
                throw refuse("the header `\(field.name)` holds a control character")
            }
        }
    }

    private func isToken(_ text: String) -> Bool {
        let marks = Array("!#$%&'*+-.^_`|~".utf8)
        return !text.isEmpty
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0)
                    || (0x61...0x7A).contains($0) || marks.contains($0)
            }
    }

    /// Errors get logged, so a password in a URL is left out.
    private func withoutUserInformation(_ url: String) -> String {
        guard let mark = url.utf8.lastIndex(of: UInt8(ascii: "@")) else { return url }
        return "…" + url[mark...]
    }
}
