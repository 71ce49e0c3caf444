import Domain
import Search
import Store

/// Finds likely duplicates of drafts and issues, in the form of answers.
struct DuplicateFinder: Sendable {
    let provider: SearchProvider
    let reading: StoreReading

    /// A likely duplicate in an answer.
    static let schema = Schema.list(
        of: Schema.answer([
            "issue": Schema.issue, "score": Schema.number, "why": Schema.string,
            "features": ["type": "object"], "verdict": Schema.optionalString,
            "link": Schema.string,
        ])
    )

    /// Candidates taken before the filter and the threshold are applied to an issue's pairs.
    private static let pairsLookedAt = 20

    /// For a draft.
    func duplicates(
        of draft: ReportDraft,
        filter: IssueFilter,
        threshold: Double,
        limit: Int
    ) async throws -> [JSONValue] {
        let duplicates = Duplicates(search: try await provider.search())
        let matches = try await duplicates.matches(of: draft, filter: filter, limit: limit)
        let likely = matches.filter { $0.score >= threshold }
        let issues = likely.map(\.issue)
        let summaries = try await summaries(of: issues)
        return likely.compactMap { match in
            summaries[match.issue].map { summary in
                json(summary, match.score, match.features.json, nil, isPlaced: draft.project != nil)
            }
        }
    }

    /// For an issue that is stored.
    func duplicates(
        of issue: IssueSummary,
        filter: IssueFilter,
        threshold: Double,
        limit: Int
    ) async throws -> [JSONValue] {
        let duplicates = Duplicates(search: try await provider.search())
        let pairs = try await duplicates.pairs(of: issue.issue).prefix(Self.pairsLookedAt)
            .filter { $0.score >= threshold }
        let (passing, verdicts) = try await reading.store.read { connection, account in
            let passing =
                filter.isEmpty
                ? nil
                : Set(
                    try PassageTable.issues(matching: filter, account: account, on: connection)
                )
            let verdicts = try pairs.map { scored in
                try DuplicateTable.verdict(on: scored.pair, account: account, on: connection)
            }
            return (passing, verdicts)
        }
        let partners = pairs.map { $0.pair.first == issue.issue ? $0.pair.second : $0.pair.first }
        let summaries = try await summaries(of: partners)
        let found = zip(zip(pairs, partners), verdicts).compactMap { entry -> JSONValue? in
            let ((scored, partner), verdict) = entry
            guard passing?.contains(partner) ?? true, let summary = summaries[partner] else {
                return nil
            }
            return json(summary, scored.score, scored.features, verdict)
        }
        return Array(found.prefix(limit))
    }

    private func summaries(of issues: [IssueID]) async throws -> [IssueID: IssueSummary] {
        let rows = try await reading.store.read { connection, account in
            try PassageTable.summaries(of: issues, account: account, on: connection)
        }
        return Dictionary(rows.map { ($0.issue, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func json(
        _ issue: IssueSummary,
        _ score: Double,
        _ features: JSONValue,
        _ verdict: DuplicateTable.Verdict?,
        isPlaced: Bool = true
    ) -> JSONValue {
        [
            "issue": issue.toolJSON, "score": rounded(score),
            "why": .string(why(features, isPlaced: isPlaced)),
            "features": features, "verdict": JSONValue(verdict?.rawValue),
            "link": .string(issue.url.isEmpty ? issue.key : issue.url),
        ]
    }

    /// The measurements that the score rests on, for people.
    private func why(_ features: JSONValue, isPlaced: Bool) -> String {
        func percent(_ name: String) -> String {
            let value = features[name]?.double ?? 0
            return "\(Int((max(0, min(1, value)) * 100).rounded())) %"
        }
        let alike =
            "texts alike in meaning \(percent("bodies")), titles \(percent("titles")), "
            + "shared wording \(percent("lexical"))"
        // Where a draft goes is not known before it is said.
        guard isPlaced else { return alike }
        let isSame = features["same_project"]?.bool == true
        return alike + (isSame ? "; same project" : "; another project")
    }
}
