import Glibc

/// The terms of an issue with their counts, numbered by a ``TermDictionary``.
package struct TermVector: Sendable, Equatable {
    /// A term and how often it stands in the text.
    package struct Entry: Sendable, Equatable {
        package var term: Int32
        package var count: Int32
    }

    /// By ascending term.
    package private(set) var entries: [Entry]
    /// All terms, repeats included.
    package private(set) var length: Int

    /// Counts numbered terms.
    package init(_ terms: [Int32]) {
        entries = []
        length = terms.count
        for term in terms.sorted() {
            if let last = entries.last, last.term == term {
                entries[entries.count - 1].count += 1
            } else {
                entries.append(Entry(term: term, count: 1))
            }
        }
    }
}

/// How rare terms are in the account's issues: the numbers BM25 needs.
package struct TermStatistics: Sendable {
    /// In how many issues each term stands, by its number.
    package var frequencies: [Int32]
    package var documentCount: Int
    /// Mean number of terms of title and body.
    package var averageLength: Double
    /// Mean number of terms of a title.
    package var averageTitleLength: Double

    package init(
        frequencies: [Int32],
        documentCount: Int,
        averageLength: Double,
        averageTitleLength: Double
    ) {
        self.frequencies = frequencies
        self.documentCount = documentCount
        self.averageLength = averageLength
        self.averageTitleLength = averageTitleLength
    }

    /// Saturation and length normalisation of BM25: the usual values, with which the weights of
    /// ``Scoring`` were found.
    private static let k1 = 1.2
    private static let b = 0.75

    /// The inverse document frequency in Lucene's form, never negative.
    package func weight(of term: Int32) -> Double {
        let frequency = Double(frequencies[Int(term)])
        // A frequency may be newer than the number of documents.
        let count = max(Double(documentCount), frequency)
        return log(1 + (count - frequency + 0.5) / (frequency + 0.5))
    }

    /// BM25 of a document for the different terms of a query.
    ///
    /// - Parameters:
    ///   - query: Whose different terms are looked for.
    ///   - document: Where they are looked for.
    ///   - averageLength: Mean number of terms of what is compared.
    /// - Returns: The sum over the common terms; greater is more alike.
    /// - Complexity: O(q + d) in the numbers of different terms.
    package func score(
        query: TermVector,
        document: TermVector,
        averageLength: Double
    ) -> Double {
        let length = Double(document.length) / max(averageLength, 1)
        let norm = Self.k1 * (1 - Self.b + Self.b * length)
        var score = 0.0
        var place = 0
        for entry in query.entries {
            while place < document.entries.count, document.entries[place].term < entry.term {
                place += 1
            }
            guard place < document.entries.count else { break }
            guard document.entries[place].term == entry.term else { continue }
            let count = Double(document.entries[place].count)
            score += weight(of: entry.term) * count * (Self.k1 + 1) / (count + norm)
        }
        return score
    }

    /// How much two texts share, as two measures of 0...1 that are the same from either side.
    ///
    /// - Returns: `balanced`, the mean of both scores over the geometric mean of each text's score
    ///   for itself; `recall`, the mean of each score over the query text's own.
    package func overlap(
        _ one: TermVector,
        _ other: TermVector,
        averageLength: Double
    ) -> (balanced: Double, recall: Double) {
        let own = score(query: one, document: one, averageLength: averageLength)
        let others = score(query: other, document: other, averageLength: averageLength)
        guard own > 0, others > 0 else { return (0, 0) }
        let there = score(query: one, document: other, averageLength: averageLength)
        let back = score(query: other, document: one, averageLength: averageLength)
        return (
            (there + back) / 2 / (own * others).squareRoot(),
            (there / own + back / others) / 2
        )
    }
}
