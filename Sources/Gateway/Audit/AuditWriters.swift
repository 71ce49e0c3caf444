package import Domain
import Synchronization

/// The audit's writers of a process, one for each account.
///
/// A writer that is kept knows the end of the chain that it has signed itself: its keys are derived
/// once, and the next event costs no verification. Where another process wrote in between, the end
/// is another one and is verified as ever.
package final class AuditWriters: Sendable {
    /// Accounts whose writers are kept: more than write at the same time, a few hundred bytes each.
    package static let standardCapacity = 256

    private struct Kept {
        var writer: AuditWriter
        /// The number of its latest use.
        var use: Int
    }

    private struct State {
        var kept: [AccountID: Kept] = [:]
        var uses = 0

        mutating func use(_ account: AccountID) -> AuditWriter? {
            guard let writer = kept[account]?.writer else { return nil }
            uses += 1
            kept[account]?.use = uses
            return writer
        }

        mutating func keep(_ writer: AuditWriter, of account: AccountID, among capacity: Int) {
            while kept.count >= capacity,
                let idle = kept.min(by: { $0.value.use < $1.value.use })?.key
            {
                kept[idle] = nil
            }
            uses += 1
            kept[account] = Kept(writer: writer, use: uses)
        }
    }

    private let capacity: Int
    private let state = Mutex(State())

    package init(capacity: Int = standardCapacity) {
        precondition(capacity > 0, "a writer at least is kept")
        self.capacity = capacity
    }

    /// Accounts whose writers are kept.
    package var count: Int { state.withLock { $0.kept.count } }

    /// The writer of an account: the one that is kept, else a new one, for which the one makes room
    /// that was not used for the longest time.
    ///
    /// - Parameters:
    ///   - account: Whose.
    ///   - keys: Derives the account's keys.
    /// - Returns: The same one to all, as long as it is kept.
    /// - Throws: What `keys` throws.
    package func writer(
        of account: AccountID,
        _ keys: () throws -> AuditKeys
    ) throws -> AuditWriter {
        if let writer = state.withLock({ $0.use(account) }) { return writer }
        // Not under the lock, for whoever derives keys may read a file.
        let made = AuditWriter(try keys())
        return state.withLock { state in
            // Somebody may have been faster.
            if let writer = state.use(account) { return writer }
            state.keep(made, of: account, among: capacity)
            return made
        }
    }
}
