package import Domain

/// Something that is wrong with an account's chain, and where.
package struct AuditFault: Sendable, Equatable {
    /// What is wrong.
    package enum Kind: String, Sendable, CaseIterable {
        /// The event, its place or its hash is not what was written.
        case altered
        /// Events have been removed.
        case missing
        /// Events stand behind the end that was signed.
        case added
        /// Hashes were made anew: they fit together, and not what was signed.
        case rewritten
        /// Nothing says where the chain ends.
        case endMissing = "end_missing"
        /// What says where the chain ends was not signed by the installation.
        case endForged = "end_forged"
        /// What says that older events were removed rightly was not signed by the installation.
        case cutForged = "cut_forged"
        /// A checkpoint was not signed by the installation.
        case checkpointForged = "checkpoint_forged"
        /// An event that was written when the end of the chain was not proven: before it, events
        /// may have been removed, or the installation's key was changed.
        case unproven
    }

    package var kind: Kind
    /// Where it can be: the first and the last event that are concerned.
    package var range: ClosedRange<Int64>
}

extension AuditFault: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        let place =
            range.lowerBound == range.upperBound
            ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
        return switch kind {
        case .altered: "event \(place) is not what was written, or not in its place"
        case .missing: "event \(place) is missing"
        case .added: "event \(place) is behind the end that was signed"
        case .rewritten: "between event \(place) hashes were made anew"
        case .endMissing:
            "the signed end of the chain is missing; it was at event \(place) or later"
        case .endForged:
            "the end of the chain at event \(place) was not signed by this installation"
        case .cutForged: "the removal of events up to \(place) was not signed by this installation"
        case .checkpointForged:
            "the checkpoint at event \(place) was not signed by this installation"
        case .unproven:
            "when event \(place) was written, the end of the chain was not proven: events before "
                + "it were removed, or the key was changed"
        }
    }
}

/// Reads an account's events in their order and finds what was tampered with.
///
/// After a fault it goes on with the hash that is stored, or the one that should be, so that one
/// changed event is one fault. What a signature covers is beyond doubt; what follows the last good
/// signature is not.
package struct AuditVerifier: Sendable {
    /// Faults that are kept; a chain with more is not worth reading further.
    package static let maximumFaults = 100

    private let account: AccountID
    private let key: AuditKey
    /// Marks not passed yet, the first one last.
    private var marks: [SignedCheckpoint]
    /// What may stand before the next event: the stored hash, and the one that should be.
    private var previous: [[UInt8]]
    private var sequence: Int64
    /// The last place that a good signature covers.
    private var proven: Int64

    /// The first place that is not proven; whoever writes into the database chooses numbers.
    private var afterProven: Int64 { proven < .max ? proven + 1 : proven }

    /// A place that was noted elsewhere: the chain must pass it.
    private let anchor: AuditChain.Point?
    /// What was found, in the order of the events.
    package private(set) var faults: [AuditFault] = []
    /// Events that were read.
    package private(set) var count = 0
    /// Marks whose key is another one: they prove nothing, and nothing is wrong with them.
    package private(set) var foreignMarks = 0
    /// Whether there are more faults than are kept.
    package var isFull: Bool { faults.count >= Self.maximumFaults }

    /// - Parameters:
    ///   - account: Whose chain.
    ///   - cut: Where the chain begins; nil for its very beginning.
    ///   - marks: The checkpoints on the way, in their order.
    ///   - key: Whose signatures count.
    ///   - anchor: A place that was noted elsewhere; one before the cut says nothing.
    package init(
        account: AccountID,
        cut: SignedCheckpoint?,
        marks: [SignedCheckpoint],
        key: AuditKey,
        anchor: AuditChain.Point? = nil
    ) {
        self.account = account
        self.key = key
        self.anchor = anchor
        let start = cut?.checkpoint.point ?? AuditChain.beginning(of: account)
        self.marks = marks.reversed()
        previous = [start.hash]
        sequence = start.sequence
        proven = start.sequence
        if let cut, !Self.isSound(cut, .cut, account, key) { add(.cutForged, at: sequence) }
        // The event itself is gone; its hash is what the chain goes on from.
        if let anchor, anchor.sequence == sequence, anchor.hash != start.hash {
            add(.rewritten, at: sequence)
        }
    }

    private static func isSound(
        _ signed: SignedCheckpoint,
        _ kind: AuditCheckpoint.Kind,
        _ account: AccountID,
        _ key: AuditKey
    ) -> Bool {
        signed.checkpoint.kind == kind && signed.checkpoint.account == account
            && key.hasSigned(signed)
    }

    private mutating func add(_ kind: AuditFault.Kind, _ range: ClosedRange<Int64>) {
        guard !isFull else { return }
        faults.append(AuditFault(kind: kind, range: range))
    }

    private mutating func add(_ kind: AuditFault.Kind, at place: Int64) {
        add(kind, place...place)
    }

    /// Reads the next event with the hash that is stored for it.
    package mutating func read(_ entry: AuditEntry, hash stored: [UInt8]) {
        guard entry.sequence > sequence else {
            add(.altered, at: entry.sequence)
            return
        }
        var isAfterGap = false
        if entry.sequence > sequence + 1 {
            add(.missing, sequence + 1...entry.sequence - 1)
            isAfterGap = true
        }
        let should = previous.map { AuditChain.hash(of: entry.bytes, after: $0) }
        if should.contains(stored) {
            previous = [stored]
        } else {
            // What the event behind a gap should hash to, nobody can tell.
            if !isAfterGap { add(.altered, at: entry.sequence) }
            previous = [stored] + (isAfterGap ? [] : should)
        }
        sequence = entry.sequence
        count += 1
        if entry.tellsOfDoubt { add(.unproven, at: sequence) }
        passMarks(stored)
    }

    private mutating func passMarks(_ stored: [UInt8]) {
        if let anchor, anchor.sequence == sequence, anchor.hash != stored {
            add(.rewritten, min(afterProven, sequence)...sequence)
        }
        while let mark = marks.last, mark.checkpoint.point.sequence <= sequence {
            marks.removeLast()
            let place = mark.checkpoint.point.sequence
            guard haveEqualBytes(mark.keyID, key.id) else {
                foreignMarks += 1
                continue
            }
            guard Self.isSound(mark, .mark, account, key) else {
                add(.checkpointForged, at: place)
                continue
            }
            // A mark in a gap has nothing to be compared with.
            guard place == sequence else { continue }
            if mark.checkpoint.point.hash == stored {
                proven = place
            } else {
                add(.rewritten, min(afterProven, place)...place)
            }
        }
    }

    /// Ends the reading, after the last event.
    ///
    /// - Parameter head: What says where the chain ends; nil when nothing does.
    package mutating func finish(head: SignedCheckpoint?) {
        compare(with: head)
        compareMarks(behind: max(sequence, head?.checkpoint.point.sequence ?? 0))
    }

    private mutating func compare(with head: SignedCheckpoint?) {
        guard let head else {
            if sequence > 0 || count > 0 { add(.endMissing, at: sequence) }
            return
        }
        let end = head.checkpoint.point
        let isSound = Self.isSound(head, .head, account, key)
        if !isSound { add(.endForged, min(afterProven, end.sequence)...max(end.sequence, 0)) }
        if end.sequence > sequence {
            add(.missing, sequence + 1...end.sequence)
        } else if end.sequence < sequence {
            add(.added, end.sequence + 1...sequence)
        } else if isSound, !previous.contains(end.hash) {
            add(.rewritten, min(afterProven, end.sequence)...end.sequence)
        }
    }

    /// Compares marks and the anchor that no event has reached.
    ///
    /// One behind the end says that an older end was put back, or that there is none at all.
    private mutating func compareMarks(behind end: Int64) {
        var last = anchor?.sequence ?? 0
        while let mark = marks.popLast() {
            guard haveEqualBytes(mark.keyID, key.id) else {
                foreignMarks += 1
                continue
            }
            let place = mark.checkpoint.point.sequence
            if !Self.isSound(mark, .mark, account, key) {
                add(.checkpointForged, at: place)
            } else {
                last = max(last, place)
            }
        }
        if last > end { add(.missing, end + 1...last) }
    }
}
