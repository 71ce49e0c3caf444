/// How often a phrase stands in the columns of one document.
struct PhraseCounts: Sendable, Equatable {
    var title = 0
    var body = 0
    var comments = 0

    var isEmpty: Bool { title == 0 && body == 0 && comments == 0 }
}

/// The documents that have a phrase, by their places in ``LexicalDocuments``, with their counts.
///
/// Eight bytes a document: 27 bits of place, 9 of title, 14 of body, 14 of comments. Every text
/// within ``LexicalDocument/Limits`` fits, but for words that FTS5 takes apart again; what does not
/// fit is not kept.
struct LexicalPostings: Sendable {
    private static let titleBits = 9
    private static let textBits = 14
    private static let placeShift = UInt64(titleBits + 2 * textBits)
    private static let titleShift = UInt64(2 * textBits)
    private static let bodyShift = UInt64(textBits)
    private static let titleMask = UInt64(1) << UInt64(titleBits) - 1
    private static let textMask = UInt64(1) << UInt64(textBits) - 1
    /// Places that fit.
    static let maximumPlaces = 1 << 27

    /// Ascending, so by place.
    private(set) var entries: [UInt64] = []

    var count: Int { entries.count }

    /// Adds a document behind all others.
    ///
    /// - Returns: False when it does not fit or is not behind the others.
    mutating func append(_ place: Int, _ counts: PhraseCounts) -> Bool {
        guard let entry = Self.packed(place, counts) else { return false }
        if let last = entries.last, last >> Self.placeShift >= entry >> Self.placeShift {
            return false
        }
        entries.append(entry)
        return true
    }

    /// Puts a document's counts in the place of what is known of it.
    ///
    /// - Returns: False when they do not fit.
    mutating func set(_ place: Int, _ counts: PhraseCounts) -> Bool {
        let index = firstIndex(from: place)
        let isThere = index < entries.count && Self.place(of: entries[index]) == place
        guard !counts.isEmpty else {
            if isThere { entries.remove(at: index) }
            return true
        }
        guard let entry = Self.packed(place, counts) else { return false }
        if isThere { entries[index] = entry } else { entries.insert(entry, at: index) }
        return true
    }

    static func place(of entry: UInt64) -> Int {
        Int(truncatingIfNeeded: entry >> placeShift)
    }

    /// How much the phrase counts in a document: the sum of the weights of where it stands, added
    /// one by one in the order of the text as FTS5's `bm25` does, so that no bit differs.
    static func frequency(of entry: UInt64, weights: LexicalWeights) -> Double {
        var sum = 0.0
        for _ in 0..<(entry >> titleShift & titleMask) { sum += weights.title }
        for _ in 0..<(entry >> bodyShift & textMask) { sum += weights.body }
        for _ in 0..<(entry & textMask) { sum += weights.comments }
        return sum
    }

    private static func packed(_ place: Int, _ counts: PhraseCounts) -> UInt64? {
        guard (0..<maximumPlaces).contains(place), counts.title <= Int(titleMask),
            counts.body <= Int(textMask), counts.comments <= Int(textMask)
        else { return nil }
        return UInt64(place) << placeShift | UInt64(counts.title) << titleShift
            | UInt64(counts.body) << bodyShift | UInt64(counts.comments)
    }

    /// The first entry at a place or behind it, by bisection.
    private func firstIndex(from place: Int) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if Self.place(of: entries[middle]) < place { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// The documents of the index with their lengths, each at a place that it keeps.
struct LexicalDocuments: Sendable {
    /// Ascending.
    private(set) var identifiers: [Int64] = []
    /// Terms of all columns together; 0 for one that was deleted.
    private(set) var lengths: [Int32] = []
    private var origin = Origin()

    /// The same for all copies of one reading of the index.
    private final class Origin: Sendable {}

    var count: Int { identifiers.count }

    /// Whether a document that both have is at the same place.
    func hasPlaces(of other: LexicalDocuments) -> Bool { origin === other.origin }

    /// Says that documents were added: another copy may have added others at the same places.
    mutating func countAsAnotherReading() { origin = Origin() }

    /// Where a document is, by bisection.
    func place(of identifier: Int64) -> Int? {
        var low = 0
        var high = identifiers.count
        while low < high {
            let middle = (low + high) / 2
            if identifiers[middle] < identifier { low = middle + 1 } else { high = middle }
        }
        return low < identifiers.count && identifiers[low] == identifier ? low : nil
    }

    /// Adds a document behind all others.
    ///
    /// - Returns: False when it belongs before another one, or there is no place for more.
    mutating func append(_ identifier: Int64, length: Int) -> Bool {
        guard identifiers.last.map({ $0 < identifier }) ?? true,
            identifiers.count < LexicalPostings.maximumPlaces, let length = Int32(exactly: length)
        else { return false }
        identifiers.append(identifier)
        lengths.append(length)
        return true
    }

    /// - Returns: False when the length is none.
    mutating func setLength(_ length: Int, at place: Int) -> Bool {
        guard let length = Int32(exactly: length) else { return false }
        lengths[place] = length
        return true
    }
}
