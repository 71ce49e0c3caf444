/// Something that can make an HTTP exchange: ``CurlClient`` in the product.
///
/// An answer with any status is a success; only an exchange that brought no complete answer throws.
/// Cancelling the calling task ends the exchange and throws ``HTTPError/cancelled``.
package protocol HTTPTransport: Sendable {
    /// Makes the exchange once, without retries.
    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse
}

/// What takes an answer as it comes; called on the client's thread, which it must not hold up.
package struct HTTPReceiver: Sendable {
    /// Status and headers, before any byte of the body.
    package var head: @Sendable (Int, HTTPHeaders) -> Void
    /// A piece of the body, decoded; false ends the exchange with
    /// ``HTTPError/invalidResponse(host:reason:)``.
    package var body: @Sendable ([UInt8]) -> Bool

    package init(
        head: @escaping @Sendable (Int, HTTPHeaders) -> Void,
        body: @escaping @Sendable ([UInt8]) -> Bool
    ) {
        self.head = head
        self.body = body
    }
}

/// An ``HTTPTransport`` whose answers can be read while they come.
package protocol HTTPStreamTransport: HTTPTransport {
    /// Makes the exchange once; the body goes to `receiver`, and redirects are answers.
    func stream(
        _ request: HTTPRequest,
        to receiver: HTTPReceiver
    ) async throws(HTTPError) -> HTTPResponse
}

/// Why an exchange brought no complete answer.
///
/// Never holds header values or bodies.
package enum HTTPError: Error, Equatable, Sendable {
    case invalidURL(url: String)
    /// Nothing was sent: the host is none of those that may be reached; with what an operator can
    /// do about it, where somebody can.
    case forbidden(host: String, cure: String? = nil)
    case nameNotResolved(host: String)
    case connectionFailed(host: String, reason: String)
    /// Certificate or handshake.
    case tlsFailed(host: String, reason: String)
    /// The connection ended inside the answer: reset, short read, protocol error.
    case connectionLost(host: String, reason: String)
    case timedOut(host: String, phase: TimeoutPhase)
    case responseTooLarge(host: String, limit: Int)
    case invalidResponse(host: String, reason: String)
    case cancelled

    /// Which limit ran out.
    package enum TimeoutPhase: String, Sendable {
        case connect
        case idle
        case total
    }
}

extension HTTPError: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .invalidURL(let url): "`\(url)` is not a usable http or https URL"
        case .forbidden(let host, let cure):
            "`\(host)` is not of the public Internet" + (cure.map { "; \($0)" } ?? "")
        case .nameNotResolved(let host): "the host `\(host)` is not known"
        case .connectionFailed(let host, let reason): "no connection to `\(host)`: \(reason)"
        case .tlsFailed(let host, let reason): "no secure connection to `\(host)`: \(reason)"
        case .connectionLost(let host, let reason): "`\(host)` broke off: \(reason)"
        case .timedOut(let host, let phase): "`\(host)` took too long (\(phase.rawValue))"
        case .responseTooLarge(let host, let limit): "`\(host)` sends more than \(limit) bytes"
        case .invalidResponse(let host, let reason): "`\(host)` answers no valid HTTP: \(reason)"
        case .cancelled: "cancelled"
        }
    }
}
