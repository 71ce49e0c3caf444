import Store

/// Numbers terms and remembers in how many documents they stand; bounded, a cache of the lexical
/// index.
struct TermDictionary {
    /// Beyond this the dictionary begins anew: about 40 MB of words.
    private static let maximumCount = 400_000
    /// Frequencies are asked anew when the number of documents has moved by this part; until then
    /// their logarithm moves by less than anything that matters.
    private static let tolerance = 0.05

    private var numbers: [String: Int32] = [:]
    private(set) var statistics = TermStatistics(
        frequencies: [],
        documentCount: 0,
        averageLength: 1,
        averageTitleLength: 1
    )

    /// Whether numbers given out so far have become meaningless.
    mutating func renewIfStale(_ state: LexicalStatistics) -> Bool {
        let before = Double(statistics.documentCount)
        let isStale =
            numbers.count > Self.maximumCount
            || abs(Double(state.documentCount) - before) > Self.tolerance * max(before, 1)
        guard isStale else { return false }
        numbers = [:]
        statistics = TermStatistics(
            frequencies: [],
            documentCount: state.documentCount,
            averageLength: state.averageTextLength,
            averageTitleLength: state.averageTitleLength
        )
        return true
    }

    /// The terms without a number.
    func unknown(in terms: some Sequence<String>) -> [String] {
        var seen: Set<String> = []
        return terms.filter { numbers[$0] == nil && seen.insert($0).inserted }
    }

    /// Gives terms numbers.
    mutating func add(_ terms: [String], frequencies: [Int]) {
        for (term, frequency) in zip(terms, frequencies) where numbers[term] == nil {
            numbers[term] = Int32(statistics.frequencies.count)
            // A term of a text that is about to be indexed stands in one document at least.
            statistics.frequencies.append(Int32(clamping: max(frequency, 1)))
        }
    }

    /// The numbers of terms; unknown ones are left out.
    func numbers(of terms: [String]) -> [Int32] {
        terms.compactMap { numbers[$0] }
    }
}
