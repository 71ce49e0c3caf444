import Synchronization

extension HNSWIndex {
    /// How far the length of a stored vector may be from 1.
    package static let lengthTolerance: Float = 1e-2

    /// Stores the direction of a vector, replacing the one stored under the same key.
    ///
    /// - Parameters:
    ///   - key: Any number; the caller's identifier.
    ///   - vector: `(dimension)` numbers; their length is made 1. Another dimension is a
    ///     programmer's error and traps.
    /// - Throws: `notUnitLength` for zero, NaN and infinity, `full`, `outOfMemory`; the index then
    ///   is as it was.
    package func insert(key: Int64, vector: [Float]) throws(VectorIndexError) {
        precondition(
            vector.count == configuration.dimension,
            "vector has another dimension than the index"
        )
        try writer.withLock { (_) throws(VectorIndexError) in
            let result = withScratch { insert(key: key, vector: vector, $0) }
            try result.get()
        }
    }

    /// Removes the vector stored under `key`; whether there was one.
    @discardableResult
    package func remove(key: Int64) -> Bool {
        writer.withLock { _ in
            guard let slot = graph.table.slot(of: key) else { return false }
            let plan = withScratch { graph.planRemoval(of: slot, $0) }
            graph.stage(plan)
            putIntoPlace()
            return true
        }
    }

    /// An insertion by the thread that holds `writer`, which may read without the lock.
    func insert(
        key: Int64,
        vector: [Float],
        _ scratch: SearchScratch
    ) -> Result<Void, VectorIndexError> {
        guard scratch.setQuery(vector, level: graph.level) else {
            return .failure(.notUnitLength(key: key, norm: scratch.norm))
        }
        if let old = graph.table.slot(of: key) {
            if graph.holdsQuery(of: scratch, in: old) { return .success(()) }
            replace(old, key: key, scratch)
            return .success(())
        }
        do throws(VectorIndexError) {
            let slot = try graph.prepareSlot()
            graph.storeRow(slot, scratch.query)
            let plan = graph.planInsertion(into: slot, scratch)
            widen(for: slot)
            graph.stage(plan, key: key, scratch)
            putIntoPlace()
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// Shows readers what the thread that holds `writer` has staged.
    func putIntoPlace() {
        whenStaged?()
        lock.write { graph.commitStage() }
        graph.clearStage()
    }

    /// Gives layer 0 links of 32 bits before a slot is used whose number needs them.
    func widen(for slot: UInt32) {
        guard Int(slot) >= Graph.narrowLimit, !graph.hasWideLinks else { return }
        graph.fillWideLinks()
        lock.write { graph.useWideLinks() }
    }

    /// Update: removal and insertion, both prepared beside the readers and put into place while
    /// they wait once, so that none misses the key in between.
    private func replace(_ old: UInt32, key: Int64, _ scratch: SearchScratch) {
        let removal = graph.planRemoval(of: old, scratch)
        // An index without room for one more vector can still change those it has.
        guard let slot = try? graph.prepareSlot() else {
            return replaceInPlace(removal, key: key, scratch)
        }
        graph.storeRow(slot, scratch.query)
        let insertion = graph.planInsertion(into: slot, avoiding: old, scratch)
        widen(for: slot)
        graph.stage(removal)
        graph.stage(insertion, key: key, scratch)
        putIntoPlace()
    }

    /// Update in the slot of the old vector, whose row readers may be at: planned while they wait.
    private func replaceInPlace(
        _ removal: RemovalPlan,
        key: Int64,
        _ scratch: SearchScratch
    ) {
        let old = removal.slot
        graph.stage(removal)
        lock.write {
            graph.commitStage()
            graph.clearStage()
            // The slot that was freed last is taken first.
            graph.storeRow(old, scratch.query)
            let plan = graph.planInsertion(into: old, scratch)
            graph.stage(plan, key: key, scratch)
            graph.commitStage()
        }
        graph.clearStage()
    }
}
