import Domain
import Synchronization

/// Keeps the credential between requests, and renews it when its time is over or it was refused.
final class CredentialCache: Sendable {
    private let source: TrackerSession.RenewableCredentialSource
    private let now: @Sendable () -> Timestamp
    private let cached = Mutex<TrackerSession.Credential?>(nil)

    init(
        source: @escaping TrackerSession.RenewableCredentialSource,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.source = source
        self.now = now
    }

    /// The credential to show.
    ///
    /// Those who find its time over at the same moment each get another one; all of them hold, and
    /// the last is kept. The time is over before the credential's end: while none is to be had for
    /// the moment, the one we have is shown on.
    func current() async throws(TrackerError) -> Secret {
        let kept = cached.withLock { $0 }
        if let kept, isFresh(kept) { return kept.secret }
        do throws(TrackerError) {
            let credential = try await source()
            cached.withLock { $0 = credential }
            return credential.secret
        } catch {
            guard error.isRetryable, var kept else { throw error }
            kept.renewAt = now().advanced(by: Self.pauseAfterFailure)
            cached.withLock { $0 = kept }
            return kept.secret
        }
    }

    /// A source that fails has been asked several times already.
    private static let pauseAfterFailure: Duration = .seconds(60)

    private func isFresh(_ credential: TrackerSession.Credential) -> Bool {
        credential.renewAt.map { now() < $0 } ?? true
    }

    /// Whether there is another credential than the refused one; the next request shows it.
    ///
    /// Several requests may be refused at once: the one that comes second finds the new credential
    /// already here.
    func renew(refused: Secret) async throws(TrackerError) -> Bool {
        if let credential = cached.withLock({ $0 }), credential.secret != refused { return true }
        let credential = try await source()
        cached.withLock { $0 = credential }
        return credential.secret != refused
    }
}
