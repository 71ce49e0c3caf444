package import Domain
package import Firewall
package import Store

extension AuditTable.Event {
    /// The bytes that are hashed: every field, always in this order.
    package func entry(account: AccountID, sequence: Int64) -> AuditEntry {
        var entry = AuditEntry(account: account, sequence: sequence)
        entry.add("kind", kind)
        entry.add("happened_at", happenedAt.milliseconds)
        entry.add("call_id", callID)
        entry.add("caller", caller)
        entry.add("channel", channel)
        entry.add("client", client)
        entry.add("session", session)
        entry.add("server", server)
        entry.add("tool", tool)
        entry.add("decision", decision)
        entry.add("outcome", outcome)
        entry.add("rule", rule)
        entry.add("policy_version", policyVersion)
        entry.add("approval_id", approvalID)
        entry.add("reason", reason)
        entry.add("arguments", arguments)
        entry.add("findings", findings)
        entry.add("arguments_digest", argumentsDigest)
        entry.add("result_digest", resultDigest)
        entry.add("result_bytes", resultBytes)
        entry.add("duration_us", durationMicroseconds)
        entry.add("trace_parent", traceParent)
        entry.tellsOfDoubt = haveEqualBytes(kind, Kind.doubt.rawValue)
        return entry
    }

    /// Bytes of a text that comes from outside; tools' names and clients' are shorter.
    private static let shortText = 256
    /// Bytes of a reason.
    private static let longText = 2_048

    /// The event as the store keeps it: texts cut to their lengths and without NUL, so that what is
    /// hashed is what is read again.
    func stored() -> AuditTable.Event {
        var event = self
        event.caller = Self.cut(caller, Self.shortText)
        event.callID = callID.map { Self.cut($0, Self.shortText) }
        event.channel = channel.map { Self.cut($0, Self.shortText) }
        event.client = client.map { Self.cut($0, Self.shortText) }
        event.session = session.map { Self.cut($0, Self.shortText) }
        event.server = server.map { Self.cut($0, Self.shortText) }
        event.tool = tool.map { Self.cut($0, Self.shortText) }
        event.decision = decision.map { Self.cut($0, Self.shortText) }
        event.outcome = outcome.map { Self.cut($0, Self.shortText) }
        event.rule = rule.map { Self.cut($0, Self.shortText) }
        event.approvalID = approvalID.map { Self.cut($0, Self.shortText) }
        event.reason = reason.map { Self.cut($0, Self.longText) }
        event.arguments = arguments.map(sanitized)
        event.findings = findings.map(sanitized)
        event.traceParent = traceParent.map { Self.cut($0, Self.shortText) }
        return event
    }

    private static func cut(_ text: String, _ limit: Int) -> String {
        guard text.utf8.count > limit else { return sanitized(text) }
        return sanitized(String(decoding: text.utf8.prefix(limit), as: UTF8.self))
    }
}

extension AuditTable.Event {
    /// A call that is about to run, or one that was refused; with its secrets taken out.
    init(_ call: ToolCallTable.Call, _ redactor: Redactor) {
        self.init(.call, at: call.startedAt, caller: call.caller)
        callID = call.id
        channel = call.channel
        client = call.client.map { redactor.redact(text: $0).text }
        session = call.session
        server = call.server
        // Somebody may have called a secret by mistake.
        tool = redactor.redact(text: call.tool).text
        decision = call.decision.rawValue
        outcome = call.outcome.rawValue
        rule = call.rule
        policyVersion = call.policyVersion
        approvalID = call.approvalID
        reason = call.reason.map { redactor.redact(text: $0).text }
        if let given = call.arguments {
            let redaction = redactor.redact(given)
            arguments = AuditArguments.text(of: redaction.value)
            if !redaction.findings.isEmpty {
                findings = AuditArguments.text(of: redaction.findings)
            }
        }
        argumentsDigest = redactor.digest(of: call.argumentsDigest)
        traceParent = call.traceParent
        if let end = call.end { set(end, redactor) }
    }

    /// How a call has ended.
    init(
        _ id: String,
        _ outcome: ToolCallTable.Outcome,
        _ end: ToolCallTable.End,
        of origin: AuditTable.Event?,
        _ redactor: Redactor
    ) {
        self.init(.completed, at: end.endedAt, caller: origin?.caller ?? "")
        callID = id
        channel = origin?.channel
        server = origin?.server
        tool = origin?.tool
        self.outcome = outcome.rawValue
        reason = end.reason.map { redactor.redact(text: $0).text }
        set(end, redactor)
    }

    private mutating func set(_ end: ToolCallTable.End, _ redactor: Redactor) {
        resultDigest = end.resultDigest.map { redactor.digest(of: $0) }
        resultBytes = Int64(end.resultBytes)
        durationMicroseconds = Int64(end.duration / .microseconds(1))
    }
}

extension AuditTable.Event {
    /// What has become of a request for an approval; whoever did it is the caller.
    init(
        _ event: ApprovalEventTable.Event,
        of request: ApprovalTable.Request,
        _ redactor: Redactor
    ) {
        self.init(.approval, at: event.at, caller: event.actor ?? Self.ownName)
        tool = redactor.redact(text: request.tool).text
        decision = event.kind
        rule = request.rule
        policyVersion = request.policyVersion
        approvalID = request.id
        reason = event.detail.map { redactor.redact(text: $0).text }
        argumentsDigest = redactor.digest(of: request.digest)
    }

    /// A new version of the policy is in force.
    init(_ version: PolicyTable.Version, changes: Int, _ redactor: Redactor) {
        self.init(.change, at: version.createdAt, caller: version.author)
        decision = "policy_\(version.origin)"
        policyVersion = version.number
        let name = redactor.redact(text: version.name).text
        let tag = version.tag.map { ", tag `\(redactor.redact(text: $0).text)`" } ?? ""
        reason = "policy `\(name)`: \(changes) \(changes == 1 ? "change" : "changes")\(tag)"
        // The text may hold anything; what it was can still be compared.
        argumentsDigest = redactor.digest(of: version.digest)
    }

    /// A version of the policy has got another name, or has lost it; `version` is as it was.
    init(
        _ version: PolicyTable.Version,
        taggedAs tag: String?,
        by author: String,
        at now: Timestamp,
        _ redactor: Redactor
    ) {
        self.init(.change, at: now, caller: author)
        decision = "policy_tag"
        policyVersion = version.number
        func name(_ tag: String?) -> String {
            tag.map { "tag `\(redactor.redact(text: $0).text)`" } ?? "no tag"
        }
        reason = "\(name(tag)) in place of \(name(version.tag))"
        argumentsDigest = redactor.digest(of: version.digest)
    }

    /// Who does what time or the program itself does.
    package static let ownName = "preloop"
}

/// Redacted arguments as they are kept: not more of them than a reader wants to see.
enum AuditArguments {
    /// Bytes of a document that is kept as it is.
    static let maximumBytes = 16 << 10
    /// Bytes of a text in a longer document.
    private static let shortText = 256

    /// A document of at most ``maximumBytes``.
    static func text(of value: JSONValue) -> String {
        let whole = value.serialized()
        guard whole.count > maximumBytes else { return String(decoding: whole, as: UTF8.self) }
        let short = shortened(value).serialized()
        guard short.count > maximumBytes else { return String(decoding: short, as: UTF8.self) }
        let summary: JSONValue = ["[cut]": .integer(Int64(whole.count))]
        return summary.serializedText()
    }

    /// What was redacted, and where.
    static func text(of findings: [SensitiveFinding]) -> String {
        text(
            of: .array(
                findings.map { finding in
                    ["path": .string(finding.path), "kind": .string(finding.kind.rawValue)]
                }
            )
        )
    }

    private static func shortened(_ value: JSONValue) -> JSONValue {
        switch value {
        case .null, .bool, .integer, .double: return value
        case .string(let text):
            let count = text.utf8.count
            guard count > shortText else { return value }
            let beginning = String(decoding: text.utf8.prefix(shortText), as: UTF8.self)
            return .string("\(beginning)… [\(count) bytes]")
        case .array(let elements): return .array(elements.map(shortened))
        case .object(let object):
            var copy = JSONObject()
            for member in object.members {
                copy.append(key: member.key, value: shortened(member.value))
            }
            return .object(copy)
        }
    }
}

extension AuditCheckpointTable.Row {
    /// A checkpoint as it is stored.
    init(_ signed: SignedCheckpoint) {
        self.init(
            sequence: signed.checkpoint.point.sequence,
            hash: signed.checkpoint.point.hash,
            signedAt: signed.checkpoint.madeAt,
            keyID: signed.keyID,
            signature: signed.signature
        )
    }

    /// The checkpoint of a kind that the row claims to be.
    package func signed(_ kind: AuditCheckpoint.Kind, of account: AccountID) -> SignedCheckpoint {
        SignedCheckpoint(
            AuditCheckpoint(
                account: account,
                kind: kind,
                point: AuditChain.Point(sequence: sequence, hash: hash),
                madeAt: signedAt
            ),
            keyID: keyID,
            signature: signature
        )
    }
}
