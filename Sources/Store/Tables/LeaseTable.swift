package import Domain

/// Proof that a process holds a lease.
package struct Lease: Sendable, Equatable {
    /// What it is a lease of, such as `scan`.
    package var name: String
    /// Who holds it.
    package var holder: LeaseHolder
    /// Greater than that of every holder before.
    package var fence: Int64
    /// When it ends unless it is renewed.
    package var expiresAt: Timestamp
}

/// Leases: at most one process at a time does what a lease is for.
///
/// A holder renews its lease well before it expires and calls ``verify(_:account:on:)`` in each
/// transaction that must not be written by two. Rows stay when a lease is released, because the
/// fence must never be used again.
package enum LeaseTable {
    /// No lease is given for longer: an end further away was written by a clock that was wrong, and
    /// holds nobody up.
    package static let longestLease = Duration.seconds(600)

    /// Takes a lease that is free, expired, already ours, or held by a process that is known to be
    /// dead.
    ///
    /// Throws ``StoreError/leaseHeld(name:holder:)`` when someone else has it. `isDead` says
    /// whether a holder is known to be dead; outside tests it is left at its default.
    package static func acquire(
        _ name: String,
        holder: LeaseHolder,
        duration: Duration,
        now: Timestamp,
        isDead: (LeaseHolder) -> Bool = \.isKnownDead,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Lease {
        precondition(duration <= longestLease, "no lease is given for longer")
        let expiresAt = now.advanced(by: duration)
        // Also the lock on PostgreSQL: of two who insert at once the second waits for the first.
        try connection.execute(
            """
            INSERT INTO leases (account_id, name, holder, fence, expires_at)
            VALUES (\(account), \(name), '', 0, \(Timestamp(milliseconds: 0)))
            ON CONFLICT (account_id, name) DO UPDATE SET name = excluded.name
            """
        )
        let rows = try connection.rows(
            """
            SELECT holder, fence, expires_at FROM leases
            WHERE account_id = \(account) AND name = \(name)
            """
        )
        guard let row = rows.first else { throw .unexpectedValue(column: "leases.name") }
        let text = try row.text("holder")
        let end = try row.timestamp("expires_at")
        let isFree =
            end <= now || end > now.advanced(by: longestLease) || text == holder.text
            || LeaseHolder(text: text).map(isDead) ?? false
        guard isFree else {
            throw .leaseHeld(name: name, holder: LeaseHolder(text: text)?.description ?? text)
        }
        let fence = try row.integer("fence") + 1
        try connection.execute(
            """
            UPDATE leases
            SET holder = \(holder.text), fence = \(fence), expires_at = \(expiresAt)
            WHERE account_id = \(account) AND name = \(name)
            """
        )
        return Lease(name: name, holder: holder, fence: fence, expiresAt: expiresAt)
    }

    /// Holds a lease for longer; also one that has expired but that nobody has taken.
    ///
    /// - Throws: ``StoreError/leaseLost(name:)`` when someone else has taken it.
    package static func renew(
        _ lease: Lease,
        duration: Duration,
        now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Lease {
        var renewed = lease
        renewed.expiresAt = now.advanced(by: duration)
        let count = try connection.execute(
            """
            UPDATE leases SET expires_at = \(renewed.expiresAt)
            WHERE account_id = \(account) AND name = \(lease.name) AND fence = \(lease.fence)
                AND holder = \(lease.holder.text)
            """
        )
        guard count == 1 else { throw .leaseLost(name: lease.name) }
        return renewed
    }

    /// Makes sure, inside the transaction that writes, that nobody has taken the lease meanwhile.
    ///
    /// The row is locked until the transaction ends, so that nobody takes the lease before it
    /// commits.
    ///
    /// - Throws: ``StoreError/leaseLost(name:)``.
    package static func verify(
        _ lease: Lease,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let statement: SQL = """
            SELECT fence FROM leases
            WHERE account_id = \(account) AND name = \(lease.name) AND fence = \(lease.fence)
                AND holder = \(lease.holder.text)
            """
        let rows =
            switch connection.dialect {
            case .sqlite: try connection.rows(statement)
            case .postgres: try connection.rows("\(statement) FOR UPDATE")
            }
        guard !rows.isEmpty else { throw .leaseLost(name: lease.name) }
    }

    /// Gives a lease back; without effect when it has been lost.
    package static func release(
        _ lease: Lease,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE leases SET holder = '', expires_at = \(Timestamp(milliseconds: 0))
            WHERE account_id = \(account) AND name = \(lease.name) AND fence = \(lease.fence)
                AND holder = \(lease.holder.text)
            """
        )
    }

    /// Takes every lease from whoever holds it.
    static func forgetHolders(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE leases
            SET holder = '', fence = fence + 1, expires_at = \(Timestamp(milliseconds: 0))
            WHERE account_id = \(account)
            """
        )
    }

    /// Who holds a lease now, or one of its family: those named `scan-…` are of the family `scan`.
    ///
    /// Nil when all of them are free, expired, or their holders known to be dead.
    package static func holder(
        of name: String,
        now: Timestamp,
        isDead: (LeaseHolder) -> Bool = \.isKnownDead,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> LeaseHolder? {
        let rows = try connection.rows(
            """
            SELECT holder FROM leases
            WHERE account_id = \(account) AND expires_at > \(now)
                AND expires_at <= \(now.advanced(by: longestLease))
                AND (name = \(name) OR (name >= \(name + "-") AND name < \(name + ".")))
            ORDER BY name LIMIT 1000
            """
        )
        for row in rows {
            guard let holder = LeaseHolder(text: try row.text("holder")), !isDead(holder)
            else { continue }
            return holder
        }
        return nil
    }

    /// Who holds this very lease now; see ``holder(of:now:isDead:account:on:)``.
    static func holder(
        ofOne name: String,
        now: Timestamp,
        isDead: (LeaseHolder) -> Bool = \.isKnownDead,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> LeaseHolder? {
        let rows = try connection.rows(
            """
            SELECT holder FROM leases
            WHERE account_id = \(account) AND name = \(name) AND expires_at > \(now)
                AND expires_at <= \(now.advanced(by: longestLease))
            """
        )
        guard let row = rows.first, let holder = LeaseHolder(text: try row.text("holder")),
            !isDead(holder)
        else { return nil }
        return holder
    }
}
