import Glibc

/// What to look for in the lexical index: terms from a text that nobody vouches for.
///
/// The text is taken apart by ``TextAnalyzer``; only letters and digits survive, and every phrase
/// is quoted, so no operator of FTS5 can come from outside.
package struct LexicalQuery: Sendable {
    /// A term, or two neighbouring ideographs, with the number of times the text has it.
    package struct Phrase: Sendable, Hashable {
        package var terms: [String]
        package var count: Int
        /// How much the phrase tells: repeats times rarity; 0 until the index was asked.
        package var weight = 0.0

        /// The phrase in an expression for MATCH.
        var quoted: String { "\"\(terms.joined(separator: " "))\"" }
    }

    /// How much of a query text is used.
    package struct Limits: Sendable {
        /// Terms read from the text; a page of a log adds nothing after its first thousand words.
        package var terms = 1024
        /// Phrases asked; the time of a query is proportional to it.
        ///
        /// With 48 the ranking of whole reports differs from that with all their terms only in
        /// the tail.
        package var phrases = 48
        /// Documents walked for the phrases together.
        ///
        /// What a query costs is the sum of its phrases' frequencies, about a microsecond each;
        /// phrases are taken from the most telling on, the first whatever it costs.
        package var postings = 50_000
        /// A term said often counts more, but not without bound.
        package var repeats = 2

        package init() {}
    }

    package private(set) var phrases: [Phrase]
    let limits: Limits

    /// Takes a text apart.
    package init(text: String, limits: Limits = Limits()) {
        let terms = TextAnalyzer.terms(of: text, limit: limits.terms)
        self.init(Self.phrases(of: terms), limits)
    }

    /// Asks for the terms of a stored document, each by itself.
    package init(terms: [String], limits: Limits = Limits()) {
        self.init(terms.prefix(limits.terms).map { [$0] }, limits)
    }

    private init(_ all: [[String]], _ limits: Limits) {
        self.limits = limits
        var places: [[String]: Int] = [:]
        phrases = []
        for phrase in all {
            if let place = places[phrase] {
                phrases[place].count += 1
            } else {
                places[phrase] = phrases.count
                phrases.append(Phrase(terms: phrase, count: 1))
            }
        }
    }

    /// Nothing to look for: the text has no word.
    package var isEmpty: Bool { phrases.isEmpty }

    /// Words alone, neighbouring ideographs in pairs, a lone ideograph alone.
    private static func phrases(of terms: [TextAnalyzer.Term]) -> [[String]] {
        var phrases: [[String]] = []
        for (index, term) in terms.enumerated() {
            let hasNext = index + 1 < terms.count && terms[index + 1].isAdjacent
            if !term.isIdeograph {
                phrases.append([term.text])
            } else if hasNext {
                phrases.append([term.text, terms[index + 1].text])
            } else if !term.isAdjacent {
                phrases.append([term.text])
            }
        }
        return phrases
    }

    /// Keeps the phrases that tell most: frequent in the query, rare in the index.
    ///
    /// - Parameters:
    ///   - documentCount: Documents in the index.
    ///   - frequency: In how many of them a term stands.
    /// - Throws: What `frequency` throws.
    mutating func select<Failure: Error>(
        documentCount: Int,
        frequency: (String) throws(Failure) -> Int
    ) throws(Failure) {
        var weighted: [(phrase: Phrase, rarest: Int, weight: Double)] = []
        for phrase in phrases {
            var rarest = Int.max
            for term in phrase.terms { rarest = min(rarest, try frequency(term)) }
            guard rarest > 0 else { continue }
            let ratio = Double(documentCount) / Double(rarest)
            let repeats = Double(min(phrase.count, limits.repeats))
            weighted.append((phrase, rarest, repeats * log(1 + ratio)))
        }
        // Words of every second document have no weight in FTS5's BM25 but cost a walk over them
        // all.
        let rare = weighted.filter { $0.rarest * 2 <= documentCount }
        if !rare.isEmpty { weighted = rare }
        // The sort is stable by construction: equal weights keep the order of the text.
        let order = weighted.indices.sorted {
            (-weighted[$0].weight, $0) < (-weighted[$1].weight, $1)
        }
        var walked = 0
        phrases = []
        for place in order.prefix(limits.phrases) {
            walked += weighted[place].rarest
            guard phrases.isEmpty || walked <= limits.postings else { break }
            phrases.append(weighted[place].phrase)
            phrases[phrases.count - 1].weight = weighted[place].weight
        }
    }

    /// In how many documents a term is taken to stand: FTS5 may know an accented word in another
    /// spelling than the one that was counted; it is asked as a rare one.
    static func frequency(of term: String, counted count: Int) -> Int {
        count == 0 && term.utf8.contains { $0 >= 0x80 } ? 1 : count
    }

    /// The expression for MATCH: quoted phrases joined by OR, repeated as often as they count.
    var matchExpression: String {
        var parts: [String] = []
        for phrase in phrases {
            parts.append(
                contentsOf: repeatElement(phrase.quoted, count: min(phrase.count, limits.repeats))
            )
        }
        return parts.joined(separator: " OR ")
    }
}
