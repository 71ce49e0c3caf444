import Domain
import Synchronization

/// Which session has made which request, for approvals that hold for a session.
///
/// In memory alone: a session is one of this process and ends with it, and what is forgotten is
/// asked about again.
final class ApprovalSessions: Sendable {
    /// As many as an account may have open.
    private static let maximumCount = 10_000

    private let sessions = Mutex<[String: String]>([:])

    /// Keeps which session has made a request; nothing where there is none.
    func note(_ session: String?, of request: String) {
        guard let session else { return }
        sessions.withLock { sessions in
            if sessions.count >= Self.maximumCount { sessions.removeAll(keepingCapacity: true) }
            sessions[request] = session
        }
    }

    /// Whether it was this session that has made a request.
    func has(_ session: String?, made request: String) -> Bool {
        guard let session, let known = sessions.withLock({ $0[request] }) else { return false }
        return haveEqualBytes(known, session)
    }
}
