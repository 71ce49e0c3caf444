package import Domain

/// Requests with an `Idempotency-Key`, and what they were answered with.
package enum IdempotencyTable {
    /// What is kept of an answer.
    package struct Answer: Sendable, Equatable {
        package var status: Int
        package var contentType: String?
        package var body: [UInt8]

        package init(status: Int, contentType: String?, body: [UInt8]) {
            self.status = status
            self.contentType = contentType
            self.body = body
        }
    }

    /// What is known of a key.
    package struct Row: Sendable, Equatable {
        package var requestDigest: [UInt8]
        package var createdAt: Timestamp
        /// Nil while the first request is under way, or when its process ended.
        package var answer: Answer?
    }

    /// What is known of a key; nil for a new one.
    package static func find(
        _ key: String,
        of user: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT request_digest, created_at, status, content_type, body
            FROM idempotent_requests
            WHERE account_id = \(account) AND user_id = \(user) AND idempotency_key = \(key)
            """
        )
        guard let row = rows.first else { return nil }
        let status = try row.optionalInteger("status")
        return Row(
            requestDigest: try row.blob("request_digest"),
            createdAt: try row.timestamp("created_at"),
            answer: try status.map { status throws(StoreError) in
                Answer(
                    status: Int(status),
                    contentType: try row.optionalText("content_type"),
                    body: try row.blob("body")
                )
            }
        )
    }

    /// How much is kept of a user.
    package static func kept(
        of user: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> (count: Int, bytes: Int) {
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS total, CAST(COALESCE(SUM(LENGTH(body)), 0) AS BIGINT) AS bytes
            FROM idempotent_requests
            WHERE account_id = \(account) AND user_id = \(user)
            """
        )
        guard let row = rows.first else { return (0, 0) }
        return (Int(try row.integer("total")), Int(try row.integer("bytes")))
    }

    /// Keeps that a request has begun.
    package static func begin(
        _ key: String,
        requestDigest: [UInt8],
        of user: UserID,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO idempotent_requests
                (account_id, user_id, idempotency_key, request_digest, created_at)
            VALUES (\(account), \(user), \(key), \(requestDigest), \(instant))
            """
        )
    }

    /// Keeps what a request was answered with.
    package static func complete(
        _ key: String,
        _ answer: Answer,
        of user: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE idempotent_requests
            SET status = \(answer.status), content_type = \(answer.contentType),
                body = \(answer.body)
            WHERE account_id = \(account) AND user_id = \(user) AND idempotency_key = \(key)
            """
        )
    }

    /// Forgets a key, so that the request can be sent again.
    package static func remove(
        _ key: String,
        of user: UserID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM idempotent_requests
            WHERE account_id = \(account) AND user_id = \(user) AND idempotency_key = \(key)
            """
        )
    }

    /// Forgets what is older.
    package static func purge(
        before instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM idempotent_requests
            WHERE account_id = \(account) AND created_at < \(instant)
            """
        )
    }
}
