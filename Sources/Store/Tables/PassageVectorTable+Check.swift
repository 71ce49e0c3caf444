package import Domain

/// Comparing the mirror with the windows, row by row, and mending it.
extension PassageVectorTable {
    /// How a row of the mirror can be wrong.
    package enum FaultKind: String, Sendable, CaseIterable {
        /// A live window has no row.
        case missing
        /// The row is of an earlier state of its window.
        case stale
        /// The row says that it is of this state and is not.
        case different
        /// The row is of a window that is deleted or never was.
        case surplus
    }

    /// A row that is wrong.
    package struct Fault: Sendable, Equatable {
        package var passage: PassageID
        package var kind: FaultKind
    }

    /// Some of the windows, compared.
    package struct Comparison: Sendable {
        /// Live windows looked at.
        package var windows = 0
        /// Rows of the mirror looked at.
        package var rows = 0
        package var faults: [Fault] = []
        /// The last window or row looked at; nil when there is none behind.
        package var end: PassageID?
    }

    /// Compares the windows behind an identifier with their rows, whatever their model.
    ///
    /// - Parameters:
    ///   - passage: Where the comparison before ended; 0 at the beginning.
    ///   - limit: At most so many windows, and as many rows: either can be without the other.
    ///   - account: The account.
    ///   - connection: A connection with one snapshot.
    /// - Returns: What was found up to where both are known.
    /// - Throws: ``StoreError``.
    package static func compare(
        after passage: PassageID,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Comparison {
        let windows = try Self.windows(
            "p.id > \(passage)",
            limit: limit,
            account: account,
            on: connection
        )
        let rows = try connection.rows(
            """
            SELECT v.passage_id, v.model_id, v.issue_id, v.revision, v.dimension, v.vector
            FROM passage_vectors AS v
            WHERE v.account_id = \(account) AND v.passage_id > \(passage)
            ORDER BY v.passage_id
            LIMIT \(limit)
            """
        )
        let lastWindow = windows.count < limit ? nil : windows.last?.id
        let lastRow: PassageID? =
            rows.count < limit ? nil : try rows.last?.identifier("passage_id")
        let end = [lastWindow, lastRow].compactMap(\.self).min()
        var byWindow: [PassageID: SQLRow] = [:]
        for row in rows {
            let id: PassageID = try row.identifier("passage_id")
            if let end, end < id { break }
            byWindow[id] = row
        }
        var comparison = Comparison(rows: byWindow.count, end: end)
        for window in windows where window.isMirrored {
            if let end, end < window.id { break }
            comparison.windows += 1
            guard let row = byWindow.removeValue(forKey: window.id) else {
                comparison.faults.append(Fault(passage: window.id, kind: .missing))
                continue
            }
            if let kind = try fault(of: row, window) {
                comparison.faults.append(Fault(passage: window.id, kind: kind))
            }
        }
        comparison.faults += byWindow.keys.map { Fault(passage: $0, kind: .surplus) }
        comparison.faults.sort { $0.passage < $1.passage }
        return comparison
    }

    /// Puts rows right by what the store says now.
    ///
    /// - Returns: The number of rows written or removed.
    package static func mend(
        _ passages: [PassageID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        guard !passages.isEmpty else { return 0 }
        let windows = try Self.windows(
            "p.id \(among: passages)",
            limit: passages.count,
            account: account,
            on: connection
        )
        // A row of the right revision would be left as it is.
        var statements = passages.map { delete($0, account: account) }
        for window in windows where window.isMirrored {
            guard let vector = VectorBytes.decode(window.vector, dimension: window.dimension) else {
                throw .unexpectedValue(column: "passages.vector")
            }
            let row = Row(
                passage: window.id,
                issue: window.issue,
                model: window.model,
                revision: window.revision,
                vector: vector
            )
            statements.append(put(row, account: account))
        }
        try connection.execute(batch: statements)
        return passages.count
    }

    // MARK: - Windows

    /// A window as the store has it.
    private struct Window {
        var id: PassageID
        var issue: IssueID
        var model: EmbeddingModelID
        var revision: Revision
        var isDeleted: Bool
        var dimension: Int
        var vector: [UInt8]

        /// Whether the mirror has a row for it.
        var isMirrored: Bool { !isDeleted && dimension <= PassageVectorTable.maximumDimension }
    }

    private static func windows(
        _ condition: SQL,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Window] {
        try connection.rows(
            """
            SELECT p.id, p.issue_id, p.model_id, p.revision, p.vector, m.dimension,
                p.deleted_at IS NOT NULL AS is_deleted
            FROM passages AS p
            JOIN embedding_models AS m ON m.account_id = p.account_id AND m.id = p.model_id
            WHERE p.account_id = \(account) AND \(condition)
            ORDER BY p.id
            LIMIT \(limit)
            """
        ).map { row throws(StoreError) -> Window in
            Window(
                id: try row.identifier("id"),
                issue: try row.identifier("issue_id"),
                model: try row.identifier("model_id"),
                revision: Revision(try row.integer("revision")),
                isDeleted: try row.bool("is_deleted"),
                dimension: Int(try row.integer("dimension")),
                vector: try row.blob("vector")
            )
        }
    }

    private static func fault(
        of row: SQLRow,
        _ window: Window
    ) throws(StoreError) -> FaultKind? {
        guard try row.integer("revision") == window.revision.rawValue else { return .stale }
        guard let vector = VectorBytes.decode(window.vector, dimension: window.dimension) else {
            throw .unexpectedValue(column: "passages.vector")
        }
        let numbers = [
            try row.integer("model_id"), try row.integer("issue_id"),
            try row.integer("dimension"),
        ]
        // Rounded in the same way, so that every bit must be the same.
        let bytes = try row.blob("vector")
        let isEqual =
            numbers == [window.model.rawValue, window.issue.rawValue, Int64(window.dimension)]
            && bytes == HalfVectorBytes.encode(vector)
        return isEqual ? nil : .different
    }
}
