import Bootstrap
import Domain
import Store
import Trackers

extension Installation {
    /// Asks the service whose token `secret` is, before anything is stored.
    ///
    /// - Parameters:
    ///   - tracker: With the address that is to be tried.
    ///   - secret: The token.
    ///   - advice: What to do when the service refuses the token, but for what it needs.
    ///   - what: What does not happen when the service refuses, for the message.
    /// - Returns: Who the token belongs to.
    /// - Throws: ``CommandFailure``.
    func tryOut(
        _ tracker: Tracker,
        secret: Secret,
        advice: String,
        orElse what: String
    ) async throws(CommandFailure) -> TrackerIdentity {
        try await attempt(what) {
            let client = try Installation.client(
                for: tracker,
                transport: try transport(),
                cure: TokenCure(
                    "\(advice); \(tracker.kind.tokenNeeds(tracker.deployment))"
                )
            ) { () throws(TrackerError) in secret }
            return try await client.verify()
        }
    }
}

extension TrackerIdentity {
    /// The warnings as the tracker's list shows them; nil when there are none.
    var statusDetail: String? {
        warnings.isEmpty ? nil : warnings.joined(separator: "; ")
    }
}
