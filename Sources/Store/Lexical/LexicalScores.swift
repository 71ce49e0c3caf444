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
    /// - Complexity: O(n + `count` log n) as a rule: a common word matches half of everything, of
    ///   which few are wanted.
    /// - Parameters:
    ///   - count: At most so many.
    ///   - least: The least score that counts.
    ///   - passes: Whether a document is wanted at all.
    /// - Returns: The documents with their scores.
    package func best(
        _ count: Int,
        atLeast least: Double = 0,
        where passes: (IssueID) -> Bool = { _ in true }
    ) -> [(issue: IssueID, score: Double)] {
        guard count > 0 else { return [] }
        let room = max(count, Self.leastRoom).multipliedReportingOverflow(by: 2)
        var found: [(issue: IssueID, score: Double)] = []
        // What comes later with an equal score is younger and stays behind.
        var exceeded = -Double.infinity
        for (place, document) in documents.enumerated() {
            let score = scores[place]
            guard score >= least, score > exceeded else { continue }
            let issue = IssueID(document)
            guard passes(issue) else { continue }
            found.append((issue, score))
            guard !room.overflow, found.count >= room.partialValue else { continue }
            Self.keepBest(count, of: &found)
            exceeded = found[count - 1].score
        }
        Self.keepBest(count, of: &found)
        return found
    }

    /// Fewer than that are not sorted each time that some have come together.
    private static let leastRoom = 64

    private static func keepBest(_ count: Int, of found: inout [(issue: IssueID, score: Double)]) {
        found.sort { ($1.score, $0.issue) < ($0.score, $1.issue) }
        found.removeLast(max(found.count - count, 0))
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
