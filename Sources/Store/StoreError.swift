/// Why the store refused.
///
/// Never holds bound values.
package enum StoreError: Error, Equatable, Sendable {
    /// The database was written by a newer Preloop.
    case newerSchema(found: Int, supported: Int)
    /// The file is not a database or is damaged.
    case corrupt(detail: String)
    case diskFull
    case readOnly
    /// Another process holds the database for longer than we wait.
    case busy
    /// A UNIQUE, CHECK or foreign key rule says no.
    case constraint(detail: String)
    /// A column does not hold what the schema promises.
    case unexpectedValue(column: String)
    /// Another holder has the lease.
    case leaseHeld(name: String, holder: String)
    /// This process lost its lease: nothing was written.
    case leaseLost(name: String)
    /// The key file or SECRET_KEY does not open a stored secret.
    case undecryptable(name: String)
    case unavailable(detail: String)
    /// The database server does not answer, or not any more; nothing of the transaction remains
    /// unless the detail says otherwise.
    case disconnected(detail: String)
    /// A statement took longer than the server was told to spend on it, or no connection became
    /// free in that time.
    case timedOut
    /// The task was cancelled; nothing of the statement or transaction remains.
    case cancelled
    case statement(detail: String)
}
