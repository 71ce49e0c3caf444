extension Graph {
    /// All violations of the graph's invariants.
    func violations() -> [InvariantViolation] {
        var found = keyMapViolations()
        for slot in 0..<UInt32(slotCount) where isLive(slot) {
            let expected = Self.level(
                ofSlot: Int(slot),
                seed: configuration.seed,
                m: configuration.m
            )
            if level(slot) != expected {
                found.append(
                    .wrongLevel(key: key(slot), level: level(slot), expected: expected)
                )
            }
            let norm = norm(slot)
            // Written so that NaN is a violation too.
            if !(abs(norm - 1) <= HNSWIndex.lengthTolerance) {
                found.append(.notUnitLength(key: key(slot), norm: norm))
            }
            for layer in 0...level(slot) { found += linkViolations(slot, layer: layer) }
        }
        found += entryViolations()
        // Links that lead nowhere cannot be walked along.
        let isWalkable = !found.contains {
            if case .strayLink = $0 { true } else { false }
        }
        return isWalkable ? found + reachabilityViolations() : found
    }

    private func keyMapViolations() -> [InvariantViolation] {
        var found: [InvariantViolation] = []
        let free = Set(freeSlots)
        for slot in 0..<UInt32(slotCount) {
            if isLive(slot) == free.contains(slot) { found.append(.freeListMismatch(slot: slot)) }
            if isLive(slot), table.slot(of: key(slot)) != slot {
                found.append(.keyMapMismatch(key: key(slot)))
            }
        }
        table.forEach { slot in
            if Int(slot) >= slotCount || !isLive(slot) {
                found.append(.keyMapMismatch(key: Int64(slot)))
            }
        }
        return found
    }

    private func linkViolations(_ slot: UInt32, layer: Int) -> [InvariantViolation] {
        var found: [InvariantViolation] = []
        let list = links(slot, layer: layer)
        let count = list.count
        var seen: Set<UInt32> = []
        for index in 0..<list.capacity {
            let link = list[index]
            if index >= count {
                if link != Self.noSlot { found.append(.gapInLinks(key: key(slot), layer: layer)) }
                continue
            }
            guard Int(link) < slotCount, isLive(link), level(link) >= layer else {
                found.append(.strayLink(key: key(slot), slot: link, layer: layer))
                continue
            }
            if link == slot { found.append(.selfLink(key: key(slot), layer: layer)) }
            if !seen.insert(link).inserted {
                found.append(.duplicateLink(key: key(slot), to: key(link), layer: layer))
            }
            if !links(link, layer: layer).contains(slot) {
                found.append(.oneWayLink(from: key(slot), to: key(link), layer: layer))
            }
        }
        return found
    }

    private func entryViolations() -> [InvariantViolation] {
        guard entryPoint != Self.noSlot else { return liveCount == 0 ? [] : [.badEntryPoint] }
        guard Int(entryPoint) < slotCount, isLive(entryPoint), level(entryPoint) == topLevel else {
            return [.badEntryPoint]
        }
        let highest = (0..<UInt32(slotCount)).lazy.filter { self.isLive($0) }
            .map { self.level($0) }.max()
        return highest == topLevel ? [] : [.badEntryPoint]
    }

    private func reachabilityViolations() -> [InvariantViolation] {
        guard entryPoint != Self.noSlot, Int(entryPoint) < slotCount else { return [] }
        var found: [InvariantViolation] = []
        for layer in 0...level(entryPoint) {
            let reached = VisitedSet(slotCount: slotCount)
            for slot in component(of: entryPoint, layer: layer) { reached.insert(slot) }
            for slot in 0..<UInt32(slotCount)
            where isLive(slot) && level(slot) >= layer && !reached.contains(slot) {
                found.append(.unreachable(key: key(slot), layer: layer))
            }
        }
        return found
    }
}
