package import Domain
import Synchronization

/// How many people accounts may tell in an hour, each of them.
///
/// For accounts that strangers made: what they have sent goes out in the operator's name. Each
/// process counts for itself.
package final class NoticeBudget: Sendable {
    /// A person who decides about so many calls does nothing else.
    package static let standardLimit = 30

    private struct State {
        /// The hour that is counted.
        var hour: Int64 = 0
        var counts: [AccountID: Int] = [:]
    }

    private static let hourMilliseconds: Int64 = 3_600_000

    private let limit: Int
    private let state = Mutex(State())

    package init(limit: Int = standardLimit) {
        self.limit = limit
    }

    /// Takes one notice of an account's.
    ///
    /// - Returns: Nil when there was one left, else how long it takes until there are others.
    package func take(for account: AccountID, at now: Timestamp) -> Duration? {
        let hour = now.milliseconds / Self.hourMilliseconds
        let isGiven = state.withLock { state in
            if state.hour != hour { state = State(hour: hour) }
            let count = state.counts[account, default: 0]
            guard count < limit else { return false }
            state.counts[account] = count + 1
            return true
        }
        let end = (hour + 1) * Self.hourMilliseconds
        return isGiven ? nil : .milliseconds(end - now.milliseconds)
    }
}
