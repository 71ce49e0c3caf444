/// A node met by a search, with its inner product to the query.
struct Candidate: Equatable {
    var score: Float
    var slot: UInt32
}

/// The best hits seen so far, in result order; ties at the end of the list are decided by key too.
struct TopHits {
    private(set) var hits: [IndexHit] = []
    let capacity: Int
    /// Score a hit must reach to matter; minus infinity while there is room.
    private(set) var worstScore: Float = -.infinity

    /// Makes an empty list of at most `capacity` hits.
    init(capacity: Int) {
        self.capacity = capacity
        hits.reserveCapacity(min(capacity, 1024) + 1)
    }

    /// Puts a hit in its place, or leaves it when `capacity` better ones are known.
    ///
    /// NaN is never a hit.
    mutating func offer(_ hit: IndexHit) {
        guard !hit.score.isNaN else { return }
        if hits.count == capacity {
            guard let last = hits.last, IndexHit.precedes(hit, last) else { return }
            hits.removeLast()
        }
        var low = 0
        var high = hits.count
        while low < high {
            let middle = (low + high) / 2
            if IndexHit.precedes(hits[middle], hit) { low = middle + 1 } else { high = middle }
        }
        hits.insert(hit, at: low)
        if hits.count == capacity, let last = hits.last { worstScore = last.score }
    }
}
