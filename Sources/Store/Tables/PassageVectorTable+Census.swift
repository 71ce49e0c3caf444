package import Domain

/// How far the mirror is, told by counts alone.
extension PassageVectorTable {
    /// The windows of a model and the rows made from them, counted.
    package struct Census: Sendable, Equatable {
        /// Live windows in the store.
        package var windows: Int
        /// Rows of the mirror.
        package var rows: Int
        /// Windows that were written since the mirror last missed nothing.
        package var waiting: Int

        /// Whether nothing is missing by these counts; comparing row by row says more.
        package var isWhole: Bool { windows == rows && waiting == 0 }
    }

    /// Counts the windows of a model and their rows, on one snapshot; the mirror is there.
    ///
    /// - Complexity: A walk over the windows of the model; no vector is read.
    package static func census(
        of model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Census {
        let head = try AccountTable.currentRevision(account: account, on: connection)
        let mirrored = try revision(of: model, account: account, on: connection)
        // One that is ahead is of a future that is gone: everything is mirrored anew.
        let start = mirrored > head ? Revision.zero : mirrored
        let counts = try connection.rows(
            """
            SELECT COUNT(*) FILTER (WHERE p.deleted_at IS NULL) AS live,
                COUNT(*) FILTER (WHERE p.revision > \(start)) AS waiting
            FROM passages AS p
            WHERE p.account_id = \(account) AND p.model_id = \(model)
            """
        ).first
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS total FROM passage_vectors AS v
            WHERE v.account_id = \(account) AND v.model_id = \(model)
            """
        ).first
        return Census(
            windows: Int(try counts?.integer("live") ?? 0),
            rows: Int(try rows?.integer("total") ?? 0),
            waiting: Int(try counts?.integer("waiting") ?? 0)
        )
    }
}
