import Domain
import Foundation

/// BM25 as fts5_aux.c of SQLite computes it (`fts5Bm25Function`), phrase by phrase instead of
/// document by document: the sums of a document have the same order, and the same bits.
struct LexicalScoring {
    private let documents: LexicalDocuments
    private let totals: LexicalTotals
    private let revision: Revision
    private let weights: LexicalWeights

    /// By the documents as they are known.
    init(_ cache: LexicalCache, _ weights: LexicalWeights) {
        documents = cache.documents
        totals = cache.totals
        revision = cache.contentRevision
        self.weights = weights
    }

    /// The scores of all documents that have a phrase.
    ///
    /// - Parameters:
    ///   - query: Its phrases.
    ///   - lists: Where each phrase stands.
    /// - Returns: Those documents, none twice.
    /// - Complexity: O(n + m / 64) for n postings and m documents in the index.
    func scores(of query: LexicalQuery, _ lists: [LexicalCache.List]) -> LexicalScores {
        let wordCount = (documents.count + 63) / 64
        // Sums of documents without a mark are never read, so they are not written before.
        return unsafe withUnsafeTemporaryAllocation(of: Double.self, capacity: documents.count) {
            sums in
            unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: wordCount) { marks in
                unsafe marks.initialize(repeating: 0)
                for (phrase, list) in zip(query.phrases, lists) {
                    let repeats = min(phrase.count, query.limits.repeats)
                    unsafe add(list, repeats, to: sums, marks)
                }
                return unsafe collect(sums, marks)
            }
        }
    }

    private func add(
        _ list: LexicalCache.List,
        _ repeats: Int,
        to sums: UnsafeMutableBufferPointer<Double>,
        _ marks: UnsafeMutableBufferPointer<UInt64>
    ) {
        let parts = list.parts(at: revision, weights: weights, compute: parts(of:))
        let entries = list.postings.entries
        // Places come from the same reading as the documents; one beyond them is no memory of ours.
        precondition(entries.last.map { LexicalPostings.place(of: $0) < documents.count } ?? true)
        for (entry, part) in zip(entries, parts) {
            let place = LexicalPostings.place(of: entry)
            let bit = UInt64(1) << UInt64(place & 63)
            var sum = unsafe marks[place >> 6] & bit == 0 ? 0 : sums[place]
            // A phrase said twice is asked twice.
            for _ in 0..<repeats { sum += part }
            unsafe sums[place] = sum
            unsafe marks[place >> 6] |= bit
        }
    }

    private func collect(
        _ sums: UnsafeMutableBufferPointer<Double>,
        _ marks: UnsafeMutableBufferPointer<UInt64>
    ) -> LexicalScores {
        let count = unsafe marks.reduce(0) { $0 + $1.nonzeroBitCount }
        var scores = LexicalScores(capacity: count)
        let identifiers = documents.identifiers
        for word in marks.indices {
            var rest = unsafe marks[word]
            while rest != 0 {
                let place = word << 6 | rest.trailingZeroBitCount
                unsafe scores.append(document: identifiers[place], score: sums[place])
                rest &= rest - 1
            }
        }
        return scores
    }

    /// What the documents of a phrase add to their scores.
    private func parts(of postings: LexicalPostings) -> [Double] {
        let (k1, b) = (1.2, 0.75)
        let hits = postings.count
        let average = Double(totals.terms) / Double(totals.documents)
        var rarity = log((Double(totals.documents - hits) + 0.5) / (Double(hits) + 0.5))
        if rarity <= 0 { rarity = 1e-6 }
        let lengths = documents.lengths
        return postings.entries.map { entry in
            let frequency = LexicalPostings.frequency(of: entry, weights: weights)
            let length = Double(lengths[LexicalPostings.place(of: entry)])
            return rarity
                * ((frequency * (k1 + 1.0)) / (frequency + k1 * (1 - b + b * length / average)))
        }
    }
}
