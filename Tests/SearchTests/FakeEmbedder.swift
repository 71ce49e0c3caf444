import Domain
import Embeddings
import Synchronization

/// A bag of words: each word is a fixed pseudo-random direction, a text their normalised sum.
///
/// Texts with
/// common words are near, equal texts have equal vectors, and every text asked for is remembered.
final class FakeEmbedder: Embedder {
    let model: ModelIdentity
    private let wordsPerWindow: Int
    private let asked = Mutex<[String]>([])
    private let failing = Mutex<Int?>(nil)
    private let interruption = Mutex<(@Sendable () async throws -> Void)?>(nil)

    init(name: String = "fake", dimension: Int = 48, wordsPerWindow: Int = 20) {
        model = ModelIdentity(name: name, revision: "1", dimension: dimension)
        self.wordsPerWindow = wordsPerWindow
    }

    /// The texts encoded since the last call.
    func takeTexts() -> [String] {
        asked.withLock { texts in
            defer { texts = [] }
            return texts
        }
    }

    /// Fails in the call after so many more.
    func fail(afterCalls count: Int?) {
        failing.withLock { $0 = count }
    }

    /// Does something during the next call, as another program might.
    func interrupt(with body: @escaping @Sendable () async throws -> Void) {
        interruption.withLock { $0 = body }
    }

    func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        let interruption = interruption.withLock { body in
            defer { body = nil }
            return body
        }
        do {
            try await interruption?()
        } catch {
            throw .provider(status: nil, reason: "\(error)", isRetryable: false)
        }
        let fails = failing.withLock { rest -> Bool in
            guard let count = rest else { return false }
            rest = count - 1
            return count <= 0
        }
        if fails { throw .provider(status: 500, reason: "as asked", isRetryable: false) }
        asked.withLock { $0 += texts }
        return EmbeddingMatrix(dimension: model.dimension, values: texts.flatMap(vector))
    }

    func windows(of text: String, maximumCount: Int) -> [Range<Int>] {
        let words = Self.words(text)
        var windows: [Range<Int>] = []
        var start = 0
        while start < words.count, windows.count < maximumCount {
            let end = min(start + wordsPerWindow, words.count)
            windows.append(words[start].lowerBound..<words[end - 1].upperBound)
            start = end
        }
        return windows
    }

    private static func words(_ text: String) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var start: Int?
        for (place, byte) in text.utf8.enumerated() {
            if byte <= 0x20 {
                if let begin = start { words.append(begin..<place) }
                start = nil
            } else if start == nil {
                start = place
            }
        }
        if let begin = start { words.append(begin..<text.utf8.count) }
        return words
    }

    func vector(_ text: String) -> [Float] {
        var sum = [Double](repeating: 0, count: model.dimension)
        let bytes = Array(text.lowercased().utf8)
        for word in Self.words(text.lowercased()) {
            var state = bytes[word].reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            for place in sum.indices {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                sum[place] += Double(Int64(bitPattern: state) >> 11)
            }
        }
        let norm = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return norm == 0 ? sum.map(Float.init) : sum.map { Float($0 / norm) }
    }
}
