/// A broken promise of the graph's structure, found by `HNSWIndex.checkInvariants()`.
///
/// Nodes are named by their keys.
package enum InvariantViolation: Equatable, Hashable, Sendable {
    /// `from` links to `to`, which does not link back.
    case oneWayLink(from: Int64, to: Int64, layer: Int)
    /// The node links to itself.
    case selfLink(key: Int64, layer: Int)
    /// The same link stands twice in a list.
    case duplicateLink(key: Int64, to: Int64, layer: Int)
    /// A link leads outside the graph, to a free slot, or to a node below the layer.
    case strayLink(key: Int64, slot: UInt32, layer: Int)
    /// A link follows the end of its list, so that the number of links is not what it seems.
    case gapInLinks(key: Int64, layer: Int)
    /// The node's level is not the one its slot has.
    case wrongLevel(key: Int64, level: Int, expected: Int)
    /// The node cannot be reached from the entry point along this layer.
    case unreachable(key: Int64, layer: Int)
    /// There is no entry point though vectors are stored, it is not live, or not on the top level.
    case badEntryPoint
    /// The key map and the slots disagree about this key.
    case keyMapMismatch(key: Int64)
    /// A slot is in use and free, or neither.
    case freeListMismatch(slot: UInt32)
    /// The stored vector is not of unit length.
    case notUnitLength(key: Int64, norm: Float)
}

extension HNSWIndex {
    /// Verifies the whole structure, in O(links).
    ///
    /// - Returns: Every violation found; an intact index gives none.
    package func checkInvariants() -> [InvariantViolation] {
        lock.read { graph.violations() }
    }

    /// Links per stored vector on layer 0, the number to watch when recall changes.
    package var meanDegree: Double {
        lock.read {
            var total = 0
            graph.table.forEach { total += graph.links($0, layer: 0).count }
            return Double(total) / Double(max(graph.liveCount, 1))
        }
    }
}
