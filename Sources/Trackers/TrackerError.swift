package import Domain

/// Why a tracker did not give what was asked, after retries.
///
/// Never holds tokens or bodies.
package enum TrackerError: Error, Equatable, Sendable {
    /// The service does not accept the token (401, or Jira's anonymous 200).
    ///
    /// `cure` is what the maker of the client advises.
    case unauthenticated(detail: String, cure: TokenCure? = nil)
    /// The token lacks a permission; `missingScope` names it when known.
    case forbidden(detail: String, missingScope: String?)
    /// The project or page does not exist or is hidden from the token.
    case notFound(detail: String)
    /// The service wants us to wait longer than a scan should; resume from the page cursor.
    case rateLimited(until: Timestamp)
    /// Unreachable or answering 5xx, HTML or broken JSON time after time.
    case unavailable(detail: String)
    /// The service answered, but not in the form its documentation promises.
    case invalidResponse(detail: String)
    /// A page token is no longer accepted; the walk must start again.
    case pageTokenExpired
    /// The service understood a write and did not do it.
    case refused(WriteRefusal)
    /// A write was sent and its answer did not arrive or is of no use: it may have taken effect.
    case outcomeUnknown(detail: String)
    case cancelled
}

extension TrackerError {
    /// Whether the same call may succeed later without anyone doing anything.
    package var isRetryable: Bool {
        switch self {
        case .rateLimited, .unavailable, .pageTokenExpired: true
        case .unauthenticated, .forbidden, .notFound, .invalidResponse, .cancelled, .refused,
            .outcomeUnknown:
            false
        }
    }

    /// What an operator can do about it; nil when waiting is all.
    package var hint: String? {
        switch self {
        case .unauthenticated(_, let cure):
            cure?.advice ?? "make a new token and store it with `preloop trackers update`"
        case .forbidden(_, let scope?): "give the token the scope `\(scope)`"
        case .forbidden(_, nil): "check what the token may read"
        case .notFound: "check the name, and that the token can see the project"
        case .invalidResponse:
            "check that the URL is the service's API and not a proxy's login page"
        case .refused(let refusal): refusal.cure
        case .outcomeUnknown: "look in the tracker before you try again"
        case .rateLimited, .unavailable, .pageTokenExpired, .cancelled: nil
        }
    }
}

extension TrackerError {
    /// The same error with this cure, when it is a refused token without one.
    func cured(by cure: TokenCure?) -> TrackerError {
        guard case .unauthenticated(let detail, nil) = self else { return self }
        return .unauthenticated(detail: detail, cure: cure)
    }
}

extension TrackerError: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .unauthenticated(let detail, let cure):
            cure?.isUnread == true ? detail : "the tracker refuses the token: \(detail)"
        case .forbidden(let detail, let scope?):
            "the token may not do this, for it lacks the scope `\(scope)`: \(detail)"
        case .forbidden(let detail, nil): "the token may not do this: \(detail)"
        case .notFound(let detail): "not found: \(detail)"
        case .rateLimited(let until): "the tracker's rate limit is used up until \(until)"
        case .unavailable(let detail): "the tracker does not answer usefully: \(detail)"
        case .invalidResponse(let detail): "unexpected answer: \(detail)"
        case .pageTokenExpired: "the tracker no longer knows the place where the scan stopped"
        case .refused(let refusal): "\(refusal)"
        case .outcomeUnknown(let detail):
            "whether the tracker did it is not known: \(detail)"
        case .cancelled: "cancelled"
        }
    }
}
