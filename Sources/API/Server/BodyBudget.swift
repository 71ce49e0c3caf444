import Synchronization

/// How many bytes of request bodies are held at the same time for clients without a credential.
///
/// Each such route bounds its own bodies; this bounds all of them together, for whoever need not
/// sign in may open as many connections as he likes.
final class BodyBudget: Sendable {
    private let taken = Mutex(0)

    /// Bytes that are held.
    var held: Int { taken.withLock { $0 } }

    /// Takes bytes for a body.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - limit: How many may be held in all.
    /// - Returns: Whether there was room; when not, nothing is taken.
    func take(_ count: Int, limit: Int) -> Bool {
        taken.withLock { held in
            guard held + count <= limit else { return false }
            held += count
            return true
        }
    }

    /// Gives back what was taken.
    func release(_ count: Int) {
        taken.withLock { $0 -= count }
    }
}
