extension Graph {
    /// Removes a vector: takes the node out of every layer and reconnects its neighbours among
    /// themselves, so that recall does not decay however many vectors come and go.
    ///
    /// Needs the write lock.
    ///
    /// The idea is that of the deletion in antirez's hnsw.c (Redis vector sets): each neighbour
    /// has just lost one link, so pairs of them are linked, nearest pairs first.
    func remove(_ slot: UInt32, _ scratch: SearchScratch) {
        let level = level(slot)
        var successor = Self.noSlot
        for layer in 0...level {
            let neighbours = links(slot, layer: layer).links
            for neighbour in neighbours { links(neighbour, layer: layer).remove(slot) }
            links(slot, layer: layer).clear()
            reconnect(neighbours, layer: layer, scratch)
            // The topmost layer with a neighbour offers the next entry point.
            if let neighbour = neighbours.first { successor = neighbour }
        }
        table.remove(slot)
        unsafe states[Int(slot)] = UInt8(level)
        freeSlots.append(slot)
        if slot == entryPoint { electEntryPoint(preferring: successor) }
    }

    /// Links the former neighbours of a removed node in pairs, nearest first, then joins what fell
    /// apart.
    private func reconnect(_ nodes: [UInt32], layer: Int, _ scratch: SearchScratch) {
        guard nodes.count > 1 else { return }
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
        var gained = [Int](repeating: 0, count: nodes.count)
        for pair in pairs {
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

    /// Chooses a live node of the highest level in use.
    ///
    /// O(slots) unless `preferred` is of the old level.
    private func electEntryPoint(preferring preferred: UInt32) {
        if preferred != Self.noSlot, level(preferred) >= topLevel {
            entryPoint = preferred
            return
        }
        entryPoint = Self.noSlot
        topLevel = 0
        for slot in 0..<UInt32(slotCount) where isLive(slot) {
            if entryPoint == Self.noSlot || level(slot) > topLevel {
                entryPoint = slot
                topLevel = level(slot)
            }
        }
    }
}
