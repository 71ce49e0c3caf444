package import Domain
import Glibc
package import Store
import VectorIndex

/// Pairs of issues that may be one report: found when vectors arrive, reviewed by people.
///
/// For every issue whose windows changed, the nearest issues of the whole account are measured, and
/// pairs that are probable enough are stored. A pair is found from whichever side arrives later,
/// known partners are always measured again, and a pair is kept while it is among the best of
/// either issue. So the pairs depend on the order of arrival only as far as the rarity of words
/// does, and where a changed issue leaves room for a pair dropped before; looking at every issue
/// again settles both.
package struct Duplicates: Sendable {
    /// How pairs are looked for.
    package struct Limits: Sendable {
        /// Less probable pairs are not stored: nobody would look at them, and there are many.
        package var floor = 0.1
        /// The best pairs of an issue; those of its partners may add more.
        package var pairs = 20
        /// Windows taken for each vector of the issue.
        package var windows = 30
        /// Documents taken from the lexical index.
        package var documents = 20
        /// Phrases of the lexical query: candidates only, the measuring uses all terms.
        package var phrases = 16
        /// Documents walked for the phrases together: what every new issue pays.
        package var postings = 2_000
        /// Changes of the feed in a step.
        package var page = 256
        /// Issues compared at a time: their candidates are in memory together.
        package var issues = 32

        package init() {}
    }

    let search: IssueSearch
    let limits: Limits
    private var store: Store { search.store }

    /// Looks for pairs with the indexes of a search.
    package init(search: IssueSearch, limits: Limits = Limits()) {
        self.search = search
        self.limits = limits
    }

    /// The follower name of the pairs made from a model's vectors.
    package static func follower(of model: EmbeddingModelID) -> String {
        "duplicates-\(model)"
    }

    // MARK: - Following

    /// Handles one page of the feed of vectors; the lexical index is up to date.
    ///
    /// - Returns: The number of issues compared, nil when nothing is waiting.
    package func step() async throws -> Int? {
        try Task.checkCancellation()
        let (model, limit) = (search.index.model, limits.page)
        let follower = Self.follower(of: model)
        let page = try await store.read { connection, account -> (Revision, [FeedChange]) in
            let start = try FollowerTable.revision(
                of: follower,
                account: account,
                on: connection
            )
            return (
                start,
                try FeedTable.changes(
                    after: start,
                    limit: limit,
                    kinds: [.passage],
                    account: account,
                    on: connection
                )
            )
        }
        guard let last = page.1.last else { return nil }
        let passages = page.1.compactMap { $0.passage(of: model) }
        // Comments are not compared.
        let issues = try await store.read { connection, account in
            try PassageTable.issuesWithOwnWindows(
                among: passages,
                account: account,
                on: connection
            )
        }
        let view = try await search.index.windows(passing: IssueFilter())
        var found: [Found] = []
        for chunk in issues.chunked(by: limits.issues) {
            try Task.checkCancellation()
            let isCurrent = !found.isEmpty
            found += try await search.healingWords {
                try await pairs(of: chunk, view: view, isCurrent: isCurrent)
            }
        }
        let (results, start, now, best) = (found, page.0, store.clock.now(), limits.pairs)
        try await store.write { connection, account in
            let place = try FollowerTable.revision(
                of: follower,
                account: account,
                on: connection
            )
            // Another process was quicker: what it found is as good.
            guard place == start else { return }
            for result in results {
                try DuplicateTable.replace(
                    of: result.issue,
                    with: result.pairs,
                    keeping: best,
                    at: now,
                    account: account,
                    on: connection
                )
            }
            try FollowerTable.advance(
                follower,
                to: last.revision,
                account: account,
                on: connection
            )
        }
        return issues.count
    }

    /// Looks at every issue again, for new constants or after an import of verdicts.
    package func restart() async throws {
        let follower = Self.follower(of: search.index.model)
        try await store.write { connection, account in
            try FollowerTable.reset(follower, account: account, on: connection)
        }
    }

    /// The probable pairs of an issue as the store is now, best first.
    package func pairs(of issue: IssueID) async throws -> [DuplicateTable.Scored] {
        let view = try await search.index.windows(passing: IssueFilter())
        let found = try await search.healingWords {
            try await pairs(of: [issue], view: view, isCurrent: false)
        }
        return found.flatMap { $0.pairs.prefix(limits.pairs) }
    }

    /// An issue with all its probable pairs, best first.
    private struct Found: Sendable {
        var issue: IssueID
        var pairs: [DuplicateTable.Scored] = []
    }

    /// All at once: one by one, each issue would be half a dozen reads of its own.
    private func pairs(
        of issues: [IssueID],
        view: any WindowView,
        isCurrent: Bool
    ) async throws -> [Found] {
        let own = try await search.profiles.load(issues, isCurrent: isCurrent).profiles
        let queries = issues.compactMap { own[$0] }.filter { $0.title != nil || !$0.body.isEmpty }
        let candidates = try await candidates(of: queries, view: view)
        let everyone = candidates.reduce(into: Set(issues)) { $0.formUnion($1) }.sorted()
        let loaded = try await search.profiles.load(everyone, isCurrent: true)
        var found: [IssueID: Found] = [:]
        for (query, candidates) in zip(queries, candidates) {
            // Read again: numbers of terms may have changed with the second load.
            guard let query = loaded.profiles[query.issue] else { continue }
            let scored = candidates.compactMap { candidate -> DuplicateTable.Scored? in
                guard candidate != query.issue, let answer = loaded.profiles[candidate],
                    answer.kind == query.kind
                else { return nil }
                return self.scored(query, answer, loaded.meter)
            }
            found[query.issue] = Found(
                issue: query.issue,
                pairs: scored.sorted(by: DuplicateTable.isBetter)
            )
        }
        return issues.map { found[$0] ?? Found(issue: $0) }
    }

    /// For each issue those near it by a vector or by words, and its partners so far.
    private func candidates(
        of queries: [IssueProfile],
        view: any WindowView
    ) async throws -> [Set<IssueID>] {
        let gathering = gathering
        var candidates = try await search.near(
            queries,
            view: view,
            gathering: gathering
        )
        let issues = queries.map(\.issue)
        let texts = try await search.lexical.documents(of: issues)
        let terms = Dictionary(
            texts.map { ($0.issue, $0.titleTerms + $0.bodyTerms) },
            uniquingKeysWith: { first, _ in first }
        )
        let words = issues.map { issue in
            LexicalQuery(terms: terms[issue] ?? [], limits: gathering.words)
        }
        let scores = try await search.lexical.sharing(words)
        let partners = try await store.read { connection, account in
            try issues.map { issue in
                try DuplicateTable.partners(of: issue, account: account, on: connection)
            }
        }
        for (place, issue) in issues.enumerated() {
            let best = scores[place].best(gathering.documents) { $0 != issue }
            candidates[place].formUnion(best.map(\.issue))
            candidates[place].formUnion(partners[place])
        }
        return candidates
    }

    var gathering: IssueSearch.Gathering {
        var gathering = IssueSearch.Gathering()
        gathering.windows = limits.windows
        gathering.documents = limits.documents
        gathering.words.phrases = limits.phrases
        gathering.words.postings = limits.postings
        return gathering
    }

    private func scored(
        _ query: IssueProfile,
        _ answer: IssueProfile,
        _ meter: PairMeter
    ) -> DuplicateTable.Scored? {
        // Always from the older issue's side, so that rounding cannot tell the sides apart.
        let (older, newer) = query.issue < answer.issue ? (query, answer) : (answer, query)
        let features = meter.features(older, newer)
        let score = Scoring.duplicateProbability(features)
        guard score >= limits.floor, let pair = DuplicateTable.Pair(older.issue, newer.issue) else {
            return nil
        }
        return DuplicateTable.Scored(pair: pair, score: score, features: features.json)
    }

    // MARK: - Reviewing

    /// A pair as it is shown.
    package struct Listed: Sendable, Equatable {
        package var first: IssueSummary
        package var second: IssueSummary
        /// The probability that a maintainer would call one a duplicate of the other.
        package var score: Double
        package var features: JSONValue
        /// What was decided about them; nil when nothing was.
        package var verdict: DuplicateTable.Verdict?
    }

    /// The pairs of a listing, best first.
    package func list(_ listing: DuplicateTable.Listing) async throws -> [Listed] {
        try await Self.list(listing, in: store)
    }

    /// The pairs of a listing, best first; needs neither model nor index.
    package static func list(
        _ listing: DuplicateTable.Listing,
        in store: Store
    ) async throws -> [Listed] {
        let (pairs, summaries) = try await store.read { connection, account in
            let pairs = try DuplicateTable.list(listing, account: account, on: connection)
            let issues = Set(pairs.flatMap { [$0.pair.first, $0.pair.second] }).sorted()
            return (
                pairs,
                try PassageTable.summaries(of: issues, account: account, on: connection)
            )
        }
        let byIssue = Dictionary(
            summaries.map { ($0.issue, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        return pairs.compactMap { scored in
            guard let first = byIssue[scored.pair.first], let second = byIssue[scored.pair.second]
            else { return nil }
            return Listed(
                first: first,
                second: second,
                score: scored.score,
                features: scored.features,
                verdict: scored.verdict
            )
        }
    }

    /// Remembers what a person decided about two issues; the pair is not listed any more.
    ///
    /// `check` looks at what was decided before, as the transaction that writes finds it, and may
    /// throw.
    ///
    /// - Throws: ``SearchError/unknownIssue(reference:)`` when both are the same issue.
    package static func decide(
        _ one: IssueSummary,
        _ other: IssueSummary,
        _ verdict: DuplicateTable.Verdict,
        by person: String?,
        in store: Store,
        check: @escaping @Sendable (DuplicateTable.Verdict?) throws -> Void = { _ in }
    ) async throws {
        guard let pair = DuplicateTable.Pair(one.issue, other.issue) else {
            throw SearchError.unknownIssue(reference: other.key)
        }
        let now = store.clock.now()
        try await store.write { connection, account in
            try check(try DuplicateTable.verdict(on: pair, account: account, on: connection))
            try DuplicateTable.decide(
                pair,
                verdict: verdict,
                by: person,
                at: now,
                account: account,
                on: connection
            )
        }
    }
}

extension FeedChange {
    /// The window of a model that has changed.
    fileprivate func passage(of wanted: EmbeddingModelID) -> PassageID? {
        guard case .passage(let passage, of: _, let model) = subject, model == wanted else {
            return nil
        }
        return passage
    }
}

extension Scoring.PairFeatures {
    /// The measurements by name, rounded to what means anything.
    package var json: JSONValue {
        func rounded(_ value: Double) -> JSONValue { .double((value * 10_000).rounded() / 10_000) }
        return [
            "bodies": rounded(bodies), "across": rounded(across), "titles": rounded(titles),
            "lexical": rounded(lexical), "recall": rounded(recall),
            "title_recall": rounded(titleRecall), "shorter_length": .double(shorterLength),
            "same_project": .bool(isSameProject), "days": rounded(days),
        ]
    }
}
