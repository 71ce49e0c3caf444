package import Domain
package import Store
import VectorIndex

/// Issues like a given one.
extension IssueSearch {
    /// So many similar issues are found of one at most.
    package static let maximumSimilar = 300

    /// How candidates are gathered for one issue.
    struct Gathering: Sendable {
        /// Windows taken for each vector of the issue.
        var windows = 150
        /// Windows of the body that are asked with; more find what the first ones found.
        var bodies = 3
        /// Documents taken from the lexical index.
        var documents = 150
        /// What of the issue's text the lexical index is asked for.
        var words = LexicalQuery.Limits()
    }

    /// The issue a person means.
    ///
    /// - Parameter reference: Its URL, `owner/repo#1`, `group/project!2`, `KEY-1`.
    /// - Returns: The one live issue that has it.
    /// - Throws: ``SearchError/unknownIssue(reference:)``,
    ///   ``SearchError/ambiguousIssue(reference:candidates:)``.
    package func resolve(_ reference: String) async throws -> IssueSummary {
        let found = try await store.read { connection, account in
            try PassageTable.summaries(
                forReference: reference,
                account: account,
                on: connection
            )
        }
        guard let first = found.first else {
            throw SearchError.unknownIssue(reference: reference)
        }
        guard found.count == 1 else {
            throw SearchError.ambiguousIssue(
                reference: reference,
                candidates: found.prefix(5).map { $0.url.isEmpty ? $0.key : $0.url }
            )
        }
        return first
    }

    /// Other issues by likeness to an issue, best first; equal scores by age.
    ///
    /// - Parameters:
    ///   - issue: Any live issue.
    ///   - filter: Which issues may answer; not restricted when empty.
    ///   - limit: At most so many, up to ``maximumSimilar``.
    /// - Returns: Hits without a passage: the whole text is compared.
    /// - Throws: What the store refuses.
    package func similar(
        to issue: IssueID,
        filter: IssueFilter = IssueFilter(),
        limit: Int
    ) async throws -> [SearchHit] {
        try await lexical.follow(store)
        let view = try await index.windows(passing: filter)
        let ranked = try await healingWords {
            try await self.ranked(issue, view: view, limit: limit)
        }
        let issues = ranked.map(\.issue)
        let summaries = try await store.read { connection, account in
            try PassageTable.summaries(of: issues, account: account, on: connection)
        }
        let byIssue = Dictionary(
            summaries.map { ($0.issue, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        return ranked.compactMap { answer in
            byIssue[answer.issue].map { summary in
                SearchHit(
                    issue: summary,
                    score: answer.score,
                    vectorScore: answer.features.bodies,
                    lexicalScore: answer.features.lexical,
                    passage: nil
                )
            }
        }
    }

    /// The ranking of every issue's project for every issue, for judging the quality.
    ///
    /// - Parameters:
    ///   - limit: Answers an issue.
    ///   - receive: Called for each issue with its external identifier and those of its answers.
    /// - Throws: What `receive` throws and what the store refuses.
    package func similarAll(
        limit: Int = 100,
        receive: (_ query: String, _ answers: [String]) throws -> Void
    ) async throws {
        try await lexical.follow(store)
        let projects = try await store.read { connection, account in
            try PassageTable.projectsWithIssues(account: account, on: connection)
        }
        for project in projects {
            var filter = IssueFilter()
            filter.projectIDs = [project]
            let view = try await index.windows(passing: filter)
            guard let members = view.issues else { continue }
            var issues: [IssueID] = []
            members.forEach { issues.append(IssueID($0)) }
            let names = try await externalIDs(of: issues)
            for issue in issues {
                try Task.checkCancellation()
                let ranked = try await ranked(
                    issue,
                    view: view,
                    limit: limit
                )
                try receive(
                    names[issue] ?? "\(issue)",
                    ranked.map { names[$0.issue] ?? "\($0.issue)" }
                )
            }
        }
    }

    private func externalIDs(of issues: [IssueID]) async throws -> [IssueID: String] {
        var names: [IssueID: String] = [:]
        for chunk in issues.chunked(by: 2_000) {
            let summaries = try await store.read { connection, account in
                try PassageTable.summaries(of: chunk, account: account, on: connection)
            }
            for summary in summaries { names[summary.issue] = summary.externalID }
        }
        return names
    }

    // MARK: - Ranking

    struct Answer: Sendable {
        var issue: IssueID
        var score: Double
        var features: Scoring.PairFeatures
    }

    private func ranked(
        _ issue: IssueID,
        view: any WindowView,
        limit: Int
    ) async throws -> [Answer] {
        let own = try await profiles.load([issue])
        guard let query = own.profiles[issue] else { return [] }
        let candidates = try await candidates(
            of: query,
            view: view,
            gathering: Gathering()
        )
        let loaded = try await profiles.load([issue] + candidates)
        guard let query = loaded.profiles[issue] else { return [] }
        let answers = candidates.compactMap { candidate -> Answer? in
            guard let answer = loaded.profiles[candidate] else { return nil }
            let features = loaded.meter.features(query, answer)
            return Answer(
                issue: candidate,
                score: Scoring.similarity(features),
                features: features
            )
        }
        return Array(
            answers.sorted { ($1.score, $0.issue) < ($0.score, $1.issue) }.prefix(limit)
        )
    }

    /// Issues near a given one by any of its vectors or its words, by age.
    func candidates(
        of query: IssueProfile,
        view: any WindowView,
        gathering: Gathering
    ) async throws -> [IssueID] {
        let texts = try await lexical.documents(of: [query.issue])
        var issues = try await near([query], view: view, gathering: gathering)[0]
        if let text = texts.first {
            let words = LexicalQuery(
                terms: text.titleTerms + text.bodyTerms,
                limits: gathering.words
            )
            let scores = try await lexical.scores(of: words, weights: Scoring.pairColumns)
            let best = scores.best(gathering.documents) { issue in
                issue != query.issue && view.issues?.contains(issue.rawValue) ?? true
            }
            issues.formUnion(best.map(\.issue))
        }
        issues.remove(query.issue)
        return issues.sorted()
    }

    /// For each issue those with a window near one of its vectors, itself too.
    func near(
        _ queries: [IssueProfile],
        view: any WindowView,
        gathering: Gathering
    ) async throws -> [Set<IssueID>] {
        let vectors = queries.map { query in
            [query.title].compactMap { $0 } + query.body.prefix(gathering.bodies)
        }
        let found = try await view.nearest(
            to: Array(vectors.joined()),
            count: gathering.windows
        )
        var start = 0
        return vectors.map { vectors in
            defer { start += vectors.count }
            let windows = found[start..<start + vectors.count].lazy.map(\.windows).joined()
            return Set(windows.map(\.issue))
        }
    }
}
