/// Something that can deliver a message: ``CurlMailer`` in the product.
package protocol MailTransport: Sendable {
    /// Hands a message to the mail server; returns when the server has taken it.
    func send(_ message: MailMessage) async throws(MailError)
}

/// Why a message was not taken.
///
/// Never holds the message or a password.
package enum MailError: Error, Equatable, Sendable {
    /// Nobody can be written to at that.
    case invalidAddress(String)
    /// Not to be had, or it ends in the middle; worth another attempt.
    case unavailable(host: String, reason: String)
    /// The server says no, and will again.
    case refused(host: String, status: Int)
    /// The name or the password is wrong.
    case signInRefused(host: String)
    /// The server has no TLS, or shows a certificate that is not good.
    case insecure(host: String, reason: String)

    /// Whether another attempt may do.
    package var isRetryable: Bool {
        switch self {
        case .unavailable, .signInRefused, .insecure: true
        case .invalidAddress, .refused: false
        }
    }
}

extension MailError: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .invalidAddress(let address): "`\(address)` is no mail address"
        case .unavailable(let host, let reason): "the mail server `\(host)` fails: \(reason)"
        case .refused(let host, let status): "the mail server `\(host)` refuses with \(status)"
        case .signInRefused(let host): "the mail server `\(host)` refuses the login"
        case .insecure(let host, let reason): "no secure connection to `\(host)`: \(reason)"
        }
    }
}
