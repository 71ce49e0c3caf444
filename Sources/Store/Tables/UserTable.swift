package import Domain

/// Those who sign in, and the names that lead to them.
package enum UserTable {
    /// More are nobody's team.
    private static let limit = 1_000

    /// A user with what a password is compared with.
    package struct Login: Sendable {
        package var account: AccountID
        package var user: User
        /// Nil where no password is good.
        package var passwordHash: String?
    }

    /// Adds a user whose identifier has been drawn.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when the name is taken, in any account.
    package static func insert(
        _ user: User,
        passwordHash: String?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO login_names (name, account_id, user_id)
            VALUES (\(user.name), \(account), \(user.id))
            """
        )
        try connection.execute(
            """
            INSERT INTO users (account_id, id, name, email, password_hash, role, is_active,
                created_at, last_login_at)
            VALUES (\(account), \(user.id), \(user.name), \(user.email), \(passwordHash),
                \(user.role.rawValue), \(user.isActive), \(user.createdAt), \(user.lastLoginAt))
            """
        )
    }

    /// The account that a name signs in to; nil for a name that nobody has.
    package static func account(
        ofName name: String,
        on connection: any SQLConnection
    ) throws(StoreError) -> AccountID? {
        try connection.rows("SELECT account_id FROM login_names WHERE name = \(name)")
            .first?.identifier("account_id")
    }

    /// The user of a name, with the password's hash.
    package static func login(
        name: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Login? {
        let rows = try connection.rows(
            """
            SELECT password_hash, \(columns)
            FROM users
            WHERE account_id = \(account) AND name = \(name)
            """
        )
        guard let row = rows.first else { return nil }
        return Login(
            account: account,
            user: try user(row),
            passwordHash: try row.optionalText("password_hash")
        )
    }

    private static let columns: SQL = "id, name, email, role, is_active, created_at, last_login_at"

    /// One user.
    package static func find(
        _ id: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> User? {
        let rows = try connection.rows(
            """
            SELECT \(columns)
            FROM users
            WHERE account_id = \(account) AND id = \(id)
            """
        )
        return try rows.first.map { row throws(StoreError) in try user(row) }
    }

    /// Those of some users that there are, oldest first.
    package static func list(
        _ ids: some Collection<UserID>,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [User] {
        let rows = try connection.rows(
            """
            SELECT \(columns)
            FROM users
            WHERE account_id = \(account) AND id \(among: ids)
            ORDER BY id
            LIMIT \(ids.count)
            """
        )
        return try rows.map { row throws(StoreError) in try user(row) }
    }

    /// The account's users, by name.
    package static func list(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [User] {
        let rows = try connection.rows(
            """
            SELECT \(columns)
            FROM users
            WHERE account_id = \(account)
            ORDER BY name
            LIMIT \(limit)
            """
        )
        return try rows.map { row throws(StoreError) in try user(row) }
    }

    /// How many active owners there are besides one user.
    package static func ownerCount(
        besides id: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS owners FROM users
            WHERE account_id = \(account) AND role = 'owner' AND is_active AND id <> \(id)
            """
        )
        return Int(try rows.first?.integer("owners") ?? 0)
    }

    /// Whether the account has any user.
    package static func hasAny(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try !connection.rows("SELECT id FROM users WHERE account_id = \(account) LIMIT 1").isEmpty
    }

    /// Changes what is given of a user.
    package static func update(
        _ id: UserID,
        email: String?,
        role: Role?,
        isActive: Bool?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE users
            SET email = COALESCE(\(email), email), role = COALESCE(\(role?.rawValue), role),
                is_active = COALESCE(\(isActive), is_active)
            WHERE account_id = \(account) AND id = \(id)
            """
        )
    }

    /// Sets a user's password.
    package static func setPassword(
        _ hash: String,
        of id: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE users SET password_hash = \(hash)
            WHERE account_id = \(account) AND id = \(id)
            """
        )
    }

    /// Notes that somebody has signed in.
    package static func noteLogin(
        of id: UserID,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE users SET last_login_at = \(instant)
            WHERE account_id = \(account) AND id = \(id)
            """
        )
    }

    /// Removes a user with all sessions and keys; the name is free again.
    package static func remove(
        _ id: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(batch: [
            """
            DELETE FROM refresh_tokens
            WHERE account_id = \(account) AND session_id IN (
                SELECT s.id FROM sessions s
                WHERE s.account_id = \(account) AND s.user_id = \(id))
            """,
            "DELETE FROM sessions WHERE account_id = \(account) AND user_id = \(id)",
            "DELETE FROM api_keys WHERE account_id = \(account) AND user_id = \(id)",
            "DELETE FROM idempotent_requests WHERE account_id = \(account) AND user_id = \(id)",
            "DELETE FROM login_names WHERE account_id = \(account) AND user_id = \(id)",
            "DELETE FROM users WHERE account_id = \(account) AND id = \(id)",
        ])
    }

    private static func user(_ row: SQLRow) throws(StoreError) -> User {
        guard let role = Role(rawValue: try row.text("role")) else {
            throw .unexpectedValue(column: "users.role")
        }
        return User(
            id: try row.identifier("id"),
            name: try row.text("name"),
            email: try row.optionalText("email"),
            role: role,
            isActive: try row.bool("is_active"),
            createdAt: try row.timestamp("created_at"),
            lastLoginAt: try row.optionalTimestamp("last_login_at")
        )
    }
}
