package import Domain

/// What tells one account of one store from every other, so that a cache file is never taken for
/// that of another: the account and the instant it was made.
package enum StoreIdentity {
    /// A short text without spaces, the same for the life of the account.
    package static func text(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> String {
        let rows = try connection.rows("SELECT created_at FROM accounts WHERE id = \(account)")
        guard let row = rows.first else { throw .unexpectedValue(column: "accounts.id") }
        return "\(account)-\(try row.timestamp("created_at").milliseconds)"
    }
}
