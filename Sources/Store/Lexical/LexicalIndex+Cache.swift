import Domain
import Foundation
import GRDB

extension LexicalIndex {
    /// What lists in memory answer.
    enum CachedAnswer: Sendable {
        case scores(LexicalScores)
        /// A list does not fit; FTS5 answers then.
        case unfit
        /// The index has not followed the feed to where it was asked for, or farther.
        case elsewhere
    }

    /// The scores of a query by the lists in memory, those that are missing read from the file.
    ///
    /// They are those of FTS5's `bm25`, bit for bit.
    ///
    /// - Parameters:
    ///   - query: Its phrases are chosen here.
    ///   - weights: How much a term counts by where it stands.
    ///   - revision: Where the index has to be; nil when that is all the same.
    /// - Returns: The scores, or why there are none.
    /// - Throws: ``StoreError``.
    func cachedScores(
        of query: LexicalQuery,
        weights: LexicalWeights,
        at revision: Revision? = nil
    ) async throws -> CachedAnswer {
        let (known, counts) = (cache, termCounts)
        let outcome = try await guarded { database in
            try CachedQuestion(query, weights, counts, on: database).answer(known, at: revision)
        }
        guard case .answer(var answer) = outcome else {
            if case .elsewhere = outcome { return .elsewhere }
            return .unfit
        }
        lookedAt = .now
        // Another question may have brought the lists further meanwhile; its stay.
        if let now = cache?.state, now.isAhead(of: answer.state) { return .scores(answer.scores) }
        if cache?.state.isSame(as: answer.state) != true {
            guard let renewed = answer.renewed else { return .scores(answer.scores) }
            // Whoever else held them would make a copy of all lists in what follows.
            answer.renewed = nil
            cache = renewed
        }
        cache?.keep(answer.used)
        return .scores(answer.scores)
    }

    /// The scores of a query by what is in memory; nil when something is missing.
    ///
    /// Not on the actor: it would keep other questions waiting.
    nonisolated static func rememberedScores(
        of query: LexicalQuery,
        weights: LexicalWeights,
        cache: LexicalCache,
        counts: LexicalTermCounts
    ) async -> LexicalScores? {
        struct Missing: Error {}
        var query = query
        let documents = cache.totals.documents
        do throws(Missing) {
            try query.select(documentCount: documents) { term throws(Missing) in
                let count = counts.count(of: term, in: documents, at: cache.moment)
                guard let count else { throw Missing() }
                return LexicalQuery.frequency(of: term, counted: count)
            }
        } catch {
            return nil
        }
        var lists: [LexicalCache.List] = []
        for phrase in query.phrases {
            guard let list = cache.currentList(of: phrase.terms) else { return nil }
            lists.append(list)
        }
        return LexicalScoring(cache, weights).scores(of: query, lists)
    }
}

/// One query on one snapshot of the index file.
private struct CachedQuestion {
    private let query: LexicalQuery
    private let weights: LexicalWeights
    private let termCounts: LexicalTermCounts
    private let database: GRDB.Database

    struct Answer: Sendable {
        var scores: LexicalScores
        /// Those that are not among the known ones.
        var used: [[String]: LexicalCache.List]
        var state: LexicalCache.State
        /// Nil when what was known was up to date.
        var renewed: LexicalCache?
    }

    enum Outcome: Sendable {
        case answer(Answer)
        /// A list does not fit.
        case unfit
        /// The index is not where it was asked for.
        case elsewhere
    }

    init(
        _ query: LexicalQuery,
        _ weights: LexicalWeights,
        _ termCounts: LexicalTermCounts,
        on database: GRDB.Database
    ) {
        self.query = query
        self.weights = weights
        self.termCounts = termCounts
        self.database = database
    }

    func answer(_ known: LexicalCache?, at wanted: Revision?) throws -> Outcome {
        let row = try Row.fetchOne(
            database.cachedStatement(sql: "SELECT generation, revision FROM follower")
        )
        guard let row else { return .unfit }
        let (generation, revision): (Int64, Revision) = (row[0], Revision(row[1]))
        guard wanted == nil || wanted == revision else { return .elsewhere }
        guard let cache = try upToDate(known, generation, revision) else { return .unfit }
        let query = try selected(cache)
        var lists: [LexicalCache.List] = []
        var used: [[String]: LexicalCache.List] = [:]
        for phrase in query.phrases {
            if let list = cache.currentList(of: phrase.terms) {
                lists.append(list)
                continue
            }
            let isPlain = phrase.terms.count == 1 && phrase.terms[0].utf8.allSatisfy { $0 < 0x80 }
            var list = cache.list(of: phrase.terms, isPlain: isPlain)
            if list == nil {
                guard let postings = try read(phrase.terms, isPlain, cache.documents)
                else { return .unfit }
                list = .init(postings: postings, revision: cache.revision)
            }
            guard let list else { return .unfit }
            lists.append(list)
            used[phrase.terms] = list
        }
        let isKnown = known.map { $0.state.isSame(as: cache.state) } ?? false
        return .answer(
            Answer(
                scores: LexicalScoring(cache, weights).scores(of: query, lists),
                used: used,
                state: cache.state,
                renewed: isKnown ? nil : cache
            )
        )
    }

    /// The query with the phrases that tell most.
    private func selected(_ cache: LexicalCache) throws -> LexicalQuery {
        let terms = Array(Set(query.phrases.lazy.flatMap(\.terms)))
        let documents = cache.totals.documents
        let counts = try termCounts.counts(
            of: terms,
            in: documents,
            at: cache.moment,
            on: database
        )
        let byTerm = Dictionary(uniqueKeysWithValues: zip(terms, counts))
        var query = query
        query.select(documentCount: documents) { term in
            LexicalQuery.frequency(of: term, counted: byTerm[term] ?? 0)
        }
        return query
    }

    // MARK: - What changed

    /// The cache as of this snapshot; nil when there are too many documents.
    private func upToDate(
        _ known: LexicalCache?,
        _ generation: Int64,
        _ revision: Revision
    ) throws -> LexicalCache? {
        if var cache = known, cache.generation == generation, cache.revision <= revision {
            if cache.revision == revision { return cache }
            if try advance(&cache, to: revision) { return cache }
        }
        var cache = LexicalCache(generation: generation, revision: revision)
        cache.totals = try LexicalTotals(of: database)
        let rows = try Row.fetchCursor(
            database,
            sql: "SELECT id, sz FROM documents_docsize ORDER BY id"
        )
        while let row = try rows.next() {
            guard cache.documents.append(row[0], length: length(row[1])) else { return nil }
        }
        return cache
    }

    /// False when the documents have to be read anew.
    private func advance(_ cache: inout LexicalCache, to revision: Revision) throws -> Bool {
        let limit = LexicalCache.Limits.changes
        let changed = try Row.fetchAll(
            database,
            sql: """
                SELECT document, revision FROM changes WHERE revision > ?
                ORDER BY revision, document LIMIT \(limit + 1)
                """,
            arguments: [cache.revision.rawValue]
        )
        guard changed.count <= limit else { return false }
        var changes: [LexicalCache.Change] = []
        var (terms, hasNew) = (0, false)
        for row in changed {
            let document: Int64 = row[0]
            let size = try Data.fetchOne(
                database.cachedStatement(sql: "SELECT sz FROM documents_docsize WHERE id = ?"),
                arguments: [document]
            )
            let length = size.map(length) ?? 0
            let counts = size == nil ? [:] : try counts(in: document)
            terms += counts.count
            guard terms <= LexicalCache.Limits.terms else { return false }
            if let place = cache.documents.place(of: document) {
                guard cache.documents.setLength(length, at: place) else { return false }
                changes.append(.init(place: place, revision: Revision(row[1]), counts: counts))
            } else if size != nil {
                let place = cache.documents.count
                guard cache.documents.append(document, length: length) else { return false }
                changes.append(.init(place: place, revision: Revision(row[1]), counts: counts))
                hasNew = true
            }
        }
        if hasNew { cache.documents.countAsAnotherReading() }
        cache.totals = try LexicalTotals(of: database)
        cache.advance(to: revision, with: changes)
        return true
    }

    /// How often the terms stand in a document, as the index has them.
    private func counts(in document: Int64) throws -> [String: PhraseCounts] {
        let row = try Row.fetchOne(
            database.cachedStatement(
                sql: "SELECT title, body, comments FROM documents WHERE rowid = ?"
            ),
            arguments: [document]
        )
        var counts: [String: PhraseCounts] = [:]
        for column in 0..<3 {
            guard let text = row?[column] as String? else { continue }
            for token in try plainTokens(of: text) {
                switch column {
                case 0: counts[token, default: PhraseCounts()].title += 1
                case 1: counts[token, default: PhraseCounts()].body += 1
                default: counts[token, default: PhraseCounts()].comments += 1
                }
            }
        }
        return counts
    }

    /// The tokens in ASCII that FTS5 makes of a stored text; others are never looked up here.
    ///
    /// A term in ASCII is one. Of the other terms FTS5 makes them by its own rules: without its
    /// accent `café` is found by `cafe`, which such a list once missed after a change.
    private func plainTokens(of text: String) throws -> [String] {
        var plain: [String] = []
        var others: [UInt8] = []
        for term in text.utf8.split(separator: UInt8(ascii: " ")) {
            if term.allSatisfy({ $0 < 0x80 }) {
                plain.append(String(decoding: term, as: UTF8.self))
            } else {
                others.append(UInt8(ascii: " "))
                others.append(contentsOf: term)
            }
        }
        guard !others.isEmpty else { return plain }
        let made = try tokens(of: String(decoding: others, as: UTF8.self))
        return plain + made.filter { $0.utf8.allSatisfy { $0 < 0x80 } }
    }

    /// What FTS5 makes of a text.
    private func tokens(of text: String) throws -> [String] {
        let tokenizer = try database.makeTokenizer(
            FTS5TokenizerDescriptor(components: LexicalIndex.tokenizer)
        )
        return try tokenizer.tokenize(query: text).map(\.token)
    }

    private func length(_ size: Data) -> Int {
        var reader = VarintReader([UInt8](size))
        var length: UInt64 = 0
        while let column = reader.next() { length += column }
        return Int(clamping: length)
    }

    // MARK: - Lists

    /// Where a token stands: document, column and offset, as FTS5 has them in order.
    private struct Instance: Hashable {
        var document: Int64
        var column: Int64
        var offset: Int64
    }

    /// The list of a phrase from the file; nil when it does not fit.
    private func read(
        _ terms: [String],
        _ isPlain: Bool,
        _ documents: LexicalDocuments
    ) throws -> LexicalPostings? {
        let instances = try isPlain ? self.instances(of: terms[0]) : phrase(terms)
        var postings = LexicalPostings()
        var start = instances.startIndex
        while start < instances.endIndex {
            let document = instances[start].document
            var counts = PhraseCounts()
            var end = start
            while end < instances.endIndex, instances[end].document == document {
                switch instances[end].column {
                case Self.titleMark: counts.title += 1
                case Self.bodyMark: counts.body += 1
                default: counts.comments += 1
                }
                end += 1
            }
            guard let place = documents.place(of: document), postings.append(place, counts)
            else { return nil }
            start = end
        }
        return postings
    }

    /// The first letters of the columns' names, by which the vocabulary tells them.
    private static let titleMark = Int64(UInt8(ascii: "t"))
    private static let bodyMark = Int64(UInt8(ascii: "b"))

    private func instances(of token: String) throws -> [Instance] {
        let statement = try database.cachedStatement(
            sql: "SELECT doc, unicode(col), offset FROM instances WHERE term = ?"
        )
        var found: [Instance] = []
        let rows = try Row.fetchCursor(statement, arguments: [token])
        while let row = try rows.next() {
            found.append(Instance(document: row[0], column: row[1], offset: row[2]))
        }
        return found
    }

    /// Where tokens stand one behind the other; FTS5 makes tokens of the terms, more or less of
    /// them where letters have accents or vowel signs.
    private func phrase(_ terms: [String]) throws -> [Instance] {
        let tokens = try self.tokens(of: terms.joined(separator: " "))
        guard let first = tokens.first else { return [] }
        var found = try instances(of: first)
        for (distance, token) in tokens.enumerated().dropFirst() {
            let next = Set(try instances(of: token))
            found.removeAll { instance in
                var place = instance
                place.offset += Int64(distance)
                return !next.contains(place)
            }
        }
        return found
    }
}
