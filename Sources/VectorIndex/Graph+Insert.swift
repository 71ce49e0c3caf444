import LinearAlgebra

/// What an insertion has found out by reading alone, before links change.
struct InsertionPlan {
    /// Slot the vector will have; free until then, but its row is written.
    let slot: UInt32
    let level: Int
    /// For each layer from 0 up to min(level, top level).
    var layers: [LayerPlan] = []

    /// The links of one layer.
    struct LayerPlan {
        /// Neighbours to link, best first.
        var neighbours: [Candidate]
        /// For each neighbour, which of its links it can spare, most dispensable first; empty when
        /// its list had room.
        var victims: [[UInt32]]
    }
}

extension Graph {
    /// Factor on squared distances in Algorithm 4: a candidate is rejected when another is that
    /// much nearer to it (alpha squared of DiskANN's RobustPrune).
    ///
    /// On 50,000 x 384, rows scored at recall 0.95, 0.99 and 0.999: 398, 741 and 2,557 with 1; 394,
    /// 740 and 2,133 with 1.1; 386, 852 and 1,888 with 1.2.
    static let diversity: Float = 1.1
    /// Candidates that Algorithm 4 looks at: those behind the hundredth are hardly ever selected.
    static let selectionLimit = 100

    /// Finds the place of a vector (Algorithm 1, INSERT, up to the point where links change).
    ///
    /// Reads the graph and writes no memory that readers look at, so it runs beside searches.
    ///
    /// - Parameters:
    ///   - slot: A free slot with memory behind it, in which the row has been stored.
    ///   - mates: Slots with rows whose plans will be staged before this one.
    ///   - old: A node that will be removed before the plan is staged; nobody's neighbour.
    ///   - scratch: Holds the vector as query.
    /// - Returns: The slot and the neighbours on each layer.
    func planInsertion(
        into slot: UInt32,
        after mates: ArraySlice<UInt32> = [],
        avoiding old: UInt32? = nil,
        _ scratch: SearchScratch
    ) -> InsertionPlan {
        let level = Self.level(ofSlot: Int(slot), seed: configuration.seed, m: configuration.m)
        var plan = InsertionPlan(slot: slot, level: level)
        let highest = min(level, topLevel)
        guard let start = descend(toAbove: highest, scratch) else { return plan }
        var entry = start.slot
        var layers: [InsertionPlan.LayerPlan] = []
        for layer in (0...highest).reversed() {
            scratch.walk.reset(capacity: configuration.efConstruction)
            scratch.visited.reset(slotCount: slotCount)
            scratch.visited.insert(entry)
            // What counts as visited is not looked at; as the entry it has to be.
            if let old { scratch.visited.insert(old) }
            if layer == 0 {
                offer([entry], scratch)
                searchBaseLayer(.never, scratch)
                refineAll(scratch)
                offer(mates, scratch)
            } else {
                offer([entry], scratch)
                searchUpperLayer(layer, scratch)
                entry = scratch.walk.slot(0)
            }
            layers.append(planLayer(layer, of: slot, avoiding: old, scratch))
        }
        plan.layers = layers.reversed()
        return plan
    }

    /// Scores all of the search list, whose scores are estimates, by high bytes.
    private func refineAll(_ scratch: SearchScratch) {
        let count = scratch.walk.count
        CodeKernels.refine(codes, scratch.query, count: count, &scratch.walk, level: self.level)
    }

    /// Offers slots to the search list by their scores: the entry of a layer, or vectors that are
    /// not in the graph yet but will be before this one.
    private func offer(_ slots: ArraySlice<UInt32>, _ scratch: SearchScratch) {
        guard !slots.isEmpty else { return }
        let scores = unsafe scratch.walk.scoreBuffer
        unsafe slots.withUnsafeBufferPointer { ids in
            guard let start = ids.baseAddress else { return }
            unsafe CodeKernels.score(
                codes,
                scratch.query,
                ids: start,
                count: ids.count,
                into: scores,
                level: level
            )
        }
        for (index, slot) in slots.enumerated() {
            unsafe scratch.walk.offer(slot, score: scores[index])
        }
    }

    /// Chooses neighbours from the list of a search, and what they may give up for the new node.
    private func planLayer(
        _ layer: Int,
        of slot: UInt32,
        avoiding old: UInt32?,
        _ scratch: SearchScratch
    ) -> InsertionPlan.LayerPlan {
        var neighbours = selectNeighbours(scratch)
        if let old { neighbours.removeAll { $0.slot == old } }
        let victims = neighbours.map { neighbour in
            // One that is not in the graph yet has room.
            guard Int(neighbour.slot) < slotCount, isLive(neighbour.slot) else {
                return [UInt32]()
            }
            let list = links(neighbour.slot, layer: layer)
            guard list.isFull else { return [] }
            return Array(
                CodeKernels.victims(
                    codes,
                    of: neighbour.slot,
                    links: list.links,
                    newcomer: slot,
                    score: neighbour.score,
                    factor: Self.diversity,
                    isComplete: false,
                    room: &scratch.room,
                    level: level
                )
            )
        }
        return InsertionPlan.LayerPlan(neighbours: neighbours, victims: victims)
    }

    /// A slot nothing is stored in, with memory behind it: one that was freed, or a new one.
    ///
    /// - Parameter offset: How many others have been prepared and not been used yet.
    /// - Returns: Its number.
    /// - Throws: `full` or `outOfMemory` when there is no slot for one more vector.
    func prepareSlot(offset: Int = 0) throws(VectorIndexError) -> UInt32 {
        if offset < freeSlots.count { return freeSlots[freeSlots.count - 1 - offset] }
        let slot = slotCount + offset - freeSlots.count
        guard slot < configuration.capacity else { throw .full(capacity: configuration.capacity) }
        // A bound on the lists of this slot and the others prepared before it.
        let lists = upperListCount + (offset + 1) * Self.highestLevel
        guard lists <= Self.upperListLimit(configuration.capacity) + Self.highestLevel else {
            throw .full(capacity: configuration.capacity)
        }
        try commitMemory(slotCount: slot + 1, upperListCount: lists)
        coarseRegion.collapse(below: slotCount * stride / 2)
        middleRegion.collapse(below: slotCount * stride / 2)
        return UInt32(slot)
    }

    /// Makes room in the table of an empty graph for so many keys, at most its capacity.
    ///
    /// Needs the write lock.
    func reserveKeys(_ count: Int) {
        guard liveCount == 0 else { return }
        table.reserve(min(count, configuration.capacity))
    }

    /// Makes memory usable for so many slots and upper lists.
    func commitMemory(slotCount: Int, upperListCount: Int) throws(VectorIndexError) {
        let degree = configuration.m * 2
        try coarseRegion.commit(slotCount * stride / 2)
        try middleRegion.commit(slotCount * stride / 2)
        try lowRegion.commit(slotCount * stride)
        try scaleRegion.commit(slotCount * 4)
        if slotCount <= Self.narrowLimit {
            try narrowRegion.commit(slotCount * degree * 2)
        } else {
            try wideRegion.commit(slotCount * degree * 4)
        }
        try upperLinkRegion.commit(upperListCount * configuration.m * 4)
        try blockStartRegion.commit((slotCount / 64 + 1) * 4)
        try keyRegion.commit(slotCount * 8)
        try stateRegion.commit(slotCount + 64)
    }

    /// Asks for the lists that a plan will change, while another is being staged.
    func expect(_ plan: InsertionPlan) {
        guard let layer = plan.layers.first else { return }
        let codes = codes
        for (neighbour, victims) in zip(layer.neighbours, layer.victims) {
            CodeKernels.expectLinks(codes, of: neighbour.slot)
            if let victim = victims.first { CodeKernels.expectLinks(codes, of: victim) }
        }
    }

    /// Algorithm 4, SELECT-NEIGHBORS-HEURISTIC, for a new node: walking the candidates nearest
    /// first, one is taken if it is nearer to the new node than to every neighbour taken before.
    ///
    /// Departure: a candidate as near to a taken neighbour as to the node is not taken either,
    /// which keeps a crowd of identical vectors (bot templates) from using up all links among
    /// themselves. Rejected candidates, nearest first, then fill the list up to `m`
    /// (keepPrunedConnections of the paper).
    private func selectNeighbours(_ scratch: SearchScratch) -> [Candidate] {
        let wanted = configuration.m
        let limit = min(scratch.walk.count, Self.selectionLimit)
        var kept = [UInt8](repeating: 0, count: limit)
        let decided = CodeKernels.diversify(
            codes,
            scratch.walk,
            limit: limit,
            wanted: wanted,
            factor: Self.diversity,
            kept: &kept,
            room: &scratch.room,
            level: level
        )
        var selected: [Candidate] = []
        selected.reserveCapacity(wanted)
        for isRejected in [UInt8(0), 1] {
            for rank in 0..<decided where kept[rank] != isRejected && selected.count < wanted {
                selected.append(
                    Candidate(score: scratch.walk.score(rank), slot: scratch.walk.slot(rank))
                )
            }
        }
        return selected
    }

    /// Links a new node to its neighbours on one layer, at least to one.
    func connect(
        _ slot: UInt32,
        by plan: InsertionPlan.LayerPlan,
        layer: Int,
        _ scratch: SearchScratch
    ) {
        let own = changing(slot, layer: layer)
        for (neighbour, victims) in zip(plan.neighbours, plan.victims) where !own.isFull {
            let other = changing(neighbour.slot, layer: layer)
            if other.isFull {
                replaceLink(of: neighbour, by: slot, victims: victims, layer: layer, scratch)
            } else {
                own.add(neighbour.slot)
                other.add(slot)
            }
        }
        if own.count == 0, let nearest = plan.neighbours.first {
            split(linkOf: nearest.slot, around: slot, layer: layer, scratch)
        }
    }

    /// Links `slot` to a node whose list is full, at the cost of one of that node's links.
    ///
    /// The victim is the farthest link that Algorithm 4 would not select, counting the new node
    /// in, else the farthest of all. It loses its link too (links are two-way), but only if
    /// another path between the two is known to exist, so no layer ever falls apart. A new node is
    /// not its own victim before it has `m / 4` links, and a victim keeps at least `m / 4`:
    /// outliers, whose links everybody else finds dispensable, would otherwise become hard to
    /// find.
    private func replaceLink(
        of neighbour: Candidate,
        by slot: UInt32,
        victims planned: [UInt32],
        layer: Int,
        _ scratch: SearchScratch
    ) {
        let node = neighbour.slot
        let floor = configuration.m / 4
        let own = changing(slot, layer: layer)
        let needsLink = own.count < floor
        let list = changing(node, layer: layer)
        func spare(_ victims: some Sequence<UInt32>) -> Bool {
            for victim in victims {
                if victim == slot {
                    if needsLink { continue }
                    return true
                }
                let other = drafted(victim, layer: layer)
                guard list.contains(victim), other[floor] != Self.noSlot else { continue }
                // A common neighbour is the detour of two steps; nearly always there is one.
                if haveCommonNeighbour(victim, node, or: slot, layer: layer) {
                    unlink(node, victim, layer: layer)
                    link(node, slot, layer: layer)
                    return true
                }
            }
            return false
        }
        if spare(planned) || !needsLink { return }
        let victims = victims(of: neighbour, for: slot, layer: layer, scratch)
        if spare(victims) { return }
        for victim in victims.prefix(Self.detourAttempts)
        where victim != slot && drafted(victim, layer: layer).count > 1 {
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

    /// All links of a full node and the newcomer in the order in which they can be spared.
    private func victims(
        of neighbour: Candidate,
        for slot: UInt32,
        layer: Int,
        _ scratch: SearchScratch
    ) -> [UInt32] {
        Array(
            CodeKernels.victims(
                codes,
                of: neighbour.slot,
                links: drafted(neighbour.slot, layer: layer).links,
                newcomer: slot,
                score: neighbour.score,
                factor: Self.diversity,
                isComplete: true,
                room: &scratch.room,
                level: level
            )
        )
    }

    /// Puts a node that nobody would spare a link for into the middle of its neighbour's farthest
    /// link: degrees of the others stay as they are, and what was connected still is.
    private func split(
        linkOf node: UInt32,
        around slot: UInt32,
        layer: Int,
        _ scratch: SearchScratch
    ) {
        let slots = drafted(node, layer: layer).links
        let scores = similarities(of: node, to: slots, scratch)
        guard let farthest = zip(scores, slots).min(by: { $0.0 < $1.0 })?.1 else { return }
        unlink(node, farthest, layer: layer)
        link(node, slot, layer: layer)
        link(farthest, slot, layer: layer)
    }

    /// Adds a two-way link where both ends have room; whether it is there now.
    @discardableResult
    func link(_ first: UInt32, _ second: UInt32, layer: Int) -> Bool {
        guard first != second, !drafted(first, layer: layer).isFull,
            !drafted(second, layer: layer).isFull
        else { return false }
        return changing(first, layer: layer).add(second)
            && changing(second, layer: layer).add(first)
    }

    /// Removes a two-way link.
    func unlink(_ first: UInt32, _ second: UInt32, layer: Int) {
        changing(first, layer: layer).remove(second)
        changing(second, layer: layer).remove(first)
    }
}
