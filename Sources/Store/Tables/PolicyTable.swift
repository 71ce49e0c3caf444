package import Domain

/// The versions of an account's policy; the last one is in force, and none is ever changed.
package enum PolicyTable {
    /// A version without its text.
    package struct Version: Sendable, Equatable {
        /// Counted from 1, without gaps.
        package var number: Int64
        /// The policy's own name.
        package var name: String
        /// SHA-256 of the text.
        package var digest: [UInt8]
        package var author: String
        /// What made it: `apply`, `rollback`, `edit`.
        package var origin: String
        package var createdAt: Timestamp
        /// A name that somebody has given it.
        package var tag: String?

        package init(
            number: Int64,
            name: String,
            digest: [UInt8],
            author: String,
            origin: String,
            createdAt: Timestamp,
            tag: String? = nil
        ) {
            self.number = number
            self.name = name
            self.digest = digest
            self.author = author
            self.origin = origin
            self.createdAt = createdAt
            self.tag = tag
        }
    }

    /// A version with what it says.
    package struct Row: Sendable, Equatable {
        package var version: Version
        package var text: String
        /// The tools that were there when it was made, as `server/name`.
        package var knownTools: [String]

        package init(version: Version, text: String, knownTools: [String]) {
            self.version = version
            self.text = text
            self.knownTools = knownTools
        }
    }

    /// The number of the version in force; 0 when there is none.
    package static func current(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int64 {
        let rows = try connection.rows(
            """
            SELECT COALESCE(MAX(version), 0) AS version
            FROM policy_versions WHERE account_id = \(account)
            """
        )
        return try rows.first?.integer("version") ?? 0
    }

    /// A version with its text; nil when there is none of the number.
    package static func find(
        _ number: Int64,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT version, name, digest, author, origin, created_at, tag, text, known_tools
            FROM policy_versions WHERE account_id = \(account) AND version = \(number)
            """
        )
        guard let row = rows.first else { return nil }
        let tools = try row.json("known_tools").array ?? []
        return Row(
            version: try version(row),
            text: try row.text("text"),
            knownTools: tools.compactMap(\.string)
        )
    }

    /// Versions, the latest first; with `before` only those with a smaller number.
    package static func list(
        before: Int64? = nil,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Version] {
        let before = before ?? .max
        return try connection.rows(
            """
            SELECT version, name, digest, author, origin, created_at, tag
            FROM policy_versions WHERE account_id = \(account) AND version < \(before)
            ORDER BY version DESC LIMIT \(limit)
            """
        ).map(version)
    }

    /// Adds a version; its number is one more than the last, which the caller has looked up under
    /// the account's lock.
    package static func insert(
        _ row: Row,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let version = row.version
        let tools = JSONValue.array(row.knownTools.map(JSONValue.string))
        try connection.execute(
            """
            INSERT INTO policy_versions (account_id, version, name, digest, author, origin,
                created_at, tag, text, known_tools)
            VALUES (\(account), \(version.number), \(version.name), \(version.digest),
                \(version.author), \(version.origin), \(version.createdAt), \(version.tag),
                \(row.text), \(tools))
            """
        )
    }

    /// A version without its text, whose name nobody else changes until the transaction ends; nil
    /// when there is none of the number.
    package static func lock(
        _ number: Int64,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Version? {
        let lock: SQL = connection.dialect == .postgres ? "FOR UPDATE" : ""
        let rows = try connection.rows(
            """
            SELECT version, name, digest, author, origin, created_at, tag
            FROM policy_versions WHERE account_id = \(account) AND version = \(number)
            \(lock)
            """
        )
        return try rows.first.map(version)
    }

    /// Names a version, or takes its name away.
    ///
    /// - Returns: Whether there is such a version.
    package static func tag(
        _ number: Int64,
        _ tag: String?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try connection.execute(
            """
            UPDATE policy_versions SET tag = \(tag)
            WHERE account_id = \(account) AND version = \(number)
            """
        ) > 0
    }

    private static func version(_ row: SQLRow) throws(StoreError) -> Version {
        Version(
            number: try row.integer("version"),
            name: try row.text("name"),
            digest: try row.blob("digest"),
            author: try row.text("author"),
            origin: try row.text("origin"),
            createdAt: try row.timestamp("created_at"),
            tag: try row.optionalText("tag")
        )
    }
}
