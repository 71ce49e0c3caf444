package import Domain
package import Firewall
import Store

/// Verifies an audit that was exported, wherever the export is: without the installation.
package enum AuditExport {
    /// Why an export cannot be verified; what is wrong with the audit in it is a report.
    package enum Failure: Error, Equatable, Sendable {
        /// A line is no document of an export.
        case unreadable(line: Int)
        /// The export was signed with another key than the one that is trusted.
        case otherKey(found: String)
    }

    /// Reads the lines of an export.
    ///
    /// Trusts the key in the export where none is given: then the report says that the export fits
    /// together, not who has made it.
    package static func verify(
        key trusted: AuditKey?,
        anchor: AuditChain.Point? = nil,
        _ next: () throws -> JSONValue?
    ) throws -> AuditLog.Report {
        var line = 1
        guard let first = try next(), let account = first["account"]?.integer,
            first["type"] == "audit", first["v"] == 1,
            let bytes = first["public_key"]?.string.flatMap({ decodedHexadecimal($0.utf8) }),
            let found = AuditKey(bytes)
        else { throw Failure.unreadable(line: line) }
        guard trusted.map({ $0 == found }) ?? true else {
            throw Failure.otherKey(found: found.id)
        }
        let owner = AccountID(account)
        var (cut, marks, head): (SignedCheckpoint?, [SignedCheckpoint], SignedCheckpoint?) =
            (nil, [], nil)
        func beginning() -> AuditVerifier {
            AuditVerifier(account: owner, cut: cut, marks: marks, key: found, anchor: anchor)
        }
        var verifier: AuditVerifier?
        var range: ClosedRange<Int64>?
        while let document = try next() {
            line += 1
            if document["type"] == "checkpoint" {
                guard let signed = SignedCheckpoint(exported: document), head == nil else {
                    throw Failure.unreadable(line: line)
                }
                switch signed.checkpoint.kind {
                case .cut: cut = signed
                case .mark: marks.append(signed)
                case .head: head = signed
                }
                continue
            }
            guard document["type"] == "event", let row = AuditTable.Row(exported: document),
                head == nil
            else { throw Failure.unreadable(line: line) }
            if verifier == nil { verifier = beginning() }
            verifier?.read(row, of: owner)
            let first = range?.lowerBound ?? row.sequence
            range = first...max(first, row.sequence)
        }
        var ended = verifier ?? beginning()
        ended.finish(head: head)
        return AuditLog.Report(
            count: ended.count,
            range: range,
            removedThrough: cut?.checkpoint.point.sequence ?? 0,
            faults: ended.faults,
            isFull: ended.isFull,
            foreignMarks: ended.foreignMarks,
            end: head,
            key: found
        )
    }
}

extension SignedCheckpoint {
    /// Reads what ``json`` has written.
    fileprivate init?(exported document: JSONValue) {
        guard let kind = document["kind"]?.string.flatMap(AuditCheckpoint.Kind.init),
            let account = document["account"]?.integer,
            let sequence = document["sequence"]?.integer,
            let hash = document["hash"]?.string.flatMap({ decodedHexadecimal($0.utf8) }),
            let time = document["signed_at"]?.string.flatMap(Timestamp.init(parsing:)),
            let keyID = document["key_id"]?.string,
            let signature = document["signature"]?.string.flatMap({ decodedHexadecimal($0.utf8) })
        else { return nil }
        self.init(
            AuditCheckpoint(
                account: AccountID(account),
                kind: kind,
                point: AuditChain.Point(sequence: sequence, hash: hash),
                madeAt: time
            ),
            keyID: keyID,
            signature: signature
        )
    }
}

extension AuditTable.Row {
    /// Reads what ``json`` has written.
    fileprivate init?(exported document: JSONValue) {
        guard let sequence = document["sequence"]?.integer,
            let hash = document["hash"]?.string.flatMap({ decodedHexadecimal($0.utf8) }),
            let time = document["happened_at"]?.string.flatMap(Timestamp.init(parsing:)),
            let caller = document["caller"]?.string, let kind = document["kind"]?.string
        else { return nil }
        func text(_ name: String) -> String? { document[name]?.string }
        func number(_ name: String) -> Int64? { document[name]?.integer }
        func bytes(_ name: String) -> [UInt8]? {
            text(name).flatMap { decodedHexadecimal($0.utf8) }
        }
        var event = AuditTable.Event(.call, at: time, caller: caller)
        event.kind = kind
        event.callID = text("call_id")
        event.channel = text("channel")
        event.client = text("client")
        event.session = text("session")
        event.server = text("server")
        event.tool = text("tool")
        event.decision = text("decision")
        event.outcome = text("outcome")
        event.rule = text("rule")
        event.policyVersion = number("policy_version")
        event.approvalID = text("approval_id")
        event.reason = text("reason")
        event.arguments = text("arguments")
        event.findings = text("findings")
        event.argumentsDigest = bytes("arguments_digest")
        event.resultDigest = bytes("result_digest")
        event.resultBytes = number("result_bytes")
        event.durationMicroseconds = number("duration_us")
        event.traceParent = text("trace_parent")
        self.init(sequence: sequence, event: event, hash: hash)
    }
}
