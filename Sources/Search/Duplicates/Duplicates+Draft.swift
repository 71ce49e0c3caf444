package import Domain
import Embeddings
package import Store
import VectorIndex

/// A report that is written and not sent yet.
package struct ReportDraft: Sendable, Equatable {
    package var title: String
    /// Markdown; may be empty.
    package var body: String
    /// Where it would go; nil when that is open.
    package var project: ProjectID?

    package init(title: String, body: String, project: ProjectID? = nil) {
        self.title = title
        self.body = body
        self.project = project
    }
}

extension Duplicates {
    /// An issue that may be what a draft reports.
    package struct DraftMatch: Sendable, Equatable {
        package var issue: IssueID
        /// The probability that a maintainer would call the draft a duplicate of it.
        package var score: Double
        package var features: Scoring.PairFeatures
    }

    /// Windows of a draft's body that are embedded: more find what the first ones found.
    private static let draftWindows = 3
    /// No row has this identifier.
    private static let draftID = IssueID(0)

    /// The issues that probably report what a draft does, best first; equal scores by age.
    ///
    /// - Parameters:
    ///   - draft: Title and body, measured as they would be once stored.
    ///   - filter: Which issues may answer; not restricted when empty.
    ///   - limit: At most so many.
    /// - Returns: Issues at or above the floor of ``Limits``.
    /// - Throws: ``SearchError/emptyQuery`` for a draft that says nothing.
    package func matches(
        of draft: ReportDraft,
        filter: IssueFilter = IssueFilter(),
        limit: Int
    ) async throws -> [DraftMatch] {
        try await search.lexical.follow(search.store)
        let profile = try await profile(of: draft)
        let document = LexicalDocument(
            issue: Self.draftID,
            title: draft.title,
            body: draft.body,
            comments: []
        )
        guard profile.lead != nil || !document.titleTerms.isEmpty || !document.bodyTerms.isEmpty
        else { throw SearchError.emptyQuery }
        let view = try await search.index.windows(passing: filter)
        return try await search.healingWords {
            let candidates = try await search.candidates(
                of: profile,
                document,
                view: view,
                gathering: gathering
            )
            let loaded = try await search.profiles.load(candidates, beside: profile, document)
            let found = candidates.compactMap { candidate -> DraftMatch? in
                guard let answer = loaded.profiles[candidate], answer.kind == .issue else {
                    return nil
                }
                let features = loaded.meter.features(answer, loaded.draft)
                let score = Scoring.duplicateProbability(features)
                guard score >= limits.floor else { return nil }
                return DraftMatch(issue: candidate, score: score, features: features)
            }
            return Array(
                found.sorted { ($1.score, $0.issue) < ($0.score, $1.issue) }.prefix(limit)
            )
        }
    }

    /// The vectors of a draft, made of the same windows as those of an issue.
    private func profile(of draft: ReportDraft) async throws -> IssueProfile {
        let embedder = search.embedder
        let titleBytes = Array(draft.title.utf8)
        let title = embedder.windows(of: draft.title, maximumCount: 1).map { titleBytes[$0] }
        let prefix = PassagePlan.prefix(draft.title)
        let bodyBytes = Array(draft.body.utf8)
        let windows = embedder.windows(of: draft.body, maximumCount: Self.draftWindows)
        let body = windows.map { ArraySlice(prefix + bodyBytes[$0]) }
        let texts = (title + body).map { String(decoding: $0, as: UTF8.self) }
        let vectors = texts.isEmpty ? [] : try await Indexer.encode(texts, by: embedder)
        return IssueProfile(
            issue: Self.draftID,
            project: draft.project ?? ProjectID(0),
            kind: .issue,
            createdAt: search.store.clock.now(),
            title: title.isEmpty ? nil : vectors[0],
            body: vectors.dropFirst(title.count).compactMap { $0 },
            titleTerms: TermVector([]),
            terms: TermVector([])
        )
    }
}

extension IssueSearch {
    /// Issues near a draft by any of its vectors or its words, by age.
    fileprivate func candidates(
        of draft: IssueProfile,
        _ document: LexicalDocument,
        view: any WindowView,
        gathering: Gathering
    ) async throws -> [IssueID] {
        var issues = try await near([draft], view: view, gathering: gathering)[0]
        let words = LexicalQuery(
            terms: document.titleTerms + document.bodyTerms,
            limits: gathering.words
        )
        let scores = try await lexical.sharing([words])[0]
        let best = scores.best(gathering.documents) { issue in
            view.issues?.contains(issue.rawValue) ?? true
        }
        issues.formUnion(best.map(\.issue))
        return issues.sorted()
    }
}
