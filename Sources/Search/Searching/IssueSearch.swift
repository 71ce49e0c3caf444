import Domain
package import Embeddings
package import Store
import VectorIndex

/// Answers "has this been reported before?": vectors and words, filters inside, one hit an issue.
///
/// Every candidate gets all its measurements, however it was found, so its score does not depend on
/// who found it; the pool of candidates grows in fixed tiers, and what a later tier adds comes
/// after what the earlier ones ranked. So any page shows the same order, and no page repeats
/// another's issue.
package struct IssueSearch: Sendable {
    let store: Store
    let embedder: any Embedder
    let index: any WindowIndex
    let lexical: LexicalIndex
    let profiles: IssueProfiles
    let constants = Scoring.TextConstants()

    /// Windows and documents the pool takes from each side in its tiers; a page of ten needs the
    /// first, and the last is what an index gives at most.
    private static let tiers = [200, 1_000, 5_000, HNSWIndex.maximumHitCount]
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
        let reach = request.offset + request.limit
        guard request.limit >= 0, request.offset >= 0, reach <= SearchRequest.maximumReach else {
            throw SearchError.pageOutOfRange(maximum: SearchRequest.maximumReach)
        }
        let question = try await healingWords { try await self.question(request) }
        var ranking: [Candidate] = []
        var known: Set<IssueID> = []
        for size in Self.tiers {
            let tier = try await tier(size, of: question, excluding: known)
            ranking += try await live(tier.candidates, count: reach - ranking.count)
            if ranking.count >= reach || tier.isComplete { break }
            known.formUnion(tier.candidates.map(\.issue))
        }
        let page = Array(ranking.dropFirst(request.offset).prefix(request.limit))
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
        var vector: [Float]?
        if request.mode != .text {
            vector = try await Indexer.encode([request.text], by: embedder).first ?? nil
        }
        guard vector != nil || !query.isEmpty else { throw SearchError.emptyQuery }
        // Words are walked and vectors compared side by side.
        async let words = scores(of: request.mode == .vector ? nil : query)
        var view: (any WindowView)?
        var nearest: NearestWindows?
        if let vector {
            let windows = try await index.windows(passing: request.filter)
            nearest = try await windows.nearest(to: [vector], count: Self.tiers[0])[0]
            view = windows
        }
        let issues =
            view == nil ? try await passingIssues(request.filter) : view?.issues
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

    private func scores(of query: LexicalQuery?) async throws -> LexicalScores? {
        guard let query else { return nil }
        // Few changes wait unless the file is new; a long first scan is the scan's to follow.
        let isNew = try await lexical.revision() == .zero
        try await lexical.follow(store, maximumBatches: isNew ? nil : Self.lexicalBatches)
        return try await lexical.scores(of: query, weights: constants.weights)
    }

    private func passingIssues(_ filter: IssueFilter) async throws -> KeySet? {
        guard !filter.isEmpty else { return nil }
        return try await index.filters.passing(filter, windowsOf: nil, in: store).issues
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
        _ size: Int,
        of question: Question,
        excluding known: Set<IssueID>
    ) async throws -> (candidates: [Candidate], isComplete: Bool) {
        var nearest: [IssueID: NearWindow] = [:]
        var isComplete = true
        if let vector = question.vector, let view = question.view {
            let known = size == Self.tiers[0] ? question.nearest : nil
            let found: NearestWindows
            if let known {
                found = known
            } else {
                found = try await view.nearest(to: [vector], count: size)[0]
            }
            isComplete = found.isAll
            // The first window of an issue is its nearest.
            for window in found.windows where nearest[window.issue] == nil {
                nearest[window.issue] = window
            }
        }
        var issues = Set(nearest.keys)
        if let scores = question.scores {
            let best = scores.best(size, where: question.passes)
            isComplete = isComplete && best.count < size
            issues.formUnion(best.map(\.issue))
        }
        issues.subtract(known)
        let found = issues.sorted()
        if let vector = question.vector, let view = question.view {
            // Issues that only their words brought in; comments count as they do for issues that
            // are near, or the order would change where a tier ends.
            let rest = found.filter { nearest[$0] == nil }
            nearest.merge(try await view.nearest(of: rest, to: vector)) { first, _ in first }
        }
        let candidates = found.map { candidate($0, nearest[$0], question) }
        let sorted = candidates.sorted { ($1.score, $0.issue) < ($0.score, $1.issue) }
        return (sorted, isComplete)
    }

    private func candidate(
        _ issue: IssueID,
        _ window: NearWindow?,
        _ question: Question
    ) -> Candidate {
        let match = Scoring.TextMatch(
            cosine: question.vector == nil ? nil : Double(window?.score ?? 0),
            lexical: question.scores.map { $0.score(of: issue) / question.bestScore }
        )
        return Candidate(
            issue: issue,
            match: match,
            score: Scoring.relevance(match, constants: constants),
            passage: window?.passage
        )
    }

    /// The first of these, so many if there are, that are not deleted at this moment.
    ///
    /// The indexes know of nearly all deletions: few more are looked up than are wanted.
    private func live(_ candidates: [Candidate], count: Int) async throws -> [Candidate] {
        var found: [Candidate] = []
        var rest = candidates[...]
        while found.count < count, !rest.isEmpty {
            let chunk = rest.prefix(min(count - found.count + Self.spareCandidates, 10_000))
            rest = rest.dropFirst(chunk.count)
            let issues = chunk.map(\.issue).sorted()
            let live = Set(
                try await store.read { connection, account in
                    try PassageTable.liveIssues(among: issues, account: account, on: connection)
                }
            )
            found += chunk.filter { live.contains($0.issue) }
        }
        return Array(found.prefix(count))
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
