import Domain
import Store

/// From ranked candidates to what people read.
extension IssueSearch {
    func hits(_ candidates: [Candidate], of question: Question) async throws -> [SearchHit] {
        let issues = candidates.map(\.issue)
        var chosen = candidates.map(\.passage)
        if question.vector == nil {
            let wordy = try await passages(of: issues, with: question.request.text)
            chosen = issues.map { wordy[$0] }
        }
        let ids = chosen.compactMap { $0 }
        let (summaries, texts, windows) = try await store.read { connection, account in
            (
                try PassageTable.summaries(of: issues, account: account, on: connection),
                try PassageTable.texts(of: ids, account: account, on: connection),
                try PassageTable.passages(ids, account: account, on: connection)
            )
        }
        let byIssue = Dictionary(
            summaries.map { ($0.issue, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let byPassage = Dictionary(
            windows.map { ($0.id, $0.place) },
            uniquingKeysWith: { first, _ in first }
        )
        return zip(candidates, chosen).compactMap { candidate, passage in
            guard let summary = byIssue[candidate.issue] else { return nil }
            var shown: HitPassage?
            if let passage, let place = byPassage[passage], let text = texts[passage] {
                shown = HitPassage(
                    part: place.part,
                    comment: place.comment,
                    text: HitPassage.trimmed(text)
                )
            }
            return SearchHit(
                issue: summary,
                score: candidate.score,
                vectorScore: candidate.match.cosine,
                lexicalScore: candidate.match.lexical,
                passage: shown
            )
        }
    }

    /// Without a query vector the window with most of the query's words is shown.
    private func passages(
        of issues: [IssueID],
        with text: String
    ) async throws -> [IssueID: PassageID] {
        let wanted = Set(TextAnalyzer.terms(of: text, limit: 256).map(\.text))
        var chosen: [IssueID: (passage: PassageID, words: Int)] = [:]
        let model = index.model
        for chunk in issues.chunked(by: 16) {
            let (windows, texts) = try await store.read { connection, account in
                let windows = try PassageTable.passages(
                    ofIssues: chunk,
                    model: model,
                    account: account,
                    on: connection
                ).filter { !$0.isDeleted }.prefix(Self.windowsLookedAt)
                return (
                    Array(windows),
                    try PassageTable.texts(
                        of: windows.map(\.id),
                        account: account,
                        on: connection
                    )
                )
            }
            for window in windows {
                let terms = TextAnalyzer.terms(of: texts[window.id] ?? "", limit: 1_024)
                let words = wanted.intersection(terms.lazy.map(\.text)).count
                let issue = window.place.issue
                guard words > chosen[issue]?.words ?? -1 else { continue }
                chosen[issue] = (window.id, words)
            }
        }
        return chosen.mapValues(\.passage)
    }

    /// Windows of sixteen issues that are read to choose one each; a page of long discussions has
    /// more, and shows an earlier window then.
    private static let windowsLookedAt = 2_000
}
