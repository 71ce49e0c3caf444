/// Something that can make an HTTP exchange: ``CurlClient`` in the product.
///
/// An answer with any status is a success; only an exchange that brought no complete answer throws.
/// Cancelling the calling task ends the exchange and throws ``HTTPError/cancelled``.
package protocol HTTPTransport: Sendable {
    /// Makes the exchange once, without retries.
    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse
}

/// Why an exchange brought no complete answer.
///
/// Never holds header values or bodies.
package enum HTTPError: Error, Equatable, Sendable {
    case invalidURL(url: String)
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
