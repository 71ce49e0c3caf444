package import Domain

/// The embedding models of an account; the vectors of one of them are searched.
package enum EmbeddingModelTable {
    /// A model as it is stored.
    package struct Row: Sendable, Equatable {
        package var id: EmbeddingModelID
        package var name: String
        package var revision: String
        package var dimension: Int
        package var isCurrent: Bool

        package init(
            id: EmbeddingModelID,
            name: String,
            revision: String,
            dimension: Int,
            isCurrent: Bool
        ) {
            self.id = id
            self.name = name
            self.revision = revision
            self.dimension = dimension
            self.isCurrent = isCurrent
        }
    }

    /// What vectors an index takes; other numbers are those of a damaged database.
    private static let dimensions: ClosedRange<Int64> = 1...65_536

    /// The account's models, oldest first.
    package static func all(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        try connection.rows(
            """
            SELECT id, name, model_revision, dimension, is_current
            FROM embedding_models WHERE account_id = \(account)
            ORDER BY id
            """
        ).map { row throws(StoreError) -> Row in
            let dimension = try row.integer("dimension")
            guard dimensions.contains(dimension) else {
                throw .unexpectedValue(column: "embedding_models.dimension")
            }
            return Row(
                id: try row.identifier("id"),
                name: try row.text("name"),
                revision: try row.text("model_revision"),
                dimension: Int(dimension),
                isCurrent: try row.bool("is_current")
            )
        }
    }

    /// Makes a model the current one, as a new row unless it is known.
    ///
    /// - Returns: Its identifier.
    package static func makeCurrent(
        name: String,
        revision: String,
        dimension: Int,
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> EmbeddingModelID {
        let known = try all(account: account, on: connection).first {
            haveEqualBytes($0.name, name) && haveEqualBytes($0.revision, revision)
                && $0.dimension == dimension
        }
        if let known, known.isCurrent { return known.id }
        let ids: [EmbeddingModelID] = try AccountTable.nextIDs(
            known == nil ? 1 : 0,
            account: account,
            on: connection
        )
        try connection.execute(
            """
            UPDATE embedding_models SET is_current = \(false)
            WHERE account_id = \(account) AND is_current = \(true)
            """
        )
        if let known {
            try connection.execute(
                """
                UPDATE embedding_models SET is_current = \(true)
                WHERE account_id = \(account) AND id = \(known.id)
                """
            )
            return known.id
        }
        guard let id = ids.first else { throw .unexpectedValue(column: "accounts.last_id") }
        try connection.execute(
            """
            INSERT INTO embedding_models (
                account_id, id, name, model_revision, dimension, is_current, created_at
            ) VALUES (\(account), \(id), \(name), \(revision), \(dimension), \(true), \(now))
            """
        )
        return id
    }

    /// Forgets a model that has no vectors left.
    package static func remove(
        _ model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        if try PassageVectorTable.exists(on: connection) {
            try connection.execute(
                batch: PassageVectorTable.deleteAll(of: model, account: account)
            )
        }
        try connection.execute(
            """
            DELETE FROM embedding_models
            WHERE account_id = \(account) AND id = \(model) AND is_current = \(false)
            """
        )
    }
}
