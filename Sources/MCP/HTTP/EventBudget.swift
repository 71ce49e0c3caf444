import Synchronization

/// How many bytes the logs of all sessions together may keep.
///
/// Each log is bounded, and there may be thousands of sessions.
package final class EventBudget: Sendable {
    /// What all logs may keep.
    package let bytes: Int
    private let used = Atomic<Int>(0)

    package init(bytes: Int) {
        self.bytes = bytes
    }

    /// What the logs keep at the moment.
    package var usedBytes: Int { used.load(ordering: .relaxed) }

    /// Takes some; false when there are not so many.
    fileprivate func take(_ count: Int) -> Bool {
        let total = used.add(count, ordering: .relaxed).newValue
        guard total > bytes else { return true }
        used.subtract(count, ordering: .relaxed)
        return false
    }

    fileprivate func give(_ count: Int) {
        used.subtract(count, ordering: .relaxed)
    }

    /// What one log has taken; given back when the log is gone.
    final class Share: Sendable {
        private let budget: EventBudget
        private let taken = Atomic<Int>(0)

        init(of budget: EventBudget) {
            self.budget = budget
        }

        deinit { budget.give(taken.load(ordering: .relaxed)) }

        /// Takes some; false when there are not so many.
        func take(_ count: Int) -> Bool {
            guard budget.take(count) else { return false }
            taken.add(count, ordering: .relaxed)
            return true
        }

        /// Gives some back.
        func give(_ count: Int) {
            taken.subtract(count, ordering: .relaxed)
            budget.give(count)
        }
    }
}
