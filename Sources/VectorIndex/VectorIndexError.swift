/// Why the index refused: a vector, a write, or a snapshot file.
package enum VectorIndexError: Error, Equatable, Sendable {
    /// The vector for `key` has no direction: it is zero, or holds NaN or infinity.
    case notUnitLength(key: Int64, norm: Float)
    /// The index holds as many vectors as its configuration allows.
    case full(capacity: Int)
    /// The system gave no memory for `byteCount` more bytes.
    case outOfMemory(byteCount: Int)

    /// There is no file at the snapshot's path.
    case snapshotMissing(path: String)
    /// A system call on the snapshot failed; `code` is its `errno`.
    case snapshotInputOutput(operation: String, code: Int32)
    /// The file does not begin with the snapshot signature.
    case notSnapshot
    /// The file was written by another version of the format.
    case snapshotVersion(found: UInt32, supported: UInt32)
    /// The file was written on a machine with the other byte order.
    case snapshotByteOrder
    /// The file is shorter than its header says, or too short for a header.
    case snapshotTruncated(expectedByteCount: Int, foundByteCount: Int)
    /// The file belongs to another model (or another index).
    case snapshotIdentity(expected: String, found: String)
    /// The file holds vectors of another dimension.
    case snapshotDimension(expected: Int, found: Int)
    /// The checksum of this part of the file does not match its bytes.
    case snapshotChecksum(part: SnapshotPart)
    /// The bytes are as written, but what they say cannot be a graph.
    case snapshotStructure(part: SnapshotPart, detail: StructuralFault)
}

/// The parts of a snapshot file that are checked one by one.
package enum SnapshotPart: String, Equatable, Sendable {
    case header
    case keys
    case states
    case scales
    case baseLinks = "base links"
    case upperLinks = "upper links"
    case vectors
    case middleBits = "middle bits of vectors"
    case lowBytes = "low bytes of vectors"
}

/// What is impossible about the contents of a snapshot part.
package enum StructuralFault: String, Equatable, Sendable {
    case sizeOutOfRange = "a size is out of range"
    case sectionOutOfBounds = "a section lies outside the file or overlaps another"
    case identityNotText = "the identity is not UTF-8"
    case scaleOutOfRange = "a length is out of range"
    case levelMismatch = "a level is not the one its slot number gives"
    case duplicateKey = "a key occurs twice"
    case countMismatch = "the number of live vectors differs from the header's"
    case linkOutOfBounds = "a link leads outside the graph or to a free slot"
    case linkToItself = "a node links to itself"
    case linkBelowLevel = "a link leads to a node that is not on that layer"
    case linkTwice = "a node links to another twice"
    case linkGap = "a link follows the end of a list"
    case linkOneWay = "a link has no counterpart"
    case badEntryPoint = "the entry point is not a live node of the top layer"
}

extension VectorIndexError: CustomStringConvertible {
    /// One line: what is wrong, where, in numbers.
    package var description: String {
        switch self {
        case .notUnitLength(let key, let norm):
            "vector for key \(key) has length \(norm) and no direction"
        case .full(let capacity):
            "the index is full at \(capacity) vectors"
        case .outOfMemory(let byteCount):
            "no memory for \(byteCount) more bytes of index"
        case .snapshotMissing(let path):
            "there is no index snapshot at `\(path)`"
        case .snapshotInputOutput(let operation, let code):
            "index snapshot: \(operation) failed with error \(code)"
        case .notSnapshot:
            "the file is not an index snapshot"
        case .snapshotVersion(let found, let supported):
            "index snapshot has format \(found), this program reads \(supported)"
        case .snapshotByteOrder:
            "index snapshot was written with the other byte order"
        case .snapshotTruncated(let expected, let found):
            "index snapshot has \(found) of \(expected) bytes"
        case .snapshotIdentity(let expected, let found):
            "index snapshot belongs to `\(found)`, not to `\(expected)`"
        case .snapshotDimension(let expected, let found):
            "index snapshot has vectors of dimension \(found), not \(expected)"
        case .snapshotChecksum(let part):
            "index snapshot is damaged: checksum of \(part.rawValue) is wrong"
        case .snapshotStructure(let part, let detail):
            "index snapshot is damaged: \(part.rawValue): \(detail.rawValue)"
        }
    }

    /// What an operator can do: a snapshot is a cache, so every snapshot error is cured by
    /// rebuilding.
    package var hint: String? {
        switch self {
        case .notUnitLength: nil
        case .full, .outOfMemory: "raise the limit or move vectors to another index"
        default: "the index can be rebuilt from the store"
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    package var isRetryable: Bool {
        switch self {
        case .outOfMemory, .snapshotInputOutput: true
        default: false
        }
    }
}
