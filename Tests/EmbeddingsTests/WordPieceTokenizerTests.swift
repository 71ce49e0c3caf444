import Embeddings
import TestSupport
import Testing

@Suite struct WordPieceTokenizerTests {
    private let pieces = TinyModel().vocabulary

    private func tokenizer(
        _ vocabulary: [String]? = nil,
        options: WordPieceTokenizer.Options = .init()
    ) throws(EmbeddingError) -> WordPieceTokenizer {
        let lines = vocabulary ?? pieces
        return try WordPieceTokenizer(
            vocabulary: Array(lines.joined(separator: "\n").utf8),
            path: "vocab.txt",
            options: options
        )
    }

    private func tokens(_ text: String, maximumCount: Int = 256) throws -> [String] {
        var ids: [Int32] = []
        try tokenizer().appendIDs(of: text, to: &ids, maximumCount: maximumCount)
        return ids.map { pieces[Int($0)] }.dropFirst().dropLast()
    }

    @Test(arguments: [
        ("The crash", ["the", "crash"]),
        ("building tests", ["build", "##ing", "test", "##s"]),
        ("a.b_c", ["a", ".", "b", "_", "c"]),
        ("É e\u{301} Å", ["e", "e", "a"]),
        ("İI", ["i", "##i"]),
        ("[SEP] x", ["[", "s", "##e", "##p", "]", "x"]),
        ("te\u{0}s\u{AD}t\u{200B} \u{FFFD}\u{7}", ["test"]),
        ("the\u{A0}the\u{2028}the\u{3000}the\tthe", ["the", "the", "the", "the", "the"]),
        ("a≠b", ["a", "=", "b"]),
        ("你x", ["[UNK]", "x"]),
        ("x\u{85}y", ["x", "##y"]),
        ("\u{301}", []),
        ("🚀🔥 a", ["[UNK]", "a"]),
        ("ﬁ a", ["[UNK]", "a"]),
        // Punctuation since Unicode 13, a mark since 9, and a mark that was one in 8.
        ("a\u{2E52}a", ["[UNK]"]),
        ("a\u{8D4}a", ["[UNK]"]),
        ("a\u{1734}s", ["a", "##s"]),
    ])
    func `text is cleaned, folded and split as BERT does`(text: String, expected: [String]) throws {
        #expect(try tokens(text) == expected)
    }

    @Test func `words above a hundred scalars are unknown`() throws {
        let hundred = String(repeating: "x", count: 100)
        #expect(try tokens(hundred).count == 100)
        #expect(try tokens(hundred + "x") == ["[UNK]"])
        #expect(try tokens(String(repeating: "e\u{301}", count: 100)).count == 100)
        #expect(try tokens(String(repeating: "x", count: 1_000_000) + " a") == ["[UNK]", "a"])
    }

    @Test func `a long text is cut to the window with both special tokens`() throws {
        var ids: [Int32] = []
        let tokenizer = try tokenizer()
        tokenizer.appendIDs(
            of: String(repeating: "testing ", count: 100),
            to: &ids,
            maximumCount: 10
        )
        #expect(ids.count == 10)
        #expect(ids.first == tokenizer.firstID && ids.last == tokenizer.lastID)
    }

    @Test func `case is kept when the model wants it`() throws {
        var options = WordPieceTokenizer.Options()
        options.lowercases = false
        options.stripsAccents = false
        let words = ["[UNK]", "[CLS]", "[SEP]", "Äb", "äb", "ab"]
        var ids: [Int32] = []
        try tokenizer(words, options: options).appendIDs(of: "Äb äb ab", to: &ids, maximumCount: 9)
        #expect(ids == [1, 3, 4, 5, 2])
    }

    @Test func `a vocabulary without special tokens is refused`() throws {
        #expect(throws: EmbeddingError.self) { try tokenizer(["a", "b"]) }
        #expect(throws: EmbeddingError.self) { try tokenizer([]) }
    }

    @Test func `random scalars never stop the tokenizer and ids stay within the vocabulary`() throws
    {
        let tokenizer = try tokenizer()
        for seed in 0..<300 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            let scalars = (0..<200).compactMap { _ in
                Unicode.Scalar(
                    UInt32.random(in: 0...(seed % 2 == 0 ? 0x10FFFF : 0x3FF), using: &random)
                )
            }
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars)
            var ids: [Int32] = []
            tokenizer.appendIDs(of: text, to: &ids, maximumCount: 64)
            #expect(ids.count <= 64, "seed \(seed)")
            #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.idCount }, "seed \(seed)")
        }
    }
}

@Suite struct WindowTests {
    @Test func `windows cover the text in order, fit the model and end on word boundaries`() throws
    {
        let embedder = try ModelFixture().embedder()
        for text in sampleTexts(60, seed: 11).map({ $0 + " " + $0 + " " + $0 }) {
            let windows = embedder.windows(of: text, maximumCount: 100)
            let bytes = Array(text.utf8)
            var covered = 0
            for window in windows {
                let part = String(decoding: bytes[window], as: UTF8.self)
                #expect(part.utf8.elementsEqual(bytes[window]), "on scalar boundaries")
                #expect(embedder.tokenIDs(for: part).count <= embedder.maximumTokens)
                #expect(
                    window.lowerBound <= covered
                        || bytes[covered..<window.lowerBound].allSatisfy { $0 == 32 }
                )
                #expect(window.upperBound > covered)
                covered = window.upperBound
            }
            #expect(bytes[covered...].allSatisfy { $0 == 32 })
        }
    }

    @Test func `neighbouring windows share some words`() throws {
        let embedder = try ModelFixture().embedder()
        let text = (0..<200).map { "x\($0 % 10)" }.joined(separator: " ")
        let windows = embedder.windows(of: text, maximumCount: 50)
        #expect(windows.count > 3)
        for (left, right) in zip(windows, windows.dropFirst()) {
            #expect(right.lowerBound < left.upperBound && right.lowerBound > left.lowerBound)
        }
    }

    @Test func `a short text is one window, an empty one none, and the count is bounded`() throws {
        let embedder = try ModelFixture().embedder()
        #expect(embedder.windows(of: " the crash ", maximumCount: 8) == [1..<10])
        #expect(embedder.windows(of: " \n\u{200B}", maximumCount: 8).isEmpty)
        let long = String(repeating: "memory leak ", count: 10_000)
        #expect(embedder.windows(of: long, maximumCount: 3).count == 3)
        #expect(embedder.windows(of: long, maximumCount: 0).isEmpty)
    }

    @Test func `a word larger than the window does not stall`() throws {
        var model = TinyModel()
        model.maximumTokens = 8
        let embedder = try ModelFixture(model).embedder()
        let text = String(repeating: "x", count: 90) + " a " + String(repeating: "y", count: 50)
        #expect(embedder.windows(of: text, maximumCount: 9).count == 3)
    }
}
