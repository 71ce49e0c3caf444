import HTTPTypes

/// What is known of what a request did when it was answered: what becomes of its
/// `Idempotency-Key`.
package enum RequestEffect: Sendable, Equatable {
    /// It was done, or refused for good: the answer is the answer.
    case settled
    /// Nothing was done, and the same may be tried again.
    case nothing
    /// Nobody knows whether it was done, or how far.
    case unknown

    /// What a status alone says.
    init(of status: HTTPResponse.Status) {
        if status == .tooManyRequests {
            self = .nothing
        } else {
            self = status.kind == .serverError ? .unknown : .settled
        }
    }
}
