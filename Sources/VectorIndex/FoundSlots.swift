import Synchronization

/// The slots in which an index found the keys of a set, kept beside the set for the next search
/// with it: four bytes a key.
///
/// They hold for as long as nothing has come to the index or gone from it. A search looks its keys
/// up in memory of their own, keys and states, which costs a good part of what comparing the rows
/// does; several searches with one filter are several pages of one answer, several questions at
/// once, or an account whose filter is the same each time.
final class FoundSlots: Sendable {
    private struct Finding: Sendable {
        /// Number of the graph, and how often it had changed.
        let graph: UInt64
        let changeCount: UInt64
        let slots: [UInt32]
    }

    private let finding = Mutex<Finding?>(nil)

    /// What was found in a graph that has not changed since; nil when it has, or another was looked
    /// at last.
    func slots(in graph: Graph) -> [UInt32]? {
        let (number, changeCount) = (graph.number, graph.changeCount)
        guard let known = finding.withLock({ $0 }), known.graph == number,
            known.changeCount == changeCount
        else { return nil }
        return known.slots
    }

    /// Keeps what was found in a graph as it is now.
    func keep(_ slots: [UInt32], in graph: Graph) {
        let known = Finding(graph: graph.number, changeCount: graph.changeCount, slots: slots)
        finding.withLock { $0 = known }
    }
}
