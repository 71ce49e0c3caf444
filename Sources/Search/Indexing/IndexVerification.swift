package import Domain
import Store
import VectorIndex

/// What a comparison of the indexes with the store found; counts of rows that are wrong.
package struct IndexVerification: Sendable, Equatable {
    /// Live windows in the store.
    package var stored = 0
    /// Windows of texts the indexer has looked at that the store lacks, or has of another text.
    package var unembedded = 0
    /// Live windows in the store that are of no text any more, or stand elsewhere in it.
    package var outdated = 0
    /// Windows that the vector index finds.
    package var indexed = 0
    /// Stored windows the index does not have.
    package var missing = 0
    /// Windows whose vector in the index is another one.
    package var different = 0
    /// Windows the index has and the store does not.
    package var surplus = 0
    /// Breaches of the graph's invariants.
    package var graphFaults = 0
    /// Live issues whose lexical document is missing or different.
    package var lexicalFaults = 0
    /// Documents of the lexical index for issues that are not live.
    package var lexicalSurplus = 0
    /// Issues and comments the indexer has not looked at yet; no fault.
    package var backlog = 0
    /// Issues and comments the words index had not followed before it was compared; no fault.
    package var lexicalBacklog = 0

    /// Whether everything is as the store says.
    package var isSound: Bool {
        unembedded == 0 && outdated == 0 && missing == 0 && different == 0 && surplus == 0
            && graphFaults == 0 && lexicalFaults == 0 && lexicalSurplus == 0
    }

    /// The counts by name.
    package var json: JSONValue {
        [
            "sound": .bool(isSound), "stored": .integer(Int64(stored)),
            "unembedded": .integer(Int64(unembedded)), "outdated": .integer(Int64(outdated)),
            "indexed": .integer(Int64(indexed)), "missing": .integer(Int64(missing)),
            "different": .integer(Int64(different)), "surplus": .integer(Int64(surplus)),
            "graph_faults": .integer(Int64(graphFaults)),
            "lexical_faults": .integer(Int64(lexicalFaults)),
            "lexical_surplus": .integer(Int64(lexicalSurplus)),
            "backlog": .integer(Int64(backlog)),
            "lexical_backlog": .integer(Int64(lexicalBacklog)),
        ]
    }
}

extension IndexPipeline {
    /// Compares the windows in the store with the texts, and both indexes with the store, row by
    /// row.
    package func verify() async throws -> IndexVerification {
        var result = IndexVerification()
        for faults in try await verifyTexts().values {
            result.unembedded += faults.missing
            result.outdated += faults.outdated
        }
        try await verifyVectors(&result)
        try await verifyDocuments(&result)
        result.backlog = try await backlog()
        return result
    }

    /// Makes both indexes anew from the store, embeds what has no vector, and looks for all pairs
    /// again.
    package func rebuild() async throws -> IndexReport {
        try await restartIndexer()
        try await lexical.reset()
        try await windows.rebuild()
        try await restartDuplicates()
        return try await drain()
    }

    private func verifyVectors(_ result: inout IndexVerification) async throws {
        if let index { return try await verifyVectors(of: index, &result) }
        let found = try await VectorMirror.compare(store)
        result.stored = found.windows
        result.indexed = found.rows
        result.missing = found.faults[.missing] ?? 0
        result.different = (found.faults[.stale] ?? 0) + (found.faults[.different] ?? 0)
        result.surplus = found.faults[.surplus] ?? 0
    }

    private func verifyVectors(
        of index: SearchIndex,
        _ result: inout IndexVerification
    ) async throws {
        let view = try await index.view()
        let (model, dimension) = (index.model, view.index.configuration.dimension)
        result.graphFaults = view.index.checkInvariants().count
        result.indexed = view.count
        var last = PassageID(0)
        var found = 0
        while true {
            try Task.checkCancellation()
            let after = last
            let page = try await store.read { connection, account in
                try PassageTable.vectors(
                    after: after,
                    model: model,
                    dimension: dimension,
                    limit: 1_000,
                    account: account,
                    on: connection
                )
            }
            guard let end = page.last else { break }
            last = end.id
            for row in page where !view.hidden.contains(row.id.rawValue) {
                result.stored += 1
                guard let vector = view.vector(of: row.id.rawValue) else {
                    result.missing += 1
                    continue
                }
                found += 1
                // The index may keep them rounded; another text's vector is far away.
                if cosine(vector, row.vector) < 0.999 { result.different += 1 }
            }
        }
        result.surplus = max(0, view.count - found)
    }

    private func verifyDocuments(_ result: inout IndexVerification) async throws {
        result.lexicalBacklog = try await search.waitingTexts()
        try await lexical.follow(store)
        let issues = try await store.read { connection, account in
            try PassageTable.issues(matching: IssueFilter(), account: account, on: connection)
        }
        for chunk in issues.chunked(by: 200) {
            try Task.checkCancellation()
            let documents = try await store.read { connection, account in
                try LexicalIndex.documents(of: chunk, account: account, on: connection)
            }
            result.lexicalFaults += try await lexical.differing(from: documents).count
        }
        let count = try await lexical.state().documents
        result.lexicalSurplus = max(0, count - issues.count)
    }
}
