import Domain
import Foundation
import GRDB

extension LexicalIndex {
    /// The scores of a query by the lists in memory, those that are missing read from the file.
    ///
    /// They are those of FTS5's `bm25`, bit for bit.
    ///
    /// - Returns: Nil when a list does not fit; FTS5 answers then.
    func cachedScores(
        of query: LexicalQuery,
        weights: LexicalWeights
    ) async throws -> LexicalScores? {
        let known = cache
        let answer = try await guarded { database in
            try CachedQuestion(query, weights, on: database).answer(known)
        }
        guard var answer else { return nil }
        // Another question may have brought the lists further meanwhile; its stay.
        if let now = cache?.state, now.isAhead(of: answer.state) { return answer.scores }
        if cache?.state.isSame(as: answer.state) != true {
            guard let renewed = answer.renewed else { return answer.scores }
            // Whoever else held them would make a copy of all lists in what follows.
            answer.renewed = nil
            cache = renewed
        }
        cache?.keep(answer.used)
        return answer.scores
    }
}

/// One query on one snapshot of the index file.
private struct CachedQuestion {
    private let query: LexicalQuery
    private let weights: LexicalWeights
    private let database: GRDB.Database

    struct Answer: Sendable {
        var scores: LexicalScores
        var used: [[String]: LexicalCache.List]
        var state: LexicalCache.State
        /// Nil when what was known was up to date.
        var renewed: LexicalCache?
    }

    init(_ query: LexicalQuery, _ weights: LexicalWeights, on database: GRDB.Database) {
        self.query = query
        self.weights = weights
        self.database = database
    }

    /// Nil when a list does not fit.
    func answer(_ known: LexicalCache?) throws -> Answer? {
        guard let cache = try upToDate(known) else { return nil }
        var used: [[String]: LexicalCache.List] = [:]
        for phrase in query.phrases {
            let isPlain = phrase.terms.count == 1 && phrase.terms[0].utf8.allSatisfy { $0 < 0x80 }
            if let list = cache.list(of: phrase.terms, isPlain: isPlain) {
                used[phrase.terms] = list
            } else {
                guard let postings = try read(phrase.terms, isPlain, cache.documents)
                else { return nil }
                used[phrase.terms] = .init(postings: postings, revision: cache.revision)
            }
        }
        let totals = try LexicalTotals(of: database)
        let scores = scores(used, cache.documents, totals)
        let isKnown = known.map { $0.state.isSame(as: cache.state) } ?? false
        return Answer(
            scores: scores,
            used: used,
            state: cache.state,
            renewed: isKnown ? nil : cache
        )
    }

    // MARK: - What changed

    /// The cache as of this snapshot; nil when there are too many documents.
    private func upToDate(_ known: LexicalCache?) throws -> LexicalCache? {
        let row = try Row.fetchOne(database, sql: "SELECT generation, revision FROM follower")
        guard let row else { return nil }
        let (generation, revision): (Int64, Revision) = (row[0], Revision(row[1]))
        if var cache = known, cache.generation == generation, cache.revision <= revision {
            if cache.revision == revision { return cache }
            if try advance(&cache, to: revision) { return cache }
        }
        var cache = LexicalCache(generation: generation, revision: revision)
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

    // MARK: - Scores

    /// BM25 as fts5_aux.c of SQLite computes it (`fts5Bm25Function`), phrase by phrase instead of
    /// document by document: the sums of a document have the same order.
    private func scores(
        _ lists: [[String]: LexicalCache.List],
        _ documents: LexicalDocuments,
        _ totals: LexicalTotals
    ) -> LexicalScores {
        let (k1, b) = (1.2, 0.75)
        // Less than any score: not found.
        var sums = [Double](repeating: -1, count: documents.count)
        let lengths = documents.lengths
        let average = Double(totals.terms) / Double(totals.documents)
        for phrase in query.phrases {
            guard let entries = lists[phrase.terms]?.postings.entries else { continue }
            let hits = entries.count
            var rarity = log((Double(totals.documents - hits) + 0.5) / (Double(hits) + 0.5))
            if rarity <= 0 { rarity = 1e-6 }
            let repeats = min(phrase.count, query.limits.repeats)
            for entry in entries {
                let place = LexicalPostings.place(of: entry)
                let frequency = LexicalPostings.frequency(of: entry, weights: weights)
                let length = Double(lengths[place])
                let part =
                    rarity
                    * ((frequency * (k1 + 1.0)) / (frequency + k1 * (1 - b + b * length / average)))
                // A phrase said twice is asked twice.
                for _ in 0..<repeats { sums[place] = max(sums[place], 0) + part }
            }
        }
        var scores = LexicalScores()
        for (place, sum) in sums.enumerated() where sum >= 0 {
            scores.append(document: documents.identifiers[place], score: sum)
        }
        return scores
    }
}
