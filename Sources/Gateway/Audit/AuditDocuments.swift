package import Domain
package import Firewall
package import Store

extension AuditTable.Row {
    /// The event as it is exported: every field that has a value, under its column's name.
    package var json: JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: "event")
        object.append(key: "sequence", value: .integer(sequence))
        if let event {
            for (name, value) in event.members { object.append(key: name, value: value) }
        } else {
            object.append(key: "unreadable", value: true)
        }
        object.append(key: "hash", value: .string(hexadecimal(hash)))
        return .object(object)
    }
}

extension AuditTable.Event {
    /// The fields that have a value, in the order in which they are hashed.
    fileprivate var members: [(String, JSONValue)] {
        func text(_ text: String?) -> JSONValue? { text.map(JSONValue.string) }
        func number(_ number: Int64?) -> JSONValue? { number.map(JSONValue.integer) }
        func digest(_ bytes: [UInt8]?) -> JSONValue? {
            bytes.map { .string(hexadecimal($0)) }
        }
        let all: [(String, JSONValue?)] = [
            ("kind", .string(kind)), ("happened_at", .string(happenedAt.iso8601)),
            ("call_id", text(callID)), ("caller", .string(caller)), ("channel", text(channel)),
            ("client", text(client)), ("session", text(session)), ("server", text(server)),
            ("tool", text(tool)), ("decision", text(decision)), ("outcome", text(outcome)),
            ("rule", text(rule)), ("policy_version", number(policyVersion)),
            ("approval_id", text(approvalID)), ("reason", text(reason)),
            // Texts, not documents: their bytes are hashed.
            ("arguments", text(arguments)), ("findings", text(findings)),
            ("arguments_digest", digest(argumentsDigest)), ("result_digest", digest(resultDigest)),
            ("result_bytes", number(resultBytes)), ("duration_us", number(durationMicroseconds)),
            ("trace_parent", text(traceParent)),
        ]
        return all.compactMap { name, value in value.map { (name, $0) } }
    }
}

extension SignedCheckpoint {
    /// The checkpoint as it is exported.
    package var json: JSONValue {
        [
            "type": "checkpoint", "kind": .string(checkpoint.kind.rawValue),
            "account": .integer(checkpoint.account.rawValue),
            "sequence": .integer(checkpoint.point.sequence),
            "hash": .string(hexadecimal(checkpoint.point.hash)),
            "signed_at": .string(checkpoint.madeAt.iso8601), "key_id": .string(keyID),
            "signature": .string(hexadecimal(signature)),
        ]
    }
}

extension AuditFault {
    /// The fault as it is reported.
    package var json: JSONValue {
        [
            "kind": .string(kind.rawValue), "first": .integer(range.lowerBound),
            "last": .integer(range.upperBound), "why": .string(description),
        ]
    }
}

extension AuditLog.Report {
    /// The report of `preloop audit verify` and of the server.
    package var json: JSONValue {
        [
            "ok": .bool(isSound), "events": .integer(Int64(count)),
            "first": range.map { .integer($0.lowerBound) } ?? .null,
            "last": range.map { .integer($0.upperBound) } ?? .null,
            "removed_through": .integer(removedThrough),
            "first_bad": faults.first.map { .integer($0.range.lowerBound) } ?? .null,
            "faults": .array(faults.map(\.json)), "more_faults": .bool(isFull),
            "foreign_checkpoints": .integer(Int64(foreignMarks)),
            "end": end?.json ?? .null, "key_id": .string(key.id),
            "public_key": .string(hexadecimal(key.bytes)),
        ]
    }
}

extension ToolCallTable.Entry {
    /// The call as commands and the server tell of it; without an end it is `running` for a while,
    /// then `unknown`.
    package func json(at now: Timestamp) -> JSONValue {
        var object = JSONObject()
        object.append(key: "sequence", value: .integer(sequence))
        let end = call.end
        let members: [(String, JSONValue)] = [
            ("call_id", .string(call.id)), ("at", .string(call.startedAt.iso8601)),
            ("tool", .string(call.tool)), ("server", JSONValue(call.server)),
            ("caller", .string(call.caller)), ("channel", .string(call.channel)),
            ("client", JSONValue(call.client)), ("session", JSONValue(call.session)),
            ("decision", .string(otherDecision ?? call.decision.rawValue)),
            ("outcome", .string(outcome(at: now))),
            ("reason", JSONValue(call.reason)), ("rule", JSONValue(call.rule)),
            ("policy_version", call.policyVersion.map(JSONValue.integer) ?? .null),
            ("approval_id", JSONValue(call.approvalID)), ("arguments", call.arguments ?? .null),
            ("redacted", redacted), ("arguments_digest", digest(call.argumentsDigest)),
            ("ended_at", JSONValue(end?.endedAt.iso8601)),
            ("duration_ms", end.map { .double($0.duration / .milliseconds(1)) } ?? .null),
            ("result_bytes", end.map { .integer(Int64($0.resultBytes)) } ?? .null),
            ("result_digest", end?.resultDigest.map(digest) ?? .null),
            ("trace_parent", JSONValue(call.traceParent)),
        ]
        for (key, value) in members { object.append(key: key, value: value) }
        if isUnreadable { object.append(key: "unreadable", value: true) }
        return .object(object)
    }

    /// How the call has ended, in a word.
    package func outcome(at now: Timestamp) -> String {
        if let otherOutcome { return otherOutcome }
        guard call.outcome == .running,
            call.startedAt.advanced(by: AuditLog.lostAfter) <= now
        else { return call.outcome.rawValue }
        return "unknown"
    }

    private var redacted: JSONValue {
        // Written by us; what somebody has made of it is shown as a text.
        findings.map { (try? JSONParser.parse($0)) ?? .string($0) } ?? []
    }

    private func digest(_ bytes: [UInt8]) -> JSONValue { .string(hexadecimal(bytes)) }
}
