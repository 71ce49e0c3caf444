import TestSupport
import Testing

@testable import VectorIndex

@Suite struct SnapshotTests {
    static func makeSource(_ count: Int = 700) throws -> (HNSWIndex, [[Float]]) {
        var source = ClusteredVectors(dimension: 24, clusters: 12, seed: 8)
        let index = try makeIndex(source.next(count), capacity: 5000)
        for key in stride(from: Int64(0), to: Int64(count), by: 7) { index.remove(key: key) }
        return (index, source.next(30))
    }

    @Test func `an opened snapshot answers as the index that was saved`() throws {
        let (index, queries) = try Self.makeSource()
        try withTemporaryPath { path in
            try index.save(to: path, revision: 77)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 24)
            #expect(opened.revision == 77 && index.revision == 77)
            #expect(opened.configuration == index.configuration)
            #expect(opened.keys == index.keys)
            #expect(opened.checkInvariants() == [])
            for query in queries {
                #expect(opened.search(query, count: 10) == index.search(query, count: 10))
            }
        }
    }

    @Test func `changes after opening never reach the file`() throws {
        let (index, queries) = try Self.makeSource()
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            let before = readFile(path)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 24)
            for (offset, query) in queries.enumerated() {
                try opened.insert(key: Int64(offset), vector: query)
                try opened.insert(key: Int64(10_000 + offset), vector: query)
                opened.remove(key: Int64(100 + offset))
            }
            #expect(opened.checkInvariants() == [])
            #expect(readFile(path) == before)
            try opened.save(to: path, revision: 2)
            let again = try HNSWIndex.open(path: path, expecting: "test", dimension: 24)
            #expect(again.keys == opened.keys && again.revision == 2)
            for query in queries {
                #expect(again.search(query, count: 9) == opened.search(query, count: 9))
            }
        }
    }

    @Test func `a capacity can be raised when a snapshot is opened, and not below what it holds`()
        throws
    {
        var source = ClusteredVectors(dimension: 24, clusters: 12, seed: 8)
        let index = try makeIndex(source.next(300), capacity: 300)
        let extra = source.next()
        #expect(throws: VectorIndexError.full(capacity: 300)) {
            try index.insert(key: 300, vector: extra)
        }
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            func open(_ capacity: Int?) throws -> HNSWIndex {
                try HNSWIndex.open(
                    path: path,
                    expecting: "test",
                    dimension: 24,
                    capacity: capacity
                )
            }
            #expect(try open(nil).configuration.capacity == 300)
            #expect(try open(5).configuration.capacity == 300)
            let larger = try open(400)
            for key in 300..<400 { try larger.insert(key: Int64(key), vector: source.next()) }
            #expect(larger.checkInvariants() == [])
            #expect(throws: VectorIndexError.full(capacity: 400)) {
                try larger.insert(key: 400, vector: extra)
            }
            try larger.save(to: path, revision: 2)
            #expect(try open(nil).count == 400)
        }
    }

    @Test func `an empty index can be saved and opened`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 8), identity: "test")
        try withTemporaryPath { path in
            try index.save(to: path, revision: 3)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 8)
            #expect(opened.isEmpty && opened.revision == 3)
            try opened.insert(key: 1, vector: unit([Float](repeating: 1, count: 8)))
            #expect(opened.count == 1)
        }
    }

    @Test func `each way a file can be wrong has its own error`() throws {
        let (index, _) = try Self.makeSource()
        try withTemporaryPath { path in
            func error(
                _ bytes: [UInt8]?,
                identity: String = "test",
                dimension: Int = 24
            ) -> VectorIndexError? {
                if let bytes { writeFile(bytes, path) }
                do throws(VectorIndexError) {
                    _ = try HNSWIndex.open(path: path, expecting: identity, dimension: dimension)
                    return nil
                } catch {
                    return error
                }
            }
            #expect(error(nil) == .snapshotMissing(path: path))
            try index.save(to: path, revision: 1)
            let good = readFile(path)
            #expect(error(nil, identity: "x") == .snapshotIdentity(expected: "x", found: "test"))
            #expect(error(nil, dimension: 25) == .snapshotDimension(expected: 25, found: 24))
            #expect(
                error([]) == .snapshotTruncated(expectedByteCount: 4096, foundByteCount: 0)
            )
            #expect(
                error(Array(good.dropLast()))
                    == .snapshotTruncated(
                        expectedByteCount: good.count,
                        foundByteCount: good.count - 1
                    )
            )
            #expect(error(Array("not an index".utf8)) == .notSnapshot)
            #expect(error(changed(good, 8, 1)) == .snapshotByteOrder)
            #expect(error(changed(good, 12, 9)) == .snapshotVersion(found: 9, supported: 3))
            #expect(error(changed(good, 30, 0xFF)) == .snapshotChecksum(part: .header))
            #expect(error(changed(good, 4100, 0xEE)) == .snapshotChecksum(part: .keys))
            #expect(
                error(changed(good, good.count - 9, 0xEE)) == .snapshotChecksum(part: .lowBytes)
            )
            #expect(error(good) == nil)
        }
    }

    @Test func `hostile bytes are refused or harmless, never a trap`() throws {
        let (index, queries) = try Self.makeSource(200)
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            let good = readFile(path)
            var generator = SeededGenerator(seed: 99)
            var refused = 0
            for round in 0..<600 {
                var bytes = good
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let limit = round % 2 == 0 ? bytes.count : 1100
                    let place = Int.random(in: 0..<limit, using: &generator)
                    bytes[place] = UInt8.random(in: 0...255, using: &generator)
                }
                if round % 5 == 0 {
                    bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
                }
                // Half of the files carry right checksums, so that what follows them is reached.
                if round % 4 < 2 { bytes = withRightChecksums(bytes) }
                writeFile(bytes, path)
                do throws(VectorIndexError) {
                    let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 24)
                    for query in queries.prefix(3) { _ = opened.search(query, count: 10) }
                    for (key, query) in queries.enumerated() {
                        _ = try? opened.insert(key: Int64(key), vector: query)
                        opened.remove(key: Int64(key + 20))
                    }
                    _ = opened.checkInvariants()
                } catch {
                    refused += 1
                    #expect(!error.description.isEmpty)
                }
            }
            #expect(refused > 300)
        }
    }

    @Test func `impossible links are found behind right checksums`() throws {
        let (index, _) = try Self.makeSource(200)
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            let good = readFile(path)
            let sections = try sections(of: good)
            // Slot 1 is live; its first and second link are rewritten.
            let first = sections[3].offset + 32 * 2
            func fault(_ link: UInt32, at place: Int) -> VectorIndexError? {
                var bytes = good
                for byte in 0..<2 {
                    bytes[place + byte] = UInt8(truncatingIfNeeded: link >> (8 * byte))
                }
                writeFile(withRightChecksums(bytes), path)
                do throws(VectorIndexError) {
                    _ = try HNSWIndex.open(path: path, expecting: "test", dimension: 24)
                    return nil
                } catch {
                    return error
                }
            }
            func expected(_ detail: StructuralFault) -> VectorIndexError {
                .snapshotStructure(part: .baseLinks, detail: detail)
            }
            #expect(fault(50_000, at: first) == expected(.linkOutOfBounds))
            #expect(fault(0, at: first) == expected(.linkOutOfBounds))
            #expect(fault(1, at: first) == expected(.linkToItself))
            #expect(fault(.max, at: first) == expected(.linkGap))
            let neighbour = index.graph.links(1, layer: 0)[0]
            #expect(fault(neighbour, at: first + 2) == expected(.linkTwice))
            let stranger = (2..<200).first {
                $0 % 7 != 0 && !index.graph.links(1, layer: 0).contains(UInt32($0))
            }
            #expect(fault(UInt32(try #require(stranger)), at: first) == expected(.linkOneWay))
        }
    }

    /// Lengths are checked for being numbers only; with these, scores differ by thousands.
    @Test(.timeLimit(.minutes(1)))
    func `false lengths behind right checksums end no search and no save`() throws {
        let query = unit([Float](repeating: 1, count: 384))
        let vector = query.enumerated().map { $0 < 50 ? -$1 : $1 }
        // One is nearer than all others, which are as near as each other.
        let index = try makeIndex([query] + [[Float]](repeating: vector, count: 599))
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            var bytes = readFile(path)
            let sections = try sections(of: bytes)
            let one = Float(1).bitPattern
            for slot in 0..<600 {
                for byte in 0..<4 {
                    let place = sections[2].offset + slot * 4 + byte
                    bytes[place] = UInt8(truncatingIfNeeded: one >> (8 * UInt32(byte)))
                }
            }
            writeFile(withRightChecksums(bytes), path)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 384)
            let some = KeySet((0..<300).map(Int64.init))
            #expect(opened.search(query, count: 10, filter: .only(some)).count == 10)
            #expect(opened.search(query, count: 10).count == 10)
            for key in Int64(300)..<600 { opened.remove(key: key) }
            // The number has changed by more than a quarter: the save measures anew.
            try opened.save(to: path, revision: 2)
        }
    }

    @Test func `the checksum is XXH64`() {
        func hash(_ text: String, seed: UInt64 = 0) -> UInt64 {
            Array(text.utf8).withUnsafeBytes { XXH64.hash($0, seed: seed) }
        }
        // Published values of the reference implementation.
        #expect(hash("") == 0xEF46_DB37_51D8_E999)
        #expect(hash("a") == 0xD24E_C4F1_A98C_6E5B)
        #expect(hash("abc") == 0x44BC_2CF5_AD77_0999)
        #expect(hash("Nobody inspects the spammish repetition") == 0xFBCE_A83C_8A37_8BF1)
    }

    /// Where the parts of a file lie, as its header says.
    private func sections(of bytes: [UInt8]) throws -> [SnapshotHeader.Section] {
        try SnapshotHeader(decoding: Array(bytes[..<4096]), foundByteCount: bytes.count).sections
    }

    private func changed(_ bytes: [UInt8], _ place: Int, _ value: UInt8) -> [UInt8] {
        var bytes = bytes
        bytes[place] = value
        return bytes
    }

    /// Recomputes all checksums from what the header claims, as far as it can be followed.
    private func withRightChecksums(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count >= 4096 else { return bytes }
        var bytes = bytes
        func number(_ place: Int) -> Int {
            var value: UInt64 = 0
            for byte in 0..<8 { value |= UInt64(bytes[place + byte]) << (8 * UInt64(byte)) }
            return Int(exactly: value) ?? .max
        }
        func put(_ value: UInt64, _ place: Int) {
            for byte in 0..<8 {
                bytes[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))
            }
        }
        for section in SnapshotHeader.parts.indices {
            let entry = 104 + section * 24
            let (offset, count) = (number(entry), number(entry + 8))
            guard offset <= bytes.count, count <= bytes.count - offset else { continue }
            let hash = bytes.withUnsafeBytes {
                XXH64.hash(UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)]))
            }
            put(hash, entry + 16)
        }
        put(SnapshotHeader.checksum(of: Array(bytes[..<4096])), 16)
        return bytes
    }
}
