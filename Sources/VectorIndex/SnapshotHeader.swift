/// The first page of a snapshot file: what the file is, the numbers of the graph, and where each
/// section lies with its checksum.
///
/// DESIGN.md has the layout as a table.
struct SnapshotHeader: Equatable {
    /// Format this program writes and reads.
    static let version: UInt32 = 3
    /// First bytes of the file.
    ///
    /// Like PNG's: a byte that is not text, a name, and line ends that a text conversion would
    /// damage.
    static let signature: [UInt8] = [0x89, 0x50, 0x4C, 0x56, 0x58, 0x0D, 0x0A, 0x1A]
    /// One page, so that the sections behind it can be mapped.
    static let byteCount = MemoryRegion.pageByteCount
    /// Reads as 0x04030201 on a machine of the other byte order.
    static let byteOrderMark: UInt32 = 0x0102_0304
    /// The sections in file order.
    ///
    /// The planes of the vectors come last; that of low bytes is mapped.
    static let parts: [SnapshotPart] = [
        .keys, .states, .scales, .baseLinks, .upperLinks, .vectors, .middleBits,
        .lowBytes,
    ]

    /// One section of the file.
    struct Section: Equatable {
        /// From the start of the file, a multiple of the page size.
        var offset = 0
        var byteCount = 0
        /// XXH64 of the section's bytes.
        var checksum: UInt64 = 0
    }

    var configuration: HNSWIndex.Configuration
    var calibration = Calibration()
    /// Vectors that came or went since it was measured.
    var uncalibratedChanges = 0
    var identity: String
    var revision: Int64
    var slotCount: Int
    var liveCount: Int
    var upperListCount: Int
    var entryPoint: UInt32
    var topLevel: UInt32
    /// One for each of `parts`.
    var sections: [Section] = []

    /// Length of the whole file.
    var fileByteCount: Int {
        sections.last.map { $0.offset + $0.byteCount } ?? Self.byteCount
    }

    private enum Place {
        static let byteOrder = 8
        static let version = 12
        static let checksum = 16
        static let numbers = 24
        static let calibration = 512
        static let uncalibratedChanges = 640
        static let identity = 1024
    }

    /// Where the sections lie, which follows from the counts; checksums are left 0.
    func layout() -> [Section] {
        let rowByteCount = MemoryRegion.roundUp(configuration.dimension, to: Graph.rowUnit)
        let planeByteCount = rowByteCount * slotCount
        let linkByteCount = slotCount <= Graph.narrowLimit ? 2 : 4
        let byteCounts = [
            slotCount * 8, slotCount, slotCount * 4,
            slotCount * 2 * configuration.m * linkByteCount,
            upperListCount * configuration.m * 4, planeByteCount / 2, planeByteCount / 2,
            planeByteCount,
        ]
        var offset = Self.byteCount
        return byteCounts.map { byteCount in
            defer { offset = MemoryRegion.roundUp(offset + byteCount, to: Self.byteCount) }
            return Section(offset: offset, byteCount: byteCount, checksum: 0)
        }
    }

    /// The header page.
    func encoded() -> [UInt8] {
        var page = PageWriter(byteCount: Self.byteCount)
        page.put(bytes: Self.signature)
        page.put(Self.byteOrderMark)
        page.put(Self.version)
        page.put(UInt64(0))
        page.put(UInt64(fileByteCount))
        page.put(UInt32(configuration.dimension))
        page.put(UInt32(configuration.m))
        page.put(UInt32(configuration.efConstruction))
        page.put(UInt32(identity.utf8.count))
        page.put(configuration.seed)
        page.put(UInt64(configuration.capacity))
        page.put(UInt64(slotCount))
        page.put(UInt64(liveCount))
        page.put(UInt64(upperListCount))
        page.put(UInt64(bitPattern: revision))
        page.put(entryPoint)
        page.put(topLevel)
        for section in sections {
            page.put(UInt64(section.offset))
            page.put(UInt64(section.byteCount))
            page.put(section.checksum)
        }
        page.offset = Place.calibration
        page.put(UInt64(calibration.vectorCount))
        page.put(UInt32(calibration.recalls.count))
        for recall in calibration.recalls { page.put(recall.bitPattern) }
        page.offset = Place.uncalibratedChanges
        page.put(UInt64(uncalibratedChanges))
        page.offset = Place.identity
        page.put(bytes: Array(identity.utf8))
        page.offset = Place.checksum
        page.put(Self.checksum(of: page.bytes))
        return page.bytes
    }

    /// Hash of a header page, the field that holds it counted as zero.
    static func checksum(of page: [UInt8]) -> UInt64 {
        var page = page
        for index in Place.checksum..<(Place.checksum + 8) { page[index] = 0 }
        return unsafe page.withUnsafeBytes { unsafe XXH64.hash($0) }
    }
}

extension SnapshotHeader {
    /// Reads and checks a header page: signature, byte order, version, checksum, ranges, and that
    /// the sections lie exactly where a file of these counts has them.
    ///
    /// - Parameters:
    ///   - page: The first bytes of the file, at most one page.
    ///   - foundByteCount: Length of the file.
    /// - Throws: The `snapshot…` case of the first thing that is wrong.
    init(decoding page: [UInt8], foundByteCount: Int) throws(VectorIndexError) {
        guard page.starts(with: Self.signature) else {
            // An empty or cut file with a right beginning is a truncated snapshot, not a foreign
            // file.
            guard page.count < Self.signature.count, Self.signature.starts(with: page) else {
                throw .notSnapshot
            }
            throw .snapshotTruncated(
                expectedByteCount: Self.byteCount,
                foundByteCount: foundByteCount
            )
        }
        guard page.count == Self.byteCount else {
            throw .snapshotTruncated(
                expectedByteCount: Self.byteCount,
                foundByteCount: foundByteCount
            )
        }
        var reader = PageReader(bytes: page, offset: Place.byteOrder)
        guard reader.uint32() == Self.byteOrderMark else { throw .snapshotByteOrder }
        let version = reader.uint32()
        guard version == Self.version else {
            throw .snapshotVersion(found: version, supported: Self.version)
        }
        guard reader.uint64() == Self.checksum(of: page) else {
            throw .snapshotChecksum(part: .header)
        }
        try self.init(fields: &reader, foundByteCount: foundByteCount)
    }

    private init(
        fields reader: inout PageReader,
        foundByteCount: Int
    ) throws(VectorIndexError) {
        let claimedByteCount = reader.count()
        let dimension = Int(reader.uint32())
        let m = Int(reader.uint32())
        let efConstruction = Int(reader.uint32())
        let identityByteCount = Int(reader.uint32())
        let seed = reader.uint64()
        let capacity = reader.count()
        slotCount = reader.count()
        liveCount = reader.count()
        upperListCount = reader.count()
        revision = Int64(bitPattern: reader.uint64())
        entryPoint = reader.uint32()
        topLevel = reader.uint32()
        guard HNSWIndex.Configuration.isValid(dimension, m, efConstruction, capacity),
            slotCount <= capacity, liveCount <= slotCount,
            upperListCount <= Graph.upperListLimit(capacity),
            identityByteCount <= HNSWIndex.maximumIdentityByteCount
        else { throw .snapshotStructure(part: .header, detail: .sizeOutOfRange) }
        configuration = HNSWIndex.Configuration(
            dimension: dimension,
            m: m,
            efConstruction: efConstruction,
            seed: seed,
            capacity: capacity
        )
        sections = Self.parts.map { _ in
            Section(
                offset: reader.count(),
                byteCount: reader.count(),
                checksum: reader.uint64()
            )
        }
        reader.offset = Place.calibration
        calibration = try reader.calibration()
        reader.offset = Place.uncalibratedChanges
        uncalibratedChanges = min(reader.count(), HNSWIndex.Configuration.maximumCapacity)
        reader.offset = Place.identity
        guard let text = String(validating: reader.take(identityByteCount), as: UTF8.self) else {
            throw .snapshotStructure(part: .header, detail: .identityNotText)
        }
        identity = text
        var expected = layout()
        for index in expected.indices { expected[index].checksum = sections[index].checksum }
        guard sections == expected, claimedByteCount == fileByteCount else {
            throw .snapshotStructure(part: .header, detail: .sectionOutOfBounds)
        }
        guard foundByteCount == fileByteCount else {
            throw .snapshotTruncated(
                expectedByteCount: fileByteCount,
                foundByteCount: foundByteCount
            )
        }
    }
}

/// Writes little-endian numbers into a page of fixed size.
private struct PageWriter {
    private(set) var bytes: [UInt8]
    var offset = 0

    init(byteCount: Int) {
        bytes = [UInt8](repeating: 0, count: byteCount)
    }

    mutating func put(_ value: some FixedWidthInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            bytes[offset] = UInt8(truncatingIfNeeded: value >> shift)
            offset += 1
        }
    }

    mutating func put(bytes new: [UInt8]) {
        bytes.replaceSubrange(offset..<(offset + new.count), with: new)
        offset += new.count
    }
}

/// Reads little-endian numbers from a page whose size has been checked.
private struct PageReader {
    let bytes: [UInt8]
    var offset: Int

    mutating func uint64() -> UInt64 {
        UInt64(uint32()) | UInt64(uint32()) << 32
    }

    mutating func uint32() -> UInt32 {
        take(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// A count or offset; what no file can have becomes `Int.max`, which no range check accepts.
    mutating func count() -> Int {
        Int(exactly: uint64()) ?? .max
    }

    /// A calibration: no rungs, or one recall for each.
    mutating func calibration() throws(VectorIndexError) -> Calibration {
        let vectorCount = count()
        let rungCount = Int(uint32())
        guard vectorCount <= HNSWIndex.Configuration.maximumCapacity,
            rungCount == 0 || rungCount == Calibration.ladder.count
        else { throw .snapshotStructure(part: .header, detail: .sizeOutOfRange) }
        let recalls = (0..<rungCount).map { _ in Float(bitPattern: uint32()) }
        guard recalls.allSatisfy({ (0...1).contains($0) }) else {
            throw .snapshotStructure(part: .header, detail: .sizeOutOfRange)
        }
        return Calibration(vectorCount: vectorCount, recalls: recalls)
    }

    mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        defer { offset += count }
        return bytes[offset..<(offset + count)]
    }
}
