/// What a removal has found out by reading alone, before links change.
struct RemovalPlan {
    /// The vector's slot.
    let slot: UInt32
    /// For each layer from 0 up to the slot's level.
    let layers: [LayerPlan]

    /// The neighbours of one layer.
    struct LayerPlan {
        /// Nodes that lose their link.
        let neighbours: [UInt32]
        /// Those of them that are not linked yet, by their places among `neighbours`, nearest pairs
        /// first.
        let pairs: [(first: Int, second: Int)]
    }
}

extension Graph {
    /// Finds out what the removal of a vector needs: its neighbours, and which of them are nearest
    /// to each other.
    ///
    /// Reads alone, so it runs beside searches; the comparing is most of a removal's work.
    func planRemoval(of slot: UInt32, _ scratch: SearchScratch) -> RemovalPlan {
        RemovalPlan(
            slot: slot,
            layers: (0...level(slot)).map { layer in
                let neighbours = links(slot, layer: layer).links
                return RemovalPlan.LayerPlan(
                    neighbours: neighbours,
                    pairs: pairs(among: neighbours, layer: layer, scratch)
                )
            }
        )
    }

    /// Takes a node out of every layer and reconnects its neighbours among themselves, so that
    /// recall does not decay however many vectors come and go; in copies.
    ///
    /// The idea is that of the deletion in antirez's hnsw.c (Redis vector sets): each neighbour
    /// has just lost one link, so pairs of them are linked, nearest pairs first.
    ///
    /// - Parameter plan: Made of the graph as it is.
    /// - Returns: A neighbour on the topmost layer that has one, or `noSlot`.
    func takeOut(_ plan: RemovalPlan) -> UInt32 {
        var successor = Self.noSlot
        for (layer, part) in plan.layers.enumerated() {
            for neighbour in part.neighbours {
                changing(neighbour, layer: layer).remove(plan.slot)
            }
            changing(plan.slot, layer: layer).clear()
            reconnect(part, layer: layer)
            if let neighbour = part.neighbours.first { successor = neighbour }
        }
        return successor
    }

    /// The pairs of a node's neighbours that have no link, nearest first.
    private func pairs(
        among nodes: [UInt32],
        layer: Int,
        _ scratch: SearchScratch
    ) -> [(first: Int, second: Int)] {
        guard nodes.count > 1 else { return [] }
        var pairs: [(score: Float, first: Int, second: Int)] = []
        for first in 0..<(nodes.count - 1) {
            let rest = Array(nodes[(first + 1)...])
            let scores = similarities(of: nodes[first], to: rest, scratch)
            let list = links(nodes[first], layer: layer)
            for (offset, score) in scores.enumerated() where !list.contains(rest[offset]) {
                pairs.append((score, first, first + 1 + offset))
            }
        }
        pairs.sort { $0.score > $1.score }
        return pairs.map { ($0.first, $0.second) }
    }

    /// Links the former neighbours of a removed node in pairs, nearest first, then joins what fell
    /// apart.
    private func reconnect(_ plan: RemovalPlan.LayerPlan, layer: Int) {
        let nodes = plan.neighbours
        guard nodes.count > 1 else { return }
        var gained = [Int](repeating: 0, count: nodes.count)
        for pair in plan.pairs {
            guard gained[pair.first] < Self.linksRegained, gained[pair.second] < Self.linksRegained
            else { continue }
            if link(nodes[pair.first], nodes[pair.second], layer: layer) {
                gained[pair.first] += 1
                gained[pair.second] += 1
            }
        }
        join(nodes, layer: layer)
    }

    /// New links each former neighbour may get for the one it lost.
    private static let linksRegained = 2

    /// Chooses a live node of the highest level in use as the one where searches will begin.
    ///
    /// O(slots) unless `preferred` is of the old level.
    func electEntryPoint(after removed: UInt32, preferring preferred: UInt32) {
        if preferred != Self.noSlot, level(preferred) >= topLevel {
            stagedShape.entryPoint = preferred
            return
        }
        stagedShape.entryPoint = Self.noSlot
        stagedShape.topLevel = 0
        for slot in 0..<UInt32(slotCount) where isLive(slot) && slot != removed {
            if stagedShape.entryPoint == Self.noSlot || level(slot) > stagedShape.topLevel {
                stagedShape.entryPoint = slot
                stagedShape.topLevel = level(slot)
            }
        }
    }
}
