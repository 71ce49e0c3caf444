package import Domain

/// Calls of tools: who called what, what was decided, how it ended.
package enum ToolCallTable {
    /// What was decided about a call.
    package enum Decision: String, Sendable {
        case allow
        case deny
        /// It was refused before anybody had to decide.
        case undecided = "none"
    }

    /// How a call ended.
    package enum Outcome: String, Sendable, CaseIterable {
        /// It has not, or the process ended first.
        case running
        case succeeded
        /// The tool told of an error.
        case failed
        case denied
        /// The arguments were not what the tool takes.
        case invalid
        case unknownTool = "unknown_tool"
        case cancelled
        case timedOut = "timed_out"
    }

    /// A call as it is written before it runs.
    package struct Call: Sendable, Equatable {
        /// Unique in the account.
        package var id: String
        package var tool: String
        /// On whose behalf.
        package var caller: String
        /// How it came, such as `stdio`.
        package var channel: String
        /// What the client says of itself.
        package var client: String?
        /// SHA-256 of the arguments.
        package var argumentsDigest: [UInt8]
        package var decision: Decision
        package var reason: String?
        package var outcome: Outcome
        package var startedAt: Timestamp
        package var traceParent: String?
        /// Set when it has ended.
        package var end: End?

        package init(
            id: String,
            tool: String,
            caller: String,
            channel: String,
            argumentsDigest: [UInt8],
            startedAt: Timestamp
        ) {
            self.id = id
            self.tool = tool
            self.caller = caller
            self.channel = channel
            self.argumentsDigest = argumentsDigest
            self.startedAt = startedAt
            decision = .undecided
            outcome = .running
        }
    }

    /// What is known when a call has ended.
    package struct End: Sendable, Equatable {
        package var endedAt: Timestamp
        package var duration: Duration
        /// Bytes of the answer's text.
        package var resultBytes: Int

        package init(endedAt: Timestamp, duration: Duration, resultBytes: Int) {
            self.endedAt = endedAt
            self.duration = duration
            self.resultBytes = resultBytes
        }
    }

    /// Writes a call that begins, or one that ended before it began.
    package static func insert(
        _ call: Call,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO tool_calls (account_id, id, tool, caller, channel, client,
                arguments_digest, decision, reason, outcome, started_at, ended_at, duration_us,
                result_bytes, trace_parent)
            VALUES (\(account), \(call.id), \(call.tool), \(call.caller), \(call.channel),
                \(call.client), \(call.argumentsDigest), \(call.decision.rawValue),
                \(call.reason), \(call.outcome.rawValue), \(call.startedAt), \(call.end?.endedAt),
                \(call.end.map { microseconds($0.duration) }), \(call.end?.resultBytes),
                \(call.traceParent))
            """
        )
    }

    /// Writes how a call ended.
    package static func complete(
        _ id: String,
        _ outcome: Outcome,
        _ end: End,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE tool_calls SET outcome = \(outcome.rawValue), ended_at = \(end.endedAt),
                duration_us = \(microseconds(end.duration)), result_bytes = \(end.resultBytes)
            WHERE account_id = \(account) AND id = \(id)
            """
        )
    }

    /// The latest calls, latest first.
    package static func list(
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Call] {
        try connection.rows(
            """
            SELECT id, tool, caller, channel, client, arguments_digest, decision, reason, outcome,
                started_at, ended_at, duration_us, result_bytes, trace_parent
            FROM tool_calls WHERE account_id = \(account)
            ORDER BY started_at DESC, id DESC LIMIT \(limit)
            """
        ).map(call)
    }

    /// Removes the oldest calls that began before an instant.
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
            DELETE FROM tool_calls
            WHERE account_id = \(account) AND id IN (
                SELECT id FROM tool_calls
                WHERE account_id = \(account) AND started_at < \(instant)
                ORDER BY started_at, id LIMIT \(limit))
            """
        )
    }

    private static func call(_ row: SQLRow) throws(StoreError) -> Call {
        guard let decision = Decision(rawValue: try row.text("decision")),
            let outcome = Outcome(rawValue: try row.text("outcome"))
        else { throw .unexpectedValue(column: "tool_calls.outcome") }
        var call = Call(
            id: try row.text("id"),
            tool: try row.text("tool"),
            caller: try row.text("caller"),
            channel: try row.text("channel"),
            argumentsDigest: try row.blob("arguments_digest"),
            startedAt: try row.timestamp("started_at")
        )
        call.client = try row.optionalText("client")
        call.decision = decision
        call.reason = try row.optionalText("reason")
        call.outcome = outcome
        call.traceParent = try row.optionalText("trace_parent")
        if let endedAt = try row.optionalTimestamp("ended_at") {
            call.end = End(
                endedAt: endedAt,
                duration: .microseconds(try row.optionalInteger("duration_us") ?? 0),
                resultBytes: Int(try row.optionalInteger("result_bytes") ?? 0)
            )
        }
        return call
    }

    private static func microseconds(_ duration: Duration) -> Int64 {
        Int64(duration / .microseconds(1))
    }
}
