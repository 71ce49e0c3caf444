/// Token ids of many texts, cut into batches of similar length.
struct BatchPlan: Sendable {
    /// Texts that are encoded together.
    struct Batch: Sendable, Equatable {
        /// Places in the caller's list.
        var texts: [Int]
    }

    private let ids: [Int32]
    /// Where each text's ids lie in `ids`.
    private let ranges: [Range<Int>]
    let batches: [Batch]
    /// Of all texts.
    var tokenCount: Int { ids.count }

    /// Tokenises `texts`, sorts them by length, longest first so that workers end together, and
    /// fills batches up to `maximumBatchTokens`; a longer text is a batch of its own.
    init(
        _ texts: [String],
        tokenizer: WordPieceTokenizer,
        maximumTokens: Int,
        maximumBatchTokens: Int
    ) {
        var ids: [Int32] = []
        var ranges: [Range<Int>] = []
        ranges.reserveCapacity(texts.count)
        for text in texts {
            let start = ids.count
            tokenizer.appendIDs(of: text, to: &ids, maximumCount: maximumTokens)
            ranges.append(start..<ids.count)
        }
        let order = ranges.indices.sorted {
            (ranges[$1].count, $0) < (ranges[$0].count, $1)
        }
        var batches: [Batch] = []
        var tokenCount = 0
        for index in order {
            let count = ranges[index].count
            if batches.isEmpty || tokenCount + count > maximumBatchTokens {
                batches.append(Batch(texts: []))
                tokenCount = 0
            }
            batches[batches.count - 1].texts.append(index)
            tokenCount += count
        }
        self.ids = ids
        self.ranges = ranges
        self.batches = batches
    }

    /// The tokens of a batch, packed, and the length of each of its texts.
    func content(of batch: Batch) -> (ids: [Int32], lengths: [Int]) {
        var packed: [Int32] = []
        packed.reserveCapacity(batch.texts.reduce(0) { $0 + ranges[$1].count })
        for text in batch.texts { packed += ids[ranges[text]] }
        return (packed, batch.texts.map { ranges[$0].count })
    }
}
