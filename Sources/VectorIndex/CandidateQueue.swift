/// A node met by a search, with its inner product to the query.
struct Candidate: Equatable {
    var score: Float
    var slot: UInt32
}

/// The search list of Algorithm 2 (SEARCH-LAYER, Malkov & Yashunin 2016): candidates and results
/// in one array, best first, each marked when its links have been followed.
///
/// The paper keeps two heaps. One sorted array does the same with less work: insertion is a binary
/// search and a short `memmove`, the next candidate is the first unmarked entry, and the search
/// ends when there is none.
@safe
struct CandidateQueue: ~Copyable {
    private let entries: UnsafeMutablePointer<Candidate>
    private let allocated: Int
    /// How many entries are kept, `ef` in the paper.
    private(set) var capacity: Int
    private(set) var count = 0
    /// Entries before this one have all been followed.
    private var cursor = 0

    /// The mark of a followed entry, kept in the top bit of its slot number.
    private static let followedBit: UInt32 = 1 << 31

    /// Makes a queue that can hold up to `capacity` entries.
    init(capacity: Int) {
        precondition(capacity > 0, "a search list needs room")
        unsafe entries = .allocate(capacity: capacity)
        allocated = capacity
        self.capacity = capacity
    }

    deinit {
        unsafe entries.deallocate()
    }

    /// Empties the queue and sets how many entries it keeps.
    mutating func reset(capacity: Int) {
        precondition(capacity > 0 && capacity <= allocated, "search list capacity out of range")
        self.capacity = capacity
        count = 0
        cursor = 0
    }

    /// Whether no further entry fits without dropping one.
    var isFull: Bool { count == capacity }

    /// Score of the last entry kept; minus infinity while there is room.
    var worstScore: Float {
        count == capacity ? unsafe entries[count - 1].score : -.infinity
    }

    /// The entry at a rank, best first.
    subscript(rank: Int) -> Candidate {
        precondition(rank >= 0 && rank < count, "rank out of range")
        let entry = unsafe entries[rank]
        return Candidate(score: entry.score, slot: entry.slot & ~Self.followedBit)
    }

    /// Inserts a node in its place, dropping the worst entry when full; equal scores keep arrival
    /// order.
    @inline(__always)
    mutating func offer(_ candidate: Candidate) {
        if count == capacity {
            guard unsafe candidate.score > entries[count - 1].score else { return }
            count -= 1
        }
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) >> 1
            if unsafe entries[middle].score >= candidate.score {
                low = middle + 1
            } else {
                high = middle
            }
        }
        unsafe (entries + low + 1).update(from: entries + low, count: count - low)
        unsafe entries[low] = candidate
        count += 1
        if low < cursor { cursor = low }
    }

    /// The best entry whose links have not been followed, marked as followed; nil at the end of
    /// search.
    @inline(__always)
    mutating func next() -> UInt32? {
        while cursor < count, unsafe entries[cursor].slot & Self.followedBit != 0 { cursor += 1 }
        guard cursor < count else { return nil }
        let slot = unsafe entries[cursor].slot
        unsafe entries[cursor].slot = slot | Self.followedBit
        cursor += 1
        return slot
    }
}

/// A binary heap, best score first, for the frontier of filtered search, which has no natural
/// bound.
struct CandidateHeap {
    private var entries: [Candidate] = []

    /// Adds an entry.
    ///
    /// O(log n).
    mutating func push(_ candidate: Candidate) {
        entries.append(candidate)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].score > entries[parent].score else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    /// Removes and returns the entry with the largest score.
    ///
    /// O(log n).
    mutating func pop() -> Candidate? {
        guard let best = entries.first, let last = entries.popLast() else { return nil }
        guard !entries.isEmpty else { return best }
        entries[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].score > entries[child].score {
                child += 1
            }
            guard entries[child].score > entries[parent].score else { break }
            entries.swapAt(child, parent)
            parent = child
        }
        return best
    }
}
