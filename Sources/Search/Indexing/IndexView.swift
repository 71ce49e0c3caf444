import Domain
package import VectorIndex

/// The vector index at one moment: the graph, the changes kept aside, and what must not be found.
package struct IndexView: Sendable {
    let index: HNSWIndex
    /// Vectors that replace or extend those of the graph; an empty one stands for a key that is
    /// gone.
    let aside: [Int64: [Float]]
    /// Keys of windows whose issue is deleted.
    let hidden: Set<Int64>
    /// The last revision of the store that is in it.
    let revision: Revision
    /// Share of the nearest to find on average.
    private let recall: Double
    /// How many windows of the graph must not be answered with.
    private let outdatedCount: Int

    init(
        index: HNSWIndex,
        aside: [Int64: [Float]],
        hidden: Set<Int64>,
        revision: Revision,
        recall: Double = HNSWIndex.defaultRecall
    ) {
        self.index = index
        self.revision = revision
        self.recall = recall
        self.aside = aside
        self.hidden = hidden
        outdatedCount =
            aside.keys.count(where: { index.contains($0) })
            + hidden.count(where: { aside[$0] == nil && index.contains($0) })
    }

    /// The nearest windows, nearest first; equal scores by key.
    ///
    /// - Parameters:
    ///   - query: A unit vector of the model.
    ///   - count: At most so many.
    ///   - filter: Only these keys; nil for all.
    /// - Returns: Keys of windows with their cosine.
    package func search(_ query: [Float], count: Int, filter: KeySet? = nil) -> [IndexHit] {
        guard count > 0 else { return [] }
        // At most so many of the graph's hits are replaced or hidden, so what is left is complete.
        var hits = index.search(
            query,
            count: min(
                count + outdatedCount,
                max(index.count, 1),
                HNSWIndex.maximumHitCount
            ),
            recall: recall,
            filter: filter.map { .only($0) } ?? .all
        ).filter { aside[$0.key] == nil && !hidden.contains($0.key) }
        for (key, vector) in aside where !vector.isEmpty && !hidden.contains(key) {
            guard filter?.contains(key) ?? true else { continue }
            hits.append(IndexHit(key: key, score: Float(cosine(query, vector))))
        }
        if !aside.isEmpty {
            hits.sort { ($1.score, $0.key) < ($0.score, $1.key) }
        }
        return Array(hits.prefix(count))
    }

    /// How many windows can be found.
    package var count: Int {
        var count = index.count
        for (key, vector) in aside {
            let isInGraph = index.contains(key)
            if vector.isEmpty, isInGraph { count -= 1 }
            if !vector.isEmpty, !isInGraph { count += 1 }
        }
        return count - hidden.count
    }

    /// Cosines of windows to a vector.
    ///
    /// - Parameters:
    ///   - keys: Of any windows.
    ///   - query: A unit vector of the model.
    /// - Returns: In the order of `keys`; nil for a window that has no vector here.
    package func scores(of keys: [Int64], to query: [Float]) -> [Float?] {
        var scores = index.scores(of: keys, to: query)
        guard !aside.isEmpty else { return scores }
        for (place, key) in keys.enumerated() {
            guard let vector = aside[key] else { continue }
            scores[place] = vector.isEmpty ? nil : Float(cosine(query, vector))
        }
        return scores
    }

    /// The vector of a window, nil when there is none.
    package func vector(of key: Int64) -> [Float]? {
        guard let vector = aside[key] else { return index.vector(forKey: key) }
        return vector.isEmpty ? nil : vector
    }
}
