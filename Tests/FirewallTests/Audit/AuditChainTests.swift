import Domain
import Testing

@testable import Firewall

/// A chain in memory, with everything that is stored of one.
private struct Record {
    var entries: [(entry: AuditEntry, hash: [UInt8])] = []
    var cut: SignedCheckpoint?
    var marks: [SignedCheckpoint] = []
    var head: SignedCheckpoint?
}

struct AuditChainTests {
    private static let account = AccountID(3)
    private let signer: AuditSigner

    init() throws {
        signer = try #require(AuditSigner(seed: [UInt8](repeating: 5, count: 32)))
    }

    private static func entry(_ sequence: Int64, _ tool: String = "t") -> AuditEntry {
        var entry = AuditEntry(account: account, sequence: sequence)
        entry.add("tool", "\(tool)\(sequence)")
        entry.add("bytes", sequence)
        entry.add("digest", [UInt8(truncatingIfNeeded: sequence)])
        return entry
    }

    private func sign(
        _ kind: AuditCheckpoint.Kind,
        _ point: AuditChain.Point
    ) throws -> SignedCheckpoint {
        try signer.sign(
            AuditCheckpoint(
                account: Self.account,
                kind: kind,
                point: point,
                madeAt: Timestamp(milliseconds: 1)
            )
        )
    }

    /// A chain of so many events with a mark every 20.
    private func record(_ count: Int64) throws -> Record {
        var (record, chain) = (Record(), AuditChain(account: Self.account))
        for sequence in 1...count {
            let entry = Self.entry(sequence)
            record.entries.append((entry, chain.append(entry)))
            if sequence.isMultiple(of: 20) { record.marks.append(try sign(.mark, chain.end)) }
        }
        record.head = try sign(.head, chain.end)
        return record
    }

    private func verifier(
        _ record: Record,
        _ key: AuditKey? = nil,
        anchor: AuditChain.Point? = nil
    ) -> AuditVerifier {
        var verifier = AuditVerifier(
            account: Self.account,
            cut: record.cut,
            marks: record.marks,
            key: key ?? signer.publicKey,
            anchor: anchor
        )
        for item in record.entries { verifier.read(item.entry, hash: item.hash) }
        verifier.finish(head: record.head)
        return verifier
    }

    private func faults(
        _ record: Record,
        _ key: AuditKey? = nil,
        anchor: AuditChain.Point? = nil
    ) -> [AuditFault] {
        verifier(record, key, anchor: anchor).faults
    }

    @Test func `what nobody touched is sound`() throws {
        #expect(faults(Record()).isEmpty)
        #expect(faults(try record(1)).isEmpty)
        #expect(faults(try record(100)).isEmpty)
    }

    @Test func `fields are told apart by their names, types and lengths`() {
        var entries: [[UInt8]] = []
        func add(_ fill: (inout AuditEntry) -> Void) {
            var entry = AuditEntry(account: AccountID(1), sequence: 1)
            fill(&entry)
            entries.append(entry.bytes)
        }
        add { $0.add("a", "b") }
        add { $0.add("a", Array("b".utf8)) }
        add { $0.add("ab", "") }
        add {
            $0.add("a", ""); $0.add("b", "")
        }
        add { $0.add("a", Int64(98)) }
        add { _ in }
        add {
            $0.add("a", nil as String?); $0.add("c", "")
        }
        #expect(Set(entries).count == entries.count)
    }

    @Test func `a changed event is found in its place`() throws {
        let sound = try record(50)
        for place in [0, 24, 49] {
            var record = sound
            record.entries[place].entry = Self.entry(Int64(place + 1), "other")
            let at = Int64(place + 1)
            #expect(faults(record) == [AuditFault(kind: .altered, range: at...at)])
            record = sound
            record.entries[place].hash[3] ^= 1
            #expect(faults(record).first?.range == at...at)
        }
    }

    @Test func `missing events are found wherever they were`() throws {
        let sound = try record(50)
        var record = sound
        record.entries.removeFirst(3)
        #expect(faults(record) == [AuditFault(kind: .missing, range: 1...3)])
        record = sound
        record.entries.remove(at: 24)
        #expect(faults(record) == [AuditFault(kind: .missing, range: 25...25)])
        record = sound
        record.entries.removeLast(5)
        #expect(faults(record) == [AuditFault(kind: .missing, range: 46...50)])
    }

    @Test func `moved and added events are found`() throws {
        let sound = try record(50)
        var record = sound
        record.entries.swapAt(10, 11)
        #expect(faults(record).contains { $0.range.contains(11) || $0.range.contains(12) })
        record = sound
        var chain = AuditChain(account: Self.account, from: sound.head?.checkpoint.point)
        let entry = Self.entry(51)
        record.entries.append((entry, chain.append(entry)))
        #expect(faults(record) == [AuditFault(kind: .added, range: 51...51)])
    }

    @Test func `hashes made anew are found between two checkpoints`() throws {
        var record = try record(100)
        var chain = AuditChain(account: Self.account)
        for place in record.entries.indices {
            if place == 44 { record.entries[place].entry = Self.entry(45, "other") }
            record.entries[place].hash = chain.append(record.entries[place].entry)
        }
        #expect(faults(record).first == AuditFault(kind: .rewritten, range: 41...60))
        // Nor does it help to put another end there without the key.
        record.head?.checkpoint.point = chain.end
        #expect(faults(record).contains { $0.kind == .endForged })
        record.marks = []
        #expect(faults(record) == [AuditFault(kind: .endForged, range: 1...100)])
    }

    @Test func `another end, another account's, another kind's: none is taken for the end`() throws
    {
        let sound = try record(50)
        var record = sound
        record.head = nil
        #expect(faults(record).map(\.kind) == [.endMissing])
        record = sound
        record.entries.removeLast(10)
        record.marks.removeLast()
        let mark = try sign(.mark, AuditChain.Point(sequence: 40, hash: sound.entries[39].hash))
        record.head = mark
        #expect(faults(record).map(\.kind) == [.endForged])
        record = sound
        record.head?.checkpoint.account = AccountID(4)
        #expect(faults(record).map(\.kind) == [.endForged])
        // An older end with its true signature: the marks behind it tell.
        record = sound
        record.entries.removeLast(20)
        record.head = try sign(.head, AuditChain.Point(sequence: 30, hash: sound.entries[29].hash))
        #expect(faults(record) == [AuditFault(kind: .missing, range: 31...40)])
    }

    /// Without rows and end there was nothing to compare, and the marks were not looked at.
    @Test func `where all events and the end are gone, the marks tell of them`() throws {
        var record = try record(50)
        record.entries = []
        record.head = nil
        #expect(faults(record) == [AuditFault(kind: .missing, range: 1...40)])
        record.marks[0].checkpoint.point.hash[0] ^= 1
        #expect(faults(record).map(\.kind) == [.checkpointForged, .missing])
        record.marks.removeLast()
        #expect(faults(record) == [AuditFault(kind: .checkpointForged, range: 20...20)])
        // Nor do the marks matter less where the end alone is gone.
        record = try self.record(50)
        record.entries.removeLast(20)
        record.head = nil
        #expect(faults(record).map(\.kind) == [.endMissing, .missing])
    }

    @Test func `a place that was noted is passed, at the cut too`() throws {
        let sound = try record(50)
        var record = sound
        record.entries.removeFirst(25)
        record.marks.removeFirst()
        record.cut = try sign(.cut, AuditChain.Point(sequence: 25, hash: sound.entries[24].hash))
        for place in [25, 26, 50] as [Int64] {
            var point = AuditChain.Point(sequence: place, hash: sound.entries[Int(place) - 1].hash)
            #expect(faults(record, anchor: point).isEmpty, "\(place)")
            point.hash[31] ^= 1
            let found = faults(record, anchor: point)
            #expect(found.map(\.kind) == [.rewritten] && found[0].range.contains(place))
        }
        let later = AuditChain.Point(sequence: 51, hash: sound.entries[49].hash)
        #expect(faults(record, anchor: later) == [AuditFault(kind: .missing, range: 51...51)])
    }

    @Test func `a chain may begin at a signed cut, and at no other place`() throws {
        let sound = try record(50)
        var record = sound
        record.entries.removeFirst(25)
        record.cut = try sign(.cut, AuditChain.Point(sequence: 25, hash: sound.entries[24].hash))
        record.marks.removeFirst()
        #expect(faults(record).isEmpty)
        var forged = record
        forged.entries.removeFirst()
        forged.cut?.checkpoint.point = AuditChain.Point(sequence: 26, hash: sound.entries[25].hash)
        #expect(faults(forged).map(\.kind) == [.cutForged])
        forged.cut = try sign(.mark, AuditChain.Point(sequence: 26, hash: sound.entries[25].hash))
        #expect(faults(forged).map(\.kind) == [.cutForged])
    }

    @Test func `signatures of another key prove nothing`() throws {
        let record = try record(50)
        let other = try #require(AuditSigner(seed: [UInt8](repeating: 6, count: 32)))
        #expect(faults(record, other.publicKey).map(\.kind) == [.endForged])
        #expect(verifier(record, other.publicKey).foreignMarks == 2)
        #expect(verifier(record).foreignMarks == 0)
        #expect(AuditSigner(seed: [1]) == nil && AuditKey([1]) == nil)
    }

    @Test func `an event that tells of doubt is a fault, and the last is that there are many`()
        throws
    {
        var (record, chain) = (Record(), AuditChain(account: Self.account))
        for sequence in 1...150 as ClosedRange<Int64> {
            var entry = Self.entry(sequence)
            entry.tellsOfDoubt = true
            record.entries.append((entry, chain.append(entry)))
        }
        record.head = try sign(.head, chain.end)
        let found = faults(record)
        #expect(found.count == AuditVerifier.maximumFaults)
        #expect(found.allSatisfy { $0.kind == .unproven })
    }
}
