package import Domain
import Synchronization

/// The lease under which a store writes: every transaction of a fenced store makes sure first that
/// nobody has taken it over, and otherwise writes nothing.
///
/// See ``Store/fenced(by:)``. A process that was stopped, cut off or given another time may believe
/// for as long as it likes that it holds a lease: what it writes is decided by the database.
package final class Fence: Sendable {
    private let name: String
    private let held: Mutex<Lease?>

    /// A fence for a lease that is yet to be taken: until then nothing can be written.
    package init(_ name: String) {
        self.name = name
        held = Mutex(nil)
    }

    /// A fence for a lease that is held.
    package init(_ lease: Lease) {
        name = lease.name
        held = Mutex(lease)
    }

    /// The lease was taken.
    package func raise(_ lease: Lease) { held.withLock { $0 = lease } }

    /// The lease is given back.
    package func lower() { held.withLock { $0 = nil } }

    /// Makes sure, inside the transaction that writes, that the lease is still held.
    ///
    /// - Throws: ``StoreError/leaseLost(name:)``.
    package func verify(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        guard let lease = held.withLock({ $0 }) else { throw .leaseLost(name: name) }
        try LeaseTable.verify(lease, account: account, on: connection)
    }
}
