/// A vector that comes or goes, prepared by a writer beside the readers.
enum StagedChange {
    case insertion(slot: UInt32, level: Int, key: Int64)
    case removal(slot: UInt32)
}

/// Where searches will begin, and how many slots there will be.
struct StagedShape {
    var entryPoint: UInt32
    var topLevel: Int
    var slotCount: Int
}

/// Changes are made in two steps: what links become is worked out beside the readers, in copies of
/// the lists (`LinkDraft`), and then put into place while they wait, which is nothing but copying.
extension Graph {
    /// The graph's shape with all that is staged.
    var shape: StagedShape {
        staged.isEmpty
            ? StagedShape(entryPoint: entryPoint, topLevel: topLevel, slotCount: slotCount)
            : stagedShape
    }

    /// The links of a node as the writer has left them, to look at; another one may be at the
    /// same place after `changing`.
    @inline(__always)
    func drafted(_ slot: UInt32, layer: Int) -> LinkList {
        guard let number = draft.number(of: LinkDraft.Key(slot: slot, layer: UInt32(layer)))
        else { return links(slot, layer: layer) }
        return copy(number, layer: layer)
    }

    /// The links of a node as the writer has left them, to change.
    func changing(_ slot: UInt32, layer: Int) -> LinkList {
        let key = LinkDraft.Key(slot: slot, layer: UInt32(layer))
        if let number = draft.number(of: key) { return copy(number, layer: layer) }
        let list = copy(draft.add(key), layer: layer)
        list.copy(links(slot, layer: layer))
        return list
    }

    /// The empty list of a node that is not in the graph yet.
    private func beginLinks(of slot: UInt32, layer: Int) {
        let key = LinkDraft.Key(slot: slot, layer: UInt32(layer))
        // After a removal that is staged with it.
        let number = draft.number(of: key) ?? draft.add(key)
        copy(number, layer: layer).clear()
    }

    /// The copy with a number, which is of that layer.
    @inline(__always)
    private func copy(_ number: Int, layer: Int) -> LinkList {
        let memory = unsafe draft.memory(number)
        let m = configuration.m
        if layer == 0, !hasWideLinks {
            return unsafe LinkList(
                narrow: memory.assumingMemoryBound(to: UInt16.self),
                unused: upperLinks,
                capacity: 2 * m
            )
        }
        return unsafe LinkList(
            places: memory.assumingMemoryBound(to: UInt32.self),
            capacity: layer == 0 ? 2 * m : m
        )
    }

    /// Prepares an insertion: links the vector, in copies.
    ///
    /// Other plans may have been staged since this one was made, but nothing may have been removed
    /// except what it avoids.
    func stage(_ plan: InsertionPlan, key: Int64, _ scratch: SearchScratch) {
        assert(hasWideLinks || Int(plan.slot) < Self.narrowLimit)
        var shape = shape
        shape.slotCount = max(shape.slotCount, Int(plan.slot) + 1)
        if shape.entryPoint == Self.noSlot || plan.level > shape.topLevel {
            shape.entryPoint = plan.slot
            shape.topLevel = plan.level
        }
        stagedShape = shape
        staged.append(.insertion(slot: plan.slot, level: plan.level, key: key))
        growTable()
        for layer in 0...plan.level { beginLinks(of: plan.slot, layer: layer) }
        for (layer, links) in plan.layers.enumerated() {
            connect(plan.slot, by: links, layer: layer, scratch)
        }
    }

    /// Prepares a removal: takes the node out of every layer and reconnects its neighbours among
    /// themselves, in copies.
    ///
    /// Nothing may have changed since the plan was made, nor be staged.
    func stage(_ plan: RemovalPlan) {
        precondition(staged.isEmpty, "a removal is staged first")
        stagedShape = shape
        staged.append(.removal(slot: plan.slot))
        let successor = takeOut(plan)
        if plan.slot == entryPoint {
            electEntryPoint(after: plan.slot, preferring: successor)
        }
    }

    /// Puts what is staged into place; needs the write lock, and `clearStage` after it.
    func commitStage() {
        if let places = stagedPlaces { stagedPlaces = table.exchange(places) }
        for change in staged {
            changeCount += 1
            uncalibratedChanges += 1
            switch change {
            case .insertion(let slot, let level, let key): insert(slot, level: level, key: key)
            case .removal(let slot):
                table.remove(slot)
                unsafe states[Int(slot)] &= ~Self.liveBit
                freeSlots.append(slot)
            }
        }
        for number in 0..<draft.count {
            let key = draft.key(number)
            let layer = Int(key.layer)
            links(key.slot, layer: layer).copy(copy(number, layer: layer))
        }
        (entryPoint, topLevel) = (stagedShape.entryPoint, stagedShape.topLevel)
        assert(slotCount == stagedShape.slotCount)
    }

    /// Forgets what is staged, in place or not.
    func clearStage() {
        staged.removeAll(keepingCapacity: true)
        stagedPlaces = nil
        draft.clear()
    }

    /// Gives a slot its state and key.
    private func insert(_ slot: UInt32, level: Int, key: Int64) {
        if Int(slot) < slotCount {
            // The last of them, or the one before, when an update has just freed the last.
            if let place = freeSlots.lastIndex(of: slot) { freeSlots.remove(at: place) }
        } else {
            if slotCount % 64 == 0 {
                unsafe blockStarts[slotCount / 64] = UInt32(upperListCount)
            }
            upperListCount += level
            slotCount += 1
        }
        unsafe states[Int(slot)] = UInt8(level) | Self.liveBit
        unsafe keys[Int(slot)] = key
        _ = table.insert(slot)
    }

    /// Makes a larger table beside the readers when what is staged does not fit in theirs.
    private func growTable() {
        guard stagedPlaces == nil else { return }
        stagedPlaces = table.grown(by: Self.tableReserve)
    }

    /// Vectors that are staged together, at most.
    static let tableReserve = 16

    /// Fills links of 32 bits with those of layer 0, which have 16, for which memory has been
    /// committed; readers do not look at them before `useWideLinks`.
    func fillWideLinks() {
        let places = slotCount * configuration.m * 2
        for place in 0..<places {
            let link = unsafe narrowLinks[place]
            unsafe wideLinks[place] = link == .max ? Self.noSlot : UInt32(link)
        }
    }

    /// Moves layer 0 to the links that have been filled; needs the write lock.
    func useWideLinks() {
        hasWideLinks = true
        narrowRegion.release()
    }
}
