import Domain
package import Embeddings
package import Store
import VectorIndex

/// Answers "has this been reported before?": vectors and words, filters inside, one hit an issue.
///
/// Every candidate gets all its measurements, however it was found, so its score does not depend on
/// who found it; the pool of candidates grows in fixed tiers, each of which gives out those that
/// nothing outside its pool can go before (but for documents with words beyond those it takes), and
/// what a later tier adds comes after them. So any page shows the same order, and no page repeats
/// another's issue.
package struct IssueSearch: Sendable {
    let store: Store
    let embedder: any Embedder
    let index: any WindowIndex
    let lexical: LexicalIndex
    let profiles: IssueProfiles
    let constants = Scoring.TextConstants()

    /// What the pool takes from each side.
    private struct Tier {
        /// The nearest windows, so many; nil for as many as the index likes to give at first.
        let windows: Int?
        /// Nothing that may go before so many of those windows' issues is left out.
        let settled: Int
        /// At most so many documents with the best words: where meaning and words disagree more
        /// may come into question, each of which would have to be looked up.
        let words: Int
        /// Whether everything is given out, for there is no other tier.
        var isLast: Bool { windows == HNSWIndex.maximumHitCount }
    }

    /// A page of ten needs the first as a rule; the last is what an index gives at most.
    private static let tiers = [
        Tier(windows: nil, settled: 16, words: 256),
        Tier(windows: 1_000, settled: 150, words: 1_000),
        Tier(windows: 5_000, settled: 1_000, words: 5_000),
        Tier(
            windows: HNSWIndex.maximumHitCount,
            settled: HNSWIndex.maximumHitCount,
            words: HNSWIndex.maximumHitCount
        ),
    ]
    /// Batches of lexical documents a search brings up to date before it answers; the scan does the
    /// rest.
    private static let lexicalBatches = 8

    /// Candidates that are looked up beside those a page needs, in case some are deleted.
    private static let spareCandidates = 8

    /// Searches with the indexes of a store.
    package init(
        store: Store,
        embedder: any Embedder,
        index: any WindowIndex,
        lexical: LexicalIndex
    ) {
        self.store = store
        self.embedder = embedder
        self.index = index
        self.lexical = lexical
        profiles = IssueProfiles(
            store: store,
            lexical: lexical,
            model: index.model,
            dimension: embedder.model.dimension
        )
    }

    /// The hits of a page, best first.
    ///
    /// - Throws: ``SearchError/emptyQuery``, ``SearchError/pageOutOfRange(maximum:)``.
    package func search(_ request: SearchRequest) async throws -> [SearchHit] {
        let maximum = SearchRequest.maximumReach
        // Each by itself first: the sum of two great numbers is none.
        guard (0...maximum).contains(request.limit), (0...maximum).contains(request.offset),
            request.offset + request.limit <= maximum
        else { throw SearchError.pageOutOfRange(maximum: maximum) }
        let question = try await healingWords { try await self.question(request) }
        var page = Page(request)
        var known: Set<IssueID> = []
        for place in Self.tiers.indices {
            let tier = try await tier(place, of: question, excluding: known)
            known.formUnion(try await fill(&page, with: tier.ranking, of: question))
            if page.isFull || tier.isComplete { break }
        }
        return try await hits(page, of: question)
    }

    /// Changed issues and comments that the words index does not know yet: what a search by words
    /// may miss.
    package func waitingTexts() async throws -> Int {
        let revision = try await lexical.revision()
        return try await store.read { connection, account in
            try PassageTable.changedTextCount(after: revision, account: account, on: connection)
        }
    }

    /// Runs `body`; when the words index turns out to be damaged, makes it anew and runs it again.
    ///
    /// Answering without words would be a wrong answer that looks like a right one.
    func healingWords<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch StoreError.corrupt {
            try await lexical.replaceDamaged()
            try await lexical.follow(store)
            return try await body()
        }
    }

    // MARK: - Question

    /// A request with everything that is the same for all its candidates.
    struct Question: Sendable {
        var request: SearchRequest
        /// Nil in text mode.
        var vector: [Float]?
        /// Nil in text mode, too.
        var view: (any WindowView)?
        /// What the first tier asks of the vectors.
        var nearest: NearestWindows?
        /// Nil in vector mode.
        var scores: LexicalScores?
        /// The score of the best match that passes, more than 0.
        var bestScore: Double
        /// Nil when everything passes.
        var issues: KeySet?

        func passes(_ issue: IssueID) -> Bool {
            issues?.contains(issue.rawValue) ?? true
        }
    }

    private func question(_ request: SearchRequest) async throws -> Question {
        // A model has a vector even for nothing, and everything is equally far from it.
        guard request.text.unicodeScalars.contains(where: { !$0.properties.isWhitespace }) else {
            throw SearchError.emptyQuery
        }
        let query = LexicalQuery(text: request.text)
        // Asked for while the text is embedded: what is committed later need not be found.
        async let lookup = store.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
        var vector: [Float]?
        if request.mode != .text {
            vector = try await Indexer.encode([request.text], by: embedder).first ?? nil
        }
        guard vector != nil || !query.isEmpty else { throw SearchError.emptyQuery }
        let head = try await lookup
        // Words are walked and vectors compared side by side.
        async let words = scores(of: request.mode == .vector ? nil : query, at: head)
        var view: (any WindowView)?
        var nearest: NearestWindows?
        if let vector {
            let windows = try await index.windows(passing: request.filter, at: head)
            nearest = try await windows.nearest(to: [vector], count: windows.firstCount)[0]
            view = windows
        }
        let issues =
            view == nil ? try await passingIssues(request.filter, at: head) : view?.issues
        var question = Question(
            request: request,
            vector: vector,
            view: view,
            nearest: nearest,
            scores: try await words,
            bestScore: 1,
            issues: issues
        )
        if let best = question.scores?.best(1, where: question.passes).first, best.score > 0 {
            question.bestScore = best.score
        }
        return question
    }

    private func scores(
        of query: LexicalQuery?,
        at head: Revision
    ) async throws -> LexicalScores? {
        guard let query else { return nil }
        let known = try await lexical.scores(of: query, weights: constants.weights, at: head)
        if let known { return known }
        // Few changes wait unless the file is new; a long first scan is the scan's to follow.
        let isNew = try await lexical.revision() == .zero
        try await lexical.follow(store, maximumBatches: isNew ? nil : Self.lexicalBatches)
        return try await lexical.scores(of: query, weights: constants.weights)
    }

    private func passingIssues(_ filter: IssueFilter, at head: Revision) async throws -> KeySet? {
        guard !filter.isEmpty else { return nil }
        return try await index.filters.passing(filter, windowsOf: nil, in: store, at: head).issues
    }

    // MARK: - Candidates

    /// An issue with its measurements.
    struct Candidate: Sendable {
        var issue: IssueID
        var match: Scoring.TextMatch
        var score: Double
        /// The window with the greatest cosine.
        var passage: PassageID?
    }

    private func tier(
        _ place: Int,
        of question: Question,
        excluding known: Set<IssueID>
    ) async throws -> (ranking: Ranking, isComplete: Bool) {
        let tier = Self.tiers[place]
        guard let vector = question.vector, let view = question.view else {
            // Nothing is measured, and words are in their order.
            let words = question.scores?.best(tier.words, where: question.passes) ?? []
            let new = words.filter { !known.contains($0.issue) }
            let ranking = Ranking(new.map { candidate($0.issue, nil, $0.score, question) })
            return (ranking, words.count < tier.words)
        }
        let windows: NearestWindows
        if let nearest = question.nearest, tier.windows == nil {
            windows = nearest
        } else {
            let count = tier.windows ?? view.firstCount
            windows = try await view.nearest(to: [vector], count: count)[0]
        }
        // The first window of an issue is its nearest.
        let nearest = Dictionary(
            windows.windows.map { ($0.issue, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let measured = nearest.filter { !known.contains($0.key) }
            .map { issue, window in
                candidate(issue, window, question.scores?.score(of: issue), question)
            }
        let ceiling = Ranking.ceiling(of: windows)
        let wordy = wordy(tier, measured, nearest, ceiling, question)
        let rest = wordy.issues.filter { !known.contains($0.issue) }
            .map { candidate($0.issue, nil, $0.score, question) }
        let isComplete = tier.isLast || (windows.isAll && wordy.isAll)
        let ranking = Ranking(
            measured,
            unmeasured: rest,
            ceiling: ceiling,
            floor: isComplete ? -.infinity : wordy.bound
        ) { match in
            Scoring.relevance(match, constants: constants)
        }
        return (ranking, isComplete)
    }

    /// What words alone bring into a tier's pool.
    private struct Wordy {
        /// Of which no window is among the nearest, with their scores by words.
        var issues: [(issue: IssueID, score: Double)] = []
        /// What others can score at most, those aside that were more than a tier takes.
        var bound: Double
        /// Whether no other issue has any of the words.
        var isAll = true
    }

    /// Issues with words that may go before the best of those that are measured: any others may
    /// not, so that these at least can be given out.
    private func wordy(
        _ tier: Tier,
        _ measured: [Candidate],
        _ nearest: [IssueID: NearWindow],
        _ ceiling: Float?,
        _ question: Question
    ) -> Wordy {
        let cosine = Double(ceiling ?? 0)
        guard let scores = question.scores else { return Wordy(bound: cosine) }
        var least = 0.0
        if !tier.isLast, ceiling != nil, !measured.isEmpty {
            // Windows of the same issues are fewer issues.
            let place = min(tier.settled, (measured.count + 1) / 2) - 1
            let score = measured.map(\.score).sorted(by: >)[place]
            let reaching = Scoring.lexicalReaching(score, cosine: cosine, constants: constants)
            least = min(max(reaching, 0), 1)
        }
        let words = scores.best(
            tier.words,
            atLeast: least * question.bestScore,
            where: question.passes
        )
        let isCut = words.count == tier.words
        let match = Scoring.TextMatch(cosine: cosine, lexical: least)
        return Wordy(
            issues: words.filter { nearest[$0.issue] == nil },
            bound: Scoring.relevance(match, constants: constants),
            isAll: !isCut && least == 0
        )
    }

    private func candidate(
        _ issue: IssueID,
        _ window: NearWindow?,
        _ lexical: Double?,
        _ question: Question
    ) -> Candidate {
        let match = Scoring.TextMatch(
            cosine: question.vector == nil ? nil : Double(window?.score ?? 0),
            lexical: lexical.map { $0 / question.bestScore }
        )
        return Candidate(
            issue: issue,
            match: match,
            score: Scoring.relevance(match, constants: constants),
            passage: window?.passage
        )
    }

    /// Candidates of a page and those before it, in order, with what is shown of the page.
    struct Page: Sendable {
        private let reach: Int
        private let offset: Int
        private var count = 0
        /// Those that are shown.
        private(set) var candidates: [Candidate] = []
        var details = Details()

        init(_ request: SearchRequest) {
            reach = request.offset + request.limit
            offset = request.offset
        }

        /// How many are still missing, those before the page too.
        var missing: Int { reach - count }
        var isFull: Bool { missing <= 0 }

        /// Those of the next ones that are shown.
        func shown<Item>(of next: [Item]) -> ArraySlice<Item> {
            next.dropFirst(max(offset - count, 0))
        }

        /// Takes the next ones, at most so many as are missing.
        mutating func append(_ next: [Candidate]) {
            candidates += shown(of: next)
            count += next.count
        }
    }

    /// Takes the first of these, so many as are missing, that are not deleted at this moment.
    ///
    /// The indexes know of nearly all deletions: few more are looked up than are wanted.
    ///
    /// - Returns: Those that were given out, the deleted ones among them.
    private func fill(
        _ page: inout Page,
        with ranking: Ranking,
        of question: Question
    ) async throws -> Set<IssueID> {
        // Without a query vector the windows are chosen later.
        let isDetailed = question.vector != nil
        var (ranking, given) = (ranking, Set<IssueID>())
        while !page.isFull {
            if let vector = question.vector, let view = question.view {
                var count = view.firstMeasured
                var doubtful = ranking.doubtful(among: page.missing, atMost: count)
                while !doubtful.isEmpty {
                    ranking.measure(doubtful, as: try await view.nearest(of: doubtful, to: vector))
                    count *= 4
                    doubtful = ranking.doubtful(among: page.missing, atMost: count)
                }
            }
            let chunk = ranking.next(min(page.missing + Self.spareCandidates, 10_000))
            guard !chunk.isEmpty else { break }
            given.formUnion(chunk.lazy.map(\.issue))
            let before = page
            let (next, details) = try await store.read { connection, account in
                let live = Set(
                    try PassageTable.liveIssues(
                        among: chunk.map(\.issue).sorted(),
                        account: account,
                        on: connection
                    )
                )
                let next = Array(
                    chunk.lazy.filter { live.contains($0.issue) }.prefix(before.missing)
                )
                let shown = before.shown(of: next)
                guard isDetailed, !shown.isEmpty else { return (next, Details()) }
                let details = try Details(
                    of: shown.map(\.issue),
                    shown.compactMap(\.passage),
                    account: account,
                    on: connection
                )
                return (next, details)
            }
            page.append(next)
            page.details.merge(details)
        }
        return given
    }
}

extension Scoring.TextConstants {
    /// The column weights in the lexical index's form.
    var weights: LexicalWeights {
        LexicalWeights(title: columns.title, body: columns.body, comments: columns.comments)
    }
}

extension Array {
    /// Slices of at most `size` elements, in order.
    func chunked(by size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}
