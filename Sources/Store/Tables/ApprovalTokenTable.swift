package import Domain

/// The links by which requests are decided without signing in, as digests.
package enum ApprovalTokenTable {
    /// A link that was given out.
    package struct Token: Sendable, Equatable {
        package var digest: [UInt8]
        package var request: String
        /// In whose name it decides.
        package var approver: String
        /// The place of the workflow that it answers, among those that have to approve.
        package var place = 0
        package var issuedAt: Timestamp
        package var expiresAt: Timestamp
        package var usedAt: Timestamp?

        package init(
            digest: [UInt8],
            request: String,
            approver: String,
            issuedAt: Timestamp,
            expiresAt: Timestamp
        ) {
            self.digest = digest
            self.request = request
            self.approver = approver
            self.issuedAt = issuedAt
            self.expiresAt = expiresAt
        }
    }

    /// Keeps a link's digest.
    package static func insert(
        _ token: Token,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO approval_tokens (account_id, digest, request_id, approver, place, issued_at,
                expires_at)
            VALUES (\(account), \(token.digest), \(token.request), \(token.approver),
                \(token.place), \(token.issuedAt), \(token.expiresAt))
            """
        )
    }

    /// The link of a digest, used or over or not; nil when there is none.
    package static func find(
        digest: [UInt8],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Token? {
        let rows = try connection.rows(
            """
            SELECT digest, request_id, approver, place, issued_at, expires_at, used_at
            FROM approval_tokens
            WHERE account_id = \(account) AND digest = \(digest)
            """
        )
        return try rows.first.map { row throws(StoreError) in
            var token = Token(
                digest: try row.blob("digest"),
                request: try row.text("request_id"),
                approver: try row.text("approver"),
                issuedAt: try row.timestamp("issued_at"),
                expiresAt: try row.timestamp("expires_at")
            )
            token.place = Int(try row.integer("place"))
            token.usedAt = try row.optionalTimestamp("used_at")
            return token
        }
    }

    /// Uses a link up.
    ///
    /// - Returns: Whether it was still good: whoever comes second hears no.
    package static func use(
        digest: [UInt8],
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try connection.execute(
            """
            UPDATE approval_tokens SET used_at = \(instant)
            WHERE account_id = \(account) AND digest = \(digest) AND used_at IS NULL
                AND expires_at > \(instant)
            """
        ) == 1
    }
}
