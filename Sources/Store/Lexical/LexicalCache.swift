import Domain

/// Lists of documents of the phrases asked lately, as of one revision of the index.
///
/// FTS5 walks a phrase's list on disk for every question, and looks up the length of every match: a
/// microsecond a document. From these lists the same scores take some nanoseconds. The index file
/// stays the truth: it says which documents changed, and a list takes them in when it is next used.
struct LexicalCache: Sendable {
    enum Limits {
        /// Documents in all lists together: 64 MB.
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
    struct List: Sendable {
        var postings: LexicalPostings
        var revision: Revision
        fileprivate(set) var lastUse: UInt64 = 0

        /// What it counts towards the limit.
        fileprivate var entryCount: Int { postings.count + Limits.listEntries }
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
    var documents = LexicalDocuments()
    /// By the terms of the phrase.
    private(set) var lists: [[String]: List] = [:]
    /// Ascending by revision.
    private(set) var changes: [Change] = []
    private var entryCount = 0
    private var uses: UInt64 = 0

    /// Nothing is known of a file but where it is.
    init(generation: Int64, revision: Revision) {
        self.generation = generation
        self.revision = revision
    }

    var state: State {
        State(generation: generation, revision: revision, documents: documents)
    }

    /// Takes in what changed up to a revision.
    mutating func advance(to revision: Revision, with new: [Change]) {
        self.revision = revision
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
        guard var list = lists[terms] else { return nil }
        guard list.revision != revision else { return list }
        guard isPlain, let term = terms.first else { return nil }
        // Backwards to the first change that the list has not.
        let start = changes.lastIndex { $0.revision <= list.revision }.map { $0 + 1 } ?? 0
        for change in changes[start...] {
            guard list.postings.set(change.place, change.counts[term] ?? PhraseCounts())
            else { return nil }
        }
        list.revision = revision
        return list
    }

    /// Keeps lists that were used, and drops those unused for longest when there are too many.
    mutating func keep(_ used: [[String]: List]) {
        uses += 1
        for (terms, list) in used {
            if let known = lists[terms] {
                entryCount -= known.entryCount
                // Another question brought it further meanwhile.
                if known.revision > list.revision {
                    entryCount += known.entryCount
                    continue
                }
            }
            entryCount += list.entryCount
            lists[terms] = list
            lists[terms]?.lastUse = uses
        }
        guard entryCount > Limits.entries else { return }
        for (terms, list) in lists.sorted(by: { $0.value.lastUse < $1.value.lastUse }) {
            // Half, so that it is not done for every question.
            guard entryCount > Limits.entries / 2 else { break }
            lists[terms] = nil
            entryCount -= list.entryCount
        }
    }
}
