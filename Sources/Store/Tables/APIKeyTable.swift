package import Domain

/// Keys that programs use on behalf of users.
package enum APIKeyTable {
    /// More of one user are a program gone wrong.
    package static let maximumPerUser = 100

    /// A key without its secret.
    package struct Row: Sendable, Equatable {
        package var id: APIKeyID
        package var user: UserID
        package var name: String
        /// The beginning of the key.
        package var prefix: String
        /// Empty for everything its user may do.
        package var scopes: [String]
        package var createdAt: Timestamp
        package var expiresAt: Timestamp?
        package var lastUsedAt: Timestamp?

        package init(
            id: APIKeyID,
            user: UserID,
            name: String,
            prefix: String,
            scopes: [String],
            createdAt: Timestamp,
            expiresAt: Timestamp?,
            lastUsedAt: Timestamp? = nil
        ) {
            self.id = id
            self.user = user
            self.name = name
            self.prefix = prefix
            self.scopes = scopes
            self.createdAt = createdAt
            self.expiresAt = expiresAt
            self.lastUsedAt = lastUsedAt
        }
    }

    /// Adds a key whose identifier has been drawn.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when the user has a key of that name.
    package static func insert(
        _ row: Row,
        digest: [UInt8],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO api_keys (account_id, id, user_id, name, prefix, digest, scopes,
                created_at, expires_at)
            VALUES (\(account), \(row.id), \(row.user), \(row.name), \(row.prefix), \(digest),
                \(row.scopes.joined(separator: " ")), \(row.createdAt), \(row.expiresAt))
            """
        )
    }

    private static let columns: SQL = """
        id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at
        """

    /// The key of a digest.
    package static func find(
        digest: [UInt8],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT \(columns)
            FROM api_keys
            WHERE account_id = \(account) AND digest = \(digest)
            """
        )
        return try rows.first.map { row throws(StoreError) in try key(row) }
    }

    /// Those of some keys that there are, oldest first.
    package static func list(
        _ ids: [APIKeyID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let rows = try connection.rows(
            """
            SELECT \(columns)
            FROM api_keys
            WHERE account_id = \(account) AND id \(among: ids)
            ORDER BY id
            LIMIT \(ids.count)
            """
        )
        return try rows.map { row throws(StoreError) in try key(row) }
    }

    /// A user's keys, newest first.
    package static func list(
        of user: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let rows = try connection.rows(
            """
            SELECT \(columns)
            FROM api_keys
            WHERE account_id = \(account) AND user_id = \(user)
            ORDER BY id DESC
            LIMIT \(maximumPerUser)
            """
        )
        return try rows.map { row throws(StoreError) in try key(row) }
    }

    /// Notes that a key was used.
    package static func noteUse(
        of id: APIKeyID,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE api_keys SET last_used_at = \(instant)
            WHERE account_id = \(account) AND id = \(id)
            """
        )
    }

    /// Removes a user's key; whether there was one.
    package static func remove(
        _ id: APIKeyID,
        of user: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try connection.execute(
            """
            DELETE FROM api_keys
            WHERE account_id = \(account) AND id = \(id) AND user_id = \(user)
            """
        ) > 0
    }

    private static func key(_ row: SQLRow) throws(StoreError) -> Row {
        Row(
            id: try row.identifier("id"),
            user: try row.identifier("user_id"),
            name: try row.text("name"),
            prefix: try row.text("prefix"),
            scopes: try row.text("scopes").split(separator: " ").map(String.init),
            createdAt: try row.timestamp("created_at"),
            expiresAt: try row.optionalTimestamp("expires_at"),
            lastUsedAt: try row.optionalTimestamp("last_used_at")
        )
    }
}
