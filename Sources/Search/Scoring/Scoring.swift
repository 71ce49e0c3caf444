import Glibc
package import Store

/// How relevant and how alike: every formula and every constant of the ranking, and nothing else.
///
/// Pure: what is measured comes in as a struct, a number goes out. The measuring is done by
/// ``PairMeter`` and ``IssueSearch``.
package enum Scoring {
    // MARK: - Free text

    /// What was measured between a query text and an issue.
    package struct TextMatch: Sendable, Equatable {
        /// The greatest cosine between the query and a window of the issue; nil when the query has
        /// no vector (text mode).
        package var cosine: Double?
        /// BM25 divided by that of the best match of the query, 0...1; nil in vector mode.
        package var lexical: Double?
    }

    /// The weights of a free-text query.
    package struct TextConstants: Sendable {
        /// The part of the cosine in the sum of both.
        package var cosineWeight = 0.7
        /// A title says what a report is about in a line.
        package var columns = (title: 3.0, body: 1.0, comments: 0.5)

        package init() {}
    }

    /// The score of an issue for a query text; greater is better.
    package static func relevance(
        _ match: TextMatch,
        constants: TextConstants = TextConstants()
    ) -> Double {
        switch (match.cosine, match.lexical) {
        case (let cosine?, let lexical?):
            constants.cosineWeight * cosine + (1 - constants.cosineWeight) * lexical
        case (let cosine?, nil): cosine
        case (nil, let lexical?): lexical
        case (nil, nil): 0
        }
    }

    /// The least lexical part with which a query text's score reaches `score`.
    ///
    /// - Parameters:
    ///   - score: As ``relevance(_:constants:)`` gives it with both parts.
    ///   - cosine: The other part.
    ///   - constants: The weights.
    /// - Returns: Less than 0 where the cosine alone is enough, more than 1 where nothing is.
    package static func lexicalReaching(
        _ score: Double,
        cosine: Double,
        constants: TextConstants = TextConstants()
    ) -> Double {
        (score - constants.cosineWeight * cosine) / (1 - constants.cosineWeight)
    }

    // MARK: - Issue and issue

    /// How much a term counts by where it stands when candidates are gathered for an issue.
    package static let pairColumns = LexicalWeights(title: 2, body: 1, comments: 0.25)

    /// What was measured between two issues; the same from either side.
    package struct PairFeatures: Sendable, Equatable {
        /// Cosine of the first windows of the bodies, which have the titles in front; of the titles
        /// alone where there is no body.
        package var bodies: Double
        /// Cosine of one's title and the other's first window, the mean of both directions.
        package var across: Double
        /// Cosine of the titles; adds nothing to the others, but explains them.
        package var titles: Double
        /// Mean BM25 of both directions over the geometric mean of both texts' own, 0...1.
        package var lexical: Double
        /// BM25 over the query text's own, the mean of both directions, 0...1.
        package var recall: Double
        /// The same of the titles' terms alone.
        package var titleRecall: Double
        /// Terms of the shorter text, repeats included.
        package var shorterLength: Double
        package var isSameProject: Bool
        /// Days between their creation.
        package var days: Double
    }

    /// The weights of the ranking of similar issues, tuned on one half of 1,205 labelled pairs and
    /// reported on the other (docs/decisions/0004-ranking.md): MAP 0.677, R@10 0.812.
    package struct SimilarityConstants: Sendable {
        package var bodies = 0.5
        package var across = 0.2
        package var lexical = 0.6
        package var recall = 0.2
        package var titleRecall = 0.2

        package init() {}

        /// The score of an issue that is the same in everything.
        var sum: Double { bodies + across + lexical + recall + titleRecall }
    }

    /// How alike two issues are: 1 for the same text, 0 for nothing in common.
    package static func similarity(
        _ features: PairFeatures,
        constants: SimilarityConstants = SimilarityConstants()
    ) -> Double {
        let score =
            constants.bodies * features.bodies + constants.across * features.across
            + constants.lexical * features.lexical + constants.recall * features.recall
            + constants.titleRecall * features.titleRecall
        return min(max(score / constants.sum, 0), 1)
    }

    /// The weights of the logistic model of duplicates.
    ///
    /// Fitted on the pairs of one half of the labelled clusters and half of the pairs between the
    /// halves, checked on the rest (docs/decisions/0004-ranking.md): precision 0.61 at p >= 0.5,
    /// 0.89 at 0.8. Titles, both recalls, length ratio and products were tried and gave nothing.
    package struct DuplicateConstants: Sendable {
        package var intercept = -6.689
        package var bodies = 3.962
        package var lexical = 5.254
        /// Of the logarithm of one plus the shorter text's terms: short texts are easily alike.
        package var shorterLength = -0.241

        package init() {}
    }

    /// The probability that a maintainer would call one a duplicate of the other.
    package static func duplicateProbability(
        _ features: PairFeatures,
        constants: DuplicateConstants = DuplicateConstants()
    ) -> Double {
        let logit =
            constants.intercept + constants.bodies * features.bodies
            + constants.lexical * features.lexical
            + constants.shorterLength * log(1 + features.shorterLength)
        return 1 / (1 + exp(-logit))
    }
}
