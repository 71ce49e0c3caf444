import Domain
import Synchronization

/// Lists of documents of the phrases asked lately, as of one revision of the index.
///
/// FTS5 walks a phrase's list on disk for every question, and looks up the length of every match: a
/// microsecond a document. From these lists the same scores take some nanoseconds. The index file
/// stays the truth: it says which documents changed, and a list takes them in when it is next used.
struct LexicalCache: Sendable {
    enum Limits {
        /// Documents in all lists together: 128 MB with what each of them adds to a score.
        static let entries = 8_000_000
        /// What a list counts besides its documents: its key and its place are some 256 bytes, and
        /// whoever asks for words that nothing has makes as many lists as there are words.
        static let listEntries = 32
        /// Changed documents whose terms are kept for the lists, a few kilobytes each; lists that
        /// have not taken in more than these are read anew.
        static let changes = 1_024
        /// Terms of all those documents together, some 20 MB: one of them may have 16,000.
        static let terms = 200_000
    }

    /// A list, and up to which revision it is right.
    ///
    /// An object, so that questions that only read can note that it was used.
    final class List: Sendable {
        let postings: LexicalPostings
        let revision: Revision
        fileprivate let lastUse = Atomic<UInt64>(0)
        private let known = Mutex<Parts?>(nil)

        /// What each document adds to a score, as it was last computed.
        private struct Parts {
            var revision: Revision
            var weights: LexicalWeights
            var values: [Double]
        }

        init(postings: LexicalPostings, revision: Revision) {
            self.postings = postings
            self.revision = revision
        }

        /// What it counts towards the limit.
        fileprivate var entryCount: Int { postings.count + Limits.listEntries }

        /// What each document adds to a score, in the order of the postings: most of the work of a
        /// question, and the same for all until a document changes.
        func parts(
            at revision: Revision,
            weights: LexicalWeights,
            compute: (LexicalPostings) -> [Double]
        ) -> [Double] {
            let found = known.withLock { known -> [Double]? in
                guard let known, known.revision == revision, known.weights == weights
                else { return nil }
                return known.values
            }
            if let found { return found }
            let values = compute(postings)
            known.withLock { known in
                known = Parts(revision: revision, weights: weights, values: values)
            }
            return values
        }
    }

    /// A document that was written or removed.
    struct Change: Sendable {
        var place: Int
        var revision: Revision
        /// Of its terms as they stand in the index; none for one that was removed.
        var counts: [String: PhraseCounts]
    }

    /// Of which file the lists are, as of when, and with documents at which places.
    struct State: Sendable {
        fileprivate let generation: Int64
        fileprivate let revision: Revision
        fileprivate let documents: LexicalDocuments

        /// Whether it is a later one of the same file.
        func isAhead(of other: State) -> Bool {
            generation == other.generation && revision > other.revision
        }

        /// Whether lists of the other are right here.
        func isSame(as other: State) -> Bool {
            generation == other.generation && revision == other.revision
                && documents.hasPlaces(of: other.documents)
        }
    }

    /// Tells the file from one that was made anew.
    let generation: Int64
    private(set) var revision: Revision
    /// Where a document changed last: the index follows the feed past changes that are none of its
    /// own, and lists stay right meanwhile.
    private(set) var contentRevision: Revision
    var documents = LexicalDocuments()
    var totals = LexicalTotals()
    /// By the terms of the phrase.
    private(set) var lists: [[String]: List] = [:]
    /// Ascending by revision.
    private(set) var changes: [Change] = []
    private var entryCount = 0
    private let uses = Uses()

    /// Counts what is asked, for all copies.
    private final class Uses: Sendable {
        let count = Atomic<UInt64>(0)
    }

    /// Nothing is known of a file but where it is.
    init(generation: Int64, revision: Revision) {
        self.generation = generation
        self.revision = revision
        contentRevision = revision
    }

    /// Which state of the documents this is.
    var moment: LexicalTermCounts.Moment {
        .init(generation: generation, revision: contentRevision)
    }

    var state: State {
        State(generation: generation, revision: revision, documents: documents)
    }

    /// Takes in what changed up to a revision.
    mutating func advance(to revision: Revision, with new: [Change]) {
        self.revision = revision
        guard !new.isEmpty else { return }
        contentRevision = revision
        changes += new
        let kept = countToKeep()
        guard kept < changes.count else { return }
        let oldest = changes[changes.count - kept - 1].revision
        changes.removeFirst(changes.count - kept)
        // A revision is kept whole or not at all.
        changes.removeAll { $0.revision <= oldest }
        lists = lists.filter { $0.value.revision >= oldest }
        entryCount = lists.values.reduce(0) { $0 + $1.entryCount }
    }

    /// How many of the newest changes are within the limits.
    private func countToKeep() -> Int {
        var (kept, terms) = (0, 0)
        for change in changes.reversed() {
            terms += change.counts.count
            guard kept < Limits.changes, terms <= Limits.terms else { break }
            kept += 1
        }
        return kept
    }

    /// The list of a phrase as of now, if it is there or can be brought up to date.
    ///
    /// - Parameters:
    ///   - terms: The phrase.
    ///   - isPlain: Whether it is one term that stands in the index as it is written here.
    /// - Returns: Nil when it has to be read from the file.
    func list(of terms: [String], isPlain: Bool) -> List? {
        guard let list = lists[terms] else { return nil }
        guard list.revision < contentRevision else { return use(list) }
        guard isPlain, let term = terms.first else { return nil }
        // Backwards to the first change that the list has not.
        let start = changes.lastIndex { $0.revision <= list.revision }.map { $0 + 1 } ?? 0
        var postings = list.postings
        for change in changes[start...] {
            guard postings.set(change.place, change.counts[term] ?? PhraseCounts())
            else { return nil }
        }
        return List(postings: postings, revision: revision)
    }

    /// The list of a phrase, if it is there and right as it is.
    func currentList(of terms: [String]) -> List? {
        guard let list = lists[terms], list.revision >= contentRevision else { return nil }
        return use(list)
    }

    private func use(_ list: List) -> List {
        let number = uses.count.wrappingAdd(1, ordering: .relaxed).newValue
        list.lastUse.store(number, ordering: .relaxed)
        return list
    }

    /// Keeps lists that were used, and drops those unused for longest when there are too many.
    mutating func keep(_ used: [[String]: List]) {
        for (terms, list) in used {
            if let known = lists[terms] {
                // Another question brought it further meanwhile.
                guard known !== list, known.revision <= list.revision else { continue }
                entryCount -= known.entryCount
            }
            entryCount += list.entryCount
            lists[terms] = use(list)
        }
        guard entryCount > Limits.entries else { return }
        // They are used while they are sorted.
        let order = lists.map { (terms: $0.key, use: $0.value.lastUse.load(ordering: .relaxed)) }
        for (terms, _) in order.sorted(by: { $0.use < $1.use }) {
            // Half, so that it is not done for every question.
            guard entryCount > Limits.entries / 2 else { break }
            entryCount -= lists.removeValue(forKey: terms)?.entryCount ?? 0
        }
    }
}
