import Domain
import Store

/// From ranked candidates to what people read.
extension IssueSearch {
    /// What is shown of issues and windows.
    struct Details: Sendable {
        private(set) var summaries: [IssueID: IssueSummary] = [:]
        private(set) var places: [PassageID: PassageTable.Place] = [:]
        private(set) var texts: [PassageID: String] = [:]

        /// Nothing.
        init() {}

        /// As the store has it, in one round trip.
        init(
            of issues: [IssueID],
            _ passages: [PassageID],
            account: AccountID,
            on connection: any SQLConnection
        ) throws(StoreError) {
            let found = try PassageTable.details(
                of: issues,
                passages,
                account: account,
                on: connection
            )
            for summary in found.summaries { summaries[summary.issue] = summary }
            for passage in found.passages { places[passage.id] = passage.place }
            texts = found.texts
        }

        /// Takes what others have that is not here.
        mutating func merge(_ other: Details) {
            summaries.merge(other.summaries) { first, _ in first }
            places.merge(other.places) { first, _ in first }
            texts.merge(other.texts) { first, _ in first }
        }
    }

    func hits(_ page: Page, of question: Question) async throws -> [SearchHit] {
        let candidates = page.candidates
        var (details, chosen) = (page.details, candidates.map(\.passage))
        if question.vector == nil {
            let issues = candidates.map(\.issue)
            let wordy = try await passages(of: issues, with: question.request.text)
            chosen = issues.map { wordy[$0] }
            let passages = chosen.compactMap { $0 }
            details = try await store.read { connection, account in
                try Details(of: issues, passages, account: account, on: connection)
            }
        }
        return zip(candidates, chosen).compactMap { candidate, passage in
            guard let summary = details.summaries[candidate.issue] else { return nil }
            var shown: HitPassage?
            if let passage, let place = details.places[passage],
                let text = details.texts[passage]
            {
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
