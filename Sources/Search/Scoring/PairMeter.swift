package import Domain

/// What is known of an issue for comparing it with others.
package struct IssueProfile: Sendable {
    package var issue: IssueID
    package var project: ProjectID
    package var kind: IssueKind
    package var createdAt: Timestamp
    /// Nil for a title without any word.
    package var title: [Float]?
    /// The windows of the body, each embedded with the title in front.
    package var body: [[Float]]
    package var titleTerms: TermVector
    /// Of title and body.
    package var terms: TermVector

    /// The vector that stands for the whole: the first window of the body, else the title.
    package var lead: [Float]? { body.first ?? title }
}

/// Measures two issues against each other; pure.
package struct PairMeter: Sendable {
    package var statistics: TermStatistics

    package init(statistics: TermStatistics) {
        self.statistics = statistics
    }

    /// The measurements between two issues; the same from either side.
    package func features(_ one: IssueProfile, _ other: IssueProfile) -> Scoring.PairFeatures {
        let texts = statistics.overlap(
            one.terms,
            other.terms,
            averageLength: statistics.averageLength
        )
        let titles = statistics.overlap(
            one.titleTerms,
            other.titleTerms,
            averageLength: statistics.averageTitleLength
        )
        // As fractions: the difference of two instants may not fit an integer.
        let distance = abs(
            Double(one.createdAt.milliseconds) - Double(other.createdAt.milliseconds)
        )
        return Scoring.PairFeatures(
            bodies: product(one.lead, other.lead),
            across: (product(one.title, other.lead) + product(other.title, one.lead)) / 2,
            titles: product(one.title, other.title),
            lexical: texts.balanced,
            recall: texts.recall,
            titleRecall: titles.recall,
            shorterLength: Double(min(one.terms.length, other.terms.length)),
            isSameProject: one.project == other.project,
            days: distance / 86_400_000
        )
    }

    private func product(_ left: [Float]?, _ right: [Float]?) -> Double {
        guard let left, let right else { return 0 }
        return cosine(left, right)
    }
}

/// The inner product of two unit vectors of one length.
///
/// Eight sums side by side: one alone would wait for each addition before the next.
package func cosine(_ left: [Float], _ right: [Float]) -> Double {
    precondition(left.count == right.count, "vectors of one model")
    var sums = SIMD8<Float>.zero
    var place = 0
    while place + 8 <= left.count {
        var a = SIMD8<Float>.zero
        var b = SIMD8<Float>.zero
        for lane in 0..<8 {
            a[lane] = left[place + lane]
            b[lane] = right[place + lane]
        }
        sums += a * b
        place += 8
    }
    var sum = sums.sum()
    while place < left.count {
        sum += left[place] * right[place]
        place += 1
    }
    return Double(sum)
}
