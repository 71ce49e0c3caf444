package import Domain

/// The mirror: the vectors of windows once more, in a column of pgvector that PostgreSQL searches.
///
/// `passages` is the truth and this a copy, kept by whoever writes windows in the transaction that
/// writes them. Each row has the revision of the window it was made from, and `vector_mirrors` says
/// for each model up to which revision nothing is missing: windows that somebody wrote without the
/// mirror, an older program or one before the extension was there, have greater revisions and are
/// found by them (``catchUp(with:limit:account:on:)``). Neither table exists without the extension,
/// and on SQLite never.
package enum PassageVectorTable {
    /// The longest vector the type `halfvec` takes; longer ones are searched in memory only.
    package static let maximumDimension = 16_000
    /// The longest one that pgvector builds an index of; longer ones are compared one by one.
    package static let maximumIndexedDimension = 4_000

    /// The table in our schema, as a `regclass`; NULL where there is none.
    static let relation = CurrentSchema.relation("passage_vectors")

    /// Whether the mirror has been made (``VectorMirror/prepare(_:)``).
    static func exists(on connection: any SQLConnection) throws(StoreError) -> Bool {
        switch connection.dialect {
        case .sqlite: return false
        case .postgres:
            let rows = try connection.rows("SELECT \(relation) IS NOT NULL AS is_made")
            return try rows.first?.bool("is_made") ?? false
        }
    }

    // MARK: - Writing

    /// A window's vector as it is mirrored.
    struct Row {
        var passage: PassageID
        var issue: IssueID
        var model: EmbeddingModelID
        var revision: Revision
        var vector: [Float]
    }

    /// Puts a row in the place of the one there is; one of the same revision stays untouched.
    static func put(_ row: Row, account: AccountID) -> SQL {
        """
        INSERT INTO passage_vectors (account_id, passage_id, model_id, issue_id, revision,
            dimension, vector)
        VALUES (\(account), \(row.passage), \(row.model), \(row.issue), \(row.revision),
            \(row.vector.count), \(halfVector: row.vector)::halfvec)
        ON CONFLICT (account_id, passage_id) DO UPDATE
        SET model_id = excluded.model_id, issue_id = excluded.issue_id,
            revision = excluded.revision, dimension = excluded.dimension, vector = excluded.vector
        WHERE passage_vectors.revision <> excluded.revision
            OR passage_vectors.model_id <> excluded.model_id
        """
    }

    /// A window whose vector stayed has a new revision.
    static func touch(_ passage: PassageID, revision: Revision, account: AccountID) -> SQL {
        """
        UPDATE passage_vectors SET revision = \(revision)
        WHERE account_id = \(account) AND passage_id = \(passage)
        """
    }

    static func delete(_ passage: PassageID, account: AccountID) -> SQL {
        """
        DELETE FROM passage_vectors
        WHERE account_id = \(account) AND passage_id = \(passage)
        """
    }

    /// Drops the rows of issues, whatever their model.
    static func delete(ofIssues issues: SQL, account: AccountID) -> SQL {
        """
        DELETE FROM passage_vectors
        WHERE account_id = \(account) AND issue_id IN (\(issues))
        """
    }

    /// Drops rows of a model, a bounded number at a time.
    static func deleteSome(of model: EmbeddingModelID, limit: Int, account: AccountID) -> SQL {
        """
        DELETE FROM passage_vectors WHERE account_id = \(account) AND passage_id IN (
            SELECT passage_id FROM passage_vectors
            WHERE account_id = \(account) AND model_id = \(model)
            LIMIT \(limit)
        )
        """
    }

    /// Drops all rows of a model and what is known of it.
    static func deleteAll(of model: EmbeddingModelID, account: AccountID) -> [SQL] {
        [
            """
            DELETE FROM passage_vectors WHERE account_id = \(account) AND model_id = \(model)
            """,
            """
            DELETE FROM vector_mirrors WHERE account_id = \(account) AND model_id = \(model)
            """,
        ]
    }

    // MARK: - How far the mirror is

    /// In place of a revision: the rows are of a future that is gone, and go before the mirror
    /// begins anew.
    static let cleared: Int64 = -2

    /// What a transaction says before it writes windows with these revisions and their mirror.
    ///
    /// A mirror that missed nothing before is complete up to the last of them; one that did stays
    /// where it is. One that is ahead of the store, which was put back from a backup, is of a
    /// future that is gone: it is to be cleared, which would take long in the transaction of
    /// whoever writes next, and is done by ``catchUp(with:limit:account:on:)``.
    ///
    /// - Parameters:
    ///   - revisions: Those drawn for the windows.
    ///   - model: The model of the windows; nil for windows of any.
    ///   - account: The account.
    /// - Returns: Statements to be run before the first window is written. They look for the first
    ///   window that is missing, in order: EXISTS would expect to find one soon and walk the table,
    ///   and mostly there is none.
    static func announce(
        _ revisions: ClosedRange<Revision>,
        model: EmbeddingModelID?,
        account: AccountID
    ) -> [SQL] {
        let (first, last) = (revisions.lowerBound, revisions.upperBound)
        let ofModel: SQL = model.map { "model_id = \($0)" } ?? "TRUE"
        return [
            """
            INSERT INTO vector_mirrors (account_id, model_id, revision)
            SELECT m.account_id, m.id, 0 FROM embedding_models AS m
            WHERE m.account_id = \(account) AND m.dimension <= \(maximumDimension)
            ON CONFLICT (account_id, model_id) DO NOTHING
            """,
            """
            UPDATE vector_mirrors SET revision = \(cleared)
            WHERE account_id = \(account) AND revision >= \(first)
            """,
            """
            UPDATE vector_mirrors SET revision = \(last)
            WHERE account_id = \(account) AND \(ofModel) AND revision <> \(cleared) AND (
                SELECT p.revision FROM passages AS p
                WHERE p.account_id = \(account) AND p.revision > vector_mirrors.revision
                    AND p.model_id = vector_mirrors.model_id
                ORDER BY p.revision LIMIT 1) IS NULL
            """,
        ]
    }

    /// Mirrors windows that were written without the mirror, oldest change first; before that it
    /// removes rows of a future that is gone.
    ///
    /// - Parameters:
    ///   - model: The model whose windows are mirrored.
    ///   - limit: At most so many windows, or rows removed: what one transaction holds.
    ///   - account: The account, whose feed lock the transaction has.
    ///   - connection: The connection.
    /// - Returns: The number of windows or rows looked at; less than `limit` when none is left.
    /// - Throws: ``StoreError``.
    package static func catchUp(
        with model: EmbeddingModelTable.Row,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let head = try AccountTable.currentRevision(account: account, on: connection)
        let start = try revision(of: model.id, account: account, on: connection)
        if start > head || start.rawValue == cleared {
            let removed = try connection.execute(
                deleteSome(of: model.id, limit: limit, account: account)
            )
            let next = removed < limit ? .zero : Revision(cleared)
            try connection.execute(move(model.id, to: next, account: account))
            return limit
        }
        let changes = try PassageTable.vectorChanges(
            after: start,
            model: model.id,
            dimension: model.dimension,
            limit: limit,
            account: account,
            on: connection
        )
        var statements = changes.map { change -> SQL in
            guard let vector = change.vector else { return delete(change.id, account: account) }
            let row = Row(
                passage: change.id,
                issue: change.issue,
                model: model.id,
                revision: change.revision,
                vector: vector
            )
            return put(row, account: account)
        }
        let isLast = changes.count < limit
        guard let end = isLast ? head : changes.last?.revision else { return 0 }
        statements.append(move(model.id, to: end, account: account))
        try connection.execute(batch: statements)
        return changes.count
    }

    private static func move(
        _ model: EmbeddingModelID,
        to revision: Revision,
        account: AccountID
    ) -> SQL {
        """
        INSERT INTO vector_mirrors (account_id, model_id, revision)
        VALUES (\(account), \(model), \(revision))
        ON CONFLICT (account_id, model_id) DO UPDATE SET revision = excluded.revision
        """
    }

    /// Up to which revision nothing of a model is missing; 0 for a model never heard of.
    static func revision(
        of model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Revision {
        let rows = try connection.rows(
            """
            SELECT revision FROM vector_mirrors
            WHERE account_id = \(account) AND model_id = \(model)
            """
        )
        return Revision(try rows.first?.integer("revision") ?? 0)
    }
}
