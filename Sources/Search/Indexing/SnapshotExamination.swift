import Domain
import Embeddings
package import Store
import VectorIndex

/// A snapshot file compared with the store, window by window, before anything makes it anew.
package struct SnapshotExamination: Sendable, Equatable {
    /// Live windows in the store that the snapshot should have.
    package var windows = 0
    /// Vectors in the snapshot.
    package var vectors = 0
    /// Vectors that are wrong, by how; the feed, not the snapshot, tells what is stale.
    package var faults: [PassageVectorTable.FaultKind: Int] = [:]
    /// Windows that changed after the snapshot was written: whoever opens it follows the feed.
    package var waiting = 0
    /// Breaches of the graph's invariants.
    package var graphFaults = 0

    /// Everything that is wrong.
    package var faultCount: Int { faults.values.reduce(0, +) + graphFaults }

    /// Windows compared in one transaction.
    private static let comparedAtOnce = 1_000
    /// The index keeps vectors rounded; another text's vector is far away.
    private static let likeness = 0.999

    /// Compares the snapshot of a model; nil when there is no file.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - row: The model.
    ///   - directory: Where the account's index files are.
    /// - Throws: ``VectorIndexError`` for a file that cannot be used, and what the store refuses.
    package init?(store: Store, model row: EmbeddingModelTable.Row, directory: String) async throws
    {
        let path = SearchIndex.path(in: directory)
        guard SearchIndex.hasFile(at: path) else { return nil }
        let identity = ModelIdentity(row)
        let (owner, head) = try await store.read { connection, account in
            (
                try StoreIdentity.text(account: account, on: connection),
                try AccountTable.currentRevision(account: account, on: connection)
            )
        }
        let index = try HNSWIndex.open(
            path: path,
            expecting: SearchIndex.name(owner, row.id, identity),
            dimension: row.dimension
        )
        vectors = index.count
        graphFaults = index.checkInvariants().count
        guard index.revision <= head.rawValue else {
            // Of a future that a store put back from a backup does not know.
            faults[.stale] = vectors
            return
        }
        var others = Set(index.keys)
        var last = PassageID(0)
        while true {
            try Task.checkCancellation()
            let after = last
            let page = try await store.read { connection, account in
                try PassageTable.vectorStates(
                    after: after,
                    model: row.id,
                    dimension: row.dimension,
                    limit: Self.comparedAtOnce,
                    account: account,
                    on: connection
                )
            }
            guard let end = page.last else { break }
            last = end.id
            for window in page { note(window, in: index, &others) }
        }
        if !others.isEmpty { faults[.surplus, default: 0] += others.count }
    }

    private mutating func note(
        _ window: PassageTable.VectorChange,
        in index: HNSWIndex,
        _ others: inout Set<Int64>
    ) {
        let isThere = others.remove(window.id.rawValue) != nil
        guard window.revision.rawValue <= index.revision else {
            waiting += 1
            return
        }
        guard let vector = window.vector else {
            if isThere { faults[.surplus, default: 0] += 1 }
            return
        }
        windows += 1
        guard let kept = index.vector(forKey: window.id.rawValue) else {
            faults[.missing, default: 0] += 1
            return
        }
        if cosine(vector, kept) < Self.likeness { faults[.different, default: 0] += 1 }
    }

    /// Makes the snapshot anew from the store.
    package static func rebuild(
        store: Store,
        model row: EmbeddingModelTable.Row,
        directory: String,
        options: SearchIndex.Options = SearchIndex.Options()
    ) async throws {
        let index = try await SearchIndex(
            store: store,
            identity: ModelIdentity(row),
            model: row.id,
            directory: directory,
            role: .writer,
            options: options
        )
        try await index.rebuild()
    }
}
