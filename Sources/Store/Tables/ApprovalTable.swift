package import Domain

/// Requests for approvals, as rows: every change of a request's life names the version it saw.
///
/// What the fields mean is the gateway's business; here texts are texts.
package enum ApprovalTable {
    /// What is written once, when the request is made.
    package struct Request: Sendable, Equatable {
        /// What somebody is asked about.
        package enum Kind: String, Sendable {
            /// Something that would run.
            case call
            /// Something in words.
            case question
            /// What a call has given that has run, and its caller does not have.
            case answer
        }

        package var id: String
        package var kind: Kind
        package var tool: String
        /// As policies name the tool of another server, such as `github/create_issue`; nil for
        /// Preloop's own, and where it was not kept.
        package var identity: String?
        package var requester: String
        /// Which key or session, such as `key:7`; nil where there is none.
        package var credential: String?
        package var channel: String
        package var workflow: String
        package var terms: JSONValue
        package var rule: String?
        package var message: String?
        package var justification: String?
        package var policyVersion: Int64
        package var digest: [UInt8]
        package var sealedCall: SealedSecret
        package var shown: JSONValue
        package var requestedAt: Timestamp

        package init(
            id: String,
            kind: Kind,
            tool: String,
            requester: String,
            channel: String,
            digest: [UInt8],
            sealedCall: SealedSecret,
            requestedAt: Timestamp
        ) {
            self.id = id
            self.kind = kind
            self.tool = tool
            self.requester = requester
            self.channel = channel
            workflow = ""
            terms = .object(JSONObject())
            policyVersion = 0
            self.digest = digest
            self.sealedCall = sealedCall
            shown = .object(JSONObject())
            self.requestedAt = requestedAt
        }
    }

    /// What changes until it is decided.
    package struct Life: Sendable, Equatable {
        package var status: String
        package var expiresAt: Timestamp
        package var escalatedAt: Timestamp?
        package var resolvedAt: Timestamp?
        package var resolvedBy: String?
        package var resolution: String?
        package var votes: JSONValue
        package var rememberedUntil: Timestamp?

        package init(status: String, expiresAt: Timestamp, votes: JSONValue = .array([])) {
            self.status = status
            self.expiresAt = expiresAt
            self.votes = votes
        }
    }

    /// Whether what was approved has run.
    package enum Execution: String, Sendable {
        case none
        /// It has begun; where that was long ago, nobody knows how it ended.
        case claimed
        case done
        /// Its caller gave it up before it began: it never runs.
        case cancelled
    }

    /// A request as it stands.
    package struct Row: Sendable, Equatable {
        package var request: Request
        package var life: Life
        package var execution: Execution
        package var claimedAt: Timestamp?
        package var claimedBy: String?
        package var executedAt: Timestamp?
        package var sealedResult: SealedSecret?
        package var version: Int64
    }

    static let columns: SQL = "\(openNames), sealed_call, sealed_result"

    /// The columns of a row, with nothing in place of what is sealed.
    static func openColumns(_ dialect: SQLDialect) -> SQL {
        let nothing: SQL = dialect == .postgres ? "CAST('' AS bytea)" : "x''"
        return "\(openNames), \(nothing) AS sealed_call, NULL AS sealed_result"
    }

    private static let openNames: SQL = """
        id, kind, tool, identity, requester, credential, channel, workflow, terms, rule,
        message, justification, policy_version, digest, shown, status, requested_at,
        expires_at, escalated_at, resolved_at, resolved_by, resolution, votes, remembered_until,
        execution, claimed_at, claimed_by, executed_at, version
        """

    /// Writes a new request.
    package static func insert(
        _ request: Request,
        _ life: Life,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO approval_requests (account_id, id, kind, tool, identity, requester,
                credential, channel, workflow, terms, rule, message, justification, policy_version,
                digest, sealed_call, shown, status, requested_at, expires_at, votes)
            VALUES (\(account), \(request.id), \(request.kind.rawValue), \(request.tool),
                \(request.identity), \(request.requester), \(request.credential),
                \(request.channel), \(request.workflow), \(request.terms), \(request.rule),
                \(request.message), \(request.justification), \(request.policyVersion),
                \(request.digest),
                \(request.sealedCall.bytes), \(request.shown), \(life.status),
                \(request.requestedAt), \(life.expiresAt), \(life.votes))
            """
        )
        try AccountTable.wakeFollowers(of: account, on: connection)
    }

    /// A request; nil when there is none of that identifier.
    ///
    /// Where it is `locked` nobody else may change it until the transaction ends. Without what is
    /// sealed, which may be megabytes, where only its life is asked for.
    package static func find(
        _ id: String,
        locked: Bool = false,
        withSealed: Bool = true,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let lock: SQL = locked && connection.dialect == .postgres ? "FOR UPDATE" : ""
        let columns = withSealed ? columns : openColumns(connection.dialect)
        let rows = try connection.rows(
            """
            SELECT \(columns) FROM approval_requests
            WHERE account_id = \(account) AND id = \(id)
            \(lock)
            """
        )
        return try rows.first.map { row throws(StoreError) in try Self.row(row) }
    }

    private static func sealed(_ call: SealedSecret?) -> SQL {
        call.map { "\($0.bytes)" } ?? "sealed_call"
    }

    /// Writes what has changed of a request's life; a `call` is put in place of the sealed one.
    ///
    /// - Returns: Whether it still stood as `row` says; otherwise nothing was written.
    package static func update(
        _ row: Row,
        to life: Life,
        sealing call: SealedSecret? = nil,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let count = try connection.execute(
            """
            UPDATE approval_requests
            SET status = \(life.status), expires_at = \(life.expiresAt),
                escalated_at = \(life.escalatedAt), resolved_at = \(life.resolvedAt),
                resolved_by = \(life.resolvedBy), resolution = \(life.resolution),
                votes = \(life.votes), remembered_until = \(life.rememberedUntil),
                sealed_call = \(sealed(call)), version = version + 1
            WHERE account_id = \(account) AND id = \(row.request.id)
                AND version = \(row.version) AND status = 'pending'
            """
        )
        guard count == 1 else { return false }
        try AccountTable.wakeFollowers(of: account, on: connection)
        return true
    }

    /// Takes the right to run what was approved; there is one, once.
    ///
    /// An approval from before `approvedSince` is over, and one whose history does not tell of it
    /// is none.
    ///
    /// - Returns: Whether it was there to be taken.
    package static func claim(
        _ id: String,
        by holder: String,
        at instant: Timestamp,
        approvedSince: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        try connection.execute(
            """
            UPDATE approval_requests
            SET execution = 'claimed', claimed_at = \(instant), claimed_by = \(holder)
            WHERE account_id = \(account) AND id = \(id) AND status = 'approved'
                AND execution = 'none' AND resolved_at > \(approvedSince)
                AND EXISTS (
                    SELECT 1 FROM approval_events
                    WHERE account_id = \(account) AND request_id = \(id) AND kind = 'approved'
                )
            """
        ) == 1
    }

    /// Gives up the right to run what was approved, and what was remembered with it.
    ///
    /// - Returns: Whether nobody had taken it; otherwise nothing has changed.
    package static func relinquish(
        _ id: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let count = try connection.execute(
            """
            UPDATE approval_requests
            SET execution = 'cancelled', remembered_until = NULL
            WHERE account_id = \(account) AND id = \(id) AND status = 'approved'
                AND kind IN ('call', 'answer') AND execution = 'none'
            """
        )
        guard count == 1 else { return false }
        try AccountTable.wakeFollowers(of: account, on: connection)
        return true
    }

    /// Keeps what came of a claimed run, with something in place of the sealed call where one is
    /// given.
    package static func complete(
        _ id: String,
        _ result: SealedSecret?,
        sealing call: SealedSecret? = nil,
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE approval_requests
            SET execution = 'done', executed_at = \(instant), sealed_result = \(result?.bytes),
                sealed_call = \(sealed(call))
            WHERE account_id = \(account) AND id = \(id) AND execution = 'claimed'
            """
        )
        try AccountTable.wakeFollowers(of: account, on: connection)
    }

    static func row(_ row: SQLRow) throws(StoreError) -> Row {
        guard let kind = Request.Kind(rawValue: try row.text("kind")),
            let execution = Execution(rawValue: try row.text("execution"))
        else { throw .unexpectedValue(column: "approval_requests.kind") }
        var request = Request(
            id: try row.text("id"),
            kind: kind,
            tool: try row.text("tool"),
            requester: try row.text("requester"),
            channel: try row.text("channel"),
            digest: try row.blob("digest"),
            sealedCall: SealedSecret(bytes: try row.blob("sealed_call")),
            requestedAt: try row.timestamp("requested_at")
        )
        request.identity = try row.optionalText("identity")
        request.credential = try row.optionalText("credential")
        request.workflow = try row.text("workflow")
        request.terms = try row.json("terms")
        request.rule = try row.optionalText("rule")
        request.message = try row.optionalText("message")
        request.justification = try row.optionalText("justification")
        request.policyVersion = try row.integer("policy_version")
        request.shown = try row.json("shown")
        var life = Life(
            status: try row.text("status"),
            expiresAt: try row.timestamp("expires_at"),
            votes: try row.json("votes")
        )
        life.escalatedAt = try row.optionalTimestamp("escalated_at")
        life.resolvedAt = try row.optionalTimestamp("resolved_at")
        life.resolvedBy = try row.optionalText("resolved_by")
        life.resolution = try row.optionalText("resolution")
        life.rememberedUntil = try row.optionalTimestamp("remembered_until")
        let hasResult = try row.value("sealed_result") != .null
        return Row(
            request: request,
            life: life,
            execution: execution,
            claimedAt: try row.optionalTimestamp("claimed_at"),
            claimedBy: try row.optionalText("claimed_by"),
            executedAt: try row.optionalTimestamp("executed_at"),
            sealedResult: hasResult ? SealedSecret(bytes: try row.blob("sealed_result")) : nil,
            version: try row.integer("version")
        )
    }
}
