package import Domain

/// The HNSW index of the mirror: when it is tried again, whether it finds what it holds, and making
/// it anew.
extension PassageVectorTable {
    /// What a look at the index for vectors of one length found.
    package enum IndexState: Sendable, Equatable {
        /// There is none.
        case absent
        /// Somebody makes one at this moment.
        case inTheMaking
        /// Its making was broken off: it serves nobody, and may cost who writes.
        case broken
        /// It is whole; of `asked` windows so many were found by it.
        case whole(asked: Int, found: Int)

        /// Whether the index finds what it should, as far as was asked.
        package var findsEnough: Bool {
            guard case .whole(let asked, let found) = self else { return false }
            return found * 10 >= asked * 9
        }
    }

    // MARK: - Trying again

    /// How long nobody tries to make an index after that has failed.
    ///
    /// An old transaction that was in the way is mostly still there minutes later, and a try may
    /// cost an hour of the server's work.
    package static let indexingPause = Duration.seconds(3_600)

    /// Keeps in mind that the making of an index has failed.
    ///
    /// The index belongs to the whole database, and so does the note: it is kept under the first
    /// account.
    package static func noteFailedIndexing(
        dimension: Int,
        at now: Timestamp,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try LeaseTable.note(
            pauseName(dimension),
            by: .current(),
            until: now.advanced(by: indexingPause),
            account: AccountTable.defaultID,
            on: connection
        )
    }

    /// Until when nobody tries to make an index; nil when it may be tried now.
    package static func indexingPauseEnd(
        dimension: Int,
        now: Timestamp,
        on connection: any SQLConnection
    ) throws(StoreError) -> Timestamp? {
        try LeaseTable.noted(
            pauseName(dimension),
            now: now,
            atMost: indexingPause,
            account: AccountTable.defaultID,
            on: connection
        )?.end
    }

    private static func pauseName(_ dimension: Int) -> String { "vector-index-pause-\(dimension)" }

    /// Whether somebody makes an index of the mirror at this moment, or is about to.
    package static func isBeingIndexed(
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        if try VectorExtensionTable.isIndexing(on: connection) { return true }
        // The lock is there before the making is reported and after it.
        return try !connection.rows(
            """
            SELECT pid FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND classid = 1886351982
                AND objid = \(relation)::oid AND objsubid = 2
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        ).isEmpty
    }

    // MARK: - Looking

    /// Windows that are looked for by the index.
    private static let sampleCount = 200
    /// Windows looked for in one transaction.
    private static let askedAtOnce = 50
    /// `hnsw.ef_search` of searches for many windows.
    private static let sampleEffort = 200
    /// A window as near as that is the one that was looked for, or its text stands there twice.
    private static let likeness: Float = 0.001

    /// A window that is looked for.
    private struct SampledWindow: Sendable {
        var id: PassageID
        var vector: [Float]
    }

    /// Looks at the index of a model's vectors: whether it is whole, and whether windows, taken
    /// evenly by their identifiers, are found by it when their own vectors are asked for.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - store: The store, whose mirror is there.
    /// - Returns: What was found; no window is asked for where searches do without the index,
    ///   because the extension is too old.
    /// - Throws: What the store refuses.
    package static func examineIndex(
        of model: EmbeddingModelTable.Row,
        in store: Store
    ) async throws -> IndexState {
        let isUsed = try await VectorMirror.state(of: store).canIterate
        let (state, windows) = try await store.read {
            connection,
            account -> (IndexState, [SampledWindow]) in
            let look = try indexState(dimension: model.dimension, on: connection)
            guard isUsed, case .whole = look else { return (look, []) }
            return (look, try sample(of: model, account: account, on: connection))
        }
        guard !windows.isEmpty else { return state }
        var found = 0
        for start in stride(from: 0, to: windows.count, by: askedAtOnce) {
            try Task.checkCancellation()
            let some = Array(windows[start..<min(start + askedAtOnce, windows.count)])
            found += try await store.read { connection, account in
                try foundCount(of: some, model: model, account: account, on: connection)
            }
        }
        return .whole(asked: windows.count, found: found)
    }

    private static func indexState(
        dimension: Int,
        on connection: any SQLConnection
    ) throws(StoreError) -> IndexState {
        let index = "passage_vectors_hnsw_\(dimension)"
        let rows = try connection.rows(
            """
            SELECT indisvalid AND indisready AS is_whole FROM pg_index
            WHERE indexrelid = \(CurrentSchema.relation(index))
            """
        )
        guard let row = rows.first else { return .absent }
        if try row.bool("is_whole") { return .whole(asked: 0, found: 0) }
        return try isBeingIndexed(on: connection) ? .inTheMaking : .broken
    }

    /// Some windows of a model with their vectors; where few have an identifier in some range, the
    /// next behind it stands for them.
    private static func sample(
        of model: EmbeddingModelTable.Row,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [SampledWindow] {
        let rows = try connection.rows(
            """
            SELECT s.passage_id, s.vector
            FROM (
                SELECT MIN(passage_id) AS low, MAX(passage_id) AS high FROM passage_vectors
                WHERE account_id = \(account) AND model_id = \(model.id)
            ) AS ends
            CROSS JOIN generate_series(0, \(number: sampleCount - 1)) AS n
            CROSS JOIN LATERAL (
                SELECT v.passage_id, v.vector FROM passage_vectors AS v
                WHERE v.account_id = \(account) AND v.model_id = \(model.id)
                    AND v.dimension = \(number: model.dimension)
                    AND v.passage_id >= ends.low
                        + (ends.high - ends.low) * n / \(number: sampleCount - 1)
                ORDER BY v.passage_id LIMIT 1
            ) AS s
            ORDER BY s.passage_id
            """
        )
        var windows: [SampledWindow] = []
        for row in rows {
            let id: PassageID = try row.identifier("passage_id")
            guard windows.last?.id != id else { continue }
            let bytes = try row.blob("vector")
            guard let vector = HalfVectorBytes.decode(bytes, dimension: model.dimension) else {
                throw .unexpectedValue(column: "passage_vectors.vector")
            }
            windows.append(SampledWindow(id: id, vector: vector))
        }
        return windows
    }

    private static func foundCount(
        of windows: [SampledWindow],
        model: EmbeddingModelTable.Row,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let answer = try search(
            Query(
                vectors: windows.map(\.vector),
                // The nearest of all is the window itself: the index need not go on from there.
                count: 1,
                scope: .index(IssueFilter()),
                effort: sampleEffort
            ),
            model: model,
            follower: "",
            // What was deleted meanwhile is not asked about.
            known: Revision(.max),
            account: account,
            on: connection
        )
        return zip(windows, answer.near).count { window, near in
            guard let first = near.first else { return false }
            let own = window.vector.reduce(Float(0)) { $0 + $1 * $1 }
            return first.passage == window.id || first.score >= own - likeness
        }
    }

    // MARK: - Making anew

    /// Milliseconds: others who use the table wait for so long at most while an index goes.
    private static let removalTimeout = "2000"

    /// Removes the index of one length, unless somebody makes one.
    ///
    /// - Throws: ``StoreError/busy`` when others are in the way.
    fileprivate static func dropIndex(
        dimension: Int,
        on connection: any SQLConnection
    ) throws(StoreError) {
        _ = try connection.rows(
            "SELECT set_config('lock_timeout', \(removalTimeout), true) AS timeout"
        )
        // Who makes an index holds this lock to the end.
        try connection.execute("LOCK TABLE passage_vectors IN SHARE UPDATE EXCLUSIVE MODE")
        // Where there is none of ours, the name would be that of another installation's.
        let index = CurrentSchema.relation("passage_vectors_hnsw_\(dimension)")
        guard try !connection.rows("SELECT 1 AS one WHERE \(index) IS NOT NULL").isEmpty
        else { return }
        try connection.execute("DROP INDEX passage_vectors_hnsw_\(number: dimension)")
    }
}

extension VectorMirror {
    /// Removes the index for vectors of one length and makes it anew, when it is worthwhile.
    ///
    /// Until it is made, searches compare row by row: what they find is right, which by an index
    /// that lacks rows it is not.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - dimension: The length of the vectors.
    ///   - count: Rows from which an index is worthwhile.
    /// - Returns: Whether there is an index now.
    /// - Throws: ``StoreError/busy`` when others are in the way, and what else the store refuses.
    package static func remakeIndex(
        _ store: Store,
        dimension: Int,
        from count: Int = indexedFrom
    ) async throws -> Bool {
        try await store.database.write { connection in
            try PassageVectorTable.dropIndex(dimension: dimension, on: connection)
        }
        return try await makeIndex(store, dimension: dimension, from: count)
    }
}
