/// BERT's tokenizer: cleans and splits text into words, and words into the longest known pieces.
///
/// Gives the ids of the reference tokenizer with one intended difference: text is text, so `[SEP]`
/// in an issue is a bracket, a word and a bracket, never the special token.
package struct WordPieceTokenizer: Sendable {
    /// What a model's tokenizer files choose.
    package struct Options: Sendable, Equatable {
        package var lowercases = true
        package var stripsAccents = true
        package var splitsIdeographs = true
        package var unknownToken = "[UNK]"
        package var firstToken = "[CLS]"
        package var lastToken = "[SEP]"

        package init() {}
    }

    /// A word with its place in the text and the number of its pieces.
    struct Word: Sendable, Equatable {
        /// UTF-8 offsets; accents and control characters behind the word may lie outside.
        var range: Range<Int>
        var pieceCount: Int
        /// Whether white space stands before it.
        var followsSpace: Bool
    }

    /// Longer words become the unknown token, as in the reference; in scalars.
    static let maximumWordScalars = 100

    let vocabulary: Vocabulary
    let folding: ScalarFolding
    let unknownID: Int32
    package let firstID: Int32
    package let lastID: Int32
    /// What becomes of each ASCII byte.
    let ascii: [ScalarFolding.Entry]

    /// Makes a tokenizer from the bytes of a `vocab.txt`.
    ///
    /// - Parameters:
    ///   - bytes: One piece a line.
    ///   - path: Names the file in errors.
    ///   - options: What the model's tokenizer files say.
    /// - Throws: ``EmbeddingError/invalidModel(path:reason:)`` when a special token is missing.
    package init(
        vocabulary bytes: [UInt8],
        path: String,
        options: Options
    ) throws(EmbeddingError) {
        let pieces = try Vocabulary(bytes: bytes, path: path)
        func special(_ token: String) throws(EmbeddingError) -> Int32 {
            guard let id = pieces.id(of: token) else {
                throw .invalidModel(path: path, reason: "it has no `\(token.prefix(100))`")
            }
            return id
        }
        unknownID = try special(options.unknownToken)
        firstID = try special(options.firstToken)
        lastID = try special(options.lastToken)
        vocabulary = pieces
        folding = ScalarFolding(options: options)
        ascii = Array(folding.page(of: 0).entries[0..<128])
    }

    /// Number of ids; each id is below it.
    package var idCount: Int { vocabulary.count }

    /// Appends the ids of `text` between the first and the last token.
    ///
    /// - Parameters:
    ///   - text: Any text.
    ///   - ids: Receives the ids.
    ///   - maximumCount: Appends at most so many, both special tokens included; at least 2.
    /// - Complexity: O(n) in the bytes that are needed to fill the window.
    package func appendIDs(of text: String, to ids: inout [Int32], maximumCount: Int) {
        precondition(maximumCount >= 2, "room for the special tokens")
        ids.append(firstID)
        let end = ids.count + maximumCount - 2
        var scanner = WordScanner(tokenizer: self, recordsWords: false)
        scanner.scan(text, into: &ids, limit: end)
        if ids.count > end { ids.removeLast(ids.count - end) }
        ids.append(lastID)
    }

    /// The words of `text` until they have more than `limit` pieces together.
    func words(of text: String, limit: Int) -> [Word] {
        var ids: [Int32] = []
        var scanner = WordScanner(tokenizer: self, recordsWords: true)
        scanner.scan(text, into: &ids, limit: limit)
        return scanner.words
    }
}
