package import Domain

/// What has been decided and done: events that are written once and never changed.
///
/// The rows of an account are a chain; what makes the hashes is told to the statements here, which
/// know nothing of it. Whoever appends holds ``lockEnd(account:on:)``.
package enum AuditTable {
    /// One event, as it is hashed: whatever is stored of it, besides its number.
    ///
    /// Words are texts here and not cases, so that a row can be read and compared with its hash
    /// whatever somebody has made of it.
    package struct Event: Sendable, Equatable {
        /// What an event tells of.
        package enum Kind: String, Sendable, CaseIterable {
            /// A call that is about to run, or one that was refused.
            case call
            /// How a call has ended.
            case completed
            /// What has become of a request for an approval.
            case approval
            /// What decides who may do what was changed: policies, servers, users and their keys.
            case change
            /// The end of the chain was not what had been signed.
            case doubt
        }

        package var kind: String
        package var happenedAt: Timestamp
        package var callID: String?
        package var caller: String
        package var channel: String?
        package var client: String?
        package var session: String?
        package var server: String?
        package var tool: String?
        package var decision: String?
        package var outcome: String?
        package var rule: String?
        package var policyVersion: Int64?
        package var approvalID: String?
        package var reason: String?
        /// A JSON document, redacted.
        package var arguments: String?
        /// What was redacted, a JSON array.
        package var findings: String?
        package var argumentsDigest: [UInt8]?
        package var resultDigest: [UInt8]?
        package var resultBytes: Int64?
        package var durationMicroseconds: Int64?
        package var traceParent: String?

        package init(_ kind: Kind, at happenedAt: Timestamp, caller: String) {
            self.kind = kind.rawValue
            self.happenedAt = happenedAt
            self.caller = caller
        }
    }

    /// An event in its place.
    package struct Row: Sendable, Equatable {
        package var sequence: Int64
        /// nil when the row has values of types that were never written.
        package var event: Event?
        package var hash: [UInt8]

        package init(sequence: Int64, event: Event?, hash: [UInt8]) {
            self.sequence = sequence
            self.event = event
            self.hash = hash
        }
    }

    private static let kinds: [SQLKind] = [
        .integer, .integer, .text, .timestamp, .text, .text, .text, .text, .text, .text, .text,
        .text, .text, .text, .integer, .text, .text, .text, .text, .blob, .blob, .integer,
        .integer, .text, .blob,
    ]

    /// Adds events behind the last one.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when there is an event of that number.
    package static func append(
        _ rows: [Row],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        var table = SQLTable(kinds)
        for row in rows {
            guard let event = row.event else { continue }
            table.append(
                [
                    account.sqlValue, row.sequence.sqlValue, event.kind.sqlValue,
                    event.happenedAt.sqlValue, value(event.callID), event.caller.sqlValue,
                    value(event.channel), value(event.client), value(event.session),
                    value(event.server), value(event.tool), value(event.decision),
                    value(event.outcome), value(event.rule), value(event.policyVersion),
                    value(event.approvalID), value(event.reason), value(event.arguments),
                    value(event.findings), value(event.argumentsDigest),
                    value(event.resultDigest), value(event.resultBytes),
                    value(event.durationMicroseconds), value(event.traceParent),
                    row.hash.sqlValue,
                ]
            )
        }
        try connection.execute(
            """
            INSERT INTO audit_events (account_id, sequence, kind, happened_at, call_id, caller,
                channel, client, session, server, tool, decision, outcome, rule, policy_version,
                approval_id, reason, arguments, findings, arguments_digest, result_digest,
                result_bytes, duration_us, trace_parent, hash)
            \(rows: table)
            """
        )
    }

    private static func value(_ value: (some SQLBindable)?) -> SQLValue {
        value?.sqlValue ?? .null
    }

    /// Events behind a number, in their order.
    package static func rows(
        after sequence: Int64,
        skip: Int = 0,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        try connection.rows(
            """
            SELECT sequence, kind, happened_at, call_id, caller, channel, client, session, server,
                tool, decision, outcome, rule, policy_version, approval_id, reason, arguments,
                findings, arguments_digest, result_digest, result_bytes, duration_us,
                trace_parent, hash
            FROM audit_events WHERE account_id = \(account) AND sequence > \(sequence)
            ORDER BY sequence LIMIT \(limit) OFFSET \(skip)
            """
        ).map(row)
    }

    /// Changes that are asked for, of policies, servers, users and the like, latest first.
    ///
    /// - Parameters:
    ///   - filter: Which; how calls end says nothing of them.
    ///   - account: Whose.
    ///   - connection: Where to read.
    /// - Returns: As many as the filter allows.
    /// - Throws: What the store refuses.
    package static func changes(
        _ filter: ToolCallTable.Filter,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        var filter = filter
        filter.outcome = nil
        return try connection.rows(
            """
            SELECT e.sequence, e.kind, e.happened_at, e.call_id, e.caller, e.channel, e.client,
                e.session, e.server, e.tool, e.decision, e.outcome, e.rule, e.policy_version,
                e.approval_id, e.reason, e.arguments, e.findings, e.arguments_digest,
                e.result_digest, e.result_bytes, e.duration_us, e.trace_parent, e.hash
            FROM audit_events e
            WHERE e.account_id = \(account) AND e.kind = 'change'\(filter.conditions)
            ORDER BY e.sequence DESC LIMIT \(filter.limit) OFFSET \(filter.offset)
            """
        ).map(row)
    }

    private static func row(_ row: SQLRow) throws(StoreError) -> Row {
        Row(
            sequence: try row.integer("sequence"),
            // A value of a wrong type is a finding for whoever verifies, not the end of it.
            event: try? event(row),
            hash: (try? row.blob("hash")) ?? []
        )
    }

    private static func event(_ row: SQLRow) throws(StoreError) -> Event {
        var event = Event(
            .call,
            at: try row.timestamp("happened_at"),
            caller: try row.text("caller")
        )
        event.kind = try row.text("kind")
        event.callID = try row.optionalText("call_id")
        event.channel = try row.optionalText("channel")
        event.client = try row.optionalText("client")
        event.session = try row.optionalText("session")
        event.server = try row.optionalText("server")
        event.tool = try row.optionalText("tool")
        event.decision = try row.optionalText("decision")
        event.outcome = try row.optionalText("outcome")
        event.rule = try row.optionalText("rule")
        event.policyVersion = try row.optionalInteger("policy_version")
        event.approvalID = try row.optionalText("approval_id")
        event.reason = try row.optionalText("reason")
        event.arguments = try row.optionalText("arguments")
        event.findings = try row.optionalText("findings")
        event.argumentsDigest = try optionalBlob(row, "arguments_digest")
        event.resultDigest = try optionalBlob(row, "result_digest")
        event.resultBytes = try row.optionalInteger("result_bytes")
        event.durationMicroseconds = try row.optionalInteger("duration_us")
        event.traceParent = try row.optionalText("trace_parent")
        return event
    }

    private static func optionalBlob(
        _ row: SQLRow,
        _ column: String
    ) throws(StoreError) -> [UInt8]? {
        try row.value(column) == .null ? nil : try row.blob(column)
    }

    /// The number of the last event; 0 when there is none.
    package static func lastSequence(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int64 {
        let rows = try connection.rows(
            """
            SELECT COALESCE(MAX(sequence), 0) AS last FROM audit_events
            WHERE account_id = \(account)
            """
        )
        return try rows.first?.integer("last") ?? 0
    }

    /// Removes events up to and with a number.
    ///
    /// - Returns: How many.
    @discardableResult
    package static func remove(
        through sequence: Int64,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        try connection.execute(
            """
            DELETE FROM audit_events
            WHERE account_id = \(account) AND sequence <= \(sequence)
            """
        )
    }
}
