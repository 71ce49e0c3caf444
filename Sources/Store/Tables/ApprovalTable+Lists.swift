package import Domain

extension ApprovalTable {
    /// Requests, latest first.
    ///
    /// Only those of a status, where one is given, and with identifiers smaller than `before`: the
    /// page after one that ended there. The first `skip` of them are left out. Without what is
    /// sealed: a page of answers would be hundreds of megabytes.
    package static func list(
        status: String?,
        before: String? = nil,
        skip: Int = 0,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let isOfStatus: SQL = status.map { "AND status = \($0)" } ?? ""
        let isBefore: SQL = before.map { "AND id < \($0)" } ?? ""
        let rows = try connection.rows(
            """
            SELECT \(openColumns(connection.dialect)) FROM approval_requests
            WHERE account_id = \(account) \(isOfStatus) \(isBefore)
            ORDER BY id DESC LIMIT \(limit) OFFSET \(skip)
            """
        )
        return try rows.map { row throws(StoreError) in try Self.row(row) }
    }

    /// How many requests wait at an instant, of one requester alone where one is given; those whose
    /// time is over do not, whether anybody has noticed or not.
    package static func pendingCount(
        of requester: String? = nil,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let isOfRequester: SQL = requester.map { "AND requester = \($0)" } ?? ""
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS requests FROM approval_requests
            WHERE account_id = \(account) AND status = 'pending' AND expires_at > \(instant)
                \(isOfRequester)
            """
        )
        return Int(try rows.first?.integer("requests") ?? 0)
    }

    /// Bytes of the answers of a requester that are kept sealed and have not been given out.
    package static func answerBytes(
        of requester: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT COALESCE(SUM(LENGTH(sealed_call)), 0) AS bytes FROM approval_requests
            WHERE account_id = \(account) AND requester = \(requester) AND kind = 'answer'
                AND status IN ('pending', 'approved') AND execution = 'none'
            """
        )
        return Int(try rows.first?.integer("bytes") ?? 0)
    }

    /// Identifiers of requests that were decided since an instant, earliest first.
    package static func resolved(
        since instant: Timestamp,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [String] {
        let rows = try connection.rows(
            """
            SELECT id FROM approval_requests
            WHERE account_id = \(account) AND resolved_at >= \(instant)
            ORDER BY resolved_at, id LIMIT \(limit)
            """
        )
        return try rows.map { row throws(StoreError) in try row.text("id") }
    }

    /// Approvals of the same call by a workflow that are still remembered, and that their history
    /// tells of, those first that hold longest.
    package static func remembered(
        digest: [UInt8],
        workflow: String,
        at instant: Timestamp,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM approval_requests
            WHERE account_id = \(account) AND digest = \(digest) AND status = 'approved'
                AND workflow = \(workflow) AND remembered_until > \(instant)
                AND EXISTS (
                    SELECT 1 FROM approval_events
                    WHERE account_id = \(account) AND request_id = approval_requests.id
                        AND kind = 'approved'
                )
            ORDER BY remembered_until DESC, id DESC LIMIT \(limit)
            """
        )
        return try rows.map { row throws(StoreError) in try Self.row(row) }
    }

    /// Approvals of calls that are remembered at an instant, latest request first, without what is
    /// sealed; with identifiers smaller than `before`, the first `skip` of them left out.
    package static func remembered(
        at instant: Timestamp,
        before: String?,
        skip: Int,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let isBefore: SQL = before.map { "AND id < \($0)" } ?? ""
        let rows = try connection.rows(
            """
            SELECT \(openColumns(connection.dialect)) FROM approval_requests
            WHERE account_id = \(account) AND status = 'approved' AND kind = 'call'
                AND remembered_until > \(instant) \(isBefore)
            ORDER BY id DESC LIMIT \(limit) OFFSET \(skip)
            """
        )
        return try rows.map { row throws(StoreError) in try Self.row(row) }
    }

    /// Forgets an approval that is remembered at an instant.
    ///
    /// - Returns: Whether there was something to forget; otherwise nothing has changed.
    package static func forget(
        _ id: String,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try connection.execute(
            """
            UPDATE approval_requests SET remembered_until = NULL
            WHERE account_id = \(account) AND id = \(id) AND status = 'approved'
                AND kind = 'call' AND remembered_until > \(instant)
            """
        ) == 1
    }

    /// The request about the same call by a workflow that waits, or was approved and has not run.
    ///
    /// Of equal questions it is the one that waits. Nil when there is none.
    package static func open(
        digest: [UInt8],
        requester: String,
        workflow: String,
        approvedSince instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM approval_requests
            WHERE account_id = \(account) AND digest = \(digest) AND requester = \(requester)
                AND workflow = \(workflow) AND execution = 'none'
                AND (
                    status = 'pending'
                    OR kind = 'call' AND status = 'approved' AND resolved_at > \(instant)
                )
            ORDER BY id DESC LIMIT 1
            """
        )
        return try rows.first.map { row throws(StoreError) in try Self.row(row) }
    }

    /// Removes decided requests made before an instant, with their events and links.
    ///
    /// - Returns: How many; fewer than `limit` when none is left.
    package static func prune(
        before instant: Timestamp,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT id FROM approval_requests
            WHERE account_id = \(account) AND status <> 'pending' AND requested_at < \(instant)
            ORDER BY requested_at, id LIMIT \(limit)
            """
        )
        for row in rows {
            let id = try row.text("id")
            try connection.execute(batch: [
                """
                DELETE FROM approval_events
                WHERE account_id = \(account) AND request_id = \(id)
                """,
                """
                DELETE FROM approval_tokens
                WHERE account_id = \(account) AND request_id = \(id)
                """,
                "DELETE FROM approval_requests WHERE account_id = \(account) AND id = \(id)",
            ])
        }
        return rows.count
    }
}
