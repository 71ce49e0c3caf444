/// One pass over a text: folds scalars, collects a word, and splits it when it ends.
struct WordScanner {
    private let tokenizer: WordPieceTokenizer
    private let recordsWords: Bool
    private(set) var words: [WordPieceTokenizer.Word] = []

    /// The word so far, folded, in UTF-8; not extended once it is too long to be looked up.
    private var word: [UInt8] = []
    private var scalarCount = 0
    private var wordRange = 0..<0
    private var followsSpace = true
    /// Hash of each prefix of the piece that is looked for.
    private var hashes: [UInt32]
    private var pages: [ScalarFolding.Page?] = []

    init(tokenizer: WordPieceTokenizer, recordsWords: Bool) {
        self.tokenizer = tokenizer
        self.recordsWords = recordsWords
        hashes = Array(repeating: 0, count: 4 * WordPieceTokenizer.maximumWordScalars)
        word.reserveCapacity(hashes.count)
    }

    /// Appends the pieces of `text` to `ids`; stops at the end of the word that reaches `limit`.
    mutating func scan(_ text: String, into ids: inout [Int32], limit: Int) {
        let bytes = text.utf8Span.span
        var position = 0
        while position < bytes.count, ids.count < limit {
            let byte = bytes[position]
            if byte < 0x80 {
                let range = position..<position + 1
                take(tokenizer.ascii[Int(byte)], at: range, page: nil, into: &ids)
                position += 1
                continue
            }
            let (scalar, length) = Self.decode(bytes, at: position)
            let page = page(of: scalar)
            let entry = page.entries[Int(scalar & 0xFF)]
            let range = position..<position + length
            if entry.isIdeograph {
                endWord(into: &ids)
                take(entry, at: range, page: page, into: &ids)
                endWord(into: &ids)
            } else {
                take(entry, at: range, page: page, into: &ids)
            }
            position += length
        }
        if ids.count < limit { endWord(into: &ids) }
    }

    private mutating func take(
        _ entry: ScalarFolding.Entry,
        at range: Range<Int>,
        page: ScalarFolding.Page?,
        into ids: inout [Int32]
    ) {
        switch entry.kind {
        case .nothing: break
        case .space:
            endWord(into: &ids)
            followsSpace = true
        case .letter:
            append(entry.payload, at: range)
        case .punctuation:
            endWord(into: &ids)
            append(entry.payload, at: range)
            endWord(into: &ids)
        case .sequence:
            let first = Int(entry.payload >> 8)
            let parts = page?.sequences[first..<first + Int(entry.payload & 0xFF)] ?? []
            for part in parts { take(part, at: range, page: page, into: &ids) }
        }
    }

    private mutating func append(_ scalar: UInt32, at range: Range<Int>) {
        if scalarCount == 0 { wordRange = range }
        wordRange = wordRange.lowerBound..<range.upperBound
        scalarCount += 1
        guard scalarCount <= WordPieceTokenizer.maximumWordScalars else { return }
        switch scalar {
        case 0..<0x80: word.append(UInt8(scalar))
        case 0x80..<0x800:
            word.append(UInt8(0xC0 | scalar >> 6))
            word.append(UInt8(0x80 | scalar & 0x3F))
        case 0x800..<0x1_0000:
            word.append(UInt8(0xE0 | scalar >> 12))
            word.append(UInt8(0x80 | scalar >> 6 & 0x3F))
            word.append(UInt8(0x80 | scalar & 0x3F))
        default:
            word.append(UInt8(0xF0 | scalar >> 18 & 0x07))
            word.append(UInt8(0x80 | scalar >> 12 & 0x3F))
            word.append(UInt8(0x80 | scalar >> 6 & 0x3F))
            word.append(UInt8(0x80 | scalar & 0x3F))
        }
    }

    private mutating func endWord(into ids: inout [Int32]) {
        guard scalarCount > 0 else { return }
        let before = ids.count
        if scalarCount > WordPieceTokenizer.maximumWordScalars || !appendPieces(to: &ids) {
            ids.append(tokenizer.unknownID)
        }
        if recordsWords {
            words.append(
                WordPieceTokenizer.Word(
                    range: wordRange,
                    pieceCount: ids.count - before,
                    followsSpace: followsSpace
                )
            )
        }
        followsSpace = false
        word.removeAll(keepingCapacity: true)
        scalarCount = 0
    }

    /// Longest piece first, from left to right; false, with `ids` as before, when a rest is
    /// unknown.
    private mutating func appendPieces(to ids: inout [Int32]) -> Bool {
        let vocabulary = tokenizer.vocabulary
        let before = ids.count
        var start = 0
        while start < word.count {
            var end = min(word.count, start + vocabulary.longestPiece)
            var hash = Vocabulary.seed(isContinuation: start > 0)
            for index in start..<end {
                hash = Vocabulary.extend(hash, by: word[index])
                hashes[index] = hash
            }
            var found: Int32?
            while end > start {
                found = vocabulary.id(of: word, in: start..<end, hash: hashes[end - 1])
                if found != nil { break }
                end -= 1
            }
            guard let found else {
                ids.removeLast(ids.count - before)
                return false
            }
            ids.append(found)
            start = end
        }
        return true
    }

    private mutating func page(of scalar: UInt32) -> ScalarFolding.Page {
        let index = Int(scalar >> 8)
        if !pages.isEmpty, let page = pages[index] { return page }
        let page = tokenizer.folding.page(of: scalar)
        pages = tokenizer.folding.snapshot
        return page
    }

    /// Decodes the multi-byte scalar at `position` of valid UTF-8, which a String always is.
    private static func decode(
        _ bytes: Span<UInt8>,
        at position: Int
    ) -> (scalar: UInt32, length: Int) {
        let lead = UInt32(bytes[position])
        let second = UInt32(bytes[position + 1]) & 0x3F
        if lead < 0xE0 { return ((lead & 0x1F) << 6 | second, 2) }
        let third = UInt32(bytes[position + 2]) & 0x3F
        if lead < 0xF0 { return ((lead & 0x0F) << 12 | second << 6 | third, 3) }
        let fourth = UInt32(bytes[position + 3]) & 0x3F
        return ((lead & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
    }
}
