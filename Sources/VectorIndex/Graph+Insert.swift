import LinearAlgebra

/// What an insertion has found out by reading alone, before it takes the write lock.
struct InsertionPlan {
    /// Slot the vector will have; free until the plan is carried out.
    let slot: UInt32
    let level: Int
    /// For each layer from 0 up to min(level, top level): neighbours to link, best first.
    let neighbours: [[Candidate]]
}

extension Graph {
    /// Finds the place of a vector (Algorithm 1, INSERT, up to the point where links change).
    ///
    /// Reads the graph and touches no memory that readers look at, so it runs beside searches.
    ///
    /// - Parameter scratch: Holds the vector as query; its queue takes `efConstruction`.
    /// - Returns: The slot and the neighbours on each layer.
    /// - Throws: `full` or `outOfMemory` when there is no slot for one more vector.
    func planInsertion(_ scratch: inout SearchScratch) throws(VectorIndexError) -> InsertionPlan {
        let slot = try prepareSlot()
        let level = Self.level(ofSlot: Int(slot), seed: configuration.seed, m: configuration.m)
        guard entryPoint != Self.noSlot else {
            return InsertionPlan(slot: slot, level: level, neighbours: [])
        }
        var neighbours: [[Candidate]] = []
        let highest = min(level, topLevel)
        guard let start = descend(toAbove: highest, &scratch) else {
            return InsertionPlan(slot: slot, level: level, neighbours: [])
        }
        scratch.queue.reset(capacity: configuration.efConstruction)
        scratch.queue.offer(start)
        for layer in (0...highest).reversed() {
            let entries = (0..<scratch.queue.count).map { scratch.queue[$0] }
            scratch.visited.clear()
            scratch.queue.reset(capacity: configuration.efConstruction)
            for entry in entries {
                _ = scratch.visited.insert(entry.slot)
                scratch.queue.offer(entry)
            }
            searchLayer(layer, &scratch)
            neighbours.append(selectNeighbours(from: scratch.queue))
        }
        return InsertionPlan(slot: slot, level: level, neighbours: neighbours.reversed())
    }

    /// A slot nothing is stored in, with memory behind it: the last one freed, or a new one.
    private func prepareSlot() throws(VectorIndexError) -> UInt32 {
        if let free = freeSlots.last { return free }
        let slot = slotCount
        guard slot < configuration.capacity else { throw .full(capacity: configuration.capacity) }
        let m = configuration.m
        let level = Self.level(ofSlot: slot, seed: configuration.seed, m: m)
        guard upperListCount + level <= Self.upperListLimit(configuration.capacity) else {
            throw .full(capacity: configuration.capacity)
        }
        try commitMemory(slotCount: slot + 1, upperListCount: upperListCount + level)
        return UInt32(slot)
    }

    /// Makes memory usable for so many slots and upper lists.
    func commitMemory(slotCount: Int, upperListCount: Int) throws(VectorIndexError) {
        try vectorRegion.commit(slotCount * rowStride * 4)
        try baseLinkRegion.commit(slotCount * configuration.m * 2 * 4)
        try upperLinkRegion.commit(upperListCount * configuration.m * 4)
        try upperStartRegion.commit(slotCount * 4)
        try keyRegion.commit(slotCount * 8)
        try stateRegion.commit(slotCount)
    }

    /// Carries a plan out: stores the vector and links it.
    ///
    /// Needs the write lock, and the graph must not have changed since the plan was made.
    func carryOut(_ plan: InsertionPlan, key: Int64, vector: UnsafePointer<Float>) {
        let slot = plan.slot
        if freeSlots.last == slot {
            freeSlots.removeLast()
        } else {
            unsafe upperStarts[Int(slot)] = UInt32(upperListCount)
            upperListCount += plan.level
            slotCount += 1
        }
        unsafe states[Int(slot)] = UInt8(plan.level) | Self.liveBit
        unsafe keys[Int(slot)] = key
        unsafe row(slot).update(from: vector, count: rowStride)
        for layer in 0...plan.level { links(slot, layer: layer).clear() }
        slotsByKey[key] = slot
        for (layer, neighbours) in plan.neighbours.enumerated() {
            connect(slot, to: neighbours, layer: layer)
        }
        if entryPoint == Self.noSlot || plan.level > topLevel {
            entryPoint = slot
            topLevel = plan.level
        }
    }

    /// Algorithm 4, SELECT-NEIGHBORS-HEURISTIC, for a new node: walking the candidates nearest
    /// first, one is taken if it is nearer to the new node than to every neighbour taken before.
    ///
    /// Departure: a candidate as near to a taken neighbour as to the node is not taken either,
    /// which keeps a crowd of identical vectors (bot templates) from using up all links among
    /// themselves. Rejected candidates, nearest first, then fill the list up to `m`
    /// (keepPrunedConnections of the paper).
    func selectNeighbours(from queue: borrowing CandidateQueue) -> [Candidate] {
        let wanted = configuration.m
        var selected: [Candidate] = []
        var rejected: [Candidate] = []
        selected.reserveCapacity(wanted)
        for rank in 0..<queue.count {
            guard selected.count < wanted else { break }
            let candidate = queue[rank]
            if isDominated(candidate, by: selected) {
                if rejected.count < wanted { rejected.append(candidate) }
            } else {
                selected.append(candidate)
            }
        }
        selected.append(contentsOf: rejected.prefix(wanted - selected.count))
        return selected
    }

    /// Whether a candidate is as near to one of `selected` as to the node they are selected for.
    @inline(__always)
    private func isDominated(_ candidate: Candidate, by selected: [Candidate]) -> Bool {
        for other in selected where similarity(candidate.slot, other.slot) >= candidate.score {
            return true
        }
        return false
    }

    /// Links a new node to its neighbours on one layer, at least to one.
    private func connect(_ slot: UInt32, to neighbours: [Candidate], layer: Int) {
        let own = links(slot, layer: layer)
        for neighbour in neighbours where !own.isFull {
            let other = links(neighbour.slot, layer: layer)
            if other.isFull {
                replaceLink(of: neighbour.slot, by: slot, score: neighbour.score, layer: layer)
            } else {
                own.add(neighbour.slot)
                other.add(slot)
            }
        }
        if own.count == 0, let nearest = neighbours.first {
            split(linkOf: nearest.slot, around: slot, layer: layer)
        }
    }

    /// Links `slot` to a node whose list is full, at the cost of one of that node's links.
    ///
    /// The victim is the farthest link that Algorithm 4 would not select, counting the new node
    /// in, else the farthest of all. It loses its link too (links are two-way), but only if
    /// another path between the two is known to exist, so no layer ever falls apart. A new node is
    /// not its own victim before it has `m / 2` links, and a victim keeps at least `m / 2`:
    /// outliers, whose links everybody else finds dispensable, would otherwise become hard to
    /// find.
    private func replaceLink(of node: UInt32, by slot: UInt32, score: Float, layer: Int) {
        let floor = configuration.m / 2
        let needsLink = links(slot, layer: layer).count < floor
        let victims = victims(of: node, adding: slot, score: score, layer: layer)
        for victim in victims {
            if victim == slot, !needsLink { return }
            guard victim != slot, links(victim, layer: layer).count > floor else { continue }
            // A common neighbour is the detour of two steps; nearly always there is one.
            if haveCommonNeighbour(victim, node, or: slot, layer: layer) {
                unlink(node, victim, layer: layer)
                link(node, slot, layer: layer)
                return
            }
        }
        guard needsLink else { return }
        for victim in victims.prefix(Self.detourAttempts)
        where victim != slot && links(victim, layer: layer).count > 1 {
            unlink(node, victim, layer: layer)
            link(node, slot, layer: layer)
            let limit = Self.detourLimit
            if reaches([node], from: victim, layer: layer, expansionLimit: limit) { return }
            unlink(node, slot, layer: layer)
            link(node, victim, layer: layer)
        }
    }

    /// Victims for which a longer detour is looked for when none has a common neighbour.
    private static let detourAttempts = 4

    /// The links of a full node and the newcomer in the order in which they can be spared.
    private func victims(
        of node: UInt32,
        adding slot: UInt32,
        score: Float,
        layer: Int
    ) -> [UInt32] {
        let slots = links(node, layer: layer).links
        var scores: [Float] = []
        similarities(of: node, to: slots, into: &scores)
        var candidates = zip(scores, slots).map { Candidate(score: $0, slot: $1) }
        candidates.append(Candidate(score: score, slot: slot))
        candidates.sort { $0.score > $1.score || ($0.score == $1.score && $0.slot < $1.slot) }
        var selected: [Candidate] = []
        var rejected: [UInt32] = []
        for candidate in candidates {
            if isDominated(candidate, by: selected) {
                rejected.append(candidate.slot)
            } else {
                selected.append(candidate)
            }
        }
        return rejected.reversed() + selected.reversed().map(\.slot)
    }

    /// Puts a node that nobody would spare a link for into the middle of its neighbour's farthest
    /// link: degrees of the others stay as they are, and what was connected still is.
    private func split(linkOf node: UInt32, around slot: UInt32, layer: Int) {
        let slots = links(node, layer: layer).links
        var scores: [Float] = []
        similarities(of: node, to: slots, into: &scores)
        guard let farthest = zip(scores, slots).min(by: { $0.0 < $1.0 })?.1 else { return }
        unlink(node, farthest, layer: layer)
        link(node, slot, layer: layer)
        link(farthest, slot, layer: layer)
    }

    /// Adds a two-way link where both ends have room; whether it is there now.
    @discardableResult
    func link(_ first: UInt32, _ second: UInt32, layer: Int) -> Bool {
        let firstList = links(first, layer: layer)
        let secondList = links(second, layer: layer)
        guard first != second, !firstList.isFull, !secondList.isFull else { return false }
        return firstList.add(second) && secondList.add(first)
    }

    /// Removes a two-way link.
    func unlink(_ first: UInt32, _ second: UInt32, layer: Int) {
        links(first, layer: layer).remove(second)
        links(second, layer: layer).remove(first)
    }
}
