package import Domain
package import Firewall
package import Store

/// A request for an approval as it stands: what was asked, and where it is in its life.
///
/// A reference to what does not change: a thousand waiting calls hold one each, and not a copy in
/// every frame.
package final class ApprovalRequest: Sendable, Equatable {
    /// As it is stored.
    package let row: ApprovalTable.Row
    /// Its life as a value.
    package let state: ApprovalState

    /// Reads a row; one that cannot be read approves nothing.
    init(_ row: ApprovalTable.Row) throws(StoreError) {
        self.row = row
        guard let status = ApprovalState.Status(rawValue: row.life.status),
            let requester = Approver(row.request.requester),
            let workflows = Self.workflows(row.request.terms),
            let votes = Self.votes(row.life.votes)
            // Which of the fields is damaged helps nobody who calls a tool.
        else { throw .unexpectedValue(column: "approval_requests.terms") }
        var stored = ApprovalState.Stored(
            status: status,
            expiresAt: row.life.expiresAt,
            votes: votes
        )
        stored.escalatedAt = row.life.escalatedAt
        stored.resolvedAt = row.life.resolvedAt
        stored.resolvedBy = row.life.resolvedBy
        stored.resolution = row.life.resolution
        state = ApprovalState(
            workflows: workflows,
            requester: requester,
            requestedAt: row.request.requestedAt,
            stored: stored
        )
    }

    /// Whether both say the same.
    package static func == (left: ApprovalRequest, right: ApprovalRequest) -> Bool {
        left.row == right.row
    }

    /// Unique in the account.
    package var id: String { row.request.id }
    package var tool: String { row.request.tool }
    package var status: ApprovalState.Status { state.status }
    /// The tool for people: as agents call it, and as policies do where it is another server's.
    package var toolText: String {
        guard let identity = row.request.identity, identity != tool else { return tool }
        return "\(tool) (\(identity))"
    }
    /// Whether what was remembered of its approval is for the session that made it alone.
    var isForSession: Bool { state.votes.contains(where: \.isForSession) }
    /// Whether the arguments that are shown lack something of those the call has.
    package var isShownInPart: Bool { ShownArguments.isCut(row.request.shown) }
    /// Whether its caller gave the call up, before the decision or after it.
    var isGivenUp: Bool { status == .cancelled || row.execution == .cancelled }

    /// The one workflow, or all of several; nil when one of them cannot be read.
    private static func workflows(_ json: JSONValue) -> [ApprovalWorkflow]? {
        let items = json.array ?? [json]
        // What is wrong with one helps nobody who calls a tool.
        let workflows = items.compactMap { try? ApprovalWorkflow($0) }
        return workflows.count == items.count && !workflows.isEmpty ? workflows : nil
    }

    /// How the record of its call names it, with the workflows where they are several.
    var reference: String {
        let words = state.workflows.count > 1 ? " (\(state.words))" : ""
        return "approval request \(id)\(words)"
    }

    /// Whether each of these workflows is among those that have approved; others may have, too.
    ///
    /// What is asked for when the call runs may be less than what was when it was held: rules look
    /// at the caller's reason then, which is not kept among the arguments, and at arguments in
    /// which no marks stand yet.
    func isApproved(by wanted: [ApprovalWorkflow]) -> Bool {
        status == .approved
            && wanted.allSatisfy { wanted in
                state.workflows.contains { haveEqualBytes($0.name, wanted.name) }
            }
    }

    /// How workflows are stored: one as it is, as before there could be several.
    static func terms(_ workflows: [ApprovalWorkflow]) -> JSONValue {
        workflows.count == 1 ? workflows[0].json : .array(workflows.map(\.json))
    }

    /// The names of workflows, for people.
    static func names(_ workflows: [ApprovalWorkflow]) -> String {
        workflows.map(\.name).joined(separator: " and ")
    }

    private static func votes(_ json: JSONValue) -> [ApprovalState.Vote]? {
        guard let items = json.array else { return nil }
        let votes = items.compactMap { item -> ApprovalState.Vote? in
            guard let approver = item["approver"]?.string.flatMap(Approver.init),
                let decision = item["decision"]?.string
                    .flatMap(ApprovalState.Decision.init(rawValue:)),
                let at = item["at"]?.integer
            else { return nil }
            var vote = ApprovalState.Vote(
                approver,
                decision,
                reason: item["reason"]?.string,
                at: Timestamp(milliseconds: at)
            )
            vote.isForSession = item["session"]?.bool ?? false
            vote.rememberedSeconds = item["remember"]?.integer
            return vote
        }
        return votes.count == items.count ? votes : nil
    }
}

extension ApprovalTable.Life {
    /// What is stored of a state.
    init(_ state: ApprovalState, rememberedUntil: Timestamp? = nil) {
        self.init(status: state.status.rawValue, expiresAt: state.expiresAt)
        escalatedAt = state.escalatedAt
        resolvedAt = state.resolvedAt
        resolvedBy = state.resolvedBy
        resolution = state.resolution
        self.rememberedUntil = rememberedUntil
        votes = .array(
            state.votes.map { vote -> JSONValue in
                let remembered = vote.rememberedSeconds.map(JSONValue.integer) ?? .null
                return [
                    "approver": .string(vote.approver.text),
                    "decision": .string(vote.decision.rawValue),
                    "reason": JSONValue(vote.reason), "at": .integer(vote.at.milliseconds),
                    "session": .bool(vote.isForSession),
                    "remember": remembered,
                ]
            }
        )
    }
}

extension ApprovalRequest {
    /// As people and programs are shown it at an instant.
    ///
    /// What happened to it is left out when nil; arguments are cut unless all of them are given,
    /// and an answer is then left out: it is for those who decide.
    package func json(
        at now: Timestamp,
        events: [ApprovalEventTable.Event]? = nil,
        arguments: JSONValue? = nil
    ) -> JSONValue {
        let request = row.request
        var object = JSONObject()
        object.append(key: "request_id", value: .string(id))
        object.append(key: "kind", value: .string(request.kind.rawValue))
        object.append(key: "status", value: .string(state.status.rawValue))
        object.append(key: "tool_name", value: .string(tool))
        let server = request.identity?.split(separator: "/", maxSplits: 1).first
        object.append(key: "server", value: JSONValue(server.map(String.init)))
        object.append(key: "policy_name", value: .string(request.identity ?? tool))
        object.append(key: "arguments", value: arguments ?? shownToAll)
        object.append(key: "requester", value: .string(request.requester))
        object.append(key: "channel", value: .string(request.channel))
        object.append(key: "workflow", value: .string(request.workflow))
        object.append(key: "workflows", value: JSONValue(state.workflows.map(\.name)))
        object.append(key: "asked_workflow", value: .string(state.terms.name))
        object.append(key: "rule", value: JSONValue(request.rule))
        object.append(key: "message", value: JSONValue(request.message))
        object.append(key: "justification", value: JSONValue(request.justification))
        object.append(key: "requested_at", value: .string(request.requestedAt.iso8601))
        object.append(key: "expires_at", value: .string(state.expiresAt.iso8601))
        object.append(key: "remaining_seconds", value: .integer(remainingSeconds(at: now)))
        object.append(key: "escalated_at", value: JSONValue(state.escalatedAt?.iso8601))
        object.append(key: "approvers", value: JSONValue(state.askedNames))
        object.append(key: "approvals_received", value: .integer(Int64(state.approvalCount)))
        object.append(key: "approvals_required", value: .integer(Int64(state.terms.quorum)))
        object.append(key: "require_reason", value: .bool(state.terms.requiresReason))
        object.append(
            key: "remember_seconds",
            value: .integer(Int64(state.terms.rememberedSeconds))
        )
        object.append(key: "remember_session", value: .bool(state.terms.remembersSession))
        object.append(key: "votes", value: .array(state.votes.map(Self.json)))
        object.append(key: "resolved_at", value: JSONValue(state.resolvedAt?.iso8601))
        object.append(key: "resolved_by", value: JSONValue(state.resolvedBy))
        object.append(key: "resolution", value: JSONValue(state.resolution))
        object.append(key: "execution", value: .string(row.execution.rawValue))
        object.append(key: "executed_at", value: JSONValue(row.executedAt?.iso8601))
        if let events { object.append(key: "events", value: .array(events.map(Self.json))) }
        return .object(object)
    }

    /// What is shown to whoever may see requests, those whose calls they are among them.
    private var shownToAll: JSONValue {
        guard row.request.kind == .answer, var shown = row.request.shown.object else {
            return row.request.shown
        }
        shown["answer"] = nil
        return .object(shown)
    }

    /// What those who are told elsewhere may hear of: the names of the call's arguments.
    var shownArguments: JSONValue {
        row.request.kind == .answer ? row.request.shown["arguments"] ?? .null : row.request.shown
    }

    /// Whole seconds until it ends; 0 for what is decided.
    package func remainingSeconds(at now: Timestamp) -> Int64 {
        guard state.isPending else { return 0 }
        return max(0, state.expiresAt.milliseconds(since: now) / 1_000)
    }

    private static func json(_ vote: ApprovalState.Vote) -> JSONValue {
        [
            "approver": .string(vote.approver.text), "decision": .string(vote.decision.rawValue),
            "comment": JSONValue(vote.reason), "timestamp": .string(vote.at.iso8601),
        ]
    }

    /// An event as people and programs are shown it.
    package static func json(_ event: ApprovalEventTable.Event) -> JSONValue {
        [
            "timestamp": .string(event.at.iso8601), "type": .string(event.kind),
            "actor": JSONValue(event.actor), "detail": JSONValue(event.detail),
        ]
    }
}
