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
            whenPlanned?()
            lock.write { graph.remove(plan) }
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
            whenPlanned?()
            lock.write { graph.carryOut(plan, key: key, scratch) }
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// Update: removal and insertion, both planned beside the readers and carried out while they
    /// wait once, so that none misses the key in between.
    private func replace(_ old: UInt32, key: Int64, _ scratch: SearchScratch) {
        let removal = graph.planRemoval(of: old, scratch)
        // An index without room for one more vector can still change those it has.
        guard let slot = try? graph.prepareSlot() else {
            return replaceInPlace(removal, key: key, scratch)
        }
        graph.storeRow(slot, scratch.query)
        let insertion = graph.planInsertion(into: slot, avoiding: old, scratch)
        whenPlanned?()
        lock.write {
            graph.remove(removal)
            graph.carryOut(insertion, key: key, scratch)
        }
    }

    /// Update in the slot of the old vector, whose row readers may be at: planned while they wait.
    private func replaceInPlace(
        _ removal: RemovalPlan,
        key: Int64,
        _ scratch: SearchScratch
    ) {
        let old = removal.slot
        lock.write {
            graph.remove(removal)
            // The slot that was freed last is taken first.
            graph.storeRow(old, scratch.query)
            let plan = graph.planInsertion(into: old, scratch)
            graph.carryOut(plan, key: key, scratch)
        }
    }
}
