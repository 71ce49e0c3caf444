import Domain
import GRDB
import Synchronization

/// In how many documents terms stand, as far as somebody has asked.
///
/// FTS5 finds that out by walking a term's whole list, so each new issue would walk the lists of
/// its common words, as long as everything before it. Of frequent terms a count of a short while
/// ago will do; a rare one may be new, so its count holds for one state of the documents alone.
final class LexicalTermCounts: Sendable {
    /// Shorter lists are walked again when documents have changed.
    private static let minimumCount = 64
    /// Terms kept of either kind, a few megabytes.
    private static let maximumTerms = 50_000
    /// Counts of frequent terms are used until the number of documents has moved by this part.
    private static let tolerance = 0.05

    /// A state of the documents.
    struct Moment: Sendable, Equatable {
        var generation: Int64
        var revision: Revision
    }

    private struct Known {
        var documents = 0
        var frequent: [String: Int] = [:]
        var moment: Moment?
        var rare: [String: Int] = [:]
    }

    private let known = Mutex(Known())

    /// What is known of a term; nil when its list is to be walked.
    func count(of term: String, in documents: Int, at moment: Moment?) -> Int? {
        known.withLock { known in
            if Self.isFresh(known.documents, documents), let count = known.frequent[term] {
                return count
            }
            guard let moment, known.moment == moment else { return nil }
            return known.rare[term]
        }
    }

    /// The counts of terms, those that are not known read from the file.
    func counts(
        of terms: [String],
        in documents: Int,
        at moment: Moment?,
        on database: GRDB.Database
    ) throws -> [Int] {
        var read: [(term: String, count: Int)] = []
        let statement = try database.cachedStatement(
            sql: "SELECT doc FROM vocabulary WHERE term = ?"
        )
        let counts = try terms.map { term in
            if let count = count(of: term, in: documents, at: moment) { return count }
            let count = try Int.fetchOne(statement, arguments: [term]) ?? 0
            read.append((term, count))
            return count
        }
        if !read.isEmpty { remember(read, in: documents, at: moment) }
        return counts
    }

    /// Keeps counts that were read.
    func remember(
        _ read: [(term: String, count: Int)],
        in documents: Int,
        at moment: Moment?
    ) {
        known.withLock { known in
            if !Self.isFresh(known.documents, documents) {
                known.documents = documents
                known.frequent = [:]
            }
            if let moment, known.moment != moment || known.rare.count >= Self.maximumTerms {
                known.moment = moment
                known.rare = [:]
            }
            for (term, count) in read {
                if count < Self.minimumCount {
                    if moment != nil { known.rare[term] = count }
                } else if known.frequent.count < Self.maximumTerms {
                    known.frequent[term] = count
                }
            }
        }
    }

    private static func isFresh(_ then: Int, _ now: Int) -> Bool {
        abs(Double(now - then)) <= tolerance * Double(then)
    }
}
