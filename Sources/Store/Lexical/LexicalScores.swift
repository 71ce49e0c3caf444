package import Domain

/// What a lexical query found: every matching document with its BM25 score.
///
/// All matches, not the best few: the score of a document that was found by other means can be
/// looked up, and filters choose among everything.
package struct LexicalScores: Sendable {
    /// Ascending.
    private var documents: [Int64] = []
    private var scores: [Double] = []

    /// No match.
    package init() {}

    /// No match, with room for some.
    init(capacity: Int) {
        documents.reserveCapacity(capacity)
        scores.reserveCapacity(capacity)
    }

    /// Adds a match; documents arrive in ascending order.
    mutating func append(document: Int64, score: Double) {
        assert(documents.last.map { $0 < document } ?? true, "documents are ascending")
        documents.append(document)
        scores.append(score)
    }

    /// The number of matching documents.
    package var count: Int { documents.count }

    /// The score of a document, greater the better; 0 when it has none of the terms.
    ///
    /// - Complexity: O(log n).
    package func score(of issue: IssueID) -> Double {
        var low = 0
        var high = documents.count
        while low < high {
            let middle = (low + high) / 2
            if documents[middle] < issue.rawValue { low = middle + 1 } else { high = middle }
        }
        return low < documents.count && documents[low] == issue.rawValue ? scores[low] : 0
    }

    /// The best documents that pass, best first; equal scores in order of age.
    ///
    /// - Complexity: O(n log `count`): a common word matches half of everything, of which few
    ///   are wanted.
    package func best(
        _ count: Int,
        where passes: (IssueID) -> Bool = { _ in true }
    ) -> [(issue: IssueID, score: Double)] {
        guard count > 0 else { return [] }
        // Best first; what comes later with an equal score is younger and stays behind.
        var found: [(issue: IssueID, score: Double)] = []
        for (place, document) in documents.enumerated() {
            let score = scores[place]
            if found.count == count, let last = found.last, last.score >= score { continue }
            let issue = IssueID(document)
            guard passes(issue) else { continue }
            found.insert((issue, score), at: Self.place(of: score, in: found))
            if found.count > count { found.removeLast() }
        }
        return found
    }

    /// Where a score goes among better and equal ones before it, by bisection.
    private static func place(
        of score: Double,
        in found: [(issue: IssueID, score: Double)]
    ) -> Int {
        var low = 0
        var high = found.count
        while low < high {
            let middle = (low + high) / 2
            if found[middle].score >= score { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// How much a term counts by where it stands.
package struct LexicalWeights: Sendable, Hashable {
    package var title: Double
    package var body: Double
    package var comments: Double

    /// The weights of the three columns, none negative.
    package init(title: Double, body: Double, comments: Double) {
        self.title = title
        self.body = body
        self.comments = comments
    }
}
