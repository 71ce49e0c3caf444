import Domain
import Synchronization

/// Keeps the credential between requests and renews it when the service refuses it.
final class CredentialCache: Sendable {
    private let source: TrackerSession.CredentialSource
    private let cached = Mutex<Secret?>(nil)

    init(source: @escaping TrackerSession.CredentialSource) {
        self.source = source
    }

    /// The credential to show.
    func current() async throws(TrackerError) -> Secret {
        if let credential = cached.withLock({ $0 }) { return credential }
        let credential = try await source()
        cached.withLock { $0 = credential }
        return credential
    }

    /// Whether there is another credential than the refused one; the next request shows it.
    ///
    /// Several requests may be refused at once: the one that comes second finds the new credential
    /// already here.
    func renew(refused: Secret) async throws(TrackerError) -> Bool {
        if let credential = cached.withLock({ $0 }), credential != refused { return true }
        let credential = try await source()
        cached.withLock { $0 = credential }
        return credential != refused
    }
}
