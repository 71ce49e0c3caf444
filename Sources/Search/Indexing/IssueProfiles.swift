package import Domain
package import Store

/// Loads what is needed to compare issues, and keeps the most recent of it.
package actor IssueProfiles {
    /// Vectors kept, and profiles, which may have none: with their terms about 50 MB.
    private static let maximumCount = 24_000

    private let store: Store
    private let lexical: LexicalIndex
    private let model: EmbeddingModelID
    private let dimension: Int
    private var terms = TermDictionary()
    private var profiles: [IssueID: IssueProfile] = [:]
    /// Profiles and vectors read since the last time everything was forgotten.
    private var held = 0
    /// Changes up to here are in no kept profile's future.
    private var seen = Revision.zero
    /// Whether a load is under way, and those that wait for its end in the order they came.
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    package init(
        store: Store,
        lexical: LexicalIndex,
        model: EmbeddingModelID,
        dimension: Int
    ) {
        self.store = store
        self.lexical = lexical
        self.model = model
        self.dimension = dimension
    }

    /// The profiles of live issues and the meter that compares them.
    ///
    /// - Parameters:
    ///   - issues: Any issues.
    ///   - isCurrent: Nothing has changed since the last call that matters to the caller: spares
    ///     looking.
    /// - Returns: The profiles of those that are live.
    /// - Throws: What the store refuses.
    package func load(
        _ issues: [IssueID],
        isCurrent: Bool = false
    ) async throws -> (profiles: [IssueID: IssueProfile], meter: PairMeter) {
        await takeTurn()
        defer { passTurn() }
        return try await loadInTurn(issues, isCurrent: isCurrent)
    }

    /// The profiles of live issues, that of a text which is none, and the meter that compares them.
    ///
    /// - Parameters:
    ///   - issues: Any issues.
    ///   - draft: A profile whose terms are still missing.
    ///   - document: The draft's terms.
    /// - Returns: The profiles of the issues that are live, and the draft's with its terms.
    /// - Throws: What the store refuses.
    func load(
        _ issues: [IssueID],
        beside draft: IssueProfile,
        _ document: LexicalDocument
    ) async throws -> (profiles: [IssueID: IssueProfile], draft: IssueProfile, meter: PairMeter) {
        await takeTurn()
        defer { passTurn() }
        _ = try await loadInTurn(issues, isCurrent: false)
        let unknown = terms.unknown(in: document.titleTerms + document.bodyTerms)
        terms.add(unknown, frequencies: try await lexical.frequencies(of: unknown))
        let title = terms.numbers(of: document.titleTerms)
        var draft = draft
        draft.titleTerms = TermVector(title)
        draft.terms = TermVector(title + terms.numbers(of: document.bodyTerms))
        // Statistics that know the draft's terms too.
        let loaded = try await loadInTurn(issues, isCurrent: true)
        return (loaded.profiles, draft, loaded.meter)
    }

    private func loadInTurn(
        _ issues: [IssueID],
        isCurrent: Bool
    ) async throws -> (profiles: [IssueID: IssueProfile], meter: PairMeter) {
        if !isCurrent {
            try await forgetChanged()
            let state = try await lexical.statistics()
            if terms.renewIfStale(state) { forgetAll() }
        }
        let missing = Set(issues).filter { profiles[$0] == nil }.sorted()
        if held + missing.count > Self.maximumCount { forgetAll() }
        let needed = profiles.isEmpty ? Set(issues).sorted() : missing
        for start in stride(from: 0, to: needed.count, by: 256) {
            try Task.checkCancellation()
            try await read(Array(needed[start..<min(start + 256, needed.count)]))
        }
        var found: [IssueID: IssueProfile] = [:]
        for issue in issues { found[issue] = profiles[issue] }
        return (found, PairMeter(statistics: terms.statistics))
    }

    /// One load at a time: another one that forgets or numbers terms anew in the middle would leave
    /// profiles without some of their terms.
    private func takeTurn() async {
        guard isTaken else {
            isTaken = true
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func passTurn() {
        guard !waiting.isEmpty else {
            isTaken = false
            return
        }
        waiting.removeFirst().resume()
    }

    private func forgetAll() {
        profiles = [:]
        held = 0
    }

    /// Forgets what the feed says has changed since the last look.
    private func forgetChanged() async throws {
        let limit = 512
        let terms = try await lexical.revision()
        let since = seen
        let (changes, head) = try await store.read { connection, account in
            (
                since == .zero
                    ? []
                    : try FeedTable.changes(
                        after: since,
                        limit: limit,
                        account: account,
                        on: connection
                    ),
                try AccountTable.currentRevision(account: account, on: connection)
            )
        }
        if since == .zero || changes.count == limit {
            forgetAll()
        } else {
            for change in changes { profiles[change.issue] = nil }
        }
        // What the lexical index has not followed yet will be other terms when it has.
        seen = min(head, terms)
    }

    private func read(_ issues: [IssueID]) async throws {
        let (model, dimension) = (model, dimension)
        let (summaries, vectors) = try await store.read { connection, account in
            (
                try PassageTable.summaries(of: issues, account: account, on: connection),
                try PassageTable.vectors(
                    ofIssues: issues,
                    parts: [.title, .body],
                    model: model,
                    dimension: dimension,
                    account: account,
                    on: connection
                )
            )
        }
        let documents = try await lexical.documents(of: issues)
        let texts = Dictionary(
            documents.map { ($0.issue, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let unknown = terms.unknown(
            in: documents.lazy.flatMap { $0.titleTerms + $0.bodyTerms }
        )
        terms.add(unknown, frequencies: try await lexical.frequencies(of: unknown))
        let byIssue = Dictionary(grouping: vectors, by: \.place.issue)
        for summary in summaries {
            let own = byIssue[summary.issue] ?? []
            held += own.count + 1
            let title = terms.numbers(of: texts[summary.issue]?.titleTerms ?? [])
            let body = terms.numbers(of: texts[summary.issue]?.bodyTerms ?? [])
            profiles[summary.issue] = IssueProfile(
                issue: summary.issue,
                project: summary.project,
                kind: summary.kind,
                createdAt: summary.createdAt,
                title: own.first { $0.place.part == .title }?.vector,
                body: own.filter { $0.place.part == .body }.map(\.vector),
                titleTerms: TermVector(title),
                terms: TermVector(title + body)
            )
        }
    }
}

extension FeedChange {
    fileprivate var issue: IssueID {
        switch subject {
        case .issue(let issue), .comment(_, of: let issue), .passage(_, of: let issue, model: _):
            issue
        }
    }
}
