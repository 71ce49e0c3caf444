import Glibc
import Synchronization

extension HNSWIndex {
    /// Writes the whole index to a file that `open` reads.
    ///
    /// The bytes go to `path` + `.tmp`, are fsynced, and take the name `path` atomically: a reader
    /// finds the old snapshot or the new one, whatever happens. Searches go on meanwhile;
    /// insertions wait while bytes are written, not while they are fsynced.
    ///
    /// - Parameters:
    ///   - path: Where the snapshot shall be; the directory must exist.
    ///   - revision: Position in the change feed up to which the index is complete.
    /// - Throws: `snapshotInputOutput`; an older snapshot at `path` is then untouched.
    package func save(to path: String, revision: Int64) throws(VectorIndexError) {
        calibrateIfStale()
        let calibration = calibration.withLock { $0 }
        let file = try SnapshotFile(replacing: path)
        do throws(VectorIndexError) {
            try writer.withLock { (_) throws(VectorIndexError) in
                try graph.write(
                    to: file,
                    identity: identity,
                    revision: revision,
                    calibration: calibration
                )
            }
            try file.publish(at: path)
        } catch {
            unsafe unlink(SnapshotFile.temporaryPath(path))
            throw error
        }
        savedRevision.store(revision, ordering: .relaxed)
    }

    /// Opens a snapshot: checks it, reads what walks touch and maps the rest.
    ///
    /// Links, keys, levels and the upper bytes of the vectors (55 % of the file at dimension 384)
    /// are read into memory: links are validated there, so that nobody can change an index number
    /// after it was checked, and walks want huge pages. The low bytes stay pages of the file,
    /// shared with other processes; they are read once for their checksum. Changes to the index go
    /// to private copies of pages and never to the file. The file must not be overwritten in place
    /// or truncated while it is in use: `save` never does, it renames.
    ///
    /// - Parameters:
    ///   - path: A file that `save` wrote.
    ///   - identity: Identity the vectors must have.
    ///   - dimension: Dimension the vectors must have.
    ///   - capacity: Most vectors the opened index takes, or those it has when these are more; nil
    ///     for what the saved one took. Out of range is a programmer's error and traps.
    /// - Returns: An index that answers as the saved one did.
    /// - Throws: One of the `snapshot…` cases, or `outOfMemory`. Every checksum and every link is
    ///   checked before the index exists.
    package static func open(
        path: String,
        expecting identity: String,
        dimension: Int,
        capacity: Int? = nil
    ) throws(VectorIndexError) -> HNSWIndex {
        let file = try SnapshotFile(reading: path)
        let header = try SnapshotHeader(reading: file)
        guard Array(header.identity.utf8) == Array(identity.utf8) else {
            throw .snapshotIdentity(expected: identity, found: header.identity)
        }
        guard header.configuration.dimension == dimension else {
            throw .snapshotDimension(expected: dimension, found: header.configuration.dimension)
        }
        let graph = try Graph(header.shape(capacity: capacity))
        try graph.load(header, from: file)
        return HNSWIndex(
            graph: graph,
            identity: identity,
            revision: header.revision,
            calibration: header.calibration
        )
    }
}

extension SnapshotHeader {
    /// The saved index's shape with another capacity, at least what is stored.
    fileprivate func shape(capacity: Int?) -> HNSWIndex.Configuration {
        guard let capacity else { return configuration }
        return HNSWIndex.Configuration(
            dimension: configuration.dimension,
            m: configuration.m,
            efConstruction: configuration.efConstruction,
            seed: configuration.seed,
            capacity: max(capacity, slotCount, upperListCount)
        )
    }

    /// Reads and checks the header page of a file.
    fileprivate init(reading file: borrowing SnapshotFile) throws(VectorIndexError) {
        let foundByteCount = try file.byteCount()
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.byteCount,
            alignment: 8
        )
        defer { unsafe buffer.deallocate() }
        let count = unsafe try file.read(into: buffer, offset: 0)
        let page = unsafe [UInt8](buffer[..<count])
        self = try SnapshotHeader(decoding: page, foundByteCount: foundByteCount)
    }
}

extension MemoryRegion {
    /// Maps a section of a snapshot.
    fileprivate mutating func map(
        _ section: SnapshotHeader.Section,
        of file: borrowing SnapshotFile
    ) throws(VectorIndexError) {
        try map(
            descriptor: file.descriptor,
            offset: section.offset,
            byteCount: section.byteCount
        )
    }
}

extension Graph {
    /// The bytes of each section, in the order of `SnapshotHeader.parts`.
    fileprivate func sectionBytes(_ sections: [SnapshotHeader.Section]) -> [UnsafeRawBufferPointer]
    {
        let starts = unsafe [
            keyRegion.base, stateRegion.base, scaleRegion.base,
            hasWideLinks ? wideRegion.base : narrowRegion.base, upperLinkRegion.base,
            coarseRegion.base, middleRegion.base, lowRegion.base,
        ]
        return unsafe starts.indices.map { index in
            unsafe UnsafeRawBufferPointer(start: starts[index], count: sections[index].byteCount)
        }
    }

    /// Writes header and sections.
    ///
    /// Reads only, so that searches may go on.
    fileprivate func write(
        to file: borrowing SnapshotFile,
        identity: String,
        revision: Int64,
        calibration: Calibration
    ) throws(VectorIndexError) {
        var header = SnapshotHeader(
            configuration: configuration,
            calibration: calibration,
            identity: identity,
            revision: revision,
            slotCount: slotCount,
            liveCount: liveCount,
            upperListCount: upperListCount,
            entryPoint: entryPoint,
            topLevel: UInt32(topLevel)
        )
        header.uncalibratedChanges = uncalibratedChanges
        header.sections = header.layout()
        let bytes = unsafe sectionBytes(header.sections)
        for index in header.sections.indices {
            unsafe header.sections[index].checksum = XXH64.hash(bytes[index])
            try unsafe file.write(bytes[index], offset: header.sections[index].offset)
        }
        let page = header.encoded()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: page.count, alignment: 8)
        defer { unsafe buffer.deallocate() }
        unsafe buffer.copyBytes(from: page)
        try unsafe file.write(UnsafeRawBufferPointer(buffer), offset: 0)
    }

    /// Fills an empty graph from a snapshot whose header has been checked.
    fileprivate func load(
        _ header: SnapshotHeader,
        from file: borrowing SnapshotFile
    ) throws(VectorIndexError) {
        for (part, section) in zip(SnapshotHeader.parts, header.sections) {
            switch part {
            case .lowBytes: try lowRegion.map(section, of: file)
            default: break
            }
        }
        hasWideLinks = header.slotCount > Self.narrowLimit
        try commitMemory(slotCount: header.slotCount, upperListCount: header.upperListCount)
        coarseRegion.adviseHugePages(below: header.slotCount * stride / 2)
        middleRegion.adviseHugePages(below: header.slotCount * stride / 2)
        let bytes = unsafe sectionBytes(header.sections)
        for (index, part) in SnapshotHeader.parts.enumerated() {
            let section = header.sections[index]
            if part != .lowBytes {
                let target = unsafe UnsafeMutableRawBufferPointer(mutating: bytes[index])
                let count = try unsafe file.read(into: target, offset: section.offset)
                guard count == section.byteCount else {
                    throw .snapshotTruncated(
                        expectedByteCount: header.fileByteCount,
                        foundByteCount: section.offset + count
                    )
                }
            }
            guard unsafe XXH64.hash(bytes[index]) == section.checksum else {
                throw .snapshotChecksum(part: part)
            }
        }
        slotCount = header.slotCount
        uncalibratedChanges = header.uncalibratedChanges
        try adoptStates(header)
        try adoptKeys(header)
        try validateScales()
        try validateLinks()
        try adoptEntryPoint(header)
    }
}
