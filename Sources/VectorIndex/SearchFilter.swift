/// Which stored vectors a search may return.
///
/// Filters act inside the search: all nodes are walked, only passing ones are collected, so
/// `count` hits come back whenever that many pass.
package enum SearchFilter: Equatable, Sendable {
    /// Every stored vector.
    case all
    /// Only vectors whose key is in the set; keys that are not stored are ignored.
    case only(KeySet)
}

/// One search result.
package struct IndexHit: Equatable, Sendable {
    /// The key the vector was inserted with.
    package let key: Int64
    /// Inner product with the query: the cosine, from -1 to 1 up to rounding.
    package let score: Float

    /// Makes a hit.
    package init(key: Int64, score: Float) {
        self.key = key
        self.score = score
    }

    /// The order of every result list: nearest first, equal scores by ascending key.
    static func precedes(_ left: IndexHit, _ right: IndexHit) -> Bool {
        left.score > right.score || (left.score == right.score && left.key < right.key)
    }
}
