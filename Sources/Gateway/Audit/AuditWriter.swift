package import Domain
import Firewall
package import Store
import Synchronization

/// Writes events into the chain of an account, inside the transaction of what they tell of.
///
/// The end of the chain is signed with every transaction. Before it is gone on with, its signature
/// is verified, unless this process has made it; where it is not right, or the last event is not
/// the one that was signed, an event says so for good (``AuditTable/Event/Kind/doubt``): the chain
/// goes on, since a lost key must not stop the work, and nobody can take the event away again.
package final class AuditWriter: Sendable {
    /// Events between two marks: what a search for hashes that were made anew can be narrowed to.
    package static let standardMarkInterval: Int64 = 1_000
    /// No installation writes so many; a number above is no number of ours.
    private static let maximumSequence = Int64.max / 2

    /// The keys of the account that it writes for.
    package let keys: AuditKeys
    private let markInterval: Int64
    /// The last end that this process has signed.
    private let known = Mutex<AuditCheckpointTable.Row?>(nil)
    /// The last of them whose transaction is known to have been committed.
    private let committed = Mutex<AuditCheckpointTable.Row?>(nil)

    package init(_ keys: AuditKeys, markInterval: Int64 = standardMarkInterval) {
        self.keys = keys
        self.markInterval = markInterval
    }

    /// Adds events behind the last one.
    ///
    /// Called inside a write transaction, once or several times; other writers of the account wait
    /// until it ends. Texts are cut to what is kept.
    package func append(
        _ events: [AuditTable.Event],
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        guard !events.isEmpty else { return }
        let found = try AuditCheckpointTable.lockEnd(account: account, on: connection)
        let start = try beginning(found, account, connection)
        var chain = AuditChain(account: account, from: start.point)
        var rows: [AuditTable.Row] = []
        for given in (start.doubt.map { [doubt($0, at: now)] } ?? []) + events {
            let (event, sequence) = (given.stored(), chain.end.sequence + 1)
            let hash = chain.append(event.entry(account: account, sequence: sequence))
            rows.append(AuditTable.Row(sequence: sequence, event: event, hash: hash))
            guard sequence.isMultiple(of: markInterval) else { continue }
            let mark = try sign(.mark, chain.end, now, account)
            try AuditCheckpointTable.add(.mark, mark, account: account, on: connection)
        }
        try AuditTable.append(rows, account: account, on: connection)
        let end = try sign(.head, chain.end, now, account)
        try AuditCheckpointTable.setEnd(end, account: account, on: connection)
        // True even when the transaction is undone: it is about the signature.
        known.withLock { $0 = end }
    }

    /// The end that was signed last; within the transaction that signed it, its own.
    var lastSigned: AuditCheckpointTable.Row? { known.withLock { $0 } }

    /// Notes that the transaction that signed this end was committed: whoever puts back an older
    /// one, which was signed as well, is found by it.
    func remember(_ end: AuditCheckpointTable.Row?) {
        guard let end else { return }
        committed.withLock { committed in
            guard committed.map({ $0.sequence < end.sequence }) ?? true else { return }
            committed = end
        }
    }

    private func sign(
        _ kind: AuditCheckpoint.Kind,
        _ point: AuditChain.Point,
        _ now: Timestamp,
        _ account: AccountID
    ) throws -> AuditCheckpointTable.Row {
        let checkpoint = AuditCheckpoint(account: account, kind: kind, point: point, madeAt: now)
        return AuditCheckpointTable.Row(try keys.signer.sign(checkpoint))
    }

    /// Where to go on, and what is doubtful about it.
    private func beginning(
        _ found: AuditCheckpointTable.End,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> (point: AuditChain.Point, doubt: String?) {
        let (end, last) = (found.signed, found.last)
        guard last < Self.maximumSequence, end.map({ $0.sequence < Self.maximumSequence }) ?? true
        else { throw StoreError.corrupt(detail: "an event of the audit has number \(last)") }
        if let lost = committed.withLock({ $0 }), last < lost.sequence,
            end.map({ $0.sequence < lost.sequence }) ?? true
        {
            let point = AuditChain.Point(sequence: lost.sequence, hash: lost.hash)
            let missing = "events \(last + 1) to \(lost.sequence) are missing"
            return (point, "\(missing), and the end was put back")
        }
        let isSigned = end.map { end in
            known.withLock { $0 == end } || hasSigned(end, .head, account)
        }
        if let end, isSigned == true, last <= end.sequence {
            let point = AuditChain.Point(sequence: end.sequence, hash: end.hash)
            // What is missing stays a gap: its numbers are not used again.
            guard last == end.sequence else {
                return (point, "events \(last + 1) to \(end.sequence) are missing")
            }
            let isSame = last == 0 || found.lastHash == end.hash
            return (point, isSame ? nil : "event \(last) is not the one that was signed")
        }
        if last > 0 {
            return (
                AuditChain.Point(sequence: last, hash: found.lastHash ?? []),
                isSigned == true
                    ? "there were events behind the signed end"
                    : "the end was not signed by the present key"
            )
        }
        return try beginningOfNothing(hasEnd: end != nil, account, connection)
    }

    /// Where to go on when there is no event and no end that could be trusted.
    private func beginningOfNothing(
        hasEnd: Bool,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> (point: AuditChain.Point, doubt: String?) {
        let cut = try AuditCheckpointTable.cut(account: account, on: connection)
        let mark = try AuditCheckpointTable.last(.mark, account: account, on: connection)
        let beginning = AuditChain.beginning(of: account)
        guard hasEnd || cut != nil || mark != nil else { return (beginning, nil) }
        // Only a number that was signed is gone on from; somebody may have written any other.
        let proven = [(AuditCheckpoint.Kind.cut, cut), (.mark, mark)].compactMap { kind, row in
            row.flatMap { hasSigned($0, kind, account) ? $0 : nil }
        }
        let last = proven.max { $0.sequence < $1.sequence }
        return (
            last.map { AuditChain.Point(sequence: $0.sequence, hash: $0.hash) } ?? beginning,
            "all events are missing, and the end was not signed by the present key"
        )
    }

    private func hasSigned(
        _ row: AuditCheckpointTable.Row,
        _ kind: AuditCheckpoint.Kind,
        _ account: AccountID
    ) -> Bool {
        keys.signer.publicKey.hasSigned(row.signed(kind, of: account))
    }

    private func doubt(_ reason: String, at now: Timestamp) -> AuditTable.Event {
        var event = AuditTable.Event(.doubt, at: now, caller: AuditTable.Event.ownName)
        event.reason = reason
        return event
    }

    // MARK: - Retention

    /// Removes the oldest events that happened before an instant, behind a signed checkpoint.
    ///
    /// What is removed is verified first; that it was not sound stays on record. The last event is
    /// never removed.
    ///
    /// - Returns: How many; fewer than `limit` when none is left.
    package func cut(
        before instant: Timestamp,
        limit: Int,
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> Int {
        let last = try AuditCheckpointTable.lockEnd(account: account, on: connection).last
        let cut = try AuditCheckpointTable.cut(account: account, on: connection)?
            .signed(.cut, of: account)
        let start = cut?.checkpoint.point.sequence ?? 0
        let old = try AuditTable.rows(
            after: start,
            limit: limit,
            account: account,
            on: connection
        ).prefix { row in
            row.sequence < last && row.event.map { $0.happenedAt < instant } ?? true
        }
        guard let newest = old.last else { return 0 }
        // No more than there are events: whoever writes into the database may have added some.
        let marks = try AuditCheckpointTable.list(
            .mark,
            after: start,
            limit: old.count,
            account: account,
            on: connection
        )
        var verifier = AuditVerifier(
            account: account,
            cut: cut,
            marks: marks.map { $0.signed(.mark, of: account) },
            key: keys.signer.publicKey
        )
        for row in old { verifier.read(row, of: account) }
        if let fault = verifier.faults.first(where: { $0.kind != .unproven }) {
            let reason = "among the events that were removed up to \(newest.sequence): \(fault)"
            let event = doubt(reason, at: now)
            try append([event], at: now, account: account, on: connection)
        }
        let point = AuditChain.Point(sequence: newest.sequence, hash: newest.hash)
        let signed = try sign(.cut, point, now, account)
        try AuditCheckpointTable.add(.cut, signed, account: account, on: connection)
        try AuditCheckpointTable.removeObsolete(
            cutAt: newest.sequence,
            account: account,
            on: connection
        )
        try AuditTable.remove(through: newest.sequence, account: account, on: connection)
        return old.count
    }
}

extension AuditVerifier {
    /// Reads the next row; one that cannot be read is not what was written.
    mutating func read(_ row: AuditTable.Row, of account: AccountID) {
        let entry =
            row.event?.entry(account: account, sequence: row.sequence)
            ?? AuditEntry(account: account, sequence: row.sequence)
        read(entry, hash: row.hash)
    }
}
