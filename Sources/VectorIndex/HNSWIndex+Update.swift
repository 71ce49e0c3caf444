import Synchronization

extension HNSWIndex {
    /// How far a vector's length may be from 1: rounding of half-precision sources stays below.
    package static let lengthTolerance: Float = 1e-2

    /// Stores a vector, replacing the one stored under the same key.
    ///
    /// - Parameters:
    ///   - key: Any number; the caller's identifier.
    ///   - vector: `(dimension)` numbers of length 1 within 0.01. Another dimension is a
    ///     programmer's
    ///     error and traps.
    /// - Throws: `notUnitLength`, `full`, `outOfMemory`; the index then is as it was, but for
    ///   `full` and `outOfMemory` on an update, which cannot happen because the old slot is
    ///   reused.
    package func insert(key: Int64, vector: [Float]) throws(VectorIndexError) {
        precondition(
            vector.count == configuration.dimension,
            "vector has another dimension than the index"
        )
        try requireUnitLength(vector, key: key)
        try writer.withLock { (_) throws(VectorIndexError) in
            // Only this thread writes now, so it may read without the lock.
            if let old = graph.slotsByKey[key] {
                return try replace(old, key: key, vector: vector)
            }
            var scratch = graph.makeScratch(queueCapacity: configuration.efConstruction)
            scratch.setQuery(vector)
            let plan = try graph.planInsertion(&scratch)
            let row = unsafe UnsafePointer(scratch.query)
            lock.write { unsafe graph.carryOut(plan, key: key, vector: row) }
        }
    }

    /// Removes the vector stored under `key`; whether there was one.
    @discardableResult
    package func remove(key: Int64) -> Bool {
        writer.withLock { _ in
            guard let slot = graph.slotsByKey[key] else { return false }
            lock.write { graph.remove(slot) }
            return true
        }
    }

    /// Update: removal and insertion while readers wait, so that none misses the key in between.
    private func replace(
        _ old: UInt32,
        key: Int64,
        vector: [Float]
    ) throws(VectorIndexError) {
        guard graph.vector(old) != vector else { return }
        let result: Result<Void, VectorIndexError> = lock.write {
            graph.remove(old)
            var scratch = graph.makeScratch(queueCapacity: configuration.efConstruction)
            scratch.setQuery(vector)
            do throws(VectorIndexError) {
                let plan = try graph.planInsertion(&scratch)
                unsafe graph.carryOut(plan, key: key, vector: scratch.query)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private func requireUnitLength(
        _ vector: [Float],
        key: Int64
    ) throws(VectorIndexError) {
        var sum: Float = 0
        for value in vector { sum += value * value }
        let norm = sum.squareRoot()
        guard abs(norm - 1) <= Self.lengthTolerance else {
            throw .notUnitLength(key: key, norm: norm)
        }
    }
}
