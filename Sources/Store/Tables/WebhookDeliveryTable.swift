package import Domain

/// Which deliveries of trackers have come, so that none is worked on twice.
///
/// Nothing here takes the feed lock: an answer must not wait for a scan's page.
package enum WebhookDeliveryTable {
    /// A verified delivery.
    package struct Row: Sendable, Equatable {
        package var organization: OrganizationID
        /// See `WebhookDelivery.identifier`.
        package var id: String
        package var action: String
        package var receivedAt: Timestamp

        package init(
            organization: OrganizationID,
            id: String,
            action: String,
            receivedAt: Timestamp
        ) {
            self.organization = organization
            self.id = id
            self.action = action
            self.receivedAt = receivedAt
        }
    }

    /// Those of an organisation's deliveries that have come before.
    package static func known(
        _ ids: [String],
        of organization: OrganizationID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Set<String> {
        // One text however many they are, so that it is planned once. Not IN or ANY: of a table
        // that was never analysed PostgreSQL reads all the organisation's rows for that.
        let given: SQL =
            switch connection.dialect {
            case .sqlite: "SELECT value AS id FROM json_each(\(JSONValue(ids)))"
            case .postgres: "SELECT jsonb_array_elements_text(\(JSONValue(ids))) AS id"
            }
        let rows = try connection.rows(
            """
            SELECT given.id FROM (\(given)) AS given
            WHERE (
                SELECT d.id FROM webhook_deliveries AS d
                WHERE d.account_id = \(account) AND d.organization_id = \(organization)
                    AND d.id = given.id
            ) IS NOT NULL
            """
        )
        var known: Set<String> = []
        for row in rows { known.insert(try row.text("id")) }
        return known
    }

    /// The statement that writes deliveries; one that is there already stays as it is.
    package static func insertion(of deliveries: [Row], account: AccountID) -> SQL {
        var rows = SQLTable([.integer, .integer, .text, .text, .timestamp])
        for delivery in deliveries {
            rows.append([
                SQLValue(account), SQLValue(delivery.organization), .text(delivery.id),
                .text(delivery.action), .timestamp(delivery.receivedAt),
            ])
        }
        // Without WHERE SQLite would take ON for the beginning of a join.
        return """
            WITH given (account_id, organization_id, id, action, received_at) AS (\(rows: rows))
            INSERT INTO webhook_deliveries (account_id, organization_id, id, action, received_at)
            SELECT account_id, organization_id, id, action, received_at FROM given WHERE TRUE
            ON CONFLICT (account_id, organization_id, id) DO NOTHING
            """
    }

    /// The deliveries of an organisation, the latest first.
    package static func list(
        of organization: OrganizationID,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        let rows = try connection.rows(
            """
            SELECT organization_id, id, action, received_at FROM webhook_deliveries
            WHERE account_id = \(account) AND organization_id = \(organization)
            ORDER BY received_at DESC, id LIMIT \(limit)
            """
        )
        return try rows.map { row throws(StoreError) in
            Row(
                organization: try row.identifier("organization_id"),
                id: try row.text("id"),
                action: try row.text("action"),
                receivedAt: try row.timestamp("received_at")
            )
        }
    }

    /// Forgets deliveries that came before an instant.
    ///
    /// - Returns: How many; fewer than `limit` when none is left.
    package static func prune(
        before instant: Timestamp,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        try connection.execute(
            """
            DELETE FROM webhook_deliveries
            WHERE account_id = \(account) AND received_at < \(instant)
                AND (organization_id, id) IN (
                    SELECT organization_id, id FROM webhook_deliveries
                    WHERE account_id = \(account) AND received_at < \(instant)
                    ORDER BY received_at LIMIT \(limit))
            """
        )
    }
}
