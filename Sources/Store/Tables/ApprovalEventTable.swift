package import Domain

/// What happened to requests for approvals, in order.
package enum ApprovalEventTable {
    /// Votes, deliveries and their failures; a request has a few dozen.
    private static let limit = 500

    /// Something that happened.
    package struct Event: Sendable, Equatable {
        /// Such as `approval_requested`, `vote`, `expired`.
        package var kind: String
        /// Who did it; nil for time.
        package var actor: String?
        package var detail: String?
        package var at: Timestamp

        package init(
            _ kind: String,
            actor: String? = nil,
            detail: String? = nil,
            at: Timestamp
        ) {
            self.kind = kind
            self.actor = actor
            self.detail = detail
            self.at = at
        }
    }

    /// Adds an event behind those that are there; whoever calls holds the request's row.
    package static func append(
        _ event: Event,
        to request: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO approval_events (account_id, request_id, number, kind, actor, detail,
                created_at)
            SELECT \(account), \(request), COALESCE(MAX(number), 0) + 1, \(event.kind),
                \(event.actor), \(event.detail), \(event.at)
            FROM approval_events
            WHERE account_id = \(account) AND request_id = \(request)
            """
        )
    }

    /// A request's events, earliest first.
    package static func list(
        of request: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Event] {
        let rows = try connection.rows(
            """
            SELECT kind, actor, detail, created_at FROM approval_events
            WHERE account_id = \(account) AND request_id = \(request)
            ORDER BY number LIMIT \(limit)
            """
        )
        return try rows.map { row throws(StoreError) in
            Event(
                try row.text("kind"),
                actor: try row.optionalText("actor"),
                detail: try row.optionalText("detail"),
                at: try row.timestamp("created_at")
            )
        }
    }
}
