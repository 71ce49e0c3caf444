/// The pieces of a WordPiece vocabulary in one hash table over the file's bytes.
///
/// No piece becomes a String: loading 30,000 lines takes a millisecond, and a look-up compares
/// bytes.
struct Vocabulary: Sendable {
    /// Number of lines, which are the ids.
    let count: Int
    /// Bytes of the longest piece, without the `##` of continuations.
    let longestPiece: Int

    private let bytes: [UInt8]
    /// Where a piece lies in `bytes`, by id; and its hash.
    private let pieces: [Piece]
    /// Open addressing, ids or -1; a power of two, at most half full.
    private let slots: [Int32]

    private struct Piece: Sendable {
        var start: UInt32
        var length: UInt32
        var hash: UInt32
    }

    /// Larger than any vocabulary file; keeps offsets within 32 bits.
    static let maximumByteCount = 64 << 20
    static let maximumCount = 2_000_000

    /// Indexes the content of a `vocab.txt`, one piece a line; of equal lines the last counts.
    init(bytes: [UInt8], path: String) throws(EmbeddingError) {
        var pieces: [Piece] = []
        var longest = 0
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            var last = end
            if last > start, bytes[last - 1] == UInt8(ascii: "\r") { last -= 1 }
            var first = start
            // `##` alone is a piece of its own.
            if last - first > 2, bytes[first] == UInt8(ascii: "#"),
                bytes[first + 1] == UInt8(ascii: "#")
            {
                first += 2
            }
            var hash = Self.seed(isContinuation: first > start)
            for index in first..<last { hash = Self.extend(hash, by: bytes[index]) }
            pieces.append(
                Piece(start: UInt32(first), length: UInt32(last - first), hash: hash)
            )
            longest = max(longest, last - first)
            start = end + 1
        }
        guard !pieces.isEmpty, pieces.count <= Self.maximumCount else {
            throw .invalidModel(path: path, reason: "it holds \(pieces.count) pieces")
        }
        var capacity = 16
        while capacity < 2 * pieces.count { capacity *= 2 }
        var slots = [Int32](repeating: -1, count: capacity)
        for (id, piece) in pieces.enumerated() {
            var slot = Self.slot(piece.hash, capacity)
            while slots[slot] >= 0 {
                let other = pieces[Int(slots[slot])]
                if other.hash == piece.hash, Self.areEqual(piece, other, in: bytes) { break }
                slot = (slot + 1) & (capacity - 1)
            }
            slots[slot] = Int32(id)
        }
        count = pieces.count
        longestPiece = longest
        self.bytes = bytes
        self.pieces = pieces
        self.slots = slots
    }

    /// The hash before the first byte: continuations live in a table of their own, so to speak.
    static func seed(isContinuation: Bool) -> UInt32 {
        isContinuation ? 0x9DC5_811C : 0x811C_9DC5
    }

    /// FNV-1a: one step a byte, so one pass over a word yields the hash of each of its prefixes.
    static func extend(_ hash: UInt32, by byte: UInt8) -> UInt32 {
        (hash ^ UInt32(byte)) &* 0x0100_0193
    }

    /// The id of the piece `word[range]`, whose hash is known.
    func id(of word: [UInt8], in range: Range<Int>, hash: UInt32) -> Int32? {
        var slot = Self.slot(hash, slots.count)
        while slots[slot] >= 0 {
            let id = slots[slot]
            let piece = pieces[Int(id)]
            if piece.hash == hash, Int(piece.length) == range.count,
                matches(piece, word, from: range.lowerBound)
            {
                return id
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// The id of a special token by its whole spelling.
    func id(of token: String) -> Int32? {
        let word = Array(token.utf8)
        var hash = Self.seed(isContinuation: false)
        for byte in word { hash = Self.extend(hash, by: byte) }
        return id(of: word, in: 0..<word.count, hash: hash)
    }

    private func matches(_ piece: Piece, _ word: [UInt8], from start: Int) -> Bool {
        for index in 0..<Int(piece.length)
        where bytes[Int(piece.start) + index] != word[start + index] {
            return false
        }
        return true
    }

    /// Whether two pieces of equal hash have equal bytes.
    ///
    /// A continuation never equals a first piece: from
    /// different seeds, equal bytes lead to different hashes, as each step is a bijection.
    private static func areEqual(_ left: Piece, _ right: Piece, in bytes: [UInt8]) -> Bool {
        guard left.length == right.length else { return false }
        return (0..<Int(left.length)).allSatisfy {
            bytes[Int(left.start) + $0] == bytes[Int(right.start) + $0]
        }
    }

    /// FNV's low bits are weak in the last bytes; the high ones are folded in.
    private static func slot(_ hash: UInt32, _ capacity: Int) -> Int {
        Int((hash ^ hash >> 15) &* 0x85EB_CA6B >> 4) & (capacity - 1)
    }
}
