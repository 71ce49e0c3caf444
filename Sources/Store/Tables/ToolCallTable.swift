package import Domain

/// Calls of tools, as the audit tells of them: who called what, what was decided, how it ended.
package enum ToolCallTable {
    /// What was decided about a call.
    package enum Decision: String, Sendable, CaseIterable {
        case allow
        case deny
        /// Somebody had to approve it first.
        case requireApproval = "require_approval"
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
        /// It waits for an approval, and its caller has a handle.
        case held
        /// Nobody approved it in time.
        case expired
    }

    /// A call as it is told of before it runs.
    package struct Call: Sendable, Equatable {
        /// Unique in the account.
        package var id: String
        package var tool: String
        /// Whose tool it is; nil for the gateway's own.
        package var server: String?
        /// On whose behalf.
        package var caller: String
        /// How it came, such as `stdio`.
        package var channel: String
        /// What the client says of itself.
        package var client: String?
        package var session: String?
        /// As they were given; they are redacted before they are written.
        package var arguments: JSONValue?
        /// SHA-256 of the arguments; what is written is made of it with a key.
        package var argumentsDigest: [UInt8]
        package var decision: Decision
        package var reason: String?
        /// What decided, and in which version of the policy.
        package var rule: String?
        package var policyVersion: Int64?
        /// The request for an approval that it waited for.
        package var approvalID: String?
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
        /// SHA-256 of the answer's text; what is written is made of it with a key.
        package var resultDigest: [UInt8]?
        /// Why it ended so, where that is not plain.
        package var reason: String?

        package init(endedAt: Timestamp, duration: Duration, resultBytes: Int) {
            self.endedAt = endedAt
            self.duration = duration
            self.resultBytes = resultBytes
        }
    }

    /// Which calls are asked for, latest first.
    package struct Filter: Sendable, Equatable {
        package var since: Timestamp?
        package var until: Timestamp?
        package var tool: String?
        package var server: String?
        package var caller: String?
        package var decision: String?
        package var outcome: Ending?
        package var callID: String?
        /// Only calls before the event of this number: the cursor.
        package var before: Int64?
        /// How many of the latest are left out.
        package var offset = 0
        package var limit = 50

        package init() {}
    }

    /// How the calls that are asked for have ended.
    package enum Ending: Sendable, Equatable {
        case outcome(Outcome)
        /// They are on their way: without an end, and begun after an instant.
        case running(since: Timestamp)
        /// Nobody will ever tell: without an end, and begun before an instant.
        case unknown(before: Timestamp)
    }

    /// A call with its place in the audit.
    package struct Entry: Sendable, Equatable {
        package var sequence: Int64
        package var call: Call
        /// What was redacted in its arguments, a JSON array.
        package var findings: String?
        /// A decision that is none of ours, as it is stored; the call's is ``Decision/undecided``.
        package var otherDecision: String?
        /// An outcome that is none of ours, as it is stored; the call's is ``Outcome/running``.
        package var otherOutcome: String?
        /// Whether something of the row is not what this version writes.
        ///
        /// A newer one has written it, or somebody has altered it; what cannot be read is left out.
        package var isUnreadable = false

        package init(sequence: Int64, call: Call, findings: String? = nil) {
            self.sequence = sequence
            self.call = call
            self.findings = findings
        }
    }

    /// The calls that are asked for, latest first.
    package static func entries(
        _ filter: Filter,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Entry] {
        try connection.rows(
            """
            SELECT e.sequence, e.call_id, e.tool, e.server, e.caller, e.channel, e.client,
                e.session, e.arguments, e.findings, e.arguments_digest, e.decision,
                COALESCE(e.reason || '; ' || c.reason, c.reason, e.reason) AS reason, e.rule,
                e.policy_version, e.approval_id,
                COALESCE(c.outcome, e.outcome) AS outcome, e.happened_at, e.trace_parent,
                COALESCE(c.happened_at, CASE WHEN e.result_bytes IS NULL THEN NULL
                    ELSE e.happened_at END) AS ended_at,
                COALESCE(c.duration_us, e.duration_us) AS duration_us,
                COALESCE(c.result_bytes, e.result_bytes) AS result_bytes, c.result_digest
            FROM audit_events e LEFT JOIN audit_events c ON c.account_id = e.account_id
                AND c.call_id = e.call_id AND c.kind = 'completed'
            WHERE e.account_id = \(account) AND e.kind = 'call'\(filter.conditions)
            ORDER BY e.sequence DESC LIMIT \(filter.limit) OFFSET \(filter.offset)
            """
        ).map { row throws(StoreError) in
            var entry = entry(row, sequence: try row.integer("sequence"))
            entry.read { $0.findings = try row.optionalText("findings") }
            return entry
        }
    }

    /// The latest calls, latest first.
    package static func list(
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Call] {
        var filter = Filter()
        filter.limit = limit
        return try entries(filter, account: account, on: connection).map(\.call)
    }

    /// Reads what can be read: one row that somebody has altered must not hide all others.
    private static func entry(_ row: SQLRow, sequence: Int64) -> Entry {
        var entry = Entry(
            sequence: sequence,
            call: Call(
                id: "",
                tool: "",
                caller: "",
                channel: "",
                argumentsDigest: [],
                startedAt: Timestamp(milliseconds: 0)
            )
        )
        entry.read { $0.call.id = try row.text("call_id") }
        entry.read { $0.call.tool = try row.text("tool") }
        entry.read { $0.call.caller = try row.text("caller") }
        entry.read { $0.call.channel = try row.text("channel") }
        entry.read { $0.call.argumentsDigest = try row.blob("arguments_digest") }
        entry.read { $0.call.startedAt = try row.timestamp("happened_at") }
        entry.read { $0.call.server = try row.optionalText("server") }
        entry.read { $0.call.client = try row.optionalText("client") }
        entry.read { $0.call.session = try row.optionalText("session") }
        entry.read { $0.call.reason = try row.optionalText("reason") }
        entry.read { $0.call.rule = try row.optionalText("rule") }
        entry.read { $0.call.policyVersion = try row.optionalInteger("policy_version") }
        entry.read { $0.call.approvalID = try row.optionalText("approval_id") }
        entry.read { $0.call.traceParent = try row.optionalText("trace_parent") }
        entry.read {
            guard try row.optionalText("arguments") != nil else { return }
            $0.call.arguments = try row.json("arguments")
        }
        entry.read { $0.setDecision(try row.text("decision")) }
        entry.read { $0.setOutcome(try row.text("outcome")) }
        entry.read { $0.call.end = try Self.end(row) }
        return entry
    }

    private static func end(_ row: SQLRow) throws(StoreError) -> End? {
        guard let endedAt = try row.optionalTimestamp("ended_at") else { return nil }
        let bytes = try row.optionalInteger("result_bytes") ?? 0
        var end = End(
            endedAt: endedAt,
            duration: .microseconds(try row.optionalInteger("duration_us") ?? 0),
            resultBytes: Int(bytes)
        )
        if try row.value("result_digest") != .null {
            end.resultDigest = try row.blob("result_digest")
        }
        return end
    }
}

extension ToolCallTable.Filter {
    /// What stands behind `WHERE`, of events `e` and the ends `c` of their calls.
    var conditions: SQL {
        var parts: [SQL] = []
        if let before = before { parts.append(" AND e.sequence < \(before)") }
        if let since = since { parts.append(" AND e.happened_at >= \(since)") }
        if let until = until { parts.append(" AND e.happened_at < \(until)") }
        if let tool = tool { parts.append(" AND e.tool = \(tool)") }
        if let server = server { parts.append(" AND e.server = \(server)") }
        if let caller = caller { parts.append(" AND e.caller = \(caller)") }
        if let decision = decision { parts.append(" AND e.decision = \(decision)") }
        if let id = callID { parts.append(" AND e.call_id = \(id)") }
        let hasNoEnd: SQL = " AND c.call_id IS NULL AND e.outcome = 'running'"
        switch outcome {
        case .outcome(let outcome):
            parts.append(" AND COALESCE(c.outcome, e.outcome) = \(outcome.rawValue)")
        case .running(let instant):
            parts.append("\(hasNoEnd) AND e.happened_at >= \(instant)")
        case .unknown(let instant):
            parts.append("\(hasNoEnd) AND e.happened_at < \(instant)")
        case nil: break
        }
        return "\(parts, separator: "")"
    }
}

extension ToolCallTable.Entry {
    /// Reads something of the row; what cannot be read stays as it was.
    fileprivate mutating func read(_ body: (inout Self) throws -> Void) {
        do {
            try body(&self)
        } catch {
            // Told of with the entry: that the row was altered is for whoever verifies the chain.
            isUnreadable = true
        }
    }

    /// Sets what was decided; a word that is none of ours is kept as it is.
    fileprivate mutating func setDecision(_ word: String) {
        if let decision = ToolCallTable.Decision(rawValue: word) {
            call.decision = decision
        } else {
            (otherDecision, isUnreadable) = (word, true)
        }
    }

    /// Sets how it ended; a word that is none of ours is kept as it is.
    fileprivate mutating func setOutcome(_ word: String) {
        if let outcome = ToolCallTable.Outcome(rawValue: word) {
            call.outcome = outcome
        } else {
            (otherOutcome, isUnreadable) = (word, true)
        }
    }
}

// MARK: - Before the audit

extension ToolCallTable {
    /// Calls that were recorded before there was an audit, latest first; they have no number.
    ///
    /// Their table is read and pruned, and not written any more.
    package static func unchained(
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Entry] {
        try connection.rows(
            """
            SELECT id AS call_id, tool, NULL AS server, caller, channel, client, NULL AS session,
                NULL AS arguments, arguments_digest, decision, reason, NULL AS rule,
                NULL AS policy_version, NULL AS approval_id, outcome, started_at AS happened_at,
                ended_at, duration_us, result_bytes, NULL AS result_digest, trace_parent
            FROM tool_calls WHERE account_id = \(account)
            ORDER BY started_at DESC, id DESC LIMIT \(limit)
            """
        ).map { entry($0, sequence: 0) }
    }

    /// Removes the oldest of those calls that began before an instant.
    ///
    /// - Returns: How many; fewer than `limit` when none is left.
    package static func pruneUnchained(
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
}
