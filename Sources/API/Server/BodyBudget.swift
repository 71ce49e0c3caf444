import Synchronization

/// How many bytes of request bodies are held at the same time, in all and for one holder.
///
/// Each route bounds its own bodies; this bounds all of them together, for whoever may send one may
/// open as many connections as he likes.
final class BodyBudget: Sendable {
    /// Who holds bytes: everybody without a credential, or a user.
    enum Holder: Sendable, Hashable {
        case strangers
        case user(String)
    }

    /// What is held by one request; given back by ``release()``.
    struct Hold: Sendable {
        private let budget: BodyBudget
        private var holder: Holder?
        private var count = 0

        init(_ budget: BodyBudget) { self.budget = budget }

        /// Takes more bytes for the request's body.
        ///
        /// - Parameters:
        ///   - bytes: How many.
        ///   - holder: For whom; the same for all of a request.
        ///   - share: How many one holder may have.
        ///   - limit: How many may be held in all by holders of this kind.
        /// - Returns: Whether there was room; when not, nothing is taken.
        mutating func take(_ bytes: Int, for holder: Holder, share: Int, limit: Int) -> Bool {
            guard budget.take(bytes, for: holder, share: share, limit: limit) else { return false }
            self.holder = holder
            count += bytes
            return true
        }

        /// Gives everything back; may be called again.
        mutating func release() {
            if let holder { budget.release(count, of: holder) }
            holder = nil
            count = 0
        }
    }

    private struct State {
        /// Without those who hold nothing.
        var byHolder: [Holder: Int] = [:]
        /// Of all users together.
        var users = 0
    }

    private let state = Mutex(State())

    /// Bytes that a holder has.
    func held(by holder: Holder) -> Int { state.withLock { $0.byHolder[holder] ?? 0 } }

    /// Bytes that all users have.
    var heldByUsers: Int { state.withLock { $0.users } }

    private func take(_ count: Int, for holder: Holder, share: Int, limit: Int) -> Bool {
        state.withLock { state in
            let held = state.byHolder[holder] ?? 0
            let all = holder == .strangers ? held : state.users
            guard held + count <= share, all + count <= limit else { return false }
            guard count > 0 else { return true }
            state.byHolder[holder] = held + count
            if holder != .strangers { state.users += count }
            return true
        }
    }

    private func release(_ count: Int, of holder: Holder) {
        guard count > 0 else { return }
        state.withLock { state in
            let rest = (state.byHolder[holder] ?? 0) - count
            state.byHolder[holder] = rest > 0 ? rest : nil
            if holder != .strangers { state.users -= count }
        }
    }
}
